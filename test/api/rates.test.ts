import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { addPerson, newBrowser, signedIn } from '../support/people.ts';

let api: TestApi;
beforeAll(async () => {
  // Ten at once with a key, thirty without one, and a session of its own.
  api = await startApi({
    settings: { RATE_PER_KEY: '1', RATE_PER_ADDRESS: '3', TRUSTED_PROXIES: '127.0.0.1' },
  });
  await addPerson(api.db, { role: 'viewer' });
});
afterAll(() => api.close());

const from = (address: string) => ({ 'x-forwarded-for': address });

/** Asks until it is refused, and answers with the refusal and how many were let through. */
async function untilRefused(ask: () => ReturnType<typeof call>) {
  for (let let_through = 0; let_through < 500; let_through++) {
    const answer = await ask();
    if (answer.status === 429) return { answer, let_through };
  }
  throw new Error('500 were let through');
}

describe('too many requests', () => {
  test('with one key: 429 in the words of each surface, with Retry-After; other keys are not held up', async () => {
    const own = await untilRefused(() => call(api, '/v1/orders'));
    expect(own.let_through).toBeGreaterThanOrEqual(10);
    expect(own.answer.body).toEqual({
      error: {
        code: 'too_many_requests',
        message: 'Too many requests with this API key. Nothing was done; try again in 1 second.',
      },
    });
    expect(own.answer.headers.get('retry-after')).toBe('1');
    const contract = await untilRefused(() => call(api, '/orders/none'));
    expect(contract.answer.body).toMatchObject({
      status: 'error',
      error_code: 'TOO_MANY_REQUESTS',
      error_message: expect.stringContaining('try again in 1 second'),
      error_info: { category: 'USER_ERROR', code: 'TOO_MANY_REQUESTS' },
    });
    expect(contract.answer.headers.get('retry-after')).toBe('1');
    expect((await call(api, '/v1/orders', { as: 'other' })).status).toBe(200);
  });

  test('without a key from one address, at every door that is open; others and callers are not held up', async () => {
    for (const [n, path] of ['/health', '/sign-in', '/docs', '/nothing'].entries()) {
      const headers = from(`203.0.113.${n}`);
      const { answer, let_through } = await untilRefused(() => call(api, path, { as: null, headers }));
      expect([path, let_through >= 30, answer.headers.get('retry-after')]).toEqual([path, true, '1']);
    }
    expect((await call(api, '/health', { as: null, headers: from('203.0.113.99') })).status).toBe(200);
    expect((await call(api, '/v1/me', { as: 'other', headers: from('203.0.113.0') })).status).toBe(200);
  });

  test('of keys that do not work: then new keys wait, and one that has worked goes on', async () => {
    const headers = from('198.51.100.1');
    expect((await call(api, '/v1/me', { as: 'other', headers })).status).toBe(200);
    let n = 0;
    const unknown = () => {
      n += 1;
      return call(api, '/v1/me', {
        as: null,
        headers: { ...headers, authorization: `Basic ${Buffer.from(`rfk_${n}:`).toString('base64')}` },
      });
    };
    const { answer, let_through } = await untilRefused(unknown);
    expect(let_through).toBeGreaterThanOrEqual(200);
    expect(answer.body.error.message).toMatch(/API keys from this address that do not work/);
    for (let times = 0; times < 5; times++) {
      await untilRefused(unknown);
      expect((await call(api, '/v1/me', { as: 'other', headers })).status).toBe(200);
    }
  });

  test('a key that works is not held up by how many ask with it at once for the first time', async () => {
    const fresh = await startApi();
    const answers = await Promise.all(Array.from({ length: 300 }, () => call(fresh, '/v1/me')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await fresh.close();
  });

  test('of webhooks that prove nothing', async () => {
    const headers = from('198.51.100.2');
    const path = `/gateways/ga_${'0'.repeat(32)}/webhooks`;
    const { answer, let_through } = await untilRefused(() =>
      call(api, path, { as: null, json: {}, headers }),
    );
    expect([let_through >= 200, answer.headers.get('retry-after')]).toEqual([true, '1']);
  });

  test('of sign-in tries: with Retry-After', async () => {
    const { answer } = await untilRefused(() =>
      newBrowser(api).ask('/auth/sign-in', {
        json: { email: 'viewer@acme.test', password: 'wrong' },
        headers: from(`192.0.2.${Math.floor(Math.random() * 250)}`),
      }),
    );
    const seconds = Number(answer.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(14 * 60);
    expect(seconds).toBeLessThanOrEqual(15 * 60);
  });

  test('leave few lines, however many they are', async () => {
    const before = api.logged().length;
    for (let n = 0; n < 100; n++) await call(api, '/health', { as: null, headers: from('203.0.113.200') });
    const lines = api
      .logged()
      .slice(before)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const refused = lines.filter(({ status, attack }) => status === 429 || attack === 'rate_limited');
    expect(refused).toMatchObject([{ attack: 'rate_limited', address: '203.0.113.200' }]);
  });
});

test('a session has its own limit, and off is no limit', async () => {
  const free = await startApi({ settings: { RATE_PER_KEY: 'off', RATE_PER_ADDRESS: 'off' } });
  await addPerson(free.db, { role: 'viewer' });
  for (let n = 0; n < 40; n++) {
    expect((await call(free, '/v1/me')).status).toBe(200);
    expect((await call(free, '/health', { as: null })).status).toBe(200);
  }
  await free.close();
  const tight = await startApi({ settings: { RATE_PER_KEY: '20' } });
  await addPerson(tight.db, { role: 'viewer' });
  const browser = await signedIn(tight, 'viewer@acme.test');
  const { answer } = await untilRefused(() => browser.ask('/v1/me'));
  expect(answer.body.error.message).toMatch(/requests of this session/);
  expect((await call(tight, '/v1/me')).status).toBe(200);
  await tight.close();
});

test('JSON with more names than anybody needs is refused before it is read', async () => {
  const names = Object.fromEntries(Array.from({ length: 80_000 }, (_, n) => [`n${n}`, 'x']));
  const few = Array.from({ length: 20_000 }, () => 0);
  const free = await startApi();
  for (const path of ['/v1/refunds', '/v1/transactions', '/orders/none/refunds']) {
    // One payment told by itself has less room from the start.
    for (const json of path === '/v1/transactions' ? [few] : [names, few]) {
      const answer = await call(free, path, { json });
      expect([path, answer.status]).toEqual([path, 400]);
      expect(JSON.stringify(answer.body)).toContain('it holds more than 10000 names and list entries');
    }
  }
  await free.close();
});

test('health asks the database once for all who ask at once, and writes nothing', async () => {
  const asked: string[] = [];
  const free = await startApi({
    db: {
      ...api.db,
      query: <Row>(text: string, params?: readonly unknown[]) => {
        asked.push(text);
        return api.db.query<Row>(text, params);
      },
    },
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => call(free, '/health', { as: null })));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const clocks = asked.filter((text) => text.includes('clock_timestamp'));
  // Two hundred milliseconds may pass while fifty are answered, but not fifty times.
  expect(clocks.length).toBeGreaterThan(0);
  expect(clocks.length).toBeLessThan(10);
  expect(asked.filter((text) => text.includes('master_key_proof'))).toEqual([]);
  await free.close();
});
