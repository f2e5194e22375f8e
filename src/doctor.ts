import { existsSync, statfsSync } from 'node:fs';
import { listMerchants } from './access/merchants.ts';
import { hasAdmin } from './access/team.ts';
import { doubtSentence } from './books.ts';
import { judgeBooksNow } from './books-watch.ts';
import type { Settings } from './config.ts';
import { isThere, type OpenedDatabase, openConfiguredDatabase } from './database.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { clockApartMs, TOLERATED_APART_MS } from './lib/database-clock.ts';
import { pendingMigrations } from './lib/migrate.ts';
import { OperatorError } from './lib/operator-error.ts';
import { freePort } from './lib/port.ts';
import { openVault } from './master-key.ts';
import { readHeldAccounts } from './refunds/holds.ts';

/** What one look found, in one sentence; `warning` needs attention but keeps nothing from running. */
export interface Finding {
  readonly what: string;
  readonly verdict: 'good' | 'warning' | 'bad';
  readonly says: string;
}

const NOTICED_APART_MS = 1_000;
const LITTLE_SPACE_BYTES = 1_000_000_000;
const NO_SPACE_BYTES = 100_000_000;

/** Looks at everything this process needs, and changes nothing but what a start would. Never throws. */
export async function examine(settings: Settings, clock: Clock = systemClock): Promise<Finding[]> {
  return [
    { what: 'Node.js', verdict: 'good', says: `${process.version} on ${process.platform}-${process.arch}.` },
    examineSpace(settings),
    await examinePort(settings),
    examinePublicUrl(settings),
    ...(await examineDatabase(settings, clock)),
  ];
}

function examineSpace({ dataDir, databaseUrl }: Settings): Finding {
  const what = 'Data folder';
  if (!existsSync(dataDir)) {
    const says = databaseUrl
      ? `${dataDir} is not there, and is not needed.`
      : `${dataDir} is made by the first start.`;
    return { what, verdict: 'good', says };
  }
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  return {
    what,
    verdict: free < NO_SPACE_BYTES ? 'bad' : free < LITTLE_SPACE_BYTES ? 'warning' : 'good',
    says: `${(free / 1e9).toFixed(1)} GB are free in ${dataDir}.`,
  };
}

async function examinePort({ role, host, port, publicUrl }: Settings): Promise<Finding> {
  const what = 'Port';
  if (role === 'worker') return { what, verdict: 'good', says: 'A worker listens on none.' };
  if (await freePort(host, port)) return { what, verdict: 'good', says: `${port} on ${host} is free.` };
  const healthy = await fetch(`${publicUrl}/health`, { signal: AbortSignal.timeout(3_000) }).then(
    async (answer) => answer.ok && 'database' in ((await answer.json()) as object),
    () => false,
  );
  return healthy
    ? { what, verdict: 'good', says: `A healthy Refundry answers on ${publicUrl}.` }
    : { what, verdict: 'bad', says: `${port} on ${host} is taken by another program, or cannot be used.` };
}

function examinePublicUrl({ publicUrl, publicUrlIsSet, databaseUrl }: Settings): Finding {
  const what = 'Public URL';
  if (publicUrlIsSet || databaseUrl === null) {
    return { what, verdict: 'good', says: `Gateways and people are given ${publicUrl}.` };
  }
  const says = `PUBLIC_URL is not set: gateways and people are given ${publicUrl}, which is known here alone.`;
  return { what, verdict: 'warning', says };
}

async function examineDatabase(settings: Settings, clock: Clock): Promise<Finding[]> {
  if (!isThere(settings)) {
    return [{ what: 'PostgreSQL', verdict: 'good', says: 'The embedded one is made by the first start.' }];
  }
  let opened: OpenedDatabase;
  try {
    opened = await openConfiguredDatabase(settings, { whenOwned: 'visit' });
  } catch (error) {
    return [{ what: 'PostgreSQL', verdict: 'bad', says: sentenceOf(error) }];
  }
  try {
    const findings = [await examineServer(opened), await examineClock(opened, clock)];
    const migrations = await examineMigrations(opened);
    findings.push(migrations);
    if (migrations.verdict === 'good') {
      findings.push(
        await examineBooks(opened, settings, clock),
        await examineStandby(opened, settings),
        await examineHolds(opened),
        await examineMasterKey(opened, settings, clock),
        await examineAdmins(opened),
      );
    }
    return findings;
  } finally {
    await opened.close();
  }
}

async function examineServer({ db, place }: OpenedDatabase): Promise<Finding> {
  const what = 'PostgreSQL';
  const [row] = await db.query<{ version: string; fsync: string; synchronous_commit: string }>(
    `select current_setting('server_version') as version, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit`,
  );
  // Invariant 4 (accepted means kept) holds only while a commit waits for the disk.
  const off = (['fsync', 'synchronous_commit'] as const).filter((name) => row![name] === 'off');
  return off.length === 0
    ? { what, verdict: 'good', says: `${row!.version} answers at ${place}.` }
    : {
        what,
        verdict: 'bad',
        says: `${row!.version} at ${place} runs with ${off.join(' and ')} off: a crash can lose accepted refunds.`,
      };
}

async function examineClock({ db }: OpenedDatabase, clock: Clock): Promise<Finding> {
  const apartMs = await clockApartMs(db, clock);
  return {
    what: 'Clock',
    verdict: apartMs > TOLERATED_APART_MS ? 'bad' : apartMs > NOTICED_APART_MS ? 'warning' : 'good',
    says: `This machine's clock and the database's are ${(apartMs / 1000).toFixed(1)} s apart.`,
  };
}

async function examineMigrations({ db }: OpenedDatabase): Promise<Finding> {
  const what = 'Migrations';
  try {
    const pending = await pendingMigrations(db);
    return pending.length === 0
      ? { what, verdict: 'good', says: 'All are applied.' }
      : { what, verdict: 'warning', says: `${pending.join(', ')} will be applied by the next start.` };
  } catch (error) {
    return { what, verdict: 'bad', says: sentenceOf(error) };
  }
}

/** Whether the books may have gone back in time, and what would show it if they did. */
async function examineBooks({ db }: OpenedDatabase, settings: Settings, clock: Clock): Promise<Finding> {
  const what = 'Books';
  const { seen, places, doubt } = await judgeBooksNow(db, clock, settings);
  if (doubt) return { what, verdict: 'bad', says: doubtSentence(doubt) };
  const { serverId, timeline } = seen.server;
  const marked = places.filter(({ known }) => known !== null).map(({ folder }) => folder);
  const problems = places.flatMap(({ problem }) => (problem ? [problem] : []));
  const gaps = [
    ...(serverId === null ? ['PostgreSQL does not tell this user which server it is'] : []),
    ...(timeline === null ? ['PostgreSQL does not tell this user its timeline'] : []),
    ...(marked.length === 0 ? ['there is no mark outside the database yet; the next start makes one'] : []),
    ...problems,
  ];
  const kept = marked.length === 0 ? '' : ` Their mark is kept in ${marked.join(' and ')}.`;
  const unseen = `What would not show if they went back: ${gaps.join('; ')}.`;
  return gaps.length === 0
    ? { what, verdict: 'good', says: `They did not go back in time.${kept}` }
    : { what, verdict: 'warning', says: `Nothing shows that they went back in time.${kept} ${unseen}` };
}

async function examineStandby({ db }: OpenedDatabase, { synchronousStandby }: Settings): Promise<Finding> {
  const what = 'Standby';
  if (!synchronousStandby)
    return {
      what,
      verdict: 'good',
      says: 'SYNCHRONOUS_STANDBY is off: after a failover a person says how to go on.',
    };
  const [row] = await db.query<{ names: string; commit: string }>(
    `select current_setting('synchronous_standby_names') as names, current_setting('synchronous_commit') as commit`,
  );
  const waits = row!.names.trim() !== '' && ['on', 'remote_apply'].includes(row!.commit);
  return waits
    ? {
        what,
        verdict: 'good',
        says: `Every commit waits for ${row!.names}; after a failover sending goes on by itself.`,
      }
    : {
        what,
        verdict: 'bad',
        says:
          `SYNCHRONOUS_STANDBY is on, but commits wait for no standby (synchronous_standby_names "${row!.names}", ` +
          `synchronous_commit ${row!.commit}): a failover could lose what was sent, and nobody would be asked.`,
      };
}

async function examineHolds({ db }: OpenedDatabase): Promise<Finding> {
  const what = 'Accounts';
  const held = await readHeldAccounts(db);
  if (held.length === 0) return { what, verdict: 'good', says: 'None is held.' };
  return {
    what,
    verdict: 'bad',
    says:
      `Nothing is sent through ${held.join(', ')}: the gateway knows refunds under ids of ours that these books do not. ` +
      'Settings › Gateways in the dashboard names them, and releases the account once somebody has looked.',
  };
}

async function examineMasterKey({ db }: OpenedDatabase, settings: Settings, clock: Clock): Promise<Finding> {
  const what = 'Master key';
  try {
    const vault = await openVault(settings, db, clock);
    const probe = vault.open(vault.seal('probe', 'doctor'), 'doctor');
    if (probe === 'probe')
      return { what, verdict: 'good', says: "Opens what this database's secrets were sealed with." };
    return { what, verdict: 'bad', says: 'Does not open what it has just sealed.' };
  } catch (error) {
    return { what, verdict: 'bad', says: sentenceOf(error) };
  }
}

async function examineAdmins({ db }: OpenedDatabase): Promise<Finding> {
  const what = 'Admins';
  const merchants = await listMerchants(db);
  const without: string[] = [];
  for (const { merchantId } of merchants) {
    if (!(await hasAdmin(db, merchantId))) without.push(merchantId);
  }
  if (without.length === 0) {
    const says =
      merchants.length === 0 ? 'There is no merchant yet.' : 'Every merchant has one who can sign in.';
    return { what, verdict: 'good', says };
  }
  const some = without.slice(0, 3).join(', ') + (without.length > 3 ? ` and ${without.length - 3} more` : '');
  const says = `Nobody can manage ${some} in the dashboard. "refundry user add <e-mail> --merchant ${without[0]}" invites one.`;
  return { what, verdict: 'warning', says };
}

function sentenceOf(error: unknown): string {
  return error instanceof OperatorError ? error.message : `It failed: ${(error as Error).message}`;
}
