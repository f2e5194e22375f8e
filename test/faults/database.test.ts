import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { type DatabaseProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/running.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
let ours: FreshDatabase;
let proxy: DatabaseProxy;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.close());
beforeEach(async () => {
  ours = await freshDatabase();
  proxy = await startProxy(ours.connectionString);
});
afterEach(async () => {
  proxy.delayMs = 0;
  proxy.open = true;
  await desk.stopRefundry();
  await proxy.close();
  await ours.drop();
});

test('the database is gone in the middle of everything: 503 by name, then all goes on by itself', async () => {
  await desk.start(proxy.connectionString);
  const traffic = desk.load();
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  proxy.open = false;
  proxy.cut();
  await desk.healthIs(503, 'unreachable');
  expect(await desk.refund('o1', 'while-gone')).toMatchObject({
    status: 503,
    body: { error_message: expect.stringContaining('cannot be reached') },
  });
  proxy.open = true;
  await desk.healthIs(200, 'reachable');
  const soFar = traffic.accepted.length;
  await until('traffic to go on', async () => (traffic.accepted.length > soFar + 5 ? true : undefined));
  await traffic.stop();
  // An answer that was lost with the connection may belong to a refund that was made: 503 promises nothing.
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await desk.booksAgree(traffic.accepted);
}, 120_000);

test('PostgreSQL restarts: 503 while it does, then all goes on by itself', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'refundry-faults-'));
  let server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' });
  const { connectionString } = server;
  const db = openDatabase({ connectionString, maxConnections: 1 });
  await migrate(db);
  await db.close();
  await desk.start(connectionString);
  const traffic = desk.load();
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  await server.stop();
  await desk.healthIs(503, 'unreachable');
  server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' });
  expect(server.connectionString).toBe(connectionString);
  await desk.healthIs(200, 'reachable');
  await traffic.stop();
  expect([...traffic.statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect((await desk.refund('o1', 'after')).status).toBe(200);
  await desk.booksAgree([...traffic.accepted, 'after']);
  await desk.stopRefundry();
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 120_000);

test('a failover leaves connections to a server that takes no changes: named, dropped, and it goes on', async () => {
  await desk.start(proxy.connectionString);
  const [{ name }] = (await ours.db.query('select current_database() as name')) as [{ name: string }];
  await ours.db.query(`alter database ${name} set default_transaction_read_only = on`);
  proxy.cut();
  await desk.healthIs(503, 'read_only');
  const answer = await desk.refund('o1', 'r1');
  expect([answer.status, answer.body.error_message]).toEqual([503, expect.stringContaining('no changes')]);
  // Connections that were made meanwhile stay as they are; only the next ones lead to the new server.
  await ours.db.query(`set default_transaction_read_only = off; alter database ${name} reset all`);
  await desk.healthIs(200, 'reachable');
  await until('a refund to be taken', async () =>
    (await desk.refund('o1', 'r1')).status === 200 ? true : undefined,
  );
  await desk.booksAgree(['r1']);
}, 60_000);

test('no connection is left: 503 by name, and what was accepted is kept', async () => {
  const role = `limited_${randomBytes(4).toString('hex')}`;
  await ours.db.query(`create role ${role} login password 'p';
    grant all on schema public to ${role}; grant all on all tables in schema public to ${role}`);
  const url = new URL(proxy.connectionString);
  url.username = role;
  url.password = 'p';
  await desk.start(url.href);
  await ours.db.query(`alter role ${role} connection limit 4`);
  proxy.cut();
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => desk.refund(`o${(n % 6) + 1}`, `many-${n}`)),
  );
  expect(answers.filter(({ status }) => status !== 200 && status !== 503)).toEqual([]);
  const accepted = answers.flatMap(({ status }, n) => (status === 200 ? [`many-${n}`] : []));

  // Somebody else has taken every connection.
  await ours.db.query(`alter role ${role} connection limit 0`);
  proxy.cut();
  await desk.healthIs(503, 'no_connection');
  const refused = await desk.refund('o1', 'refused');
  expect([refused.status, refused.body.error_message]).toEqual([503, expect.stringContaining('connections')]);
  await ours.db.query(`alter role ${role} connection limit -1`);
  await desk.healthIs(200, 'reachable');
  await until('a refund to be taken', async () =>
    (await desk.refund('o1', 'last')).status === 200 ? true : undefined,
  );
  await desk.booksAgree([...accepted, 'last']);
  await desk.stopRefundry();
  await ours.db.query(`drop owned by ${role}; drop role ${role}`);
}, 120_000);

test('the disk is full: 503 by name, nothing is recorded and nothing sent; with room again all goes on', async () => {
  await desk.start(proxy.connectionString);
  expect((await desk.refund('o1', 'before')).status).toBe(200);
  await desk.booksAgree(['before']);
  // PostgreSQL answers a write that finds no room like this, and goes on running.
  await ours.db.query(`
    create function no_room() returns trigger language plpgsql as $$
    begin
      raise exception 'could not extend file "base/1/2": No space left on device' using errcode = 'disk_full';
    end $$;
    create trigger no_room before insert on events for each statement execute function no_room()`);
  const answer = await desk.refund('o1', 'while-full', '2.00');
  expect([answer.status, answer.body.error_message]).toEqual([503, expect.stringContaining('disk is full')]);
  expect(await desk.health()).toEqual([503, 'full']);
  expect((await desk.client.get('/orders/o1')).body.refunds).toHaveLength(1);
  await ours.db.query('drop trigger no_room on events');
  expect((await desk.refund('o1', 'while-full', '2.00')).status).toBe(200);
  expect(await desk.health()).toEqual([200, 'reachable']);
  await desk.booksAgree(['before', 'while-full']);
}, 60_000);

test('the disk is full when a refund is to be sent: without its intent on the disk it is not', async () => {
  await desk.start(proxy.connectionString);
  await ours.db.query(`
    create function no_room() returns trigger language plpgsql as $$
    begin
      raise exception 'No space left on device' using errcode = 'disk_full';
    end $$;
    create trigger no_room before insert on attempts for each row execute function no_room()`);
  // It can be recorded; its attempt cannot be.
  const recorded = await desk.refund('o1', 'r1');
  expect(recorded.status).toBe(200);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await desk.payouts()).toEqual([]);
  await ours.db.query('drop trigger no_room on attempts');
  await desk.booksAgree(['r1']);
}, 60_000);

test('a slow disk: accepted means kept, nothing times out wrongly, each is sent once', async () => {
  await desk.start(proxy.connectionString);
  await ours.db.query(`
    create function slow_disk() returns trigger language plpgsql as $$
    begin
      perform pg_sleep(0.4);
      return null;
    end $$;
    create trigger slow_disk after insert on events for each statement execute function slow_disk()`);
  proxy.delayMs = 60;
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => desk.refund(`o${(n % 6) + 1}`, `slow-${n}`)),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(await desk.health()).toEqual([200, 'reachable']);
  await desk.booksAgree(answers.map((_, n) => `slow-${n}`));
  expect(await ours.db.query('select 1 from refunds where sends <> 1')).toEqual([]);
  proxy.delayMs = 3_000;
  expect(await desk.health()).toEqual([503, 'slow']);
}, 120_000);
