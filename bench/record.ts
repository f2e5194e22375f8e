/**
 * How fast refunds are recorded: `node bench/record.ts`. The limit beside each figure is the least that a refund
 * needs in PostgreSQL (reserve, insert, tell: one statement, one commit), measured in the same run.
 */
import { registryOf } from '../src/gateways/registry.ts';
import { systemClock } from '../src/lib/clock.ts';
import type { Database } from '../src/lib/db.ts';
import { type RefundRequest, recordRefund, recordRefunds } from '../src/refunds/record.ts';
import { onFreshDatabase, printRate, rateOf } from './support.ts';

const ORDERS = 200_000;
const LIST = 500;
let keys = 0;

await onFreshDatabase(async (db) => {
  await fill(db);
  const deps = {
    db,
    clock: systemClock,
    gateways: registryOf([]),
    manualReviewAfterMs: 864_000_000,
    wake: () => {},
  };
  const accepted = (outcomes: readonly { ok: boolean }[]) => {
    if (outcomes.some((outcome) => !outcome.ok))
      throw new Error(`refused: ${JSON.stringify(outcomes.find((o) => !o.ok))}`);
    return outcomes.length;
  };

  for (const callers of [1, 8, 32]) {
    const limit = await rateOf(callers, () => leastStatement(db, 1));
    printRate(`limit: one statement, ${callers} at once`, limit);
    printRate(
      `one refund a call, ${callers} at once`,
      await rateOf(callers, async () => accepted(await recordRefunds(deps, [request()]))),
      limit,
    );
    printRate(
      `the same through group commit, ${callers} at once`,
      await rateOf(callers, async () => accepted([await recordRefund(deps, request())])),
      limit,
    );
  }
  const limit = await rateOf(1, () => leastStatement(db, LIST));
  printRate(`limit: ${LIST} in one statement`, limit);
  printRate(
    `a list of ${LIST}`,
    await rateOf(1, async () => accepted(await recordRefunds(deps, Array.from({ length: LIST }, request)))),
    limit,
  );
});

function anyOrder(): string {
  return `b-${1 + Math.floor(Math.random() * ORDERS)}`;
}

function request(): RefundRequest {
  return {
    merchantId: 'bench',
    orderId: anyOrder(),
    txnId: null,
    uniqueRequestId: `k${keys++}`,
    amount: '0.01',
    currency: null,
    refundType: 'STANDARD',
    reason: null,
    note: null,
    metadata: {},
    initiatedBy: 'API',
    door: 'api',
    batchId: null,
    batchRow: null,
    sameAmountWindowMs: 0,
    expectedRemaining: null,
    cause: { by: 'api', key: 'bench', request_id: 'bench' },
  };
}

async function fill(db: Database): Promise<void> {
  await db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
     select 'bench', 'b-' || n, gen_random_uuid(), 'CHARGED', 1000000, 'INR', 2, now(), now() from generate_series(1, $1::int) n`,
    [ORDERS],
  );
  await db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
     select 'bench', 'b-' || n, 'bench-b-' || n || '-1', gen_random_uuid(), 'CHARGED', 1000000, 'BENCH', 'ga_bench', 'pay_' || n,
       'CARD', now(), now(), now() from generate_series(1, $1::int) n`,
    [ORDERS],
  );
  await db.query(`create table least_orders as select order_id, amount_minor as rest_minor from orders`);
  await db.query('alter table least_orders add primary key (order_id)');
  await db.query(
    'create table least_refunds (refund_id uuid primary key, request_id text unique, order_id text not null, amount_minor bigint not null, created_at timestamptz not null)',
  );
  await db.query('create index on least_refunds (order_id)');
  await db.query('create table least_outbox (refund_id uuid not null, created_at timestamptz not null)');
  await db.query('vacuum analyze');
}

/** The least that keeps money safe: reserve, insert with a unique key, one row to tell of it. */
async function leastStatement(db: Database, count: number): Promise<number> {
  await db.query(
    `with asked as (select * from unnest($1::text[], $2::text[]) as a(order_id, request_id)),
     reserved as (
       update least_orders o set rest_minor = rest_minor - s.n
       from (select order_id, count(*) as n from asked group by order_id order by order_id) s
       where o.order_id = s.order_id and o.rest_minor >= s.n returning o.order_id),
     made as (
       insert into least_refunds
       select gen_random_uuid(), a.request_id, a.order_id, 1, now() from asked a join reserved using (order_id)
       returning refund_id)
     insert into least_outbox select refund_id, now() from made`,
    [Array.from({ length: count }, anyOrder), Array.from({ length: count }, () => `l${keys++}`)],
  );
  return count;
}
