import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';

/** One statement on many refunds, by a connection whose plans were made when there was next to nothing. */

const MANY = 3_000;
let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase({ maxConnections: 1 });
});
afterAll(() => fresh.drop());

async function makeOrders(from: number, to: number): Promise<void> {
  await fresh.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
     select 'acme', 'O' || n, gen_random_uuid(), 'CHARGED', 100, 'INR', 2, now(), now()
     from generate_series($1::int, $2::int) n`,
    [from, to],
  );
  await fresh.db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, charged_at, created_at, updated_at)
     select 'acme', 'O' || n, 't-O' || n, gen_random_uuid(), 'CHARGED', 100, 'MODEL', 'ga_model', 'pay_' || n, now(), now(),
       now()
     from generate_series($1::int, $2::int) n`,
    [from, to],
  );
}

async function makeRefunds(from: number, to: number): Promise<void> {
  await fresh.db.query(
    `insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
       state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, lane,
       created_at, updated_at, due_at, next_look_at, review_at, event_seq)
     select 'acme', 'O' || n, gen_random_uuid(), 'r' || n, 't-O' || n, 60, 'INR', 2, 'queued', 'MODEL', 'ga_model',
       'pay_' || n, 'STANDARD', repeat('k', 22), 'API', 'api', 0, now(), now(), now(), now(), now(), 1
     from generate_series($1::int, $2::int) n`,
    [from, to],
  );
}

const endRefunds = () =>
  fresh.db.query(
    `update refunds set state = 'cancelled', next_look_at = null, event_seq = 2 where state = 'queued'`,
  );

async function held(): Promise<number> {
  const [row] = await fresh.db.query<{ held: number }>(
    'select sum(reserved_minor)::bigint as held from transactions',
  );
  return row!.held;
}

/** How many entries of the indexes of orders and transactions were read so far. */
async function read(): Promise<number> {
  await fresh.db.query('select pg_stat_force_next_flush()');
  const [row] = await fresh.db.query<{ n: number }>(
    `select coalesce(sum(idx_tup_read), 0)::bigint as n from pg_stat_user_indexes where relname in ('orders', 'transactions')`,
  );
  return row!.n;
}

test('each order and transaction is read a few times, not all of them for each', async () => {
  await makeOrders(1, 1);
  await makeRefunds(1, 1);
  await endRefunds();
  expect(await held()).toBe(0);

  await makeOrders(2, MANY);
  const before = await read();
  await makeRefunds(2, MANY);
  expect(await held()).toBe(60 * (MANY - 1));
  await endRefunds();
  expect(await held()).toBe(0);
  expect((await read()) - before).toBeLessThan(10 * MANY);
});
