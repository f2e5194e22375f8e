import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Call, call, startApi, type TestApi } from '../support/api.ts';

/** What people read when a request cannot be used: no word of the parts that we are made of. */

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const refund = { order_id: 'O1', unique_request_id: 'r1', amount: '1.00' };
const visible = (most: number) => `1 to ${most} visible ASCII characters`;
const time = 'a time with its zone, such as 2026-03-31T09:30:00Z';
const decimal = 'decimal text in major units, such as "12.50"';

describe('POST /v1/refunds', () => {
  test.each<[Record<string, unknown>, string, string, string | undefined, string]>([
    [{ amount: undefined }, 'In the body, amount is missing.', 'amount', undefined, `${decimal}, or "full"`],
    [
      { amount: 25 },
      `In the body, amount must be ${decimal}, or "full".`,
      'amount',
      '25',
      `${decimal}, or "full"`,
    ],
    [
      { currency: 'rupees' },
      'In the body, currency must be an ISO 4217 code, such as INR.',
      'currency',
      'rupees',
      'an ISO 4217 code, such as INR',
    ],
    [{ order_id: 'a b' }, `In the body, order_id must be ${visible(128)}.`, 'order_id', 'a b', visible(128)],
    [
      { unique_request_id: 'a b' },
      'In the body, unique_request_id must be 1 to 255 letters, digits, _ . : or -.',
      'unique_request_id',
      'a b',
      '1 to 255 letters, digits, _ . : or -',
    ],
    [
      { expected_remaining: '-1' },
      `In the body, expected_remaining must be ${decimal}.`,
      'expected_remaining',
      '-1',
      decimal,
    ],
    [
      { refund_type: 'FAST' },
      'In the body, refund_type must be one of STANDARD, INSTANT, INSTANT_WITH_FALLBACK, GATEWAY.',
      'refund_type',
      'FAST',
      'one of STANDARD, INSTANT, INSTANT_WITH_FALLBACK, GATEWAY',
    ],
    [
      { reason: '' },
      'In the body, reason must be text that is not empty.',
      'reason',
      '',
      'text that is not empty',
    ],
    [
      { reason: 'x'.repeat(501) },
      'In the body, reason must be text of at most 500 characters.',
      'reason',
      undefined,
      'text of at most 500 characters',
    ],
    [
      { note: 'card 4111 1111 1111 1111' },
      'In the body, note must be text without a card number.',
      'note',
      '****',
      'text without a card number',
    ],
    [
      { metadata: [1] },
      'In the body, metadata must be a JSON object.',
      'metadata',
      undefined,
      'a JSON object',
    ],
    [
      { ammount: '5' },
      'The body has no field ammount.',
      'ammount',
      undefined,
      'order_id, txn_id, unique_request_id, amount, currency, refund_type, reason, note, metadata, expected_remaining, confirm_look_alike',
    ],
  ])('%j', async (change, message, field, value, accepted) => {
    const { status, body } = await call(api, '/v1/refunds', { json: { ...refund, ...change } });
    expect(status).toBe(400);
    expect(body.error).toEqual({
      code: 'invalid_field',
      message,
      field,
      ...(value !== undefined && { value }),
      accepted,
    });
  });

  test('a body that is no object', async () => {
    expect((await call(api, '/v1/refunds', { json: [] })).body.error).toEqual({
      code: 'invalid_field',
      message: 'The body must be a JSON object.',
      accepted: 'a JSON object',
    });
  });
});

test.each([
  ['/v1/refunds?limit=ten', 'In the query, limit must be a whole number from 1 to 500.'],
  ['/v1/orders?limit=0', 'In the query, limit must be a whole number from 1 to 500.'],
  ['/v1/refunds?limit=1.5', 'In the query, limit must be a whole number from 1 to 500.'],
  ['/v1/orders?created_from=yesterday', `In the query, created_from must be ${time}.`],
  ['/v1/refunds?status=PENDING&status=SUCCESS', 'In the query, status is given more than once.'],
  ['/v1/refunds?status=a,,b', 'In the query, status must be words separated by commas.'],
  ['/v1/refunds?attention=maybe', 'In the query, attention must be true.'],
  ['/v1/refunds?stauts=PENDING', 'The query has no field stauts.'],
  ['/v1/webhook-endpoints/7', 'In the address, endpoint_id must be a UUID.'],
])('GET %s', async (path, message) => {
  const { status, body } = await call(api, path);
  expect([status, body.error.message]).toEqual([400, message]);
});

test('what may be secret is not repeated', async () => {
  const json = { gateway: 'MODEL', credentials: { secret_key: 4711 } };
  const { body } = await call(api, '/v1/gateway-accounts', { json });
  expect(body.error).toEqual({
    code: 'invalid_field',
    message: 'In the body, credentials.secret_key must be text.',
    field: 'credentials.secret_key',
    value: '****',
    accepted: 'text',
  });
});

describe('bodies that are not read', () => {
  const json = { 'content-type': 'application/json' };
  const large = (bytes: number) => ({ body: JSON.stringify({ a: 'a'.repeat(bytes) }), headers: json });

  test.each<[string, string, Call]>([
    ['256 KiB', '/gateways/ga_0123456789abcdef0123456789abcdef/webhooks', large(256 * 1024)],
    ['64 KiB', '/v1/transactions', large(64 * 1024)],
    ['1 MiB', '/v1/refunds', large(1024 * 1024)],
  ])('larger than the %s of %s', async (most, path, options) => {
    const { status, body } = await call(api, path, options);
    expect([status, body.error.code]).toEqual([413, 'body_too_large']);
    expect(body.error.message).toBe(`The body is larger than the ${most} this address accepts.`);
  });

  test.each([
    ['/v1/refunds', 'application/json'],
    ['/v1/transactions', 'application/json or application/x-ndjson'],
  ])('of another type than %s reads', async (path, accepted) => {
    const { status, body } = await call(api, path, { body: 'a,b', headers: { 'content-type': 'text/csv' } });
    expect(status).toBe(415);
    expect(body.error).toEqual({
      code: 'unsupported_media_type',
      message: `The Content-Type must be ${accepted}.`,
      field: 'Content-Type',
      value: 'text/csv',
      accepted,
    });
  });
});
