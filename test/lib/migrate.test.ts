import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { openDatabase } from '../../src/lib/db.ts';
import { MIGRATIONS_DIR, migrate, pendingMigrations } from '../../src/lib/migrate.ts';
import { blankDatabase, type FreshDatabase, freshDatabase } from '../support/database.ts';

let database: FreshDatabase;
let folder: string;

beforeEach(async () => {
  database = await blankDatabase();
  folder = mkdtempSync(join(tmpdir(), 'refundry-migrations-'));
  write('0001_first.sql', 'create table first (n integer);\ncreate table other (n integer);');
  write('0002_second.sql', 'create table second (n integer); insert into first values (1), (2);');
});

afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, sql: string): void {
  writeFileSync(join(folder, name), sql);
}

const run = () => migrate(database.db, systemClock, { folder });

test('files are applied in order, once', async () => {
  expect(await pendingMigrations(database.db, folder)).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await run()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await run()).toEqual([]);
  write('0003_third.sql', 'alter table second add column m integer');
  expect(await pendingMigrations(database.db, folder)).toEqual(['0003_third.sql']);
  expect(await run()).toEqual(['0003_third.sql']);
  expect(await database.db.query('select n from first order by n')).toEqual([{ n: 1 }, { n: 2 }]);
});

test('processes that start at once apply each file once between them', async () => {
  const processes = Array.from({ length: 8 }, () =>
    openDatabase({ connectionString: database.connectionString, maxConnections: 1 }),
  );
  const applied = await Promise.all(processes.map((db) => migrate(db, systemClock, { folder })));
  await Promise.all(processes.map((db) => db.close()));
  expect(applied.flat().sort()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await database.db.query('select n from first')).toHaveLength(2);
});

test('a file that fails leaves nothing of itself, and the next run goes on from there', async () => {
  write('0002_second.sql', 'create table second (n integer); select no_such_function();');
  await expect(run()).rejects.toThrow(/0002_second\.sql failed: .*no_such_function/);
  expect(await database.db.query(`select to_regclass('second') as found`)).toEqual([{ found: null }]);
  write('0002_second.sql', 'create table second (n integer)');
  expect(await run()).toEqual(['0002_second.sql']);
});

test('an applied file that was changed is refused by name', async () => {
  await run();
  write('0001_first.sql', 'create table first (n bigint)');
  await expect(run()).rejects.toThrow('Migration 0001_first.sql was changed after it was applied');
});

test('other line ends are no change', async () => {
  await run();
  write('0001_first.sql', 'create table first (n integer);\r\ncreate table other (n integer);');
  expect(await run()).toEqual([]);
});

test('a database newer than the program is refused', async () => {
  await run();
  rmSync(join(folder, '0002_second.sql'));
  await expect(run()).rejects.toThrow('newer Refundry (it has 0002_second.sql');
  await expect(pendingMigrations(database.db, folder)).rejects.toThrow('newer Refundry');
});

test('a file numbered before an applied one is refused', async () => {
  await run();
  write('0001_later.sql', 'select 1');
  await expect(run()).rejects.toThrow('Migration 0001_later.sql comes before 0002_second.sql');
});

test('the shipped migrations make the database that tests start from', async () => {
  cpSync(MIGRATIONS_DIR, folder, { recursive: true });
  rmSync(join(folder, '0001_first.sql'));
  rmSync(join(folder, '0002_second.sql'));
  const fresh = await freshDatabase();
  expect(await pendingMigrations(fresh.db)).toEqual([]);
  expect(await run()).toEqual(readdirSync(MIGRATIONS_DIR).sort());
  await fresh.drop();
});
