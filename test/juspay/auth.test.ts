import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiKey, listApiKeys, revokeApiKey } from '../../src/access/api-keys.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';

let api: TestApi;
const clock = new ManualClock();
beforeAll(async () => {
  api = await startApi({ clock });
  await putOrder(api.db, { orderId: 'A1', amountMinor: 100 });
});
afterAll(() => api.close());

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
const status = (headers: Record<string, string>) => call(api, '/orders/A1', { as: null, headers });

describe('who is let in (sections 1.1 and 1.2)', () => {
  test.each([
    ['key and colon', { authorization: basic('acme-key:'), 'x-merchantid': 'acme' }],
    ['key alone', { authorization: basic('acme-key'), 'x-merchantid': 'acme' }],
    ['key and a password', { authorization: basic('acme-key:ignored:too'), 'x-merchantid': 'acme' }],
    ['the other merchant header', { authorization: basic('acme-key:'), 'x-merchant-id': 'acme' }],
    ['both headers', { authorization: basic('acme-key'), 'x-merchantid': 'acme', 'x-merchant-id': 'acme' }],
    [
      'a scheme in small letters',
      { authorization: basic('acme-key').replace('Basic', 'basic'), 'x-merchantid': 'acme' },
    ],
    [
      'headers that are hints',
      { authorization: basic('acme-key'), 'x-merchantid': 'acme', 'x-routing-id': 'c1', version: 'soon' },
    ],
  ])('%s', async (_, headers) => {
    const answer = await status(headers);
    expect([answer.status, answer.body.order_id]).toEqual([200, 'A1']);
  });

  test.each<[string, Record<string, string>]>([
    ['nothing', {}],
    ['no key', { 'x-merchantid': 'acme' }],
    ['an unknown key', { authorization: basic('nobody:'), 'x-merchantid': 'acme' }],
    ['an empty key', { authorization: basic(':'), 'x-merchantid': 'acme' }],
    ['another scheme', { authorization: 'Bearer acme-key', 'x-merchantid': 'acme' }],
    ['what is not base64', { authorization: 'Basic %%%', 'x-merchantid': 'acme' }],
    ['no merchant header', { authorization: basic('acme-key:') }],
    ["another merchant's header", { authorization: basic('acme-key:'), 'x-merchantid': 'other' }],
    [
      'contradicting headers',
      { authorization: basic('acme-key:'), 'x-merchantid': 'acme', 'x-merchant-id': 'other' },
    ],
    ['another spelling', { authorization: basic('acme-key:'), 'x-merchantid': 'ACME' }],
    [
      'bytes that are no text',
      {
        authorization: `Basic ${Buffer.from([0xff, 0x00, 0x3a]).toString('base64')}`,
        'x-merchantid': 'acme',
      },
    ],
    ['a very long key', { authorization: basic('k'.repeat(5_000)), 'x-merchantid': 'acme' }],
  ])('%s: 401 in the words of section 1.4', async (_, headers) => {
    for (const path of ['/orders/A1', '/order/status?order_id=A1']) {
      const answer = await call(api, path, { as: null, headers });
      expect(answer.status).toBe(401);
      expect(answer.body).toEqual({
        status: 'error',
        error_code: 'access_denied',
        error_info: {
          category: 'USER_ERROR',
          request_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
          code: 'UNAUTHORIZED',
          developer_message: 'Invalid API Key. Please pass a valid and active api key.',
          user_message: 'Unauthorized.',
        },
      });
    }
  });

  test('a refund without a key moves nothing', async () => {
    const answer = await call(api, '/orders/A1/refunds', {
      as: null,
      form: { unique_request_id: 'r1' },
      headers: { 'x-merchantid': 'acme' },
    });
    expect(answer.status).toBe(401);
    expect(await api.db.query('select 1 from refunds')).toEqual([]);
  });

  test('a revoked key ends within five seconds', async () => {
    const { apiKeyId, key } = await createApiKey(api.db, clock, {
      merchantId: 'acme',
      name: 'to be revoked',
    });
    const headers = { authorization: basic(key), 'x-merchantid': 'acme' };
    expect((await status(headers)).status).toBe(200);
    expect(await revokeApiKey(api.db, clock, 'other', apiKeyId)).toBe(false);
    expect(await revokeApiKey(api.db, clock, 'acme', apiKeyId)).toBe(true);
    clock.pass(5_000);
    expect((await status(headers)).status).toBe(401);
    const listed = (await listApiKeys(api.db, 'acme')).find((one) => one.apiKeyId === apiKeyId);
    expect(listed).toMatchObject({
      name: 'to be revoked',
      lastFour: key.slice(-4),
      revokedAt: expect.any(Date),
    });
  });

  test('keys are stored as hashes and never logged', async () => {
    const { key } = await createApiKey(api.db, clock, { merchantId: 'acme', name: 'secret' });
    await status({ authorization: basic(key), 'x-merchantid': 'acme' });
    const stored = await api.db.query<{ row: string }>('select api_keys::text as row from api_keys');
    for (const text of [...stored.map(({ row }) => row), ...api.logged()]) {
      expect(text).not.toContain(key);
      expect(text).not.toContain(Buffer.from(key).toString('base64').slice(0, 20));
    }
  });
});
