import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from './clock.ts';
import { type Database, type Queryable, sqlState } from './db.ts';
import { OperatorError } from './operator-error.ts';
import { isLaterVersion, programVersion } from './version.ts';

/** The folder of the files that this program ships. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations', import.meta.url));

interface File {
  /** From the folder; a verb's begins with `verbs/`. */
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
}

interface Files {
  readonly tables: readonly File[];
  readonly verbs: readonly File[];
}

/** A file of verbs as a database has it, with the version of the program that put it there. */
export interface RecordedVerb {
  readonly name: string;
  readonly sha256: string;
  readonly program: string;
}

export interface MigrateOptions {
  /** Another folder than the program's own. */
  readonly folder?: string;
  /** Another version than the program's own. */
  readonly program?: string;
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
 * Brings the database's schema to this program's version and returns the names of the files it applied, in that order.
 *
 * There are two kinds of files. `NNNN_topic.sql` hold tables with their keys, constraints and indexes; each is applied once, in
 * the order of the numbers, and never changed after it was released. `verbs/name.sql` hold the functions of the database, each
 * whole and in one file, with the triggers that call it; such a file is applied whenever it is another one than the database has,
 * so it says `create or replace` throughout, and drops first what it had under another signature.
 *
 * Verbs come after all tables: a trigger is made where both its table and its function are. So no numbered file calls a verb, or
 * counts on a trigger: in a new database, and in one that a backup is restored into, there are none yet. Verbs know of each
 * other, so all that have changed are applied at once; their order is that of their names, and counts only where one's result
 * or body is checked when it is made.
 *
 * Each numbered file, and all verbs together, run in one transaction with their entries in `schema_migrations` and `schema_verbs`,
 * under a lock that ends with the transaction: any number of processes may call this at once, and one killed half way leaves
 * nothing half done. What needs a table which a long transaction is using lets go after a quarter of a second and tries again
 * later, since everybody else would be queueing behind it. A file that changes several tables in use locks them all (at most
 * four) in its first statement: one that came to want another table after long work could be in a circle with somebody
 * who has waited for so long that PostgreSQL ends him instead. Throws an OperatorError when that goes on for ten minutes, an
 * applied file was changed, or the database is newer than the program.
 *
 * Newer is a database with a numbered file that this program does not have, or with another text of a verb that a later version
 * of the program put there: an older one would take its rules back while the newer one goes by them. Two builds of one
 * version replace each other's verbs; a verb that is gone from the program stays until a numbered file drops it.
 */
export async function migrate(
  db: Database,
  clock: Clock = systemClock,
  options: MigrateOptions = {},
): Promise<string[]> {
  const files = readFiles(options.folder ?? MIGRATIONS_DIR);
  const program = options.program ?? programVersion();
  const lockWaitMs = options.lockWaitMs ?? LOCK_WAIT_MS;
  const giveUpAt = performance.now() + (options.giveUpAfterMs ?? GIVE_UP_AFTER_MS);
  const applied: string[] = [];
  for (let inTheWay = 0; ; ) {
    try {
      const names = await db.transaction((tx) => applyNext(tx, clock, files, program, lockWaitMs), {
        patient: true,
      });
      if (names.length === 0) return applied;
      applied.push(...names);
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
 * Applies everything or, with `upTo`, the tables up to and including that file, inside the caller's transaction, which holds
 * out every other process that migrates until it ends.
 */
export async function migrateWithin(tx: Queryable, clock: Clock, upTo?: string): Promise<void> {
  const { tables, verbs } = readFiles(MIGRATIONS_DIR);
  const files =
    upTo === undefined ? { tables, verbs } : { tables: tables.filter(({ name }) => name <= upTo), verbs: [] };
  while ((await applyNext(tx, clock, files, programVersion())).length > 0);
}

/** The files of tables that this program ships, by name, with the SHA-256 under which a database knows them. */
export function shippedMigrations(): { readonly name: string; readonly sha256: string }[] {
  return readFiles(MIGRATIONS_DIR).tables.map(({ name, sha256 }) => ({ name, sha256 }));
}

/** Of these verbs one that a later version of the program has put there, and that is not as this one has it. */
export function findLaterVerb(recorded: readonly RecordedVerb[]): RecordedVerb | undefined {
  return laterVerb(readFiles(MIGRATIONS_DIR).verbs, recorded, programVersion());
}

function readRecordedVerbs(db: Queryable): Promise<RecordedVerb[]> {
  return db.query<RecordedVerb>('select name, sha256, program from schema_verbs order by name');
}

function isInTheWay(error: unknown): boolean {
  const lockNotAvailable = '55P03';
  const deadlock = '40P01';
  const state = sqlState((error as Error).cause);
  return state === lockNotAvailable || state === deadlock;
}

/** The names of files that are not applied as they are, without changing anything. Refuses what `migrate` refuses. */
export async function pendingMigrations(
  db: Queryable,
  folder: string = MIGRATIONS_DIR,
  program: string = programVersion(),
): Promise<string[]> {
  const files = readFiles(folder);
  const { tables, verbs } = (await hasRecords(db)) ? await toApply(db, files, program) : files;
  return [...tables, ...verbs].map(({ name }) => name);
}

/** The names of what it applied: the next file of tables or, after the last of them, all verbs that are to be. */
async function applyNext(
  tx: Queryable,
  clock: Clock,
  files: Files,
  program: string,
  lockWaitMs = 0,
): Promise<string[]> {
  // Another process may be at a long migration: waiting for it is right, however long it takes.
  await tx.query('set local statement_timeout = 0');
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('refundry migrations', 0))`);
  if (!(await hasRecords(tx))) await tx.query(RECORDS);
  const { tables, verbs } = await toApply(tx, files, program);
  const [next] = tables;
  if (next) {
    await apply(tx, next, lockWaitMs);
    await tx.query('insert into schema_migrations (name, sha256, applied_at) values ($1, $2, $3)', [
      next.name,
      next.sha256,
      clock.now(),
    ]);
    return [next.name];
  }
  for (const verb of verbs) {
    await apply(tx, verb, lockWaitMs);
    await tx.query(
      `insert into schema_verbs (name, sha256, program, applied_at) values ($1, $2, $3, $4)
       on conflict (name) do update
         set sha256 = excluded.sha256, program = excluded.program, applied_at = excluded.applied_at`,
      [verb.name, verb.sha256, program, clock.now()],
    );
  }
  return verbs.map(({ name }) => name);
}

async function apply(tx: Queryable, file: File, lockWaitMs: number): Promise<void> {
  try {
    await tx.query(`set local lock_timeout = ${Math.round(lockWaitMs)}`);
    await tx.query(file.sql);
  } catch (error) {
    throw new Error(`migration ${file.name} failed: ${(error as Error).message}`, { cause: error });
  }
}

const RECORDS = `
  create table schema_migrations (
    name text primary key,
    sha256 text not null,
    applied_at timestamptz not null
  );
  comment on table schema_migrations is
    'A row is a file of tables that was applied here. It belongs to the cell.';
  create table schema_verbs (
    name text primary key,
    sha256 text not null,
    -- The version of the program that applied it.
    program text not null,
    applied_at timestamptz not null
  );
  comment on table schema_verbs is
    'A row is a file of functions as it was last applied here. It belongs to the cell.'`;

async function hasRecords(db: Queryable): Promise<boolean> {
  const [found] = await db.query<{ table: string | null }>(
    `select to_regclass('schema_migrations')::text as table`,
  );
  return found!.table !== null;
}

async function toApply(db: Queryable, { tables, verbs }: Files, program: string): Promise<Files> {
  const missing = notYetApplied(tables, await readApplied(db));
  const recorded = await readRecordedVerbs(db);
  const later = laterVerb(verbs, recorded, program);
  if (later) {
    throw new OperatorError(
      `The database was migrated by Refundry ${later.program}, and this is ${program} (${later.name} is another one here). ` +
        'Start that version or a later one.',
    );
  }
  const applied = new Map(recorded.map(({ name, sha256 }) => [name, sha256]));
  return { tables: missing, verbs: verbs.filter(({ name, sha256 }) => applied.get(name) !== sha256) };
}

function laterVerb(
  shipped: readonly File[],
  recorded: readonly RecordedVerb[],
  program: string,
): RecordedVerb | undefined {
  const ours = new Map(shipped.map(({ name, sha256 }) => [name, sha256]));
  return recorded.find(
    (verb) => ours.get(verb.name) !== verb.sha256 && isLaterVersion(verb.program, program),
  );
}

function notYetApplied(files: readonly File[], applied: ReadonlyMap<string, string>): File[] {
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

function readFiles(folder: string): Files {
  const read = (within: string, pattern: RegExp): File[] =>
    existsSync(join(folder, within))
      ? readdirSync(join(folder, within))
          .filter((name) => pattern.test(name))
          .sort()
          .map((name) => {
            // A checkout may have rewritten line ends; the statement is the same.
            const sql = readFileSync(join(folder, within, name), 'utf8').replaceAll('\r\n', '\n');
            return { name: within + name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
          })
      : [];
  return { tables: read('', /^\d{4}_\w+\.sql$/), verbs: read('verbs/', /^\w+\.sql$/) };
}
