import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeMerchantSettings } from '../../src/access/merchants.ts';
import { type Call, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { modelGateway } from './model-gateway.ts';

let api: TestApi;
const clock = new ManualClock(new Date('2026-03-01T10:00:00.700Z'));
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway] });
});
afterAll(() => api.close());

let count = 0;
/** A new charged order of 100.00 INR. */
async function charged(order: Partial<Parameters<typeof putOrder>[1]> = {}): Promise<string> {
  const orderId = `ORD${++count}`;
  await putOrder(api.db, { orderId, amountMinor: 10_000, ...order });
  return orderId;
}

const refund = (orderId: string, form: Record<string, string>, options: Call = {}) =>
  call(api, `/orders/${orderId}/refunds`, { form, ...options });

/** What is refunded in the end: the rows, not our own answer. */
async function amounts(orderId: string): Promise<number[]> {
  const rows = await api.db.query<{ amount_minor: number }>(
    'select amount_minor from refunds where order_id = $1 order by created_at, refund_id',
    [orderId],
  );
  return rows.map((row) => row.amount_minor);
}

describe('POST /orders/{id}/refunds answers the whole order (section 2.2)', () => {
  test('with the new refund as the contract shows it', async () => {
    const orderId = await charged();
    const answer = await refund(orderId, { unique_request_id: 'r1', amount: '40.5' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      order_id: orderId,
      merchant_id: 'acme',
      status: 'CHARGED',
      status_id: 21,
      amount: 100,
      effective_amount: 100,
      currency: 'INR',
      refunded: false,
      amount_refunded: 40.5,
      maximum_eligible_refund_amount: 59.5,
      txn_id: `acme-${orderId}-1`,
      gateway_id: 77,
      payment_gateway_response: { epg_txn_id: `pay_${orderId}_1` },
      txn_detail: { remaining_refundable_amount: 59.5, net_amount: 100 },
    });
    expect(answer.body.refunds).toEqual([
      {
        unique_request_id: 'r1',
        status: 'PENDING',
        sent_to_gateway: false,
        refund_type: 'STANDARD',
        refund_source: 'MODEL',
        ref: null,
        id: null,
        initiated_by: 'API',
        error_message: '',
        error_code: null,
        created: '2026-03-01T10:00:00Z',
        last_updated: '2026-03-01T10:00:00Z',
        // Ten days for cards, rounded up to the hour.
        expected_refund_credit_time: '2026-03-11T11:00:00Z',
        amount: 40.5,
      },
    ]);
  });

  test('newest refund first, and refunded only when everything is', async () => {
    const orderId = await charged();
    await refund(orderId, { unique_request_id: 'first', amount: '1' });
    clock.pass(1_000);
    const second = await refund(orderId, { unique_request_id: 'second', amount: '2.00' });
    expect(
      second.body.refunds.map((entry: { unique_request_id: string }) => entry.unique_request_id),
    ).toEqual(['second', 'first']);
    clock.pass(1_000);
    const rest = await refund(orderId, { unique_request_id: 'rest' });
    expect(rest.body).toMatchObject({
      refunded: true,
      amount_refunded: 100,
      maximum_eligible_refund_amount: 0,
    });
    expect(await amounts(orderId)).toEqual([100, 200, 9_700]);
  });

  test('the order id is compared without case, and answered as it was created', async () => {
    const orderId = await charged();
    const answer = await refund(orderId.toLowerCase(), { unique_request_id: 'r1', amount: '1' });
    expect(answer.body.order_id).toBe(orderId);
  });

  test('surcharge and offer count: all that was paid can be given back', async () => {
    const orderId = await charged({ surchargeMinor: 300, offerMinor: 100 });
    const answer = await refund(orderId, { unique_request_id: 'r1' });
    expect(answer.body).toMatchObject({
      amount: 100,
      effective_amount: 102,
      amount_refunded: 102,
      refunded: true,
    });
  });

  test.each([
    ['JPY', 0, 500, '500', 500],
    ['KWD', 3, 12_345, '12.345', 12.345],
    ['USD', 2, 12_345, '123.45', 123.45],
  ])('%s amounts keep their decimals', async (currency, exponent, amountMinor, amount, shown) => {
    const orderId = await charged({ currency, exponent, amountMinor });
    const answer = await refund(orderId, { unique_request_id: 'r1', amount });
    expect(answer.body).toMatchObject({ refunded: true, amount_refunded: shown, currency });
    expect(await amounts(orderId)).toEqual([amountMinor]);
  });

  test('reason, note and metadata are kept with the refund', async () => {
    const orderId = await charged();
    await refund(orderId, {
      unique_request_id: 'r1',
      amount: '1',
      refund_reason: 'wrong size',
      metaData: 'ticket 4711',
      'metadata.agent': 'asha',
      'metadata[shop]': 'Pune',
    });
    const rows = await api.db.query('select reason, note, metadata from refunds where order_id = $1', [
      orderId,
    ]);
    expect(rows).toEqual([
      { reason: 'wrong size', note: 'ticket 4711', metadata: { agent: 'asha', shop: 'Pune' } },
    ]);
  });
});

describe('the other doors', () => {
  test('POST /order/refund takes the order in the form and answers the order', async () => {
    const orderId = await charged();
    const answer = await call(api, '/order/refund', {
      form: { order_id: orderId, unique_request_id: 'r1', amount: '10' },
    });
    expect(answer.body).toMatchObject({ order_id: orderId, amount_refunded: 10 });
  });

  test.each([
    ['order_id', (orderId: string) => ({ order_id: orderId })],
    ['txn_id', (orderId: string) => ({ txn_id: `acme-${orderId}-1` })],
    ['both', (orderId: string) => ({ order_id: orderId, txn_id: `acme-${orderId}-1` })],
  ])('POST /refunds by %s answers one refund object (section 3)', async (_, named) => {
    const orderId = await charged();
    const answer = await call(api, '/refunds', {
      form: { ...named(orderId), unique_request_id: 'refund_122_3472', amount: '1', order_type: 'JUSPAY' },
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      unique_request_id: 'refund_122_3472',
      order_id: orderId,
      txn_id: `acme-${orderId}-1`,
      amount: 1,
      currency: 'INR',
      status: 'PENDING',
      sent_to_gateway: false,
      refund_type: 'STANDARD',
      refund_source: 'MODEL',
      gateway: 'MODEL',
      initiated_by: 'API',
      reference_id: null,
      epg_txn_id: null,
      refund_arn: null,
      authorization_id: null,
      response_code: null,
      error_message: null,
      created: expect.stringMatching(/^2026-03-01T10:00:\d\dZ$/),
      expected_refund_credit_time: '2026-03-11T11:00:00Z',
    });
  });

  test('POST /orders/txns/{txn_id}/refunds answers the order', async () => {
    const orderId = await charged();
    const answer = await call(api, `/orders/txns/acme-${orderId}-1/refunds`, {
      form: { unique_request_id: 'r1', amount: '3' },
    });
    expect(answer.body).toMatchObject({ order_id: orderId, amount_refunded: 3 });
  });

  test('an order and a transaction that do not belong together are no order', async () => {
    const [one, two] = [await charged(), await charged()];
    const answer = await call(api, '/refunds', {
      form: { order_id: one, txn_id: `acme-${two}-1`, unique_request_id: 'r1', amount: '1' },
    });
    expect(answer.status).toBe(400);
    expect([...(await amounts(one)), ...(await amounts(two))]).toEqual([]);
  });
});

describe('what is sent means the same in every encoding', () => {
  const multipart = (fields: Record<string, string>) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    return form;
  };
  test.each<[string, Call]>([
    ['form', { form: { unique_request_id: 'r1', amount: '12.50' } }],
    ['JSON text', { json: { unique_request_id: 'r1', amount: '12.50' } }],
    ['JSON number', { json: { unique_request_id: 'r1', amount: 12.5 } }],
    ['multipart', { body: multipart({ unique_request_id: 'r1', amount: '12.5' }) }],
    [
      'form with a charset',
      {
        body: 'unique_request_id=r1&amount=12.50',
        headers: { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' },
      },
    ],
    [
      'JSON with a charset',
      {
        body: '{"unique_request_id":"r1","amount":12.50}',
        headers: { 'content-type': 'Application/JSON;charset=utf-8' },
      },
    ],
    ['query', { method: 'POST', body: '', form: {} }],
  ])('%s', async (kind, options) => {
    const orderId = await charged();
    const query = kind === 'query' ? '?unique_request_id=r1&amount=12.50' : '';
    const answer = await call(api, `/orders/${orderId}/refunds${query}`, options);
    expect(answer.body).toMatchObject({ amount_refunded: 12.5 });
    expect(await amounts(orderId)).toEqual([1_250]);
  });

  test.each([
    ['1', 100],
    ['"1"', 100],
    ['"1.00"', 100],
    ['1.00', 100],
    ['0.1', 10],
    ['99.99', 9_999],
  ])('the JSON amount %s is %d minor units', async (amount, minor) => {
    const orderId = await charged();
    const answer = await call(api, `/orders/${orderId}/refunds`, {
      body: `{"unique_request_id":"r1","amount":${amount}}`,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(200);
    expect(await amounts(orderId)).toEqual([minor]);
  });

  test('a multipart form without quotes and with extra part headers, as .NET and Java send them', async () => {
    const orderId = await charged();
    const answer = await call(api, `/orders/${orderId}/refunds`, {
      body: [
        '--b0',
        'Content-Type: text/plain; charset=utf-8',
        'Content-Disposition: form-data; name=unique_request_id',
        '',
        'r1',
        '--b0',
        'Content-Disposition: form-data; name="amount"',
        'Content-Length: 1',
        '',
        '7',
        '--b0--',
        '',
      ].join('\r\n'),
      headers: { 'content-type': 'multipart/form-data; boundary="b0"' },
    });
    expect(answer.status).toBe(200);
    expect(await amounts(orderId)).toEqual([700]);
  });
});

const invalidAmount = {
  status_id: -1,
  status: 'ERROR',
  error_code: 'invalid amount',
  error_message: 'Amount is invalid.',
};

describe('every refusal of section 2.4', () => {
  test('the id was used before: no replay of the first answer', async () => {
    const orderId = await charged();
    await refund(orderId, { unique_request_id: 'r1', amount: '1' });
    clock.pass(60_000);
    const answer = await refund(orderId, { unique_request_id: 'r1', amount: '1' });
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        status_id: -1,
        status: 'ERROR',
        error_code: 'duplicate.call',
        error_message: 'A refund call was already completed with this unique_request_id for the order.',
      },
    ]);
  });

  test('the same id on another order is another refund', async () => {
    const [one, two] = [await charged(), await charged()];
    expect((await refund(one, { unique_request_id: 'shared', amount: '1' })).status).toBe(200);
    expect((await refund(two, { unique_request_id: 'shared', amount: '1' })).status).toBe(200);
  });

  test('the same amount again within five seconds', async () => {
    const orderId = await charged();
    await refund(orderId, { unique_request_id: 'r1', amount: '1' });
    clock.pass(4_999);
    const again = await refund(orderId, { unique_request_id: 'r2', amount: '1.00' });
    expect([again.status, again.body]).toEqual([
      400,
      {
        status_id: '-1',
        status: 'ERROR',
        error_code: 'duplicate.call',
        error_message: 'A refund call was already processing with this amount for the order.',
      },
    ]);
    clock.pass(1);
    expect((await refund(orderId, { unique_request_id: 'r2', amount: '1.00' })).status).toBe(200);
  });

  test('more than is left', async () => {
    const orderId = await charged();
    const answer = await refund(orderId, { unique_request_id: 'r1', amount: '100.01' });
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        status_id: -1,
        status: 'ERROR',
        error_code: 'invalid.amount.exceeded',
        error_message: 'Refund amount exceeds the refundable amount.',
        error_info: {
          category: 'USER_ERROR',
          request_id: answer.headers.get('x-request-id'),
          href: 'NA',
          code: 'INVALID_INPUT',
          developer_message: 'Refund amount exceeds the refundable amount.',
          user_message: 'Invalid request params. Please verify your input.',
        },
      },
    ]);
  });

  test('everything again, when nothing is left', async () => {
    const orderId = await charged();
    await refund(orderId, { unique_request_id: 'r1' });
    clock.pass(60_000);
    const answer = await refund(orderId, { unique_request_id: 'r2' });
    expect(answer.body).toMatchObject({ error_code: 'invalid.amount.exceeded' });
  });

  test.each([
    ['absent', {}],
    ['empty', { unique_request_id: '' }],
    ['the word null', { unique_request_id: 'null' }],
    ['the word undefined', { unique_request_id: 'undefined' }],
  ])('unique_request_id is %s', async (_, fields) => {
    const answer = await refund(await charged(), { amount: '1', ...fields });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      status: 'Bad Request',
      error_code: 'Mandatory fields are missing',
      error_message: 'Mandatory fields are missing',
      error_info: {
        code: 'MISSING_MANDATORY_PARAMETER',
        fields: [{ field_name: 'unique_request_id', reason: 'Missing field or Invalid Value' }],
      },
    });
  });

  test('no amount, when the merchant decided that this is no full refund', async () => {
    const orderId = await charged({ merchantId: 'other' });
    // The caller is remembered with the settings of a moment ago.
    expect((await call(api, `/orders/${orderId}`, { as: 'other' })).status).toBe(200);
    await changeMerchantSettings(api.db, 'other', { full_refund_when_amount_absent: false });
    const answer = await refund(orderId, { unique_request_id: 'r1' }, { as: 'other' });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      error_code: 'Mandatory fields are missing',
      error_info: { fields: [{ field_name: 'amount' }] },
    });
    expect(await amounts(orderId)).toEqual([]);
  });

  test.each([
    '0',
    '0.00',
    '-1',
    '',
    ' ',
    'null',
    'undefined',
    'NaN',
    'Infinity',
    'full',
    '1e2',
    '1E2',
    '0x10',
    '1,00',
    '1.',
    '.5',
    '+1',
    ' 1',
    '1 ',
    '1\n',
    '١',
    '1.001',
    '1.000',
    '[object Object]',
    '9'.repeat(40),
    '9'.repeat(1_000),
  ])('the amount %j is an error and never a full refund', async (amount) => {
    const orderId = await charged();
    const answer = await refund(orderId, { unique_request_id: 'r1', amount });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject(invalidAmount);
    expect(await amounts(orderId)).toEqual([]);
  });

  test.each([
    'null',
    'true',
    '[]',
    '[1]',
    '{}',
    '""',
    '1e2',
    '1E0',
    '-1',
    '0',
    '0.0',
    '1.0000000000000000000001',
    '0.1234567890123456789',
  ])('the JSON amount %s is an error and never a full refund', async (amount) => {
    const orderId = await charged();
    const answer = await call(api, `/orders/${orderId}/refunds`, {
      body: `{"unique_request_id":"r1","amount":${amount}}`,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject(invalidAmount);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('an amount that a float would round is judged by its digits', async () => {
    const orderId = await charged({ amountMinor: 900_719_925_474_099 });
    const body = (amount: string) => `{"unique_request_id":"r1","amount":${amount}}`;
    const headers = { 'content-type': 'application/json' };
    const above = await call(api, `/orders/${orderId}/refunds`, { body: body('9007199254741.00'), headers });
    expect(above.body).toMatchObject({ error_code: 'invalid.amount.exceeded' });
    const exact = await call(api, `/orders/${orderId}/refunds`, { body: body('9007199254740.99'), headers });
    expect(exact.body).toMatchObject({ refunded: true, amount_refunded: 9007199254740.99 });
  });

  test.each([
    ['JPY', 0, '1.0'],
    ['KWD', 3, '1.0001'],
    ['INR', 2, '1.001'],
  ])('more decimals than %s has', async (currency, exponent, amount) => {
    const orderId = await charged({ currency, exponent });
    const answer = await refund(orderId, { unique_request_id: 'r1', amount });
    expect([answer.status, answer.body.error_code]).toEqual([400, 'invalid amount']);
    expect(answer.body.error_info.fields[0].reason).toContain(currency);
  });

  test.each([
    ['an order that is not there', 'acme', 'nowhere'],
    ["another merchant's order", 'other', null],
  ])('%s', async (_, as, id) => {
    const orderId = id ?? (await charged());
    const answer = await refund(orderId, { unique_request_id: 'r1', amount: '1' }, { as });
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        status_id: 40,
        status: 'NOT_FOUND',
        order_id: orderId,
        error_info: {
          category: 'USER_ERROR',
          request_id: answer.headers.get('x-request-id'),
          code: 'RESOURCE_NOT_FOUND',
          developer_message: 'Order Not Found',
          user_message: 'Order Not Found',
        },
      },
    ]);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('a transaction that is not there', async () => {
    const answer = await call(api, '/refunds', {
      form: { txn_id: 'acme-x-1', unique_request_id: 'r', amount: '1' },
    });
    expect([answer.status, answer.body.status, answer.body.txn_id]).toEqual([400, 'NOT_FOUND', 'acme-x-1']);
  });

  test.each(['NEW', 'PENDING_VBV', 'AUTHORIZED', 'AUTHORIZATION_FAILED'])(
    'an order that is %s',
    async (status) => {
      const orderId = await charged({ status });
      const answer = await refund(orderId, { unique_request_id: 'r1', amount: '1' });
      expect([answer.status, answer.body]).toEqual([
        400,
        {
          status_id: -1,
          status: 'ERROR',
          error_code: 'invalid.order.not_successful',
          error_message: 'Cannot process unsuccessful order.',
        },
      ]);
    },
  );

  test('the 26th refund of an order', async () => {
    const orderId = await charged();
    for (let n = 1; n <= 25; n++) {
      const answer = await refund(orderId, {
        unique_request_id: `r${n}`,
        amount: `0.${String(n).padStart(2, '0')}`,
      });
      expect(answer.status).toBe(200);
    }
    const answer = await refund(orderId, { unique_request_id: 'r26', amount: '0.26' });
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        status_id: -1,
        status: 'ERROR',
        error_code: 'request.exceeded',
        error_message: 'An order can be refunded at most 25 times.',
      },
    ]);
  });

  test('INSTANT at a gateway without it', async () => {
    const answer = await refund(await charged(), {
      unique_request_id: 'r1',
      amount: '1',
      refund_type: 'INSTANT',
    });
    expect([answer.status, answer.body.error_message]).toEqual([400, 'instant refund flag is not enabled']);
  });
});

describe('what does not say clearly which money to move is refused', () => {
  const field = (answer: { body: { error_info: { fields: { field_name: string }[] } } }) =>
    answer.body.error_info.fields[0]!.field_name;

  test.each([
    ['Amount', '5'],
    ['AMOUNT', '5'],
    ['amount ', '5'],
    ['amout', '5'],
    ['refund_amount', '5'],
    ['refundAmount', '5'],
    ['amount[]', '5'],
    ['amount.value', '5'],
    ['amount[value]', '5'],
    ['include_surcharge', 'false'],
    ['product_details[0][imei]', '35'],
  ])('with %j in the place of an amount there is no full refund', async (name, value) => {
    const orderId = await charged();
    const answer = await refund(orderId, { unique_request_id: 'r1', [name]: value });
    expect(answer.status).toBe(400);
    expect(await amounts(orderId)).toEqual([]);
  });

  test.each([
    ['in a form', 'application/x-www-form-urlencoded', 'unique_request_id=r1&amount=1&amount=100'],
    ['in JSON', 'application/json', '{"unique_request_id":"r1","amount":1,"amount":100}'],
    [
      'in JSON, spelt differently',
      'application/json',
      '{"unique_request_id":"r1","amount":1,"am\\u006funt":100}',
    ],
  ])('two amounts %s', async (_, type, body) => {
    const orderId = await charged();
    const answer = await call(api, `/orders/${orderId}/refunds`, { body, headers: { 'content-type': type } });
    expect(answer.status).toBe(400);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('one amount in the query and another in the body', async () => {
    const orderId = await charged();
    const answer = await call(api, `/orders/${orderId}/refunds?amount=100`, {
      form: { unique_request_id: 'r1', amount: '1' },
    });
    expect([answer.status, field(answer)]).toEqual([400, 'amount']);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('a body of another type beside a query', async () => {
    const orderId = await charged();
    for (const type of ['text/plain', 'application/xml', 'application/octet-stream']) {
      const answer = await call(api, `/orders/${orderId}/refunds?unique_request_id=r1`, {
        body: 'amount=1',
        headers: { 'content-type': type },
      });
      expect(answer.status).toBe(415);
      expect(answer.body).toMatchObject({ error_code: 'INVALID_REQUEST' });
    }
    expect(await amounts(orderId)).toEqual([]);
  });

  test('a multipart body that was cut off before the amount', async () => {
    const orderId = await charged();
    const whole = [
      '--b0',
      'Content-Disposition: form-data; name="unique_request_id"',
      '',
      'r1',
      '--b0',
      'Content-Disposition: form-data; name="amount"',
      '',
      '7',
      '--b0--',
      '',
    ].join('\r\n');
    for (let length = 1; length < whole.length - 2; length++) {
      const answer = await call(api, `/orders/${orderId}/refunds`, {
        body: whole.slice(0, length),
        headers: { 'content-type': 'multipart/form-data; boundary=b0' },
      });
      expect(answer.status, whole.slice(0, length)).toBe(400);
    }
    expect(await amounts(orderId)).toEqual([]);
  });

  test('a file where text is expected', async () => {
    const orderId = await charged();
    const form = new FormData();
    form.set('unique_request_id', 'r1');
    form.set('amount', new Blob(['1']), 'amount.txt');
    const answer = await call(api, `/orders/${orderId}/refunds`, { body: form });
    expect(answer.status).toBe(400);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('another order in the body than in the address', async () => {
    const [one, two] = [await charged(), await charged()];
    const answer = await refund(one, { order_id: two, unique_request_id: 'r1', amount: '1' });
    expect([answer.status, field(answer)]).toEqual([400, 'order_id']);
    const same = await refund(one, { order_id: one.toLowerCase(), unique_request_id: 'r1', amount: '1' });
    expect(same.status).toBe(200);
  });

  test.each([
    ['refund_type', 'FAST'],
    ['currency', 'USD'],
    ['currency', 'rupees'],
    ['currency', 'XXX'],
    ['order_type', 'NON_JUSPAY'],
    ['webhook_url', 'ftp://shop.test'],
    ['metadata.split_settlement_details', '{"vendor":{}}'],
    ['beneficiary_details', '{"type":"UPI_ID"}'],
    ['unique_request_id', 'ref 1'],
    ['unique_request_id', 'x'.repeat(256)],
    ['metaData', '4111 1111 1111 1111'],
  ])('the field %s cannot be %j', async (name, value) => {
    const orderId = await charged();
    const answer = await refund(orderId, { unique_request_id: 'r1', amount: '1', [name]: value });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      error_message: 'Bad Request.',
      status: 'Bad Request',
      error_code: 'INVALID_REQUEST',
    });
    expect(field(answer)).toBe(name);
    expect(await amounts(orderId)).toEqual([]);
  });

  test('a long unique_request_id of all allowed characters is taken', async () => {
    const id = 'aZ09_.:-'.repeat(31);
    const answer = await refund(await charged(), { unique_request_id: id, amount: '1' });
    expect(answer.body.refunds[0].unique_request_id).toBe(id);
  });

  test('what the Node SDK makes of missing values and objects means nothing was said', async () => {
    const orderId = await charged();
    const answer = await refund(orderId, {
      unique_request_id: 'r1',
      amount: '1',
      refund_type: 'undefined',
      metaData: '[object Object]',
      metadata: '[object Object]',
      udf1: 'null',
    });
    expect(answer.status).toBe(200);
    const rows = await api.db.query('select note, metadata from refunds where order_id = $1', [orderId]);
    expect(rows).toEqual([{ note: null, metadata: {} }]);
  });
});
