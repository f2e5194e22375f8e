import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { startProxy } from './proxy.ts';
import { until } from './running.ts';

/** A PostgreSQL with a streaming standby beside it. */
export interface Pair {
  readonly primary: EmbeddedPostgres;
  readonly standby: EmbeddedPostgres;
  /** Nothing more reaches the standby; it has done all that did. */
  cutStream(): Promise<void>;
  /** As a power cut does. */
  killPrimary(): void;
  promoteStandby(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Both in this folder, which other users must be able to enter. Unless it is asynchronous, the primary commits nothing
 * without the standby's word.
 */
export async function startPair(
  home: string,
  { synchronous = true }: { synchronous?: boolean } = {},
): Promise<Pair> {
  const [primaryDir, standbyDir] = [join(home, 'primary'), join(home, 'standby')];
  const primary = await startEmbeddedPostgres({
    dataDir: primaryDir,
    whenOwned: 'refuse',
    settings: { wal_keep_size: '64MB' },
    onLost: () => undefined,
  });
  await copyRunning(primary, primaryDir, standbyDir);
  const stream = await startProxy(primary.connectionString);
  const { hostname, port, username, password } = new URL(stream.connectionString);
  const standby = await startEmbeddedPostgres({
    dataDir: standbyDir,
    whenOwned: 'refuse',
    settings: {
      primary_conninfo: `host=${hostname} port=${port} user=${username} password=${password}`,
    },
  });
  if (synchronous) await commitTogether(primary);
  return {
    primary,
    standby,
    async cutStream() {
      stream.open = false;
      stream.cut();
      await on(standby, async (client) => {
        // What was cut off within a record is received and never replayed, so both positions may stay apart.
        let before: unknown;
        await until('the standby to have done all that it got', async () => {
          const { rows } = await client.query(
            `select pg_last_wal_replay_lsn() as at, exists (select from pg_stat_wal_receiver) as receives,
                    pg_sleep(0.5)`,
          );
          const { at, receives } = rows[0];
          const isDone = !receives && at === before;
          before = at;
          return isDone || undefined;
        });
      });
    },
    killPrimary() {
      const lockFile = join(primaryDir, 'postgres/cluster/postmaster.pid');
      process.kill(Number(readFileSync(lockFile, 'utf8').split('\n')[0]), 'SIGKILL');
    },
    promoteStandby: () => on(standby, (client) => client.query('select pg_promote()')),
    async stop() {
      await standby.stop();
      await primary.stop();
      await stream.close();
    },
  };
}

/** What pg_basebackup does, which the embedded package does not bring. */
function copyRunning(primary: EmbeddedPostgres, from: string, to: string): Promise<void> {
  return on(primary, async (client) => {
    await client.query(`select pg_backup_start('standby', true)`);
    execFileSync('cp', ['-a', from, to]);
    const { rows } = await client.query('select labelfile from pg_backup_stop(false)');
    const cluster = join(to, 'postgres/cluster');
    for (const own of ['postmaster.pid', 'postmaster.opts']) rmSync(join(cluster, own), { force: true });
    rmSync(join(to, 'postgres/port'), { force: true });
    const { uid, gid } = statSync(cluster);
    for (const [name, text] of [
      ['backup_label', rows[0].labelfile],
      ['standby.signal', ''],
    ] as const) {
      writeFileSync(join(cluster, name), text);
      chownSync(join(cluster, name), uid, gid);
    }
  });
}

/** As an operator sets it up; a standby made from a copy before this does not wait for one of its own. */
async function commitTogether(primary: EmbeddedPostgres): Promise<void> {
  await on(primary, async (client) => {
    await client.query(`alter system set synchronous_standby_names = '*'`);
    await client.query('select pg_reload_conf()');
    await until('the standby to be synchronous', async () => {
      const { rows } = await client.query('select sync_state from pg_stat_replication');
      return rows[0]?.sync_state === 'sync' ? true : undefined;
    });
  });
}

async function on(server: EmbeddedPostgres, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(server.connectionString);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
