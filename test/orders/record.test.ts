import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/lib/db.ts';
import { createOrder } from '../../src/orders/create.ts';
import { recordTransactions } from '../../src/orders/import.ts';
import { readOrder, readOrderByTxn } from '../../src/orders/store.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, refundRequest } from '../support/engine.ts';
import { cause, charge, expectChainsIntact, words } from './support.ts';

let fresh: FreshDatabase;
let db: Database;
const clock = new ManualClock();
let merchants = 0;

beforeAll(async () => {
  fresh = await freshDatabase({ maxConnections: 12 });
  db = fresh.db;
});
afterAll(async () => {
  await expectChainsIntact(db);
  await fresh.drop();
});

/** A merchant of the test's own, and what it tells. */
async function newMerchant() {
  const merchantId = `m${++merchants}`;
  const { accountId } = await merchantWithAccount(db, { merchantId });
  const tell = (...items: unknown[]) => recordTransactions(db, clock, merchantId, items, cause);
  return { merchantId, accountId, tell };
}

describe('what is told for the first time', () => {
  it('makes the order and its transaction, all fields of both', async () => {
    const { merchantId, accountId, tell } = await newMerchant();
    const outcomes = await tell(
      charge({
        order_id: 'ORD-1',
        amount: '100',
        surcharge: '2.50',
        offer_discount: '10.00',
        gateway_account: 'test',
        payment_method_type: 'CARD',
        payment_method: 'VISA',
        charged_at: '2026-02-27T23:30:00+05:30',
        customer_id: 'c-1',
        customer_email: 'asha@shop.test',
        customer_phone: '+91 98765 43210',
        udf1: 'blue',
        udf10: 'green',
        metadata: { webhook_url: 'https://shop.test/hook', weight: 2 },
      }),
    );
    expect(outcomes).toEqual([{ outcome: 'recorded', orderId: 'ORD-1', txnId: `${merchantId}-ORD-1-1` }]);
    const found = await readOrder(db, merchantId, 'ord-1');
    expect(found!.order).toMatchObject({
      orderId: 'ORD-1',
      status: 'CHARGED',
      amountMinor: 10000,
      currency: 'INR',
      exponent: 2,
      customerId: 'c-1',
      customerEmail: 'asha@shop.test',
      customerPhone: '+91 98765 43210',
      details: { udf1: 'blue', udf10: 'green' },
      metadata: { webhook_url: 'https://shop.test/hook', weight: 2 },
      createdAt: new Date('2026-02-27T18:00:00Z'),
      eventSeq: 2,
    });
    expect(found!.transactions).toMatchObject([
      {
        txnId: `${merchantId}-ORD-1-1`,
        status: 'CHARGED',
        amountMinor: 10000,
        surchargeMinor: 250,
        offerMinor: 1000,
        effectiveMinor: 9250,
        reservedMinor: 0,
        gateway: 'MODEL',
        gatewayAccountId: accountId,
        gatewayPaymentId: 'pay_1',
        paymentMethodType: 'CARD',
        paymentMethod: 'VISA',
        chargedAt: new Date('2026-02-27T18:00:00Z'),
      },
    ]);
    expect(await readOrderByTxn(db, merchantId, `${merchantId}-ORD-1-1`)).toEqual(found);
  });

  it.each([
    ['JPY', '1500', 1500, 0],
    ['KWD', '1.005', 1005, 3],
    ['INR', '9999999999999.99', 999999999999999, 2],
  ])('reads %s %s in the currency’s own decimals', async (currency, amount, amountMinor, exponent) => {
    const { merchantId, tell } = await newMerchant();
    expect(words(await tell(charge({ currency, amount })))).toEqual(['recorded']);
    expect((await readOrder(db, merchantId, 'ORD-1'))!.order).toMatchObject({ amountMinor, exponent });
  });

  it('follows an order that was created before', async () => {
    const { merchantId, tell } = await newMerchant();
    const order = { merchantId, orderId: 'Ord', amountMinor: 10000, currency: 'INR', exponent: 2 };
    const nobody = { customerId: null, customerEmail: null, customerPhone: null };
    await createOrder(
      db,
      clock,
      { ...order, ...nobody, details: { description: 'Shoes' }, metadata: {} },
      cause,
    );
    expect(words(await tell(charge({ order_id: 'Ord', udf1: 'x' })))).toEqual(['recorded']);
    expect((await readOrder(db, merchantId, 'Ord'))!.order).toMatchObject({
      status: 'CHARGED',
      details: { description: 'Shoes', udf1: 'x' },
    });
  });
});

describe('what is told again', () => {
  it('changes nothing and writes no event', async () => {
    const { merchantId, tell } = await newMerchant();
    const told = charge({
      surcharge: '1',
      charged_at: '2026-02-01T00:00:00Z',
      udf1: 'x',
      metadata: { a: [1, 2] },
    });
    const lists = [await tell(told), await tell(told), await tell(told, told), await tell(charge())];
    expect(lists.flatMap(words)).toEqual(['recorded', 'unchanged', 'unchanged', 'unchanged', 'unchanged']);
    expect((await readOrder(db, merchantId, 'ORD-1'))!.order.eventSeq).toBe(2);
  });

  it('may advance a payment to its end, and the order with it', async () => {
    const { merchantId, tell } = await newMerchant();
    const outcomes = await tell(
      charge({ status: 'STARTED' }),
      charge({ status: 'PENDING_VBV', surcharge: '5.00', payment_method: 'VISA' }),
      charge({ status: 'CHARGED', surcharge: '6.00', payment_method: 'MASTERCARD' }),
    );
    expect(words(outcomes)).toEqual(['recorded', 'recorded', 'recorded']);
    const { order, transactions } = (await readOrder(db, merchantId, 'ORD-1'))!;
    expect(order.status).toBe('CHARGED');
    expect(transactions).toMatchObject([
      { status: 'CHARGED', effectiveMinor: 10600, paymentMethod: 'MASTERCARD' },
    ]);
  });

  it('fills in what was not told before, and what may change', async () => {
    const { merchantId, tell } = await newMerchant();
    await tell(charge({ customer_email: 'old@shop.test', udf1: 'a', metadata: { a: 1, b: { c: 1 } } }));
    const more = charge({
      payment_method_type: 'UPI',
      charged_at: '2026-02-01T00:00:00Z',
      customer_email: 'new@shop.test',
      udf2: 'b',
      metadata: { b: { d: 2 } },
    });
    expect(words(await tell(more, more))).toEqual(['recorded', 'unchanged']);
    const { order, transactions } = (await readOrder(db, merchantId, 'ORD-1'))!;
    expect(order).toMatchObject({ customerEmail: 'new@shop.test', details: { udf1: 'a', udf2: 'b' } });
    expect(order.metadata).toEqual({ a: 1, b: { d: 2 } });
    expect(transactions[0]).toMatchObject({
      paymentMethodType: 'UPI',
      chargedAt: new Date('2026-02-01T00:00:00Z'),
    });
  });

  it('adds a payment after one that failed', async () => {
    const { merchantId, tell } = await newMerchant();
    const outcomes = await tell(
      charge({ gateway_payment_id: 'pay_1', status: 'AUTHORIZATION_FAILED' }),
      charge({ gateway_payment_id: 'pay_2', status: 'CHARGED' }),
      charge({ gateway_payment_id: 'pay_1', status: 'AUTHORIZATION_FAILED' }),
    );
    expect(words(outcomes)).toEqual(['recorded', 'recorded', 'unchanged']);
    const { order, transactions } = (await readOrder(db, merchantId, 'ORD-1'))!;
    expect(order.status).toBe('CHARGED');
    expect(transactions.map(({ txnId, status }) => [txnId, status])).toEqual([
      [`${merchantId}-ORD-1-1`, 'AUTHORIZATION_FAILED'],
      [`${merchantId}-ORD-1-2`, 'CHARGED'],
    ]);
  });

  it('shows the status of the newest payment until one is charged', async () => {
    const { merchantId, tell } = await newMerchant();
    await tell(
      charge({ gateway_payment_id: 'pay_1', status: 'PENDING_VBV' }),
      charge({ gateway_payment_id: 'pay_2', status: 'STARTED' }),
      charge({ gateway_payment_id: 'pay_1', status: 'AUTHENTICATION_FAILED' }),
    );
    expect((await readOrder(db, merchantId, 'ORD-1'))!.order.status).toBe('STARTED');
  });
});

describe('what contradicts what is known', () => {
  const known = charge({
    surcharge: '2.00',
    offer_discount: '1.00',
    payment_method_type: 'CARD',
    payment_method: 'VISA',
    charged_at: '2026-02-01T00:00:00Z',
  });

  it.each([
    ['amount', '100.01', '100.00'],
    ['currency', 'USD', 'INR'],
    ['status', 'VOIDED', 'CHARGED'],
    ['gateway', 'STRIPE', 'MODEL'],
    ['gateway_payment_id', 'pay_2', 'pay_1'],
    ['surcharge', '2.01', '2.00'],
    ['offer_discount', '0', '1.00'],
    ['payment_method_type', 'UPI', 'CARD'],
    ['payment_method', 'MASTERCARD', 'VISA'],
    ['charged_at', '2026-02-01T00:00:01Z', '2026-02-01T00:00:00.000Z'],
    ['order_id', 'ord-1', 'ORD-1'],
  ])('is refused by the name of the field: %s', async (field, value, accepted) => {
    const { merchantId, tell } = await newMerchant();
    await tell(known);
    const before = await readOrder(db, merchantId, 'ORD-1');
    const [outcome] = await tell(charge({ ...known, [field]: value }));
    expect(outcome).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'contradiction', field, value, accepted },
    });
    expect(await readOrder(db, merchantId, 'ORD-1')).toEqual(before);
  });

  it('another account of the gateway is one of them', async () => {
    const { merchantId, tell } = await newMerchant();
    await tell(charge());
    await db.query(
      `insert into gateway_accounts (merchant_id, gateway_account_id, gateway, name, base_url, sealed_credentials,
         shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
       select merchant_id, 'ga_second_' || merchant_id, gateway, 'second', base_url, sealed_credentials,
         shown_credentials, max_concurrent, max_per_second, created_at, updated_at
       from gateway_accounts where merchant_id = $1`,
      [merchantId],
    );
    await db.query(
      `insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
       values ($1, 'ga_second_' || $1, 1, $2)`,
      [merchantId, clock.now()],
    );
    const outcomes = await tell(
      charge({ gateway_account: 'second' }),
      charge(),
      charge({ order_id: 'ORD-2' }),
      charge({ order_id: 'ORD-3', gateway_account: 'third' }),
      charge({ order_id: 'ORD-4', gateway_account: 'second' }),
    );
    expect(words(outcomes)).toEqual([
      'refused: gateway_account',
      'unchanged',
      'refused: gateway_account',
      'refused: gateway_account',
      // The same id at another account is another payment.
      'recorded',
    ]);
    expect(outcomes[0]).toMatchObject({ refusal: { accepted: 'test' } });
    expect(outcomes[2]).toMatchObject({ refusal: { accepted: 'test, second' } });
  });

  it('a payment of another order is one of them, in the same list too', async () => {
    const { merchantId, tell } = await newMerchant();
    const list = [
      charge(),
      charge({ order_id: 'ORD-2' }),
      charge({ order_id: 'ORD-3', gateway_payment_id: 'pay_3' }),
    ];
    expect(words(await tell(...list))).toEqual(['recorded', 'refused: gateway_payment_id', 'recorded']);
    expect(words(await tell(charge({ order_id: 'ORD-4' })))).toEqual(['refused: gateway_payment_id']);
    expect(await readOrder(db, merchantId, 'ORD-2')).toBeNull();
    const other = await newMerchant();
    expect(words(await other.tell(charge()))).toEqual(['recorded']);
  });

  it('a second charge by a payment that was pending is one of them', async () => {
    const { tell } = await newMerchant();
    const outcomes = await tell(
      charge({ gateway_payment_id: 'pay_1', status: 'PENDING_VBV' }),
      charge({ gateway_payment_id: 'pay_2', status: 'CHARGED' }),
      charge({ gateway_payment_id: 'pay_1', status: 'CHARGED' }),
      charge({ gateway_payment_id: 'pay_1', status: 'AUTHORIZATION_FAILED' }),
      charge({ gateway_payment_id: 'pay_3', status: 'AUTHORIZATION_FAILED' }),
    );
    expect(words(outcomes)).toEqual([
      'recorded',
      'recorded',
      'refused: gateway_payment_id',
      'recorded',
      'refused: gateway_payment_id',
    ]);
  });

  it('money that went back is one of them', async () => {
    const { tell } = await newMerchant();
    const outcomes = await tell(charge({ status: 'AUTO_REFUNDED' }), charge({ status: 'CHARGED' }));
    expect(words(outcomes)).toEqual(['recorded', 'refused: status']);
  });

  it('an offer that leaves nothing to have been paid is one of them', async () => {
    const { tell } = await newMerchant();
    const outcomes = await tell(
      charge({ offer_discount: '100.00' }),
      charge({ status: 'STARTED', surcharge: '5.00', offer_discount: '104.99' }),
      charge({ status: 'STARTED', surcharge: '4.99' }),
    );
    expect(words(outcomes)).toEqual(['refused: offer_discount', 'recorded', 'refused: offer_discount']);
  });
});

describe('what cannot be read', () => {
  it.each([
    ['amount', '1.005', 'INR'],
    ['amount', '1.5', 'JPY'],
    ['amount', '0', 'INR'],
    ['amount', '-1', 'INR'],
    ['amount', '1e3', 'INR'],
    ['amount', '1,000', 'INR'],
    ['amount', '', 'INR'],
    ['amount', 12.5, 'INR'],
    ['amount', '10000000000000', 'INR'],
    ['amount', '9'.repeat(1_000_000), 'INR'],
    ['currency', 'XXX1', 'XXX1'],
    ['currency', 'ZZZ', 'ZZZ'],
    ['currency', 'XXX', 'XXX'],
    ['currency', 'inr', 'inr'],
    ['status', 'NEW', 'INR'],
    ['status', 'charged', 'INR'],
    ['order_id', 'two words', 'INR'],
    ['order_id', 'x'.repeat(129), 'INR'],
    ['order_id', 'K\u212A', 'INR'],
    ['gateway', 'model', 'INR'],
    ['gateway_payment_id', 'a\0b', 'INR'],
    ['surcharge', '', 'INR'],
    ['surcharge', '-1', 'INR'],
    ['charged_at', 'yesterday', 'INR'],
    ['charged_at', '2026-02-30T00:00:00Z', 'INR'],
    ['charged_at', '2026-02-01', 'INR'],
    ['charged_at', '2036-01-01T00:00:00Z', 'INR'],
    ['charged_at', '0001-01-01T00:00:00Z', 'INR'],
    ['customer_phone', '4111 1111 1111 1111', 'INR'],
    ['customer_email', 'a\0@b', 'INR'],
    ['udf3', 'half \ud800', 'INR'],
    ['udf3', 'x'.repeat(1025), 'INR'],
    ['udf3', 7, 'INR'],
    ['metadata', '[]', 'INR'],
    ['metadata', { deep: 'NUL \0' }, 'INR'],
    ['metadata', { much: 'x'.repeat(20_000) }, 'INR'],
  ])('names the field, the value and what would do: %s %j', async (field, value, currency) => {
    const { merchantId, tell } = await newMerchant();
    const [outcome] = await tell(charge({ currency, [field]: value }));
    expect(outcome).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'invalid_value', field, value: expect.any(String), accepted: expect.any(String) },
    });
    expect(JSON.stringify(outcome).length).toBeLessThan(1000);
    expect(await db.query('select 1 from orders where merchant_id = $1', [merchantId])).toEqual([]);
  });

  it.each(['XXX', 'XTS', 'XAU'])('says that nobody pays in %s', async (currency) => {
    const { tell } = await newMerchant();
    expect(await tell(charge({ currency }))).toMatchObject([
      { refusal: { field: 'currency', message: `${currency} is no currency that can be refunded.` } },
    ]);
  });

  it.each(['order_id', 'amount', 'currency', 'status', 'gateway', 'gateway_payment_id'])(
    'says that %s is missing',
    async (field) => {
      const { tell } = await newMerchant();
      for (const nothing of [undefined, null]) {
        expect(await tell(charge({ [field]: nothing }))).toMatchObject([
          { refusal: { code: 'missing_field', field, accepted: expect.any(String) } },
        ]);
      }
    },
  );

  it('refuses fields it does not know, gateways it has no account of, and what is no object', async () => {
    const { tell } = await newMerchant();
    expect(
      await tell(charge({ surchage: '1' }), charge({ gateway: 'STRIPE' }), null, [], 'x', 7),
    ).toMatchObject([
      {
        refusal: { code: 'unknown_field', field: 'surchage', accepted: expect.stringContaining('surcharge') },
      },
      { refusal: { code: 'unknown_gateway_account', field: 'gateway', value: 'STRIPE', accepted: 'MODEL' } },
      ...Array.from({ length: 4 }, () => ({ refusal: { code: 'not_an_object' } })),
    ]);
  });

  it('never takes a card number, nor says it back (invariant 9)', async () => {
    const { merchantId, tell } = await newMerchant();
    const pan = '4111111111111111';
    const outcomes = await tell(
      charge({ udf1: `card ${pan}` }),
      charge({ udf2: '4111 1111 1111 1111' }),
      charge({ payment_method: '3782-822463-10005' }),
      charge({ customer_email: `${pan}@shop.test` }),
      charge({ metadata: { note: { card: pan } } }),
      charge({ metadata: { card: Number(pan) } }),
      charge({ amount: pan.replace('.', '') }),
      charge({ [pan]: 'x' }),
    );
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 8 }, () => 'refused'));
    expect(words(outcomes.slice(0, 6))).toEqual(
      ['udf1', 'udf2', 'payment_method', 'customer_email', 'metadata', 'metadata'].map(
        (name) => `refused: ${name}`,
      ),
    );
    expect(JSON.stringify(outcomes)).not.toContain(pan);
    expect(await readOrder(db, merchantId, 'ORD-1')).toBeNull();
  });

  it('refuses one without touching its neighbours', async () => {
    const { tell } = await newMerchant();
    const list = Array.from({ length: 30 }, (_, index) =>
      charge({
        order_id: `ORD-${index}`,
        gateway_payment_id: `pay_${index}`,
        ...(index % 3 === 0 ? { amount: 'much' } : {}),
      }),
    );
    expect(words(await tell(...list))).toEqual(
      list.map((_, index) => (index % 3 === 0 ? 'refused: amount' : 'recorded')),
    );
  });
});

describe('at the same time', () => {
  it('imports of the same payments agree, in whatever order, with orders and refunds made beside them', async () => {
    const { merchantId, tell } = await newMerchant();
    const list = Array.from({ length: 120 }, (_, index) =>
      charge({ order_id: `ORD-${index}`, gateway_payment_id: `pay_${index}` }),
    );
    const slices = (items: readonly unknown[]) =>
      Array.from({ length: 6 }, (_, slice) => items.slice(slice * 20, slice * 20 + 20));
    const importAll = async (items: readonly unknown[]) => {
      const outcomes = [];
      for (const slice of slices(items)) outcomes.push(...(await tell(...slice)));
      return words(outcomes);
    };
    const createAll = async () => {
      for (let index = 119; index >= 0; index -= 3) {
        const order = {
          merchantId,
          orderId: `ORD-${index}`,
          amountMinor: 10000,
          currency: 'INR',
          exponent: 2,
        };
        const nobody = { customerId: null, customerEmail: null, customerPhone: null };
        const created = await createOrder(
          db,
          clock,
          { ...order, ...nobody, details: {}, metadata: {} },
          cause,
        );
        expect(created.ok).toBe(true);
      }
    };
    const refundAll = async () => {
      for (let round = 0; round < 6; round++) {
        const requests = Array.from({ length: 20 }, (_, index) =>
          refundRequest({
            merchantId,
            orderId: `ORD-${(index * 7 + round) % 120}`,
            uniqueRequestId: `r-${round}-${index}`,
            amount: '1.00',
          }),
        );
        await recordRefunds(engineDeps(db, { clock }), requests);
      }
    };
    const [first, second, third] = await Promise.all([
      importAll(list),
      importAll(list.toReversed()),
      importAll(list.toSorted(() => 0.5 - Math.random())),
      createAll(),
      refundAll(),
      refundAll(),
    ]);
    const all = [...first!, ...second!, ...third!];
    expect(all.filter((word) => word === 'recorded')).toHaveLength(120);
    expect(all.filter((word) => word === 'unchanged')).toHaveLength(240);
    const [count] = await db.query('select count(*) as n from transactions where merchant_id = $1', [
      merchantId,
    ]);
    expect(count).toEqual({ n: 120 });
  });

  it('one payment told for many orders is taken for one of them', async () => {
    const { merchantId, tell } = await newMerchant();
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) => tell(charge({ order_id: `ORD-${index}` }))),
    );
    expect(words(outcomes.flat()).toSorted()).toEqual(
      ['recorded', ...Array.from({ length: 19 }, () => 'refused: gateway_payment_id')].toSorted(),
    );
    const [count] = await db.query('select count(*) as n from orders where merchant_id = $1', [merchantId]);
    expect(count).toEqual({ n: 1 });
  });
});

describe('whatever is told', () => {
  const item = fc.record({
    order_id: fc.constantFrom('A', 'B', 'a'),
    amount: fc.constantFrom('100.00', '100', '50.00'),
    currency: fc.constantFrom('INR', 'INR', 'USD'),
    status: fc.constantFrom('STARTED', 'CHARGED', 'AUTHORIZATION_FAILED', 'VOIDED'),
    gateway: fc.constant('MODEL'),
    gateway_payment_id: fc.constantFrom('p1', 'p2', 'p3'),
    surcharge: fc.constantFrom(undefined, '0', '5.00'),
    offer_discount: fc.constantFrom(undefined, '104.00'),
    udf1: fc.constantFrom(undefined, 'x', 'y'),
  });

  it('a list says what its items say one by one, and the books stay true', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 14 }), async (list) => {
        const together = await newMerchant();
        const apart = await newMerchant();
        const outcomes = words(await together.tell(...list));
        const oneByOne = [];
        for (const one of list) oneByOne.push(...words(await apart.tell(one)));
        expect(outcomes).toEqual(oneByOne);

        const { merchantId } = together;
        const orders = await db.query<{ order_id: string; event_seq: number }>(
          'select order_id, event_seq from orders where merchant_id = $1',
          [merchantId],
        );
        const recorded = outcomes.filter((word) => word === 'recorded').length;
        expect(orders.reduce((sum, order) => sum + order.event_seq, 0)).toBe(recorded + orders.length);
        const paid = await db.query<{ order_id: string; gateway_payment_id: string; status: string }>(
          'select order_id, gateway_payment_id, status from transactions where merchant_id = $1',
          [merchantId],
        );
        expect(new Set(paid.map((one) => one.gateway_payment_id)).size).toBe(paid.length);
        for (const { order_id } of orders) {
          const ofOrder = paid.filter((one) => one.order_id === order_id);
          const charges = ofOrder.filter((one) => one.status === 'CHARGED').length;
          const status = (await readOrder(db, merchantId, order_id))!.order.status;
          expect(charges).toBeLessThanOrEqual(1);
          expect(status === 'CHARGED').toBe(charges === 1);
        }

        // The last telling of each payment that was taken is known now.
        const last = new Map<string, unknown>();
        for (const [index, one] of list.entries()) {
          if (!outcomes[index]!.startsWith('refused')) last.set(one.gateway_payment_id, one);
        }
        const again = words(await together.tell(...last.values()));
        const own = list.some((one) => one.udf1 !== undefined) ? ['unchanged', 'recorded'] : ['unchanged'];
        for (const word of again) expect(own).toContain(word);
      }),
      { numRuns: 40 },
    );
  });

  it('no input makes the verb throw, and neighbours are recorded', async () => {
    const field = fc.constantFrom(
      ...Object.keys(charge()),
      'surcharge',
      'charged_at',
      'udf1',
      'metadata',
      'customer_phone',
    );
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme-composite' }),
      fc.jsonValue(),
      fc.double(),
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    );
    const { tell } = await newMerchant();
    let orders = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(field, value), { maxLength: 4 }), async (changes) => {
        const id = `N-${++orders}`;
        const odd = charge({
          order_id: `odd-${id}`,
          gateway_payment_id: `odd-${id}`,
          ...Object.fromEntries(changes),
        });
        const outcomes = await tell(charge({ order_id: id, gateway_payment_id: id }), odd);
        expect(outcomes[0]).toMatchObject({ outcome: 'recorded' });
        if (outcomes[1]!.outcome === 'refused') expect(outcomes[1]!.refusal.message).toMatch(/\.$/);
      }),
      { numRuns: 300 },
    );
  });
});
