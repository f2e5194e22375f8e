import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RefundState, STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock } from '../support/engine.ts';

/** Every filter of the lists, alone and together, against plain JavaScript over the same rows. */

const clock = new ManualClock(new Date('2026-03-15T12:00:00.000Z'));
const NOW = clock.now().getTime();
const DAY_MS = 86_400_000;
const EXPONENTS: Readonly<Record<string, number>> = { INR: 2, KWD: 3, JPY: 0 };
let api: TestApi;

// A small generator of our own, so that the rows are the same in every run.
let seed = 7;
const pick = <Value>(values: readonly Value[]): Value => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return values[Math.floor((seed / 2_147_483_648) * values.length)]!;
};

interface OrderRow {
  readonly merchantId: string;
  readonly id: string;
  readonly status: string;
  readonly currency: string;
  readonly amount: number;
  readonly gateway: string | null;
  readonly email: string | null;
  readonly phone: string | null;
  readonly txnId: string | null;
  readonly paymentId: string | null;
  readonly createdAt: number;
  refunded: number;
}

interface RefundRow {
  readonly merchantId: string;
  readonly id: string;
  readonly order: OrderRow;
  readonly requestId: string;
  readonly state: RefundState;
  readonly amount: number;
  readonly gatewayRefundId: string | null;
  readonly arn: string | null;
  readonly initiatedBy: string;
  readonly door: string;
  readonly batchId: string | null;
  readonly attention: string | null;
  readonly createdAt: number;
  readonly dueAt: number;
}

const ACCOUNTS: Readonly<Record<string, string>> = { MODEL: 'ga_model', SECOND: 'ga_second' };
const BATCHES = ['01900000-0000-7000-8000-00000000000a', '01900000-0000-7000-8000-00000000000b'];

const orders: OrderRow[] = Array.from({ length: 160 }, (_, n) => {
  const charged = n % 5 !== 0;
  const gateway = charged ? pick(['MODEL', 'MODEL', 'SECOND']) : null;
  const id = `${pick(['In-', 'in-', 'Web_', 'web-', '%a', "o'"])}${n}`;
  return {
    merchantId: n % 8 === 7 ? 'other' : 'acme',
    id,
    status: charged ? 'CHARGED' : pick(['NEW', 'PENDING_VBV']),
    currency: pick(['INR', 'INR', 'KWD', 'JPY']),
    amount: pick([100, 2_500, 2_500, 99_999, 1_000_000]),
    gateway,
    email: pick([null, 'Asha@Shop.test', 'ben@shop.test', `c${n}@shop.test`]),
    phone: pick([null, '+91 98', '12345', `9${n}`]),
    txnId: gateway === null ? null : `t-${id}-1`,
    paymentId: gateway === null ? null : `pay_${n}`,
    createdAt: NOW - pick([0, 1, 1, 2, 3, 9, 20]) * DAY_MS - pick([0, 1_000, 60_000]),
    refunded: 0,
  };
});

const refunds: RefundRow[] = orders
  .filter(({ status }) => status === 'CHARGED')
  .flatMap((order, n) =>
    Array.from({ length: pick([0, 1, 1, 2]) }, (_, m): RefundRow => {
      const state = pick(STATE_NAMES);
      const left = order.amount - order.refunded;
      const amount = m === 1 && left > 0 ? left : pick([1, 50, order.amount]);
      const taken = STATES[state].reserves ? Math.min(amount, left) : amount;
      const door = pick(['api', 'api', 'dashboard', 'batch']);
      const createdAt = Math.min(NOW, order.createdAt + pick([0, 3_600_000, DAY_MS]));
      if (STATES[state].reserves) order.refunded += taken;
      return {
        merchantId: order.merchantId,
        id: `01900000-0000-7000-8000-${String(n * 10 + m).padStart(12, '0')}`,
        order,
        requestId: pick([`r-${n}`, 'same']) + (m === 0 ? '' : '-again'),
        state,
        amount: taken,
        gatewayRefundId: pick([null, `re_${n}`, 're_same']),
        arn: pick([null, `7433${String(n).padStart(19, '0')}`]),
        initiatedBy: door === 'dashboard' ? pick(['asha@desk.test', 'ben@desk.test']) : 'API',
        door,
        batchId: door === 'batch' ? pick(BATCHES) : null,
        attention: state === 'failed' ? pick([null, 'Paid after all?']) : null,
        createdAt,
        dueAt: createdAt + pick([1, 5, 10]) * DAY_MS,
      };
    }).filter(({ amount }) => amount > 0),
  );

beforeAll(async () => {
  api = await startApi({ clock });
  for (const [gateway, accountId] of Object.entries(ACCOUNTS)) {
    await api.db.query(
      `insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, base_url, sealed_credentials,
         shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
       values ($1, 'acme', $2, 'lists', null, '', '{}', 1, 1, now(), now())`,
      [accountId, gateway],
    );
    await api.db.query(
      `insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
       values ('acme', $1, 1, '2020-01-01')`,
      [accountId],
    );
  }
  await api.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, gateway,
       customer_email, customer_phone, created_at, updated_at)
     select merchant_id, id, gen_random_uuid(), status, amount, currency, exponent, gateway, email, phone, at, at
     from jsonb_to_recordset($1) o(merchant_id text, id text, status text, amount bigint, currency text, exponent smallint,
       gateway text, email text, phone text, at timestamptz)`,
    [
      JSON.stringify(
        orders.map(({ merchantId, createdAt, ...o }) => ({
          ...o,
          merchant_id: merchantId,
          exponent: EXPONENTS[o.currency],
          at: new Date(createdAt),
        })),
      ),
    ],
  );
  await api.db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, charged_at, created_at, updated_at)
     select merchant_id, id, txn, gen_random_uuid(), status, amount, gateway, account, payment, at, at, at
     from jsonb_to_recordset($1) o(merchant_id text, id text, txn text, status text, amount bigint, gateway text, account text,
       payment text, at timestamptz)`,
    [
      JSON.stringify(
        orders
          .filter(({ gateway }) => gateway !== null)
          .map((o) => ({
            merchant_id: o.merchantId,
            id: o.id,
            txn: o.txnId,
            status: o.status,
            amount: o.amount,
            gateway: o.gateway,
            account: ACCOUNTS[o.gateway!],
            payment: o.paymentId,
            at: new Date(o.createdAt),
          })),
      ),
    ],
  );
  // For a moment all of them are queued, those included that will have failed.
  await api.db.query('alter table transactions drop constraint never_more_than_was_paid');
  await api.db.query(
    `insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
       state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, batch_id,
       lane, gateway_refund_id, arn, attention, created_at, updated_at, due_at, next_look_at, review_at, event_seq)
     select merchant_id, order_id, id, request_id, txn, amount, currency, exponent, 'queued', gateway, account, payment,
       'STANDARD', repeat('k', 22), by, door, batch, 0, gateway_refund_id, arn, attention, at, at, due, at, due, 1
     from jsonb_to_recordset($1) r(merchant_id text, order_id text, id uuid, request_id text, txn text, amount bigint,
       currency text, exponent smallint, gateway text, account text, payment text, by text, door text, batch uuid,
       gateway_refund_id text, arn text, attention text, at timestamptz, due timestamptz)`,
    [
      JSON.stringify(
        refunds.map((r) => ({
          merchant_id: r.merchantId,
          order_id: r.order.id,
          id: r.id,
          request_id: r.requestId,
          txn: r.order.txnId,
          amount: STATES[r.state].reserves ? r.amount : 1,
          currency: r.order.currency,
          exponent: EXPONENTS[r.order.currency],
          gateway: r.order.gateway,
          account: ACCOUNTS[r.order.gateway!],
          payment: r.order.paymentId,
          by: r.initiatedBy,
          door: r.door,
          batch: r.batchId,
          gateway_refund_id: r.gatewayRefundId,
          arn: r.arn,
          attention: r.attention,
          at: new Date(r.createdAt),
          due: new Date(r.dueAt),
        })),
      ),
    ],
  );
  // Wherever they are now, they came there by ways that other tests walk.
  await api.db.query('alter table refunds disable trigger refunds_guard');
  await api.db.query(
    `update refunds r set state = s.state, event_seq = 2, next_look_at = case when s.final then null else r.next_look_at end
     from unnest($1::uuid[], $2::text[], $3::boolean[]) s(id, state, final) where r.refund_id = s.id`,
    [
      refunds.map(({ id }) => id),
      refunds.map(({ state }) => state),
      refunds.map(({ state }) => STATES[state].final),
    ],
  );
  await api.db.query('alter table refunds enable trigger refunds_guard');
});
afterAll(() => api.close());

const ours = orders.filter(({ merchantId }) => merchantId === 'acme');
const ourRefunds = refunds.filter(({ merchantId }) => merchantId === 'acme');
const amountOf = (r: RefundRow) => (STATES[r.state].reserves ? r.amount : 1);
const minor = (text: string, currency: string) => Math.round(Number(text) * 10 ** EXPONENTS[currency]!);
const lower = (text: string | null) => text?.toLowerCase();
const list = (text: string) => text.split(',');

const ORDER_FILTERS: Readonly<Record<string, (asked: string, currency: string) => (o: OrderRow) => boolean>> =
  {
    search: (asked) => (o) =>
      o.id.toLowerCase().startsWith(asked.toLowerCase()) ||
      o.txnId === asked ||
      o.paymentId === asked ||
      lower(o.email) === asked.toLowerCase() ||
      o.phone === asked,
    order_id: (asked) => (o) => lower(o.id) === asked.toLowerCase(),
    order_id_prefix: (asked) => (o) => o.id.toLowerCase().startsWith(asked.toLowerCase()),
    txn_id: (asked) => (o) => o.txnId === asked,
    gateway_payment_id: (asked) => (o) => o.paymentId === asked,
    customer_email: (asked) => (o) => lower(o.email) === asked.toLowerCase(),
    customer_phone: (asked) => (o) => o.phone === asked,
    status: (asked) => (o) => list(asked).includes(o.status),
    gateway: (asked) => (o) => o.gateway !== null && list(asked).includes(o.gateway),
    currency: (asked) => (o) => o.currency === asked,
    amount_from: (asked, currency) => (o) => o.amount >= minor(asked, currency),
    amount_to: (asked, currency) => (o) => o.amount <= minor(asked, currency),
    refunded: (asked) => (o) =>
      asked === (o.refunded === 0 ? 'none' : o.refunded < o.amount ? 'partly' : 'fully'),
    created_from: (asked) => (o) => o.createdAt >= Date.parse(asked),
    created_before: (asked) => (o) => o.createdAt < Date.parse(asked),
  };

const REFUND_FILTERS: Readonly<
  Record<string, (asked: string, currency: string) => (r: RefundRow) => boolean>
> = {
  search: (asked) => (r) =>
    r.order.id.toLowerCase().startsWith(asked.toLowerCase()) ||
    r.id === asked ||
    r.requestId === asked ||
    r.gatewayRefundId === asked ||
    r.arn === asked ||
    lower(r.order.email) === asked.toLowerCase(),
  status: (asked) => (r) => list(asked).includes(STATES[r.state].public),
  state: (asked) => (r) => list(asked).includes(r.state),
  attention: () => (r) => r.state === 'manual_review' || r.attention !== null,
  overdue: () => (r) => !STATES[r.state].final && r.dueAt < NOW,
  pending_days: (asked) => (r) => !STATES[r.state].final && r.createdAt <= NOW - Number(asked) * DAY_MS,
  order_id: (asked) => (r) => lower(r.order.id) === asked.toLowerCase(),
  order_id_prefix: (asked) => (r) => r.order.id.toLowerCase().startsWith(asked.toLowerCase()),
  customer_email: (asked) => (r) => lower(r.order.email) === asked.toLowerCase(),
  refund_id: (asked) => (r) => r.id === asked,
  unique_request_id: (asked) => (r) => r.requestId === asked,
  gateway: (asked) => (r) => list(asked).includes(r.order.gateway!),
  gateway_account_id: (asked) => (r) => ACCOUNTS[r.order.gateway!] === asked,
  gateway_refund_id: (asked) => (r) => r.gatewayRefundId === asked,
  arn: (asked) => (r) => r.arn === asked,
  currency: (asked) => (r) => r.order.currency === asked,
  amount_from: (asked, currency) => (r) => amountOf(r) >= minor(asked, currency),
  amount_to: (asked, currency) => (r) => amountOf(r) <= minor(asked, currency),
  initiated_by: (asked) => (r) => r.initiatedBy === asked,
  door: (asked) => (r) => r.door === asked,
  batch_id: (asked) => (r) => r.batchId === asked,
  created_from: (asked) => (r) => r.createdAt >= Date.parse(asked),
  created_before: (asked) => (r) => r.createdAt < Date.parse(asked),
};

const byTextUp = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const ORDER_SORTS: Readonly<Record<string, (a: OrderRow, b: OrderRow) => number>> = {
  newest: (a, b) => b.createdAt - a.createdAt,
  oldest: (a, b) => a.createdAt - b.createdAt,
  amount_desc: (a, b) => b.amount - a.amount,
  amount_asc: (a, b) => a.amount - b.amount,
};
const REFUND_SORTS: Readonly<Record<string, (a: RefundRow, b: RefundRow) => number>> = {
  newest: (a, b) => b.createdAt - a.createdAt || byTextUp(b.id, a.id),
  oldest: (a, b) => a.createdAt - b.createdAt || byTextUp(a.id, b.id),
  due: (a, b) => a.dueAt - b.dueAt || byTextUp(a.id, b.id),
};

type Query = Readonly<Record<string, string>>;

/** The ids of all pages, in their order, and how many pages there were. */
async function walk(path: 'orders' | 'refunds', query: Query, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const asked: URLSearchParams = new URLSearchParams({ ...query, limit: String(limit) });
    if (cursor !== null) asked.set('cursor', cursor);
    const { status, body } = await call(api, `/v1/${path}?${asked}`);
    expect([status, body.error]).toEqual([200, undefined]);
    const rows: Record<string, string>[] = body[path];
    expect(rows.length).toBeLessThanOrEqual(limit);
    ids.push(...rows.map((row) => row[path === 'orders' ? 'order_id' : 'refund_id']!));
    cursor = body.next_cursor;
  } while (cursor !== null);
  return ids;
}

const moments = [0, 1, 2, 9, 30].map((days) => new Date(NOW - days * DAY_MS).toISOString());
const amounts = {
  INR: ['1.00', '25.00', '25.01', '9999.99'],
  KWD: ['2.500', '0.1', '1000'],
  JPY: ['100', '2500', '1000000'],
};
const texts = (asked: Readonly<Record<string, unknown>>): Query =>
  Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, String(value)]));

const orderQuery = fc
  .record(
    {
      search: fc.constantFrom(
        'in-',
        'IN-1',
        'web',
        '%',
        "o'",
        'pay_3',
        't-in-11-1',
        'asha@shop.TEST',
        '+91 98',
        '12345',
        'ü',
      ),
      order_id: fc.constantFrom(...ours.slice(0, 5).map(({ id }) => id.toUpperCase()), 'nobody'),
      order_id_prefix: fc.constantFrom('in-', 'WEB_', 'web-1', '%A', '~'),
      txn_id: fc.constantFrom(...ours.flatMap(({ txnId }) => txnId ?? []).slice(0, 4), 'none'),
      gateway_payment_id: fc.constantFrom('pay_1', 'pay_2', 'pay_7', 'PAY_1'),
      customer_email: fc.constantFrom('ASHA@shop.test', 'ben@shop.test', 'nobody@shop.test'),
      customer_phone: fc.constantFrom('+91 98', '12345', '0'),
      status: fc.constantFrom('CHARGED', 'NEW', 'NEW,PENDING_VBV', 'CHARGED,NEW,PENDING_VBV', 'VOIDED'),
      gateway: fc.constantFrom('MODEL', 'SECOND', 'MODEL,SECOND', 'NONE'),
      currency: fc.constantFrom('INR', 'KWD', 'JPY', 'USD'),
      amount_from: fc.nat(3),
      amount_to: fc.nat(3),
      refunded: fc.constantFrom('none', 'partly', 'fully'),
      created_from: fc.constantFrom(...moments),
      created_before: fc.constantFrom(...moments),
      sort: fc.constantFrom(...Object.keys(ORDER_SORTS)),
    },
    { requiredKeys: [] },
  )
  .map(texts);

const refundQuery = fc
  .record(
    {
      search: fc.constantFrom(
        'in-',
        'WEB-1',
        '%',
        're_same',
        'same',
        'ASHA@shop.test',
        ...ourRefunds.slice(0, 3).map(({ id }) => id),
      ),
      status: fc.constantFrom('PENDING', 'SUCCESS', 'FAILURE,MANUAL_REVIEW', 'PENDING,SUCCESS'),
      state: fc.constantFrom('queued', 'queued,submitted,failed', 'reversed', STATE_NAMES.join()),
      attention: fc.constant('true'),
      overdue: fc.constant('true'),
      pending_days: fc.constantFrom('0', '1', '3', '100'),
      order_id: fc.constantFrom(
        ...ourRefunds.slice(0, 5).map(({ order }) => order.id.toUpperCase()),
        'nobody',
      ),
      order_id_prefix: fc.constantFrom('in-', 'WEB_', 'web-1', '%A', '~'),
      customer_email: fc.constantFrom('ASHA@shop.test', 'ben@shop.test', 'nobody@shop.test'),
      refund_id: fc.constantFrom(...ourRefunds.slice(0, 3).map(({ id }) => id), 'no id'),
      unique_request_id: fc.constantFrom('same', 'r-3', 'same-again'),
      gateway: fc.constantFrom('MODEL', 'SECOND', 'MODEL,SECOND', 'NONE'),
      gateway_account_id: fc.constantFrom('ga_model', 'ga_second', 'ga_none'),
      gateway_refund_id: fc.constantFrom('re_same', 're_3'),
      arn: fc.constantFrom(...ourRefunds.flatMap(({ arn }) => arn ?? []).slice(0, 3)),
      currency: fc.constantFrom('INR', 'KWD', 'JPY', 'USD'),
      amount_from: fc.nat(3),
      amount_to: fc.nat(3),
      initiated_by: fc.constantFrom('API', 'asha@desk.test', 'nobody'),
      door: fc.constantFrom('api', 'dashboard', 'batch'),
      batch_id: fc.constantFrom(...BATCHES),
      created_from: fc.constantFrom(...moments),
      created_before: fc.constantFrom(...moments),
      sort: fc.constantFrom(...Object.keys(REFUND_SORTS)),
    },
    { requiredKeys: [] },
  )
  .map(texts);

/** Few of the filters at a time: many together leave nothing. */
const some = (query: fc.Arbitrary<Query>): fc.Arbitrary<Query> =>
  query.chain((all) =>
    fc
      .shuffledSubarray(Object.keys(all), { maxLength: 4 })
      .map((names) => fitting(Object.fromEntries(names.map((name) => [name, all[name]!])))),
  );

/** Amounts of the currency that is asked for; without one, amounts are not asked for. */
function fitting(asked: Query): Query {
  const known = amounts[asked['currency'] as keyof typeof amounts];
  const entries = Object.entries(asked).flatMap(([name, value]): [string, string][] => {
    if (name === 'sort' && !known && value.startsWith('amount')) return [];
    if (name !== 'amount_from' && name !== 'amount_to') return [[name, value]];
    return known ? [[name, known[Number(value) % known.length]!]] : [];
  });
  return Object.fromEntries(entries);
}

function expectedOf<Row>(
  rows: readonly Row[],
  filters: Readonly<Record<string, (asked: string, currency: string) => (row: Row) => boolean>>,
  query: Query,
): Row[] {
  return Object.entries(query)
    .filter(([name]) => name !== 'sort')
    .reduce((left, [name, asked]) => left.filter(filters[name]!(asked, query['currency'] ?? '')), [...rows]);
}

async function expectOrders(query: Query, limit: number): Promise<void> {
  const expected = expectedOf(ours, ORDER_FILTERS, query);
  const ids = await walk('orders', query, limit);
  expect(ids.toSorted()).toEqual(expected.map(({ id }) => id).toSorted());
  const sort = ORDER_SORTS[query['sort'] ?? 'newest']!;
  const found = ids.map((id) => ours.find((order) => order.id === id)!);
  for (const [n, row] of found.entries()) if (n > 0) expect(sort(found[n - 1]!, row)).toBeLessThanOrEqual(0);
}

async function expectRefunds(query: Query, limit: number): Promise<void> {
  const sort = query['sort'] ?? 'newest';
  const expected = expectedOf(ourRefunds, REFUND_FILTERS, query)
    .filter(({ state }) => sort !== 'due' || !STATES[state].final)
    .toSorted(REFUND_SORTS[sort]);
  expect(await walk('refunds', query, limit)).toEqual(expected.map(({ id }) => id));
}

describe('the list of orders', () => {
  test('has rows for every word of every filter', () => {
    for (const refunded of ['none', 'partly', 'fully']) {
      expect(expectedOf(ours, ORDER_FILTERS, { refunded }).length).toBeGreaterThan(3);
    }
  });

  test.each([
    ['status', 'NEW,PENDING_VBV'],
    ['gateway', 'SECOND'],
    ['gateway', 'MODEL,SECOND'],
    ['refunded', 'none'],
    ['refunded', 'partly'],
    ['refunded', 'fully'],
    ['search', 'in-1'],
    ['search', 'ASHA@SHOP.TEST'],
    ['search', '+91 98'],
    ['search', 'pay_3'],
    ['order_id_prefix', 'WEB'],
    ['customer_email', 'Ben@shop.test'],
    ['customer_phone', '12345'],
    ['currency', 'KWD'],
    ['created_from', moments[1]!],
    ['created_before', moments[3]!],
    ['sort', 'oldest'],
  ])('%s=%s', async (name, asked) => expectOrders({ [name]: asked }, 7));

  test.each(['amount_desc', 'amount_asc'])('sorted by %s within a currency and a range', async (sort) => {
    await expectOrders({ currency: 'INR', amount_from: '1.00', amount_to: '999.99', sort }, 5);
  });

  test('any filters together, by pages of any size', async () => {
    await fc.assert(
      fc.asyncProperty(some(orderQuery), fc.constantFrom(1, 3, 50, 500), (query, limit) =>
        expectOrders(query, limit === 1 && Object.keys(query).length < 2 ? 20 : limit),
      ),
      { numRuns: 150 },
    );
  });

  test('a row says what is refunded, what of it is under way, and what is left', async () => {
    for (const order of ours.filter(({ status }) => status === 'CHARGED').slice(0, 40)) {
      const { body } = await call(api, `/v1/orders?${new URLSearchParams({ order_id: order.id })}`);
      const inFlight = ourRefunds
        .filter((r) => r.order === order && !STATES[r.state].final)
        .reduce((sum, r) => sum + amountOf(r), 0);
      const decimal = (amount: number) =>
        (amount / 10 ** EXPONENTS[order.currency]!).toFixed(EXPONENTS[order.currency]!);
      expect(body.orders[0]).toMatchObject({
        refunded_amount: decimal(order.refunded),
        refunding_amount: decimal(inFlight),
        refundable_amount: decimal(order.amount - order.refunded),
        gateway: order.gateway,
      });
      const read = await call(api, `/v1/orders/${encodeURIComponent(order.id)}`);
      expect(read.body).toEqual(body.orders[0]);
      const listed = await call(api, `/v1/orders/${encodeURIComponent(order.id)}/refunds`);
      expect(listed.body.refunds.map((r: { refund_id: string }) => r.refund_id).toSorted()).toEqual(
        ourRefunds
          .filter((r) => r.order === order)
          .map(({ id }) => id)
          .toSorted(),
      );
    }
  });

  test.each([
    ['sort', 'amount_desc', {}],
    ['amount_from', '1', {}],
    ['amount_to', '1.001', { currency: 'INR' }],
    ['amount_to', '-1', { currency: 'INR' }],
    ['currency', 'XYZ', { amount_from: '1' }],
    ['currency', 'inr', {}],
    ['refunded', 'half', {}],
    ['sort', 'up', {}],
    ['status', 'a,,b', {}],
    ['order_id_prefix', 'a b', {}],
    ['search', '', {}],
    ['cursor', Buffer.from('oldest 1 In-1').toString('base64url'), { sort: 'newest' }],
  ])('refuses %s=%s', async (field, value, others) => {
    const { status, body } = await call(
      api,
      `/v1/orders?${new URLSearchParams({ ...others, [field]: value })}`,
    );
    expect([status, body.error.field]).toEqual([400, field]);
    expect(body.error.accepted).toBeTruthy();
  });
});

describe('the list of refunds', () => {
  test.each([
    ['status', 'PENDING'],
    ['status', 'FAILURE,MANUAL_REVIEW'],
    ['state', 'queued,failed'],
    ['attention', 'true'],
    ['overdue', 'true'],
    ['pending_days', '3'],
    ['gateway', 'SECOND'],
    ['gateway', 'MODEL,SECOND'],
    ['gateway_account_id', 'ga_model'],
    ['currency', 'KWD'],
    ['search', 'IN-'],
    ['search', 'same'],
    ['search', 'asha@shop.test'],
    ['order_id_prefix', 'web'],
    ['customer_email', 'BEN@shop.test'],
    ['unique_request_id', 'same'],
    ['gateway_refund_id', 're_same'],
    ['initiated_by', 'asha@desk.test'],
    ['initiated_by', 'API'],
    ['door', 'dashboard'],
    ['door', 'api'],
    ['batch_id', BATCHES[0]!],
    ['created_from', moments[1]!],
    ['created_before', moments[2]!],
    ['sort', 'oldest'],
    ['sort', 'due'],
  ])('%s=%s', async (name, asked) => {
    expect(expectedOf(ourRefunds, REFUND_FILTERS, { [name]: asked }).length).toBeGreaterThan(0);
    await expectRefunds({ [name]: asked }, 4);
  });

  test('any filters together, by pages of any size', async () => {
    await fc.assert(
      fc.asyncProperty(some(refundQuery), fc.constantFrom(2, 3, 50, 500), (query, limit) =>
        expectRefunds(query, limit),
      ),
      { numRuns: 200 },
    );
  });

  test('a row says how long it has been, whether it is overdue, and whose it is', async () => {
    const { body } = await call(api, '/v1/refunds?limit=500');
    for (const row of body.refunds) {
      const refund = ourRefunds.find(({ id }) => id === row.refund_id)!;
      const open = !STATES[refund.state].final;
      expect([row.pending_days, row.overdue, row.customer_email]).toEqual([
        open ? Math.floor((NOW - refund.createdAt) / DAY_MS) : null,
        open && refund.dueAt < NOW,
        refund.order.email,
      ]);
    }
  });

  test('another merchant sees its own', async () => {
    const { body } = await call(api, '/v1/refunds?limit=500', { as: 'other' });
    const theirs = refunds.filter(({ merchantId }) => merchantId === 'other');
    expect(body.refunds.map((r: { refund_id: string }) => r.refund_id).toSorted()).toEqual(
      theirs.map(({ id }) => id).toSorted(),
    );
  });

  test.each([
    ['status', 'DONE'],
    ['state', 'queued,lost'],
    ['overdue', 'yes'],
    ['pending_days', '-1'],
    ['amount_from', '5'],
    ['batch_id', 'b1'],
    ['door', 'window'],
    ['sort', 'amount'],
    ['cursor', Buffer.from('due 1 01900000-0000-7000-8000-000000000000').toString('base64url')],
  ])('refuses %s=%s', async (field, value) => {
    const { status, body } = await call(api, `/v1/refunds?${new URLSearchParams({ [field]: value })}`);
    expect([status, body.error.field]).toEqual([400, field]);
    expect(body.error.accepted).toBeTruthy();
  });
});

describe('counts', () => {
  test.each([{}, { gateway: 'SECOND' }, { currency: 'INR', gateway: 'MODEL,SECOND' }])(
    'within %o',
    async (query: Query) => {
      const { body } = await call(api, `/v1/refunds/counts?${new URLSearchParams(query)}`);
      const expected = expectedOf(ourRefunds, REFUND_FILTERS, query);
      for (const state of STATE_NAMES) {
        expect([state, body.states[state]]).toEqual([
          state,
          expected.filter((r) => r.state === state).length,
        ]);
      }
      expect(body.overdue).toBe(expected.filter(REFUND_FILTERS['overdue']!('true', '')).length);
      expect(body.attention).toBe(expected.filter(REFUND_FILTERS['attention']!('true', '')).length);
    },
  );

  test('of some days', async () => {
    const query = { created_from: moments[3]!, created_before: moments[1]! };
    const { body } = await call(api, `/v1/refunds/counts?${new URLSearchParams(query)}`);
    const expected = expectedOf(ourRefunds, REFUND_FILTERS, query);
    expect(Object.values<number>(body.statuses).reduce((sum, n) => sum + n, 0)).toBe(expected.length);
  });
});

describe('search', () => {
  const search = async (q: string, as = 'acme') =>
    (await call(api, `/v1/search?${new URLSearchParams({ q })}`, { as })).body.hits;

  test('finds whatever was pasted whole, first and marked', async () => {
    const refund = ourRefunds.find(
      (r) => r.arn !== null && r.gatewayRefundId !== null && r.gatewayRefundId !== 're_same',
    )!;
    const { order } = refund;
    for (const [q, kind, matched] of [
      [order.id.toUpperCase(), 'order', 'order id'],
      [order.txnId!, 'transaction', 'transaction id'],
      [order.paymentId!, 'transaction', 'gateway payment id'],
      [refund.id.toUpperCase(), 'refund', 'refund id'],
      [refund.gatewayRefundId!, 'refund', 'gateway refund id'],
      [refund.arn!, 'refund', 'ARN'],
    ] as const) {
      const [hit] = await search(q);
      expect(hit).toMatchObject({
        kind,
        matched,
        exact: true,
        order_id: order.id,
        customer_email: order.email,
      });
      expect(hit.value.toLowerCase()).toBe(q.toLowerCase());
      expect((await search(q, 'other')).filter((one: { exact: boolean }) => one.exact)).toEqual([]);
    }
  });

  test('finds at most eight of a kind by how their ids begin, by address and by number', async () => {
    const begun = await search('in-');
    expect(begun).toHaveLength(8);
    for (const hit of begun) expect(hit.order_id.toLowerCase().startsWith('in-')).toBe(true);
    expect((await search('asha@SHOP.test')).map((hit: { matched: string }) => hit.matched)).toContain(
      'e-mail address',
    );
    expect((await search('+91 98'))[0]).toMatchObject({
      kind: 'order',
      matched: 'phone number',
      exact: true,
    });
    expect((await search('01900000-0000')).every((hit: { kind: string }) => hit.kind === 'refund')).toBe(
      true,
    );
    expect(await search('~~')).toEqual([]);
  });

  test.each(['', ' ', 'x', 'y'.repeat(257)])('refuses %o', async (q) => {
    const { status, body } = await call(api, `/v1/search?${new URLSearchParams({ q })}`);
    expect([status, body.error.field]).toEqual([400, 'q']);
  });
});
