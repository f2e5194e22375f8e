import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Call, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { modelGateway } from './model-gateway.ts';

let api: TestApi;
const clock = new ManualClock(new Date('2026-03-01T10:00:00.700Z'));
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway] });
});
afterAll(() => api.close());

const create = (form: Record<string, string>, options: Call = {}) =>
  call(api, '/orders', { form, ...options });

describe('creating an order (section 5.1)', () => {
  test('answers the order object, NEW', async () => {
    const answer = await create({
      order_id: 'C1',
      amount: '100.5',
      currency: 'INR',
      customer_id: 'c 1',
      customer_email: 'asha@shop.test',
      customer_phone: '9876543210',
      return_url: 'https://shop.test/r?x=1',
      product_id: 'p1',
      description: 'Two shirts',
      udf1: 'north',
      udf10: 'ten',
      'metadata.JUSPAY:gateway_reference_id': 'g1',
      'metadata.webhook_url': 'https://shop.test/hook',
    });
    expect(answer.status).toBe(200);
    const id = answer.body.id;
    expect(id).toMatch(/^ordeh_[0-9a-f]{32}$/);
    const link = `https://refunds.shop.test/payment-page/order/${id}`;
    expect(answer.body).toEqual({
      id,
      order_id: 'C1',
      merchant_id: 'acme',
      status: 'NEW',
      status_id: 10,
      amount: 100.5,
      currency: 'INR',
      date_created: '2026-03-01T10:00:00Z',
      last_updated: '2026-03-01T10:00:00Z',
      customer_id: 'c 1',
      customer_email: 'asha@shop.test',
      customer_phone: '9876543210',
      return_url: 'https://shop.test/r?x=1',
      product_id: 'p1',
      description: 'Two shirts',
      ...{ udf1: 'north', udf2: '', udf3: '', udf4: '', udf5: '', udf6: '', udf7: '', udf8: '', udf9: '' },
      udf10: 'ten',
      payment_links: { web: link, mobile: link, iframe: link },
      metadata: { 'JUSPAY:gateway_reference_id': 'g1', webhook_url: 'https://shop.test/hook' },
      offers: [],
      rewards_breakup: null,
      refunded: false,
      amount_refunded: 0,
      effective_amount: 100.5,
      maximum_eligible_refund_amount: 100.5,
    });
  });

  test('the old address and version of 2016 answer CREATED in five keys', async () => {
    const answer = await call(api, '/order/create', {
      form: { order_id: 'C2', amount: '100.0' },
      headers: { version: '2016-10-27' },
    });
    expect(answer.status).toBe(200);
    const link = `https://refunds.shop.test/payment-page/order/${answer.body.id}`;
    expect(answer.body).toEqual({
      status: 'CREATED',
      status_id: 1,
      id: answer.body.id,
      order_id: 'C2',
      payment_links: { web: link, mobile: link, iframe: link },
    });
    const old = await call(api, '/orders/C2', { headers: { version: '2016-10-27' } });
    expect(old.body).toMatchObject({ status: 'CREATED', status_id: 1, order_id: 'C2' });
    for (const version of ['2018-10-25', '2023-06-30', 'latest', '']) {
      const answered = await call(api, '/orders/C2', { headers: { version } });
      expect(answered.body).toMatchObject({ status: 'NEW', status_id: 10 });
    }
  });

  test.each([
    ['JSON with a number', { json: { order_id: 'E1', amount: 10.1 } }],
    ['JSON with text', { json: { order_id: 'E2', amount: '10.10', metadata: { a: { b: [1, 2.5] } } } }],
  ])('%s', async (_, options) => {
    const answer = await call(api, '/orders', options);
    expect(answer.body).toMatchObject({
      amount: 10.1,
      currency: 'INR',
      ...('metadata' in options.json && { metadata: { a: { b: [1, 2.5] } } }),
    });
  });

  test.each([
    ['order_id', {}, 'Missing field or Invalid Value'],
    ['order_id', { order_id: 'undefined', amount: '1' }, 'Missing field or Invalid Value'],
    ['amount', { order_id: 'F1' }, 'Missing field or Invalid Value'],
    ['amount', { order_id: 'F1', amount: '' }, 'Missing field or Invalid Value'],
    ['amount', { order_id: 'F1', amount: '0' }, /^Invalid amount/],
    ['amount', { order_id: 'F1', amount: '1.001' }, /2 decimals for INR/],
    ['amount', { order_id: 'F1', amount: '1.5', currency: 'JPY' }, /without decimals for JPY/],
    ['amount', { order_id: 'F1', amount: '9'.repeat(20) }, /at most 9999999999999.99/],
    ['currency', { order_id: 'F1', amount: '1', currency: 'XYZ' }, /ISO 4217/],
    ['currency', { order_id: 'F1', amount: '1', currency: 'inr' }, /ISO 4217/],
    [
      'currency',
      { order_id: 'F1', amount: '1', currency: 'XTS' },
      /^XTS is no currency that can be refunded$/,
    ],
    ['order_id', { order_id: 'two words', amount: '1' }, /visible ASCII/],
    ['order_id', { order_id: 'F'.repeat(129), amount: '1' }, /128/],
    ['udf3', { order_id: 'F1', amount: '1', udf3: '4111111111111111' }, /card number/],
    ['udf3', { order_id: 'F1', amount: '1', udf3: 'x'.repeat(5_000) }, /4096/],
    [
      'metadata.webhook_url',
      { order_id: 'F1', amount: '1', 'metadata.webhook_url': 'javascript:alert(1)' },
      /http/,
    ],
    ['metadata.webhook_url', { order_id: 'F1', amount: '1', 'metadata.webhook_url': 'not a url' }, /http/],
  ])('what cannot be used is refused, naming %s', async (name, form, reason) => {
    const answer = await create(form as Record<string, string>);
    expect(answer.status).toBe(400);
    expect(answer.body).toEqual({
      error_message: 'Bad Request.',
      status: 'Bad Request',
      error_code: 'INVALID_REQUEST',
      error_info: {
        category: 'USER_ERROR',
        request_id: answer.headers.get('x-request-id'),
        code: 'INVALID_INPUT',
        developer_message: 'Invalid input data',
        user_message: 'Invalid input data',
        fields: [{ field_name: name, reason: expect.stringMatching(reason) }],
      },
    });
    expect((await call(api, '/orders/F1')).body.status).toBe('NOT_FOUND');
  });

  test('what the Node SDK makes of missing values is not there', async () => {
    const answer = await create({
      order_id: 'N1',
      amount: '1',
      currency: 'undefined',
      udf1: 'undefined',
      udf2: 'null',
      customer_id: 'null',
      metadata: '[object Object]',
    });
    expect(answer.body).toMatchObject({
      currency: 'INR',
      udf1: '',
      udf2: '',
      customer_id: null,
      metadata: {},
    });
  });

  test('the same again answers the order that is there; another amount, currency or spelling is refused', async () => {
    const first = await create({ order_id: 'D1', amount: '5.00' });
    expect((await create({ order_id: 'D1', amount: '5' })).body).toEqual(first.body);
    for (const form of [
      { order_id: 'D1', amount: '6' },
      { order_id: 'D1', amount: '5', currency: 'USD' },
      { order_id: 'd1', amount: '5' },
    ]) {
      const answer = await create(form);
      expect([answer.status, answer.body.error_info.code]).toEqual([400, 'ALREADY_EXISTS']);
    }
    const same = await create({ order_id: 'D1', amount: '7' }, { as: 'other' });
    expect(same.body).toMatchObject({ merchant_id: 'other', amount: 7 });
  });
});

describe('changing an order', () => {
  test('replaces what is given and keeps the rest', async () => {
    await create({ order_id: 'U1', amount: '5', udf1: 'a', udf2: 'b', customer_id: 'c' });
    const answer = await call(api, '/orders/u1', { form: { amount: '6.5', udf2: 'changed' } });
    expect(answer.body).toMatchObject({
      order_id: 'U1',
      amount: 6.5,
      udf1: 'a',
      udf2: 'changed',
      customer_id: 'c',
    });
  });

  test('never the amount of an order that is charged, nor an order that is not ours', async () => {
    await putOrder(api.db, { orderId: 'U2', amountMinor: 500 });
    const amount = await call(api, '/orders/U2', { form: { amount: '1' } });
    expect([amount.status, amount.body.error_info.fields[0].field_name]).toEqual([400, 'amount']);
    const udf = await call(api, '/orders/U2', { form: { udf1: 'x' } });
    expect(udf.body).toMatchObject({ udf1: 'x', amount: 5, status: 'CHARGED' });
    const foreign = await call(api, '/orders/U2', { form: { udf1: 'y' }, as: 'other' });
    expect([foreign.status, foreign.body.status]).toEqual([400, 'NOT_FOUND']);
  });
});

describe('order status (section 4)', () => {
  test('is the same at every address, and HEAD has no body', async () => {
    await putOrder(api.db, { orderId: 'S1', amountMinor: 12_900 });
    const answer = await call(api, '/orders/S1');
    expect(answer.body).toMatchObject({ order_id: 'S1', status: 'CHARGED', status_id: 21, amount: 129 });
    expect(answer.body).not.toHaveProperty('refunds');
    expect(answer.body).not.toHaveProperty('txn_list');
    const others = [
      await call(api, '/orders/s1?order_id=S1'),
      await call(api, '/orders/S1?options.add_full_gateway_response=true&order_id=S1', {
        headers: { 'content-type': 'application/json' },
      }),
      await call(api, '/order/status?order_id=S1'),
      await call(api, '/order/status?orderId=x&order_id=s1', {
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
      await call(api, '/order/status', { form: { order_id: 'S1' } }),
      await call(api, '/order/status', { json: { order_id: 'S1' } }),
    ];
    for (const other of others) expect(other.body).toEqual(answer.body);
    const head = await call(api, '/orders/S1', { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, '']);
  });

  test('an order id of any visible characters has its address', async () => {
    for (const orderId of ['a/b', 'a?b=c&d', '100%', '#1', 'a+b', 'txns']) {
      await create({ order_id: orderId, amount: '1' });
      const encoded = encodeURIComponent(orderId);
      expect((await call(api, `/orders/${encoded}`)).body.order_id).toBe(orderId);
      expect((await call(api, `/order/status?order_id=${encoded}`)).body.order_id).toBe(orderId);
    }
  });

  test.each([
    ['/orders/nowhere', 'nowhere'],
    ['/orders/%F0%9F%92%B8', '💸'],
    ["/orders/'%3Bdrop%20table%20orders", "';drop table orders"],
    [`/orders/${'x'.repeat(300)}`, 'x'.repeat(300)],
  ])('an order that is not there is status 400: %s', async (path, orderId) => {
    const answer = await call(api, path);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ status_id: 40, status: 'NOT_FOUND', order_id: orderId });
  });

  test("another merchant's order is not found, in the very same words", async () => {
    await putOrder(api.db, { orderId: 'S2', amountMinor: 100 });
    const foreign = await call(api, '/orders/S2', { as: 'other' });
    const absent = await call(api, '/orders/S9', { as: 'other' });
    const words = ({ body }: typeof foreign) =>
      JSON.stringify({ ...body, order_id: '', error_info: { ...body.error_info, request_id: '' } });
    expect([foreign.status, words(foreign)]).toEqual([absent.status, words(absent)]);
  });

  test('an order id that is missing or contradicts the address is refused', async () => {
    expect((await call(api, '/order/status')).body).toMatchObject({
      error_code: 'Mandatory fields are missing',
    });
    expect((await call(api, '/orders/S1?order_id=S2')).body.error_info.fields[0].field_name).toBe('order_id');
  });
});
