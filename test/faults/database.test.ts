import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { readSettings } from '../../src/config.ts';
import { type RunningSandbox, startSandbox } from '../../src/gateways/sandbox/server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { createLogger } from '../../src/lib/log.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { type Refundry, startRefundry } from '../../src/main.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { type DatabaseProxy, startProxy } from '../support/proxy.ts';
import { type Caller, caller, chargedAtSandbox, until } from '../support/running.ts';

const KEY = 'rk_faults_test';
const log = createLogger('silent');

let gatewaysBooks: FreshDatabase;
let sandbox: RunningSandbox;
let ours: FreshDatabase;
let proxy: DatabaseProxy;
let program: Refundry;
let client: Caller;

beforeAll(async () => {
  gatewaysBooks = await freshDatabase();
  const databaseUrl = gatewaysBooks.connectionString;
  sandbox = await startSandbox({ databaseUrl, host: '127.0.0.1', port: 0, open: true, log, laterMs: 50 });
});
afterAll(async () => {
  await sandbox.stop();
  await gatewaysBooks.drop();
});
beforeEach(async () => {
  await gatewaysBooks.db.query('truncate sandbox_payouts, sandbox_keys, sandbox_webhooks, sandbox_tries');
  ours = await freshDatabase();
  proxy = await startProxy(ours.connectionString);
});
afterEach(async () => {
  proxy.delayMs = 0;
  proxy.open = true;
  await program.stop();
  await proxy.close();
  await ours.drop();
});

async function start(databaseUrl = proxy.connectionString, pool = '10') {
  program = await startRefundry(
    readSettings({
      DATABASE_URL: databaseUrl,
      DATABASE_POOL_SIZE: pool,
      MASTER_KEY: '7'.repeat(64),
      PORT: '0',
      SANDBOX_URL: sandbox.url,
      ALLOW_PRIVATE_WEBHOOKS: 'on',
    }),
    { log },
  );
  asked = 0;
  await createMerchant(program.db, systemClock, { merchantId: 'acme', name: 'Acme' });
  await createApiKey(program.db, systemClock, { merchantId: 'acme', name: 'test', key: KEY });
  client = caller(program.url!, KEY, 'acme');
  const credentials = { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` };
  await client.post('/v1/gateway-accounts', { gateway: 'SANDBOX', name: 'default', credentials });
  for (const orderId of ['o1', 'o2', 'o3', 'o4', 'o5', 'o6'])
    await chargedAtSandbox(client, orderId, '1000.00', orderId === 'o6' ? 'sbx_slow' : 'sbx_ok');
}

let asked = 0;
/** Each over an amount of its own: the same one again would be refused as a likely mistake. */
const refund = (orderId: string, key: string, amount = (1 + ++asked / 100).toFixed(2)) =>
  client.form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount });
const health = async () => {
  const answer = await client.get('/health');
  return [answer.status, answer.body.database];
};
const healthIs = (status: number, word: string) =>
  until(`health to be ${status} ${word}`, async () =>
    (await health()).join(' ') === `${status} ${word}` ? true : undefined,
  );

/** Every refund that was accepted is there and has succeeded, and the gateway paid each once. */
async function booksAgree(accepted: readonly string[]): Promise<void> {
  const refunds = await until(
    'every refund to end',
    async () => {
      const rows = await program.db
        .query<{ id: string; key: string; state: string }>(
          'select refund_id::text as id, unique_request_id as key, state from refunds order by 2',
        )
        .catch(() => []);
      return rows.length > 0 && rows.every(({ state }) => state === 'succeeded') ? rows : undefined;
    },
    90_000,
  );
  expect(refunds.map(({ key }) => key)).toEqual(expect.arrayContaining([...accepted]));
  const paid = await gatewaysBooks.db.query<{ id: string }>(
    'select refund_id as id from sandbox_payouts order by 1',
  );
  expect(paid.map(({ id }) => id)).toEqual(refunds.map(({ id }) => id).sort());
}

/** Refunds asked for without pause until it is stopped; the keys of those that were accepted. */
function load() {
  const accepted: string[] = [];
  const statuses = new Set<number>();
  let stopped = false;
  let n = 0;
  const lanes = Array.from({ length: 4 }, async () => {
    while (!stopped && n < 120) {
      const key = `r${n++}`;
      const answer = await refund(`o${(n % 6) + 1}`, key);
      statuses.add(answer.status);
      if (answer.status === 200) accepted.push(key);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  return {
    accepted,
    statuses,
    async stop() {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

test('the database is gone in the middle of everything: 503 by name, then all goes on by itself', async () => {
  await start();
  const traffic = load();
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  proxy.open = false;
  proxy.cut();
  await healthIs(503, 'unreachable');
  expect(await refund('o1', 'while-gone')).toMatchObject({
    status: 503,
    body: { error_message: expect.stringContaining('cannot be reached') },
  });
  proxy.open = true;
  await healthIs(200, 'reachable');
  const soFar = traffic.accepted.length;
  await until('traffic to go on', async () => (traffic.accepted.length > soFar + 5 ? true : undefined));
  await traffic.stop();
  // An answer that was lost with the connection may belong to a refund that was made: 503 promises nothing.
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await booksAgree(traffic.accepted);
}, 120_000);

test('PostgreSQL restarts: 503 while it does, then all goes on by itself', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'refundry-faults-'));
  let server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' });
  const { connectionString } = server;
  const db = openDatabase({ connectionString, maxConnections: 1 });
  await migrate(db);
  await db.close();
  await start(connectionString);
  const traffic = load();
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  await server.stop();
  await healthIs(503, 'unreachable');
  server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' });
  expect(server.connectionString).toBe(connectionString);
  await healthIs(200, 'reachable');
  await traffic.stop();
  expect([...traffic.statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect((await refund('o1', 'after')).status).toBe(200);
  await booksAgree([...traffic.accepted, 'after']);
  await program.stop();
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 120_000);

test('a failover leaves connections to a server that takes no changes: named, dropped, and it goes on', async () => {
  await start();
  const [{ name }] = (await ours.db.query('select current_database() as name')) as [{ name: string }];
  await ours.db.query(`alter database ${name} set default_transaction_read_only = on`);
  proxy.cut();
  await healthIs(503, 'read_only');
  const answer = await refund('o1', 'r1');
  expect([answer.status, answer.body.error_message]).toEqual([503, expect.stringContaining('no changes')]);
  // Connections that were made meanwhile stay as they are; only the next ones lead to the new server.
  await ours.db.query(`set default_transaction_read_only = off; alter database ${name} reset all`);
  await healthIs(200, 'reachable');
  await until('a refund to be taken', async () =>
    (await refund('o1', 'r1')).status === 200 ? true : undefined,
  );
  await booksAgree(['r1']);
}, 60_000);

test('no connection is left: 503 by name, and what was accepted is kept', async () => {
  const role = `limited_${randomBytes(4).toString('hex')}`;
  await ours.db.query(`create role ${role} login password 'p';
    grant all on schema public to ${role}; grant all on all tables in schema public to ${role}`);
  const url = new URL(proxy.connectionString);
  url.username = role;
  url.password = 'p';
  await start(url.href);
  await ours.db.query(`alter role ${role} connection limit 4`);
  proxy.cut();
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => refund(`o${(n % 6) + 1}`, `many-${n}`)),
  );
  expect(answers.filter(({ status }) => status !== 200 && status !== 503)).toEqual([]);
  const accepted = answers.flatMap(({ status }, n) => (status === 200 ? [`many-${n}`] : []));

  // Somebody else has taken every connection.
  await ours.db.query(`alter role ${role} connection limit 0`);
  proxy.cut();
  await healthIs(503, 'no_connection');
  const refused = await refund('o1', 'refused');
  expect([refused.status, refused.body.error_message]).toEqual([503, expect.stringContaining('connections')]);
  await ours.db.query(`alter role ${role} connection limit -1`);
  await healthIs(200, 'reachable');
  await until('a refund to be taken', async () =>
    (await refund('o1', 'last')).status === 200 ? true : undefined,
  );
  await booksAgree([...accepted, 'last']);
  await program.stop();
  await ours.db.query(`drop owned by ${role}; drop role ${role}`);
}, 120_000);

test('the disk is full: 503 by name, nothing is recorded and nothing sent; with room again all goes on', async () => {
  await start();
  expect((await refund('o1', 'before')).status).toBe(200);
  await booksAgree(['before']);
  // PostgreSQL answers a write that finds no room like this, and goes on running.
  await ours.db.query(`
    create function no_room() returns trigger language plpgsql as $$
    begin
      raise exception 'could not extend file "base/1/2": No space left on device' using errcode = 'disk_full';
    end $$;
    create trigger no_room before insert on events for each statement execute function no_room()`);
  const answer = await refund('o1', 'while-full', '2.00');
  expect([answer.status, answer.body.error_message]).toEqual([503, expect.stringContaining('disk is full')]);
  expect(await health()).toEqual([503, 'full']);
  expect((await client.get('/orders/o1')).body.refunds).toHaveLength(1);
  await ours.db.query('drop trigger no_room on events');
  expect((await refund('o1', 'while-full', '2.00')).status).toBe(200);
  expect(await health()).toEqual([200, 'reachable']);
  await booksAgree(['before', 'while-full']);
}, 60_000);

test('the disk is full when a refund is to be sent: without its intent on the disk it is not', async () => {
  await start();
  await ours.db.query(`
    create function no_room() returns trigger language plpgsql as $$
    begin
      raise exception 'No space left on device' using errcode = 'disk_full';
    end $$;
    create trigger no_room before insert on attempts for each row execute function no_room()`);
  // It can be recorded; its attempt cannot be.
  const recorded = await refund('o1', 'r1');
  expect(recorded.status).toBe(200);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await gatewaysBooks.db.query('select 1 from sandbox_payouts')).toEqual([]);
  await ours.db.query('drop trigger no_room on attempts');
  await booksAgree(['r1']);
}, 60_000);

test('a slow disk: accepted means kept, nothing times out wrongly, each is sent once', async () => {
  await start();
  await ours.db.query(`
    create function slow_disk() returns trigger language plpgsql as $$
    begin
      perform pg_sleep(0.4);
      return null;
    end $$;
    create trigger slow_disk after insert on events for each statement execute function slow_disk()`);
  proxy.delayMs = 60;
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => refund(`o${(n % 6) + 1}`, `slow-${n}`)),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(await health()).toEqual([200, 'reachable']);
  await booksAgree(answers.map((_, n) => `slow-${n}`));
  expect(await ours.db.query('select 1 from refunds where sends <> 1')).toEqual([]);
  proxy.delayMs = 3_000;
  expect(await health()).toEqual([503, 'slow']);
}, 120_000);
