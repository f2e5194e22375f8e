import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listOrders, type OrderFilter } from '../../src/orders/list.ts';
import { listRefunds, type RefundFilter } from '../../src/refunds/list.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';

/** Lists by name where what is asked for lies behind more rows than are looked through one by one. */

const NEWER = 2_600;
const OLDER = 130;
const START = Date.parse('2026-01-01T00:00:00.000Z');
const MINUTE_MS = 60_000;
let fresh: FreshDatabase;

beforeAll(async () => {
  fresh = await freshDatabase();
  // One a minute: first the older ones, then the newer ones, one in a hundred of which is called like an older one.
  await fresh.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, customer_email,
       created_at, updated_at)
     select 'acme', name || lpad(n::text, 5, '0'), gen_random_uuid(), 'CHARGED', 100 + n * 7 % 1000, 'INR', 2,
       case when n % 1000 = 999 then 'Old-' end, $1::timestamptz + make_interval(mins => n), $1
     from generate_series(1, $2::int) n
     cross join lateral (select case when n <= $3 or n % 100 = 0 then 'Old-' else 'new-' end as name) o`,
    [new Date(START), OLDER + NEWER, OLDER],
  );
  await fresh.db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, charged_at, created_at, updated_at)
     select merchant_id, order_id, 't-' || order_id, gen_random_uuid(), 'CHARGED', amount_minor, 'MODEL', 'ga_model',
       'pay_' || order_id, created_at, created_at, created_at from orders`,
  );
  await fresh.db.query(
    `insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
       state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, lane,
       created_at, updated_at, due_at, next_look_at, review_at, event_seq)
     select merchant_id, order_id, gen_random_uuid(), 'r-' || order_id, 't-' || order_id, amount_minor, 'INR', 2, 'queued',
       'MODEL', 'ga_model', 'pay_' || order_id, 'STANDARD', repeat('k', 22), 'API', 'api', 0, created_at, created_at,
       created_at, created_at, created_at, 1
     from orders`,
  );
});
afterAll(() => fresh.drop());

const numbers = Array.from({ length: OLDER + NEWER }, (_, n) => n + 1);
const begins = (n: number) => n <= OLDER || n % 100 === 0;
const addressed = (n: number) => n % 1000 === 999;
const amountOf = (n: number) => 100 + ((n * 7) % 1000);
const idOf = (n: number) => `${begins(n) ? 'Old-' : 'new-'}${String(n).padStart(5, '0')}`;
const timeOf = (n: number) => START + n * MINUTE_MS;
const newest = (a: number, b: number) => b - a;

/** All pages, each asked for with the place of the last row before. */
async function walk<Row, Place>(
  read: (after: Place | undefined) => Promise<Row[]>,
  placeOf: (row: Row) => Place,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const last = rows.at(-1);
    const page = await read(last && placeOf(last));
    if (page.length === 0) return rows;
    rows.push(...page);
  }
}

async function orders(filter: Partial<OrderFilter>): Promise<string[]> {
  const sort = filter.sort ?? 'newest';
  const rows = await walk(
    (after: OrderFilter['after']) =>
      listOrders(fresh.db, { merchantId: 'acme', limit: 40, ...filter, sort, after }),
    ({ order }) => ({
      at: sort.startsWith('amount') ? order.amountMinor : order.createdAt.getTime(),
      id: order.orderId,
    }),
  );
  return rows.map(({ order }) => order.orderId);
}

async function refunds(filter: Partial<RefundFilter>): Promise<string[]> {
  const sort = filter.sort ?? 'newest';
  const rows = await walk(
    (after: RefundFilter['after']) =>
      listRefunds(fresh.db, { merchantId: 'acme', limit: 40, ...filter, sort, after }),
    ({ refund }) => ({ at: refund.createdAt.getTime(), id: refund.refundId }),
  );
  return rows.map(({ refund }) => refund.orderId);
}

describe('what begins so, far back in the list', () => {
  const older = numbers.filter(begins);

  test('orders, in every order', async () => {
    expect(await orders({ orderIdPrefix: 'OLD-' })).toEqual(older.toSorted(newest).map(idOf));
    expect(await orders({ orderIdPrefix: 'old-', sort: 'oldest' })).toEqual(older.map(idOf));
    const byAmount = older.toSorted((a, b) => amountOf(b) - amountOf(a) || (idOf(a) < idOf(b) ? -1 : 1));
    expect(await orders({ orderIdPrefix: 'old-', currency: 'INR', sort: 'amount_desc' })).toEqual(
      byAmount.map(idOf),
    );
  });

  test('orders of some time, status and amount', async () => {
    const found = await orders({
      orderIdPrefix: 'old-',
      currency: 'INR',
      statuses: ['NEW', 'CHARGED'],
      amountFromMinor: 300,
      createdBefore: new Date(timeOf(100)),
    });
    const expected = older.filter((n) => n < 100 && amountOf(n) >= 300).toSorted(newest);
    expect(found).toEqual(expected.map(idOf));
  });

  test('orders that begin so or are called so, each once', async () => {
    const expected = numbers.filter((n) => begins(n) || addressed(n)).toSorted(newest);
    expect(await orders({ search: 'old-' })).toEqual(expected.map(idOf));
    expect(await orders({ search: 'old-', orderIdPrefix: 'new-' })).toEqual(
      numbers
        .filter((n) => addressed(n))
        .toSorted(newest)
        .map(idOf),
    );
  });

  test('refunds of such orders', async () => {
    expect(await refunds({ orderIdPrefix: 'OLD-' })).toEqual(older.toSorted(newest).map(idOf));
    expect(await refunds({ orderIdPrefix: 'old-', sort: 'oldest' })).toEqual(older.map(idOf));
    expect(await refunds({ orderIdPrefix: 'old-', sort: 'due' })).toEqual(older.map(idOf));
    const expected = numbers.filter((n) => begins(n) || addressed(n)).toSorted(newest);
    expect(await refunds({ search: 'old-' })).toEqual(expected.map(idOf));
    expect(await refunds({ search: 'old-', orderIdPrefix: 'new-' })).toEqual(
      numbers.filter(addressed).toSorted(newest).map(idOf),
    );
    expect(await refunds({ search: 'old-', states: ['sending'] })).toEqual([]);
  });

  test('nothing of another merchant', async () => {
    expect(await orders({ merchantId: 'other', search: 'old-' })).toEqual([]);
    expect(await refunds({ merchantId: 'other', search: 'old-' })).toEqual([]);
  });
});
