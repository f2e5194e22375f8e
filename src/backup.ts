import { hash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, openSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { PoolClient } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { z } from 'zod';
import { endAllWaysIn } from './access/users.ts';
import { pauseRestored } from './batches/decide.ts';
import { beginEdition } from './books.ts';
import type { Settings } from './config.ts';
import type { Clock } from './lib/clock.ts';
import type { Database, Queryable } from './lib/db.ts';
import { findLaterVerb, migrateWithin, type RecordedVerb, shippedMigrations } from './lib/migrate.ts';
import { OperatorError } from './lib/operator-error.ts';
import type { Vault } from './lib/vault.ts';
import { programVersion } from './lib/version.ts';
import { openVault } from './master-key.ts';
import type { EngineDeps } from './refunds/engine.ts';
import { releaseHoldsSince } from './refunds/holds.ts';
import { markRestored } from './refunds/restored.ts';
import { type RestoredSecrets, readRestoredSecrets } from './restored-secrets.ts';

/**
 * A backup is gzipped text: a JSON line that says what it is, then for each table its rows as COPY writes them, a line
 * `\.` (which no row can be) and a JSON line with their number and digest, then a JSON line that says that this is all.
 *
 * COPY in one snapshot, rather than the server's files: it needs no tools and no special rights, reads a remote
 * database as well as the embedded one, and fits any PostgreSQL from 15 to 18.
 */
const FORMAT = 1;
const END_OF_ROWS = '\\.';

const headerShape = z.object({
  refundry_backup: z.literal(FORMAT),
  program: z.string(),
  postgres: z.string(),
  backed_up_at: z.iso.datetime(),
  migrations: z.array(z.object({ name: z.string(), sha256: z.string() })).min(1),
  verbs: z.array(z.object({ name: z.string(), sha256: z.string(), program: z.string() })),
  tables: z.array(
    z.object({ name: z.string().regex(/^[a-z_]+$/), columns: z.array(z.string().regex(/^[a-z0-9_]+$/)) }),
  ),
});
const sumShape = z.object({ table: z.string(), rows: z.number(), sha256: z.string() });
const endShape = z.object({ complete: z.literal(true) });

type Header = z.infer<typeof headerShape>;
type Table = Header['tables'][number];
type Sum = z.infer<typeof sumShape>;

export interface BackupReport {
  readonly backedUpAt: Date;
  readonly tables: readonly Sum[];
}

// Backing up -------------------------------------------------------------------------------------------

/**
 * Writes everything in the database, as of one moment, to a new file that only its owner may read, while the program
 * goes on. The file has its name only once it is whole and on the disk. Throws OperatorError where it exists.
 */
export async function writeBackup(db: Database, clock: Clock, path: string): Promise<BackupReport> {
  const partial = `${path}.partial`;
  if (existsSync(path)) throw new OperatorError(`${path} is there already. Give another name.`);
  const sums: Sum[] = [];
  const backedUpAt = clock.now();
  try {
    await onOneConnection(db, 'begin isolation level repeatable read read only', async (client) => {
      const header = await describe(client, backedUpAt);
      const file = createWriteStream(partial, { fd: openSync(partial, 'w', 0o600), flush: true });
      await pipeline(Readable.from(backupText(client, header, sums)), createGzip({ level: 6 }), file);
    });
    await rename(partial, path);
    await syncFolderOf(path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  return { backedUpAt, tables: sums };
}

async function* backupText(client: PoolClient, header: Header, sums: Sum[]): AsyncGenerator<Buffer> {
  yield lineOf(header);
  for (const table of header.tables) {
    const counted = new RowSum(table.name);
    for await (const rows of rowBlocks(client, table)) {
      for (const row of rows) counted.add(row);
      yield Buffer.concat(rows.flatMap((row) => [row, LINE_END]));
    }
    const sum = counted.result();
    sums.push(sum);
    yield Buffer.from(`${END_OF_ROWS}\n`);
    yield lineOf(sum);
  }
  yield lineOf({ complete: true });
}

/** What the database holds, parents before their children, computed columns left out. */
async function describe(client: PoolClient, backedUpAt: Date): Promise<Header> {
  const { rows: migrations } = await client.query<Header['migrations'][number]>(
    'select name, sha256 from schema_migrations order by name',
  );
  const { rows: verbs } = await client.query<RecordedVerb>(
    'select name, sha256, program from schema_verbs order by name',
  );
  return {
    refundry_backup: FORMAT,
    program: programVersion(),
    postgres: (await client.query<{ name: string }>(`select current_setting('server_version') as name`))
      .rows[0]!.name,
    backed_up_at: backedUpAt.toISOString(),
    migrations,
    verbs,
    tables: await readTables(client),
  };
}

// Restoring --------------------------------------------------------------------------------------------

export interface RestoreReport extends BackupReport {
  /** Refunds that were not final in the backup, and are asked about before anything is sent. */
  readonly marked: number;
  /** Batches that had rows left to send, and are paused. */
  readonly paused: number;
  readonly secrets: RestoredSecrets;
  readonly vault: Vault;
}

/**
 * What has to be done about books that are older than what was done since: nothing is sent blindly, nobody is signed in, no API key
 * is let in before somebody wants it, no batch goes on by itself.
 */
export async function markBooks(
  tx: Queryable,
  deps: Parameters<typeof markRestored>[1],
  asOf: Date,
): Promise<Pick<RestoreReport, 'marked' | 'paused' | 'secrets'>> {
  await endAllWaysIn(tx, deps.clock.now());
  await beginEdition(tx, deps.clock, `restored as of ${asOf.toISOString()}`);
  await releaseHoldsSince(tx, deps.clock, asOf);
  return {
    marked: await markRestored(tx, deps, asOf),
    paused: await pauseRestored(tx, deps.clock.now()),
    secrets: await readRestoredSecrets(tx),
  };
}

/** Marks books that came here by other means than `restoreBackup`, in one transaction. Throws OperatorError beside others. */
export async function markInPlace(
  db: Database,
  deps: Parameters<typeof markRestored>[1],
  asOf: Date,
): Promise<Pick<RestoreReport, 'marked' | 'paused' | 'secrets'>> {
  return db.transaction(
    async (tx) => {
      await requireAlone(tx);
      return markBooks(tx, deps, asOf);
    },
    { patient: true },
  );
}

/** Refuses beside other processes of Refundry: they would go on with what they have in hand. */
async function requireAlone(tx: Queryable): Promise<void> {
  const others = await tx.query<{ pid: number; name: string; since: Date | null; host: string | null }>(
    `select pid, application_name as name, backend_start as since, host(client_addr) as host from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()
       and (application_name = 'refundry' or application_name like 'refundry %') and application_name <> 'refundry keeper'
     order by backend_start, pid`,
  );
  if (others.length === 0) return;
  const shown = others
    .slice(0, 5)
    .map(
      ({ pid, name, since, host }) =>
        `${name}, connection ${pid}${since ? ` since ${since.toISOString()}` : ''}${host ? ` from ${host}` : ''}`,
    );
  throw new OperatorError(
    `Refundry is using this database: ${shown.join('; ')}${others.length > 5 ? `; and ${others.length - 5} more` : ''}. ` +
      'Stop every process first: what they have in hand would be sent without a look. Nothing was changed.',
  );
}

/**
 * Makes an empty database what the file's was, brought to this program's version, with every refund that was not
 * final marked so that nothing is sent before its gateway has been asked. All of it is one transaction: a restore
 * that fails leaves nothing, and no process can start on a part of it. The triggers that it switches off for its own
 * rows are on again in the same commit. Throws OperatorError for a file, database or master key that does not fit.
 */
export async function restoreBackup(
  db: Database,
  settings: Settings,
  deps: Pick<EngineDeps, 'clock' | 'random' | 'gateways' | 'manualReviewAfterMs'>,
  path: string,
): Promise<RestoreReport> {
  const lines = linesOf(unpacked(path));
  const header = await readPart(lines, headerShape, path);
  requireKnownMigrations(header, path);
  return onOneConnection(db, 'begin', async (client) => {
    const tx: Queryable = {
      async query<Row>(text: string, params: readonly unknown[] = []) {
        return (await client.query(text, params as unknown[])).rows as Row[];
      },
    };
    await requireAlone(tx);
    await migrateWithin(tx, deps.clock, header.migrations.at(-1)!.name);
    await requireEmpty(client, header, path);
    const sums: Sum[] = [];
    for (const table of header.tables) sums.push(await restoreTable(client, table, lines, path));
    await readPart(lines, endShape, path);
    await migrateWithin(tx, deps.clock);
    const vault = await openVault(settings, tx, deps.clock);
    const backedUpAt = new Date(header.backed_up_at);
    return { backedUpAt, tables: sums, ...(await markBooks(tx, deps, backedUpAt)), vault };
  });
}

function unpacked(path: string): Readable {
  const gunzip = createGunzip();
  // What goes wrong with the file comes out where the text is read.
  void pipeline(createReadStream(path), gunzip).catch(() => undefined);
  return gunzip;
}

function requireKnownMigrations(header: Header, path: string): void {
  const shipped = shippedMigrations();
  for (const [n, { name, sha256 }] of header.migrations.entries()) {
    if (shipped[n]?.name !== name || shipped[n].sha256 !== sha256) {
      throw new OperatorError(
        `${path} was made by Refundry ${header.program}, whose migration ${name} this one does not have in that form. ` +
          'Restore with that version or a later one.',
      );
    }
  }
  const later = findLaterVerb(header.verbs);
  if (later) {
    throw new OperatorError(
      `${path} is of a database that Refundry ${later.program} had migrated, and this is ${programVersion()} ` +
        `(${later.name} is another one here). Restore with that version or a later one.`,
    );
  }
}

async function requireEmpty(client: PoolClient, header: Header, path: string): Promise<void> {
  const tables = await readTables(client);
  if (JSON.stringify(tables) !== JSON.stringify(header.tables)) {
    throw new OperatorError(`The database's tables are not those of ${path}. Restore into a new database.`);
  }
  for (const { name } of tables) {
    const { rows } = await client.query(`select 1 from ${name} limit 1`);
    if (rows.length > 0) {
      throw new OperatorError(
        `The database is not empty: there are rows in ${name}. Restore into a new database; nothing was changed.`,
      );
    }
  }
}

async function restoreTable(
  client: PoolClient,
  table: Table,
  lines: AsyncGenerator<Buffer>,
  path: string,
): Promise<Sum> {
  const counted = new RowSum(table.name);
  await client.query(`alter table ${table.name} disable trigger user`);
  await pipeline(
    Readable.from(rowsUntilEnd(lines, counted, path)),
    client.query(copyFrom(`copy ${table.name} (${table.columns.join(', ')}) from stdin`)),
  );
  await client.query(`alter table ${table.name} enable trigger user`);
  const said = await readPart(lines, sumShape, path);
  const inFile = counted.result();
  const inTable = new RowSum(table.name);
  for await (const rows of rowBlocks(client, table)) for (const row of rows) inTable.add(row);
  const stored = inTable.result();
  for (const [where, found] of [
    ['the file holds', inFile],
    ['the database now holds', stored],
  ] as const) {
    if (found.rows !== said.rows || found.sha256 !== said.sha256 || said.table !== table.name) {
      throw new OperatorError(
        `${path} is damaged: of ${said.table} it was made with ${said.rows} rows (${said.sha256.slice(0, 12)}), ` +
          `and ${where} ${found.rows} (${found.sha256.slice(0, 12)}). Nothing was restored.`,
      );
    }
  }
  return said;
}

async function* rowsUntilEnd(
  lines: AsyncGenerator<Buffer>,
  counted: RowSum,
  path: string,
): AsyncGenerator<Buffer> {
  let block: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const { value: line, done } = await nextLine(lines, path);
    if (done) throw cutShort(path);
    if (line.length === 2 && line.toString() === END_OF_ROWS) break;
    counted.add(line);
    block.push(line, LINE_END);
    bytes += line.length;
    if (bytes < BLOCK_BYTES) continue;
    yield Buffer.concat(block);
    block = [];
    bytes = 0;
  }
  if (block.length > 0) yield Buffer.concat(block);
}

async function readPart<Shape extends z.ZodType>(
  lines: AsyncGenerator<Buffer>,
  shape: Shape,
  path: string,
): Promise<z.infer<Shape>> {
  const { value: line, done } = await nextLine(lines, path);
  if (done) throw cutShort(path);
  const part = shape.safeParse(parsedOf(line.toString('utf8')));
  if (!part.success)
    throw new OperatorError(`${path} is not a backup of Refundry that this version can read.`);
  return part.data;
}

function nextLine(lines: AsyncGenerator<Buffer>, path: string): Promise<IteratorResult<Buffer>> {
  return lines.next().catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new OperatorError(`There is no file ${path}.`);
    if (error.code?.startsWith('Z_'))
      throw new OperatorError(`${path} is not a whole backup: ${error.message}.`);
    throw error;
  });
}

function cutShort(path: string): OperatorError {
  return new OperatorError(`${path} ends too early: it is a part of a backup. Nothing was restored.`);
}

function parsedOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// Both -------------------------------------------------------------------------------------------------

const LINE_END = Buffer.from('\n');
const BLOCK_BYTES = 64 * 1024;
const DIGEST_SPACE = 1n << 256n;

/** Rows and their digest: the sum of each row's SHA-256, so that it does not depend on the order they lie in. */
class RowSum {
  readonly #table: string;
  #rows = 0;
  #sum = 0n;
  constructor(table: string) {
    this.#table = table;
  }
  add(row: Buffer): void {
    this.#rows++;
    this.#sum = (this.#sum + BigInt(`0x${hash('sha256', row, 'hex')}`)) % DIGEST_SPACE;
  }
  result(): Sum {
    return { table: this.#table, rows: this.#rows, sha256: this.#sum.toString(16).padStart(64, '0') };
  }
}

/** Runs `work` on one connection between `begin` and commit, with values written the same way on every server. */
async function onOneConnection<Result>(
  db: Database,
  begin: string,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await db.connect();
  try {
    await client.query(begin);
    await client.query(
      `set local statement_timeout = 0; set local datestyle = 'ISO'; set local bytea_output = 'hex';
       set local intervalstyle = 'postgres'; set local extra_float_digits = 1`,
    );
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    // Whatever state the COPY was in ends with the connection, and the transaction with it.
    client.release(true);
    throw error;
  }
}

/** All tables of the program but the lists of its migrations, each after those that it refers to. */
async function readTables(client: PoolClient): Promise<Table[]> {
  const { rows } = await client.query<Table & { parents: string[] }>(
    `select c.relname as name,
       array(select a.attname::text from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
             order by a.attname) as columns,
       array(select p.relname::text from pg_constraint f join pg_class p on p.oid = f.confrelid
             where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid) as parents
     from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname not in ('schema_migrations', 'schema_verbs')
     order by c.relname`,
  );
  const sorted: Table[] = [];
  const placed = new Set<string>();
  while (sorted.length < rows.length) {
    for (const { name, columns, parents } of rows) {
      if (placed.has(name) || !parents.every((parent) => placed.has(parent))) continue;
      placed.add(name);
      sorted.push({ name, columns });
    }
  }
  return sorted;
}

async function* rowBlocks(client: PoolClient, table: Table): AsyncGenerator<Buffer[]> {
  const stream = client.query(copyTo(`copy ${table.name} (${table.columns.join(', ')}) to stdout`));
  let block: Buffer[] = [];
  let bytes = 0;
  for await (const row of linesOf(stream)) {
    block.push(row);
    bytes += row.length;
    if (bytes < BLOCK_BYTES) continue;
    yield block;
    block = [];
    bytes = 0;
  }
  if (block.length > 0) yield block;
}

async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
      yield data.subarray(start, end);
      start = end + 1;
    }
    rest = data.subarray(start) as Buffer<ArrayBuffer>;
  }
  if (rest.length > 0) yield rest;
}

function lineOf(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(new URL('.', `file://${path}`).pathname);
  await folder.sync().finally(() => folder.close());
}
