import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from './clock.ts';
import { type Database, type Queryable, sqlState } from './db.ts';
import { OperatorError } from './operator-error.ts';

/** The folder of the files that this program ships. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations', import.meta.url));

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
}

export interface MigrateOptions {
  /** Another folder than the program's own. */
  readonly folder?: string;
  /** How long a migration waits for one lock; whoever needs the same tables waits behind it meanwhile. */
  readonly lockWaitMs?: number;
  /** How long it is tried again while others hold what it needs. */
  readonly giveUpAfterMs?: number;
}

// PostgreSQL looks for deadlocks a second after somebody began to wait: four tables, one after the other, take less.
const LOCK_WAIT_MS = 250;
const GIVE_UP_AFTER_MS = 10 * 60_000;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Brings the database's schema to this program's version and returns the names it applied, oldest first.
 *
 * Each file runs in one transaction with its entry in `schema_migrations`, under a lock that ends with the
 * transaction: any number of processes may call this at once, and one killed half way leaves nothing half done.
 * A file that needs a table which a long transaction is using lets go after a quarter of a second and tries again later,
 * since everybody else would be queueing behind it. A file that changes several tables in use locks them all (at most
 * four) in its first statement: one that came to want another table after long work could be in a circle with somebody
 * who has waited for so long that PostgreSQL ends him instead. Throws an OperatorError when that goes on for ten minutes, an applied
 * file was changed, or the database is newer than the program.
 */
export async function migrate(
  db: Database,
  clock: Clock = systemClock,
  options: MigrateOptions = {},
): Promise<string[]> {
  const files = readMigrations(options.folder ?? MIGRATIONS_DIR);
  const lockWaitMs = options.lockWaitMs ?? LOCK_WAIT_MS;
  const giveUpAt = performance.now() + (options.giveUpAfterMs ?? GIVE_UP_AFTER_MS);
  const applied: string[] = [];
  for (let inTheWay = 0; ; ) {
    try {
      const name = await db.transaction((tx) => applyNext(tx, clock, files, lockWaitMs), { patient: true });
      if (name === null) return applied;
      applied.push(name);
      inTheWay = 0;
    } catch (error) {
      if (!isInTheWay(error)) throw error;
      if (performance.now() > giveUpAt) {
        throw new OperatorError(
          `${(error as Error).message}. A transaction that has been open for long is in the way ` +
            '(pg_stat_activity shows it). End it, and start again; nothing was changed.',
          { cause: error },
        );
      }
      inTheWay++;
      await sleep(Math.min(lockWaitMs * inTheWay, LONGEST_PAUSE_MS));
    }
  }
}

/**
 * Applies the files up to and including `upTo` (all of them without it) inside the caller's transaction, which holds
 * out every other process that migrates until it ends.
 */
export async function migrateWithin(tx: Queryable, clock: Clock, upTo?: string): Promise<void> {
  const files = readMigrations(MIGRATIONS_DIR).filter((file) => upTo === undefined || file.name <= upTo);
  while ((await applyNext(tx, clock, files)) !== null);
}

/** The files that this program ships, by name, with the SHA-256 under which a database knows them. */
export function shippedMigrations(): { readonly name: string; readonly sha256: string }[] {
  return readMigrations(MIGRATIONS_DIR).map(({ name, sha256 }) => ({ name, sha256 }));
}

function isInTheWay(error: unknown): boolean {
  const lockNotAvailable = '55P03';
  const deadlock = '40P01';
  const state = sqlState((error as Error).cause);
  return state === lockNotAvailable || state === deadlock;
}

/** The names of files that are not yet applied, without changing anything. Refuses what `migrate` refuses. */
export async function pendingMigrations(db: Queryable, folder: string = MIGRATIONS_DIR): Promise<string[]> {
  const files = readMigrations(folder);
  const [found] = await db.query<{ table: string | null }>(
    `select to_regclass('schema_migrations')::text as table`,
  );
  if (!found?.table) return files.map((file) => file.name);
  return notYetApplied(files, await readApplied(db)).map((file) => file.name);
}

async function applyNext(
  tx: Queryable,
  clock: Clock,
  files: readonly Migration[],
  lockWaitMs = 0,
): Promise<string | null> {
  // Another process may be at a long migration: waiting for it is right, however long it takes.
  await tx.query('set local statement_timeout = 0');
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('refundry migrations', 0))`);
  await tx.query(
    `create table if not exists schema_migrations (
       name text primary key,
       sha256 text not null,
       applied_at timestamptz not null
     )`,
  );
  const next = notYetApplied(files, await readApplied(tx))[0];
  if (!next) return null;
  try {
    await tx.query(`set local lock_timeout = ${Math.round(lockWaitMs)}`);
    await tx.query(next.sql);
  } catch (error) {
    throw new Error(`migration ${next.name} failed: ${(error as Error).message}`, { cause: error });
  }
  await tx.query('insert into schema_migrations (name, sha256, applied_at) values ($1, $2, $3)', [
    next.name,
    next.sha256,
    clock.now(),
  ]);
  return next.name;
}

function notYetApplied(files: readonly Migration[], applied: ReadonlyMap<string, string>): Migration[] {
  const known = new Set(files.map((file) => file.name));
  for (const name of applied.keys()) {
    if (!known.has(name)) {
      throw new OperatorError(
        `The database was migrated by a newer Refundry (it has ${name}, which this one does not know). ` +
          'Start that version or a later one.',
      );
    }
  }
  const newest = [...applied.keys()].sort().at(-1) ?? '';
  return files.filter((file) => {
    const sha256 = applied.get(file.name);
    if (sha256 === undefined && file.name < newest) {
      throw new OperatorError(
        `Migration ${file.name} comes before ${newest}, which the database already has. ` +
          'Give it a number after that one.',
      );
    }
    if (sha256 !== undefined && sha256 !== file.sha256) {
      throw new OperatorError(
        `Migration ${file.name} was changed after it was applied to this database. ` +
          'Restore the file as it was and put the change into a new one.',
      );
    }
    return sha256 === undefined;
  });
}

async function readApplied(db: Queryable): Promise<Map<string, string>> {
  const rows = await db.query<{ name: string; sha256: string }>('select name, sha256 from schema_migrations');
  return new Map(rows.map((row) => [row.name, row.sha256]));
}

function readMigrations(folder: string): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{4}_\w+\.sql$/.test(name))
    .sort()
    .map((name) => {
      // A checkout may have rewritten line ends; the statement is the same.
      const sql = readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n');
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    });
}
