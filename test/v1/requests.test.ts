import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createRequestLog, listRequests, type RequestEntry } from '../../src/access/request-log.ts';
import type { Queryable } from '../../src/lib/db.ts';
import { newId } from '../../src/lib/ids.ts';
import { createLogger } from '../../src/lib/log.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { addPerson, signedIn } from '../support/people.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
  await putOrder(api.db, { orderId: 'R-1', amountMinor: 10_000 });
});
afterAll(() => api.close());

const read = (query: string, as = 'acme') => call(api, `/v1/requests?${query}`, { as });
/** The entry of the request whose answer this was. */
const entryOf = async (answer: { headers: Headers }, as = 'acme') => {
  const id = answer.headers.get('x-request-id');
  return vi.waitFor(
    async () => {
      const found = await call(api, `/v1/requests/${id}`, { as });
      expect(found.status).toBe(200);
      return found.body;
    },
    { timeout: 15_000, interval: 100 },
  );
};

describe('the request log', () => {
  test('tells who called what with which answer', async () => {
    const asked = { order_id: 'R-1', unique_request_id: 'r1', amount: '1.00', note: 'a private note' };
    const made = await call(api, '/v1/refunds', { json: asked });
    expect(made.status).toBe(201);
    expect(await entryOf(made)).toMatchObject({
      method: 'POST',
      route: '/v1/refunds',
      path: '/v1/refunds',
      status: 201,
      caller: { kind: 'key', name: 'test' },
      error: null,
      order_id: 'R-1',
      refund_id: null,
      remote_address: '127.0.0.1',
    });
  });

  test('keeps the refusal that the caller got, on both surfaces', async () => {
    const own = await call(api, '/v1/refunds/0199a1b2-0000-7000-8000-000000000001/cancel', {
      method: 'POST',
    });
    expect(await entryOf(own)).toMatchObject({
      route: '/v1/refunds/{refund_id}/cancel',
      status: 404,
      refund_id: '0199a1b2-0000-7000-8000-000000000001',
      error: { code: 'refund_not_found', message: own.body.error.message, field: 'refund_id' },
    });
    const contract = await call(api, '/orders/R-1/refunds', {
      form: { unique_request_id: 'c1', amount: '1000' },
    });
    expect(contract.status).toBe(400);
    expect(await entryOf(contract)).toMatchObject({
      route: '/orders/{order_id}/refunds',
      path: '/orders/R-1/refunds',
      status: 400,
      order_id: 'R-1',
      error: { code: contract.body.error_code },
    });
  });

  test('holds no query, no body and no credentials', async () => {
    const secret = 'needle-7f3a';
    const answers = [
      await call(api, `/v1/orders?customer_email=${secret}@shop.test`),
      await call(api, '/v1/refunds', {
        json: { order_id: 'R-1', unique_request_id: 'n1', amount: '0.50', note: secret },
      }),
      await call(api, '/v1/webhook-endpoints', { json: { url: 'https://a.test/', password: secret } }),
    ];
    for (const answer of answers) await entryOf(answer);
    const rows = await api.db.query<{ text: string }>('select to_jsonb(r)::text as text from request_log r');
    expect(rows.map(({ text }) => text).join('\n')).not.toMatch(/needle|acme-key/);
  });

  test('is filtered, paged, and each merchant’s own', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const answer = await call(api, `/v1/orders/none-${n}`);
      expect((await entryOf(answer)).status).toBe(404);
      ids.unshift(answer.headers.get('x-request-id')!);
    }
    const filter = 'error_code=order_not_found&path=/v1/orders/none-';
    const first = (await read(`${filter}&limit=2`)).body;
    const second = (await read(`${filter}&limit=2&cursor=${first.next_cursor}`)).body;
    const third = (await read(`${filter}&limit=2&cursor=${second.next_cursor}`)).body;
    const shown = [first, second, third].flatMap((page) => page.requests);
    expect(shown.map((one: { request_id: string }) => one.request_id)).toEqual(ids);
    expect(third.next_cursor).toBeNull();

    const statuses = async (query: string) =>
      new Set(
        (await read(query)).body.requests.map((one: { status: number }) => Math.floor(one.status / 100)),
      );
    expect(await statuses('status=4xx')).toEqual(new Set([4]));
    expect(await statuses('status=2xx')).toEqual(new Set([2]));
    expect(await statuses('status=refused')).toEqual(new Set([4]));
    expect((await read('order_id=r-1')).body.requests.length).toBeGreaterThan(0);
    expect((await read(`request_id=${ids[0]}`)).body.requests).toHaveLength(1);
    expect((await read('created_before=2020-01-01T00:00:00Z')).body.requests).toEqual([]);
    const { id } = shown[0].caller;
    expect((await read(`${filter}&api_key_id=${id}`)).body.requests).toHaveLength(5);
    expect((await read(`${filter}&method=POST`)).body.requests).toEqual([]);

    expect((await read(filter, 'other')).body.requests).toEqual([]);
    expect((await call(api, `/v1/requests/${ids[0]}`, { as: 'other' })).status).toBe(404);
  });

  test('names a person by the e-mail address, and is found by it', async () => {
    const id = await addPerson(api.db, { role: 'viewer' });
    const browser = await signedIn(api, 'viewer@acme.test');
    // What a person reads without being refused is not kept.
    expect((await browser.ask('/v1/settings')).status).toBe(200);
    expect((await browser.ask('/v1/orders/R-1/refund-preview', { json: { amount: '1.00' } })).status).toBe(
      200,
    );
    const refused = await browser.ask('/v1/api-keys');
    expect(await entryOf(refused)).toMatchObject({
      status: 403,
      caller: { kind: 'user', id, name: 'viewer@acme.test' },
      error: { code: 'forbidden' },
    });
    const { requests } = (await read(`user_id=${id}`)).body;
    expect(requests.map((one: { path: string }) => one.path)).toEqual(['/v1/api-keys']);
  });

  test('leaves out whoever was not let in', async () => {
    const answer = await call(api, '/v1/refunds', { headers: { authorization: 'Basic bm9uZTo=' } });
    expect(answer.status).toBe(401);
    await entryOf(await call(api, '/v1/settings'));
    const id = answer.headers.get('x-request-id');
    const rows = await api.db.query('select 1 from request_log where request_id = $1', [id]);
    expect(rows).toEqual([]);
  });
});

describe('the writer', () => {
  const entry = (at: Date, n = 0): RequestEntry => ({
    merchantId: 'acme',
    requestId: newId(),
    at,
    method: 'GET',
    route: '/v1/refunds',
    path: `/v1/refunds/${n}`,
    status: 200,
    durationMs: 3,
    callerKind: 'user',
    callerId: 'someone',
    callerName: 'someone@acme.test',
    errorCode: null,
    errorMessage: null,
    errorField: null,
    orderId: null,
    refundId: null,
    remoteAddress: '127.0.0.1',
  });
  const start = (db: Queryable, clock = new ManualClock(), lines: string[] = []) => {
    const stream = { write: (line: string) => lines.push(line) } as unknown as NodeJS.WritableStream;
    return createRequestLog({ db, clock, log: createLogger('warn', stream), keepMs: 1_000 });
  };
  const of = (query: { callerId: string }) => listRequests(api.db, 'acme', { ...query, limit: 500 });

  test('writes what waits before it stops', async () => {
    const log = start(api.db);
    log.loop.start();
    const entries = Array.from({ length: 300 }, (_, n) => ({ ...entry(new Date(), n), callerId: 'stopper' }));
    for (const one of entries) log.note(one);
    await log.loop.stop();
    expect(await of({ callerId: 'stopper' })).toHaveLength(300);
  });

  test('drops what does not fit while the database is away, says how much, and goes on afterwards', async () => {
    let away = true;
    const lines: string[] = [];
    const log = start(
      {
        async query(text, params) {
          if (away) throw new Error('the database is away');
          return api.db.query(text, params);
        },
      },
      new ManualClock(),
      lines,
    );
    log.loop.start();
    for (let n = 0; n < 10_100; n++) log.note({ ...entry(new Date(), n), callerId: 'flood' });
    await vi.waitFor(() => expect(lines.join()).toContain('the database is away'), 10_000);
    away = false;
    await vi.waitFor(() => expect(lines.join()).toContain('"dropped":100'), { timeout: 20_000 });
    await log.loop.stop();
    const [row] = await api.db.query<{ count: number }>(
      `select count(*) from request_log where caller_id = 'flood'`,
    );
    expect(row!.count).toBe(10_000);
  });

  test('removes what is older than the setting says, and nothing younger', async () => {
    const clock = new ManualClock(new Date('2021-05-01T00:00:00Z'));
    const log = start(api.db, clock);
    log.note({ ...entry(new Date('2021-04-30T23:59:58.000Z')), callerId: 'old' });
    log.note({ ...entry(new Date('2021-04-30T23:59:59.500Z')), callerId: 'young' });
    log.loop.start();
    await vi.waitFor(async () => expect(await of({ callerId: 'old' })).toEqual([]), {
      timeout: 15_000,
      interval: 100,
    });
    await vi.waitFor(async () => expect(await of({ callerId: 'young' })).toHaveLength(1));
    await log.loop.stop();
  });
});
