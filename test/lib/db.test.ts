import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openDatabase, SilentDatabase, sqlState } from '../../src/lib/db.ts';
import { blankDatabase, type FreshDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';

let database: FreshDatabase;

beforeEach(async () => {
  database = await blankDatabase();
  await database.db.query('create table things (n bigint primary key)');
});

afterEach(() => database.drop());

const endOtherSessions = () =>
  database.db.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  );

test('a transaction is kept whole, or not at all', async () => {
  const { db } = database;
  await db.transaction((tx) => tx.query('insert into things values (1)'));
  const failing = db.transaction(async (tx) => {
    await tx.query('insert into things values (2)');
    await tx.query('insert into things values (1)');
  });
  await expect(failing).rejects.toSatisfy((error) => sqlState(error) === '23505');
  expect(await db.query('select n from things')).toEqual([{ n: 1 }]);
});

test('integers that a number cannot hold exactly are refused, not rounded', async () => {
  expect(await database.db.query('select 9007199254740991 as n')).toEqual([{ n: Number.MAX_SAFE_INTEGER }]);
  await expect(database.db.query('select 9007199254740993 as n')).rejects.toThrow(
    'too large to be held exactly',
  );
});

test('a connection lost within a transaction fails that transaction, and nothing else', async () => {
  const other = openDatabase({ connectionString: database.connectionString, maxConnections: 1 });
  const lost = other.transaction(async (tx) => {
    await tx.query('insert into things values (1)');
    await endOtherSessions();
    // The news arrives between two statements.
    await new Promise((resolve) => setTimeout(resolve, 200));
    await tx.query('insert into things values (2)');
  });
  await expect(lost).rejects.toThrow();
  await other.transaction((tx) => tx.query('insert into things values (3)'));
  expect(await other.query('select n from things')).toEqual([{ n: 3 }]);
  await other.close();
});

test('a connection lost while idle is told, and replaced', async () => {
  const onIdleError = vi.fn();
  const other = openDatabase({ connectionString: database.connectionString, onIdleError });
  await other.query('select 1');
  await endOtherSessions();
  await vi.waitFor(() => expect(onIdleError).toHaveBeenCalledOnce(), { timeout: 10_000 });
  expect(await other.query('select 1 as n')).toEqual([{ n: 1 }]);
  await other.close();
});

test('a database that falls silent is given up in time, at any statement, and its connections are replaced', async () => {
  const proxy = await startProxy(database.connectionString);
  const other = openDatabase({
    connectionString: proxy.connectionString,
    statementTimeoutMs: 600,
    silenceMs: 200,
    connectTimeoutMs: 800,
    maxConnections: 2,
  });
  const silence = { asymmetricMatch: (error: unknown) => error instanceof SilentDatabase };
  await other.query('select 1');
  proxy.silent = true;
  await expect(other.query('insert into things values (1)')).rejects.toEqual(silence);
  await expect(other.query('select 1')).rejects.toThrow('timeout');
  proxy.silent = false;
  await other.query('insert into things values (2)');

  // What is heard and not answered may have been done: only the caller's next question tells.
  const unheard = other.transaction(async (tx) => {
    await tx.query('insert into things values (3)');
    proxy.silent = true;
  });
  await expect(unheard).rejects.toEqual(silence);
  proxy.silent = false;
  await other.transaction((tx) => tx.query('insert into things values (4)'));
  proxy.delayMs = 100;
  const patient = other.transaction(
    async (tx) => {
      await tx.query('set local statement_timeout = 0');
      return tx.query('select 1 as n from pg_sleep(1)');
    },
    { patient: true },
  );
  await expect(patient).resolves.toEqual([{ n: 1 }]);
  expect(await database.db.query('select n from things order by n')).toEqual([{ n: 2 }, { n: 4 }]);
  await other.close();
  await proxy.close();
});
