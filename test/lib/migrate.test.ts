import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { openDatabase } from '../../src/lib/db.ts';
import { MIGRATIONS_DIR, migrate, pendingMigrations } from '../../src/lib/migrate.ts';
import { isLaterVersion } from '../../src/lib/version.ts';
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

/** A verb, and a trigger on a table of the second file. */
const countFirst = (what: string, says = 'bigint') => `
  create or replace function count_first() returns ${says} language sql return (select ${what} from first);
  create or replace function note_second() returns trigger language plpgsql as $$
  begin
    insert into first values (count_first());
    return null;
  end $$;
  create or replace trigger second_noted after insert on second for each row execute function note_second();`;
const counted = async () => (await database.db.query<{ n: number }>('select count_first() as n'))[0]!.n;

const run = (program = '1.2.0') => migrate(database.db, systemClock, { folder, program });

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
  mkdirSync(join(folder, 'verbs'));
  write('verbs/count.sql', countFirst('count(*)'));
  const applied = await Promise.all(processes.map((db) => migrate(db, systemClock, { folder })));
  await Promise.all(processes.map((db) => db.close()));
  expect(applied.flat().sort()).toEqual(['0001_first.sql', '0002_second.sql', 'verbs/count.sql']);
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
  const verbs = readdirSync(join(MIGRATIONS_DIR, 'verbs')).map((name) => `verbs/${name}`);
  const tables = readdirSync(MIGRATIONS_DIR).filter((name) => name !== 'verbs');
  expect(await run()).toEqual([...tables.sort(), ...verbs.sort()]);
  await fresh.drop();
});

describe('verbs', () => {
  beforeEach(() => {
    mkdirSync(join(folder, 'verbs'));
    write('verbs/count.sql', countFirst('count(*)'));
  });

  test('come after the tables, and again whenever they are others', async () => {
    expect(await run()).toEqual(['0001_first.sql', '0002_second.sql', 'verbs/count.sql']);
    expect(await counted()).toBe(2);
    expect(await run()).toEqual([]);
    await database.db.query('insert into second values (1)');
    expect(await counted()).toBe(3);

    write('verbs/count.sql', countFirst('10 * count(*)'));
    write('verbs/another.sql', 'create or replace function another() returns integer language sql return 1;');
    expect(await pendingMigrations(database.db, folder, '1.2.0')).toEqual([
      'verbs/another.sql',
      'verbs/count.sql',
    ]);
    expect(await run()).toEqual(['verbs/another.sql', 'verbs/count.sql']);
    expect(await counted()).toBe(30);
    expect(await pendingMigrations(database.db, folder, '1.2.0')).toEqual([]);
  });

  test('of another signature drop what they were', async () => {
    await run();
    const before = 'drop trigger second_noted on second; drop function count_first();';
    write('verbs/count.sql', before + countFirst('count(*)::integer', 'integer'));
    expect(await run()).toEqual(['verbs/count.sql']);
    expect(await counted()).toBe(2);
  });

  test('are all changed or none', async () => {
    await run();
    write('verbs/count.sql', countFirst('10 * count(*)'));
    write('verbs/zoo.sql', 'select no_such_function()');
    await expect(run()).rejects.toThrow(/verbs\/zoo\.sql failed: .*no_such_function/);
    expect(await counted()).toBe(2);
    rmSync(join(folder, 'verbs/zoo.sql'));
    expect(await run()).toEqual(['verbs/count.sql']);
    expect(await counted()).toBe(20);
  });

  test('that a later version has put there are not taken back', async () => {
    await run('1.10.0');
    expect(await run('1.2.0')).toEqual([]);
    write('verbs/count.sql', countFirst('0 * count(*)'));
    const refusal = 'migrated by Refundry 1.10.0, and this is 1.2.0 (verbs/count.sql';
    await expect(run('1.2.0')).rejects.toThrow(refusal);
    await expect(pendingMigrations(database.db, folder, '1.2.0')).rejects.toThrow(refusal);
    expect(await counted()).toBe(2);
    rmSync(join(folder, 'verbs/count.sql'));
    await expect(run('1.9.7')).rejects.toThrow('migrated by Refundry 1.10.0');
    write('verbs/count.sql', countFirst('5 * count(*)'));
    expect(await run('2.0.0')).toEqual(['verbs/count.sql']);
    expect(await counted()).toBe(10);
  });
});

test.each([
  ['1.0.1', '1.0.0', true],
  ['1.0.0', '1.0.0', false],
  ['1.9.0', '1.10.0', false],
  ['2.0', '1.99.3', true],
  ['1.0.0.1', '1.0.0', true],
  ['1.0', '1.0.0', false],
  ['1.1.0-rc.1', '1.0.9', true],
  ['1.1.0', '1.1.0-rc.1', false],
])('whether %s comes after %s: %s', (one, other, is) => {
  expect(isLaterVersion(one, other)).toBe(is);
});
