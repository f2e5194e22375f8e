import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrder } from '../../src/orders/create.ts';
import { updateOrder } from '../../src/orders/update.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock } from '../support/engine.ts';
import { cause, charge, expectChainsIntact } from './support.ts';

let api: TestApi;
const clock = new ManualClock();
beforeAll(async () => {
  api = await startApi({ clock });
});
afterAll(async () => {
  await expectChainsIntact(api.db);
  await api.close();
});

const tell = async (said: Record<string, unknown>) => {
  const id = said['order_id'] as string;
  const { status, body } = await call(api, '/v1/transactions', {
    json: charge({ gateway_payment_id: `pay_${id}`, ...said }),
  });
  expect([status, body.outcome]).toEqual([200, 'recorded']);
};
const idsOf = (answer: { body: { orders: { order_id: string }[] } }) =>
  answer.body.orders.map((one) => one.order_id);

const newOrder = (orderId: string, amountMinor = 1000) => ({
  merchantId: 'acme',
  orderId,
  amountMinor,
  currency: 'KWD',
  exponent: 3,
  customerId: null,
  customerEmail: null,
  customerPhone: null,
  details: {},
  metadata: {},
});

describe('one order', () => {
  it('shows amounts in decimals, its transactions, and what is left to refund', async () => {
    await tell({
      order_id: 'Show-1',
      currency: 'KWD',
      amount: '10',
      surcharge: '0.5',
      offer_discount: '1.250',
    });
    await call(api, '/orders/Show-1/refunds', { form: { unique_request_id: 'r1', amount: '2.125' } });
    const answer = await call(api, '/v1/orders/SHOW-1');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      order_id: 'Show-1',
      status: 'CHARGED',
      amount: '10.000',
      currency: 'KWD',
      charged_amount: '9.250',
      refunded_amount: '2.125',
      refundable_amount: '7.125',
      created_at: '2026-03-01T10:00:00.000Z',
      transactions: [
        {
          txn_id: 'acme-Show-1-1',
          amount: '10.000',
          surcharge: '0.500',
          offer_discount: '1.250',
          effective_amount: '9.250',
          refunded_amount: '2.125',
          gateway_payment_id: 'pay_Show-1',
          charged_at: null,
        },
      ],
    });
  });

  it('is not there for others, nor under what cannot be an order id', async () => {
    await tell({ order_id: 'Mine' });
    for (const [path, as] of [
      ['/v1/orders/Mine', 'other'],
      ['/v1/orders/Nobody', 'acme'],
      ['/v1/orders/a%20b', 'acme'],
      ['/v1/orders/%E2%84%AAelvin', 'acme'],
    ] as const) {
      const answer = await call(api, path, { as });
      expect([answer.status, answer.body.error.code]).toEqual([404, 'order_not_found']);
    }
  });
});

describe('the list', () => {
  it('goes through all orders by pages, newest first, each once, while new ones come', async () => {
    const expected: string[] = [];
    for (let n = 0; n < 25; n++) {
      // Several of one moment are told apart by their ids.
      if (n % 3 === 0) clock.pass(1_000);
      await tell({
        order_id: `Page-${String(n).padStart(2, '0')}`,
        udf1: 'page',
        customer_email: 'Page@shop.test',
      });
      expected.push(`Page-${String(n).padStart(2, '0')}`);
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const query: URLSearchParams = new URLSearchParams({ limit: '4', customer_email: 'pAGE@SHOP.test' });
      if (cursor !== null) query.set('cursor', cursor);
      const answer = await call(api, `/v1/orders?${query}`);
      seen.push(...idsOf(answer));
      cursor = answer.body.next_cursor;
      clock.pass(1_000);
      await tell({ order_id: `Late-${++pages}` });
    } while (cursor !== null);
    expect(pages).toBe(7);
    expect(seen.toSorted()).toEqual(expected);
    const moments = seen.map((id) => Math.floor(Number(id.slice(5)) / 3));
    expect(moments).toEqual(moments.toSorted((a, b) => b - a));
  });

  it('filters by status, time, id and phone, all at once', async () => {
    clock.pass(86_400_000);
    const from = clock.now().toISOString();
    await tell({ order_id: 'F-1', customer_phone: '+91 123', status: 'STARTED' });
    clock.pass(60_000);
    const between = clock.now().toISOString();
    await tell({ order_id: 'F-2', customer_phone: '+91 123', status: 'CHARGED' });
    await createOrder(api.db, clock, newOrder('F-3'), cause);
    const list = async (query: Record<string, string>) =>
      idsOf(await call(api, `/v1/orders?${new URLSearchParams(query)}`));
    expect(await list({ created_from: from })).toEqual(['F-2', 'F-3', 'F-1']);
    expect(await list({ created_from: from, created_before: between })).toEqual(['F-1']);
    expect(await list({ customer_phone: '+91 123' })).toEqual(['F-2', 'F-1']);
    expect(await list({ customer_phone: '+91 123', status: 'CHARGED' })).toEqual(['F-2']);
    expect(await list({ status: 'NEW' })).toEqual(['F-3']);
    expect(await list({ order_id: 'f-3' })).toEqual(['F-3']);
    expect(idsOf(await call(api, '/v1/orders?order_id=f-3', { as: 'other' }))).toEqual([]);
  });

  it.each([
    ['limit', '0'],
    ['limit', '501'],
    ['limit', 'many'],
    ['cursor', 'nonsense'],
    ['cursor', Buffer.from('99999999999999999 x').toString('base64url')],
    ['created_from', 'yesterday'],
    ['colour', 'blue'],
  ])('refuses %s=%s by name', async (field, value) => {
    const answer = await call(api, `/v1/orders?${new URLSearchParams({ [field]: value })}`);
    expect([answer.status, answer.body.error.field]).toEqual([400, field]);
  });
});

describe('creating and updating', () => {
  it('creates once, however often and however many at once', async () => {
    const made = await Promise.all(
      Array.from({ length: 20 }, () => createOrder(api.db, clock, newOrder('C-1'), cause)),
    );
    expect(made.filter((one) => one.ok && !one.existed)).toHaveLength(1);
    expect(made.every((one) => one.ok)).toBe(true);
    const refusals = [
      await createOrder(api.db, clock, newOrder('C-1', 1001), cause),
      await createOrder(api.db, clock, { ...newOrder('C-1'), currency: 'OMR' }, cause),
      await createOrder(api.db, clock, newOrder('c-1'), cause),
    ];
    expect(refusals.map((one) => !one.ok && one.refusal)).toEqual([
      'exists_with_other_amount',
      'exists_with_other_currency',
      'id_differs_only_by_case',
    ]);
  });

  it('changes the amount of a NEW order only', async () => {
    await createOrder(api.db, clock, { ...newOrder('U-1'), details: { udf1: 'a', udf2: 'b' } }, cause);
    const update = (changes: Parameters<typeof updateOrder>[4]) =>
      updateOrder(api.db, clock, 'acme', 'u-1', changes, cause);
    expect(
      await update({ amountMinor: 2000, details: { udf2: 'c' }, customerEmail: 'a@shop.test' }),
    ).toMatchObject({
      ok: true,
      order: {
        amountMinor: 2000,
        details: { udf1: 'a', udf2: 'c' },
        customerEmail: 'a@shop.test',
        eventSeq: 2,
      },
    });
    await tell({ order_id: 'U-1', amount: '2.000', currency: 'KWD' });
    expect(await update({ amountMinor: 3000 })).toEqual({ ok: false, refusal: 'amount_is_final' });
    expect(await update({ amountMinor: 2000, details: { udf3: 'd' } })).toMatchObject({ ok: true });
    expect(await updateOrder(api.db, clock, 'other', 'U-1', {}, cause)).toEqual({
      ok: false,
      refusal: 'order_not_found',
    });
    const events = await api.db.query<{ body: object }>(
      `select body from events where order_id = 'U-1' and body ->> 'kind' = 'order.updated' order by seq`,
    );
    expect(events[0]!.body).toMatchObject({
      evidence: { changed: ['amountMinor', 'customerEmail', 'udf2'] },
    });
    expect(JSON.stringify(events)).not.toContain('a@shop.test');
  });
});
