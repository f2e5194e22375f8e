import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openDatabase, sqlState } from '../../src/lib/db.ts';
import { blankDatabase, type FreshDatabase } from '../support/database.ts';

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
