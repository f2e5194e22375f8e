import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../src/lib/db.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { readOpenApi } from '../support/openapi.ts';
import { addPerson, newBrowser, PASSWORD } from '../support/people.ts';

interface Body {
  readonly content: Readonly<
    Record<string, { example?: unknown; schema: { examples?: readonly unknown[] } } | undefined>
  >;
}

interface Operation {
  readonly responses: Readonly<Record<string, { description: string; content?: object }>>;
  readonly requestBody?: object;
  readonly security?: readonly unknown[];
}

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const as = null;

/** A database that nobody serves: the port belongs to the system and is never open. */
const nowhere = () => openDatabase({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' });

describe('without a key', () => {
  test('/health says whether the database answers', async () => {
    const answer = await call(api, '/health', { as });
    expect([answer.status, answer.body]).toEqual([200, { status: 'ok', database: 'reachable' }]);
    const lost = await startApi({ db: nowhere() });
    const failing = await call(lost, '/health', { as });
    expect([failing.status, failing.body]).toEqual([503, { status: 'failing', database: 'unreachable' }]);
    await lost.close();
  });

  test('/docs and all it loads come from us alone', async () => {
    const page = await call(api, '/docs', { as });
    expect(page.status).toBe(200);
    const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThan(3);
    for (const link of links) {
      expect(link).toMatch(/^(\.?\/)/);
      const loaded = await call(api, link.replace(/^\.\//, '/docs/'), { as });
      expect([link, loaded.status]).toEqual([link, 200]);
    }
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).not.toMatch(/https?:/);
    expect(policy).toContain("default-src 'none'");
    const start = await call(api, '/docs/static/swagger-initializer.js', { as });
    expect(start.body).toContain('validatorUrl: null');
  });

  test('/openapi.json is OpenAPI 3.1 and describes every route of both surfaces', async () => {
    const { status, body } = await call(api, '/openapi.json', { as });
    expect([status, body.openapi]).toEqual([200, '3.1.0']);
    for (const [path, method] of [
      ['/orders', 'post'],
      ['/orders/{order_id}', 'get'],
      ['/orders/{order_id}/refunds', 'post'],
      ['/refunds', 'post'],
      ['/order/refund', 'post'],
      ['/order/status', 'get'],
      ['/v1/refunds', 'post'],
      ['/v1/transactions', 'post'],
      ['/v1/settings', 'patch'],
      ['/health', 'get'],
    ] as const) {
      expect(body.paths[path]?.[method]?.summary, `${method} ${path}`).toEqual(expect.any(String));
    }
    const forms = body.paths['/orders/{order_id}/refunds'].post.requestBody.content;
    expect(Object.keys(forms)).toEqual([
      'application/x-www-form-urlencoded',
      'application/json',
      'multipart/form-data',
    ]);
    const whole = await readOpenApi(api);
    const entry = whole.paths['/orders/{order_id}'].get.responses['200'].content['application/json'].schema;
    expect(entry.properties.refunds.items.properties.status.enum).toContain('MANUAL_REVIEW');
    expect(body.servers).toEqual([{ url: 'https://refunds.shop.test' }]);
    expect(body.paths['/health'].get.security).toEqual([]);
  });

  test('every route says what it answers, refusals included, in schemas that are there once', async () => {
    const { body } = await call(api, '/openapi.json', { as });
    const text = JSON.stringify(body);
    const { schemas } = body.components;
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      expect(schemas).toHaveProperty(name!);
    for (const name of Object.keys(schemas)) expect(text).toContain(`"#/components/schemas/${name}"`);
    expect(text).not.toMatch(/Default Response|9007199254740991/);
    expect(text.length).toBeLessThan(340_000);
    for (const [path, operations] of Object.entries<Record<string, Operation>>(body.paths)) {
      for (const [method, { responses, requestBody, security }] of Object.entries(operations)) {
        const where = `${method} ${path}`;
        const isOwn = /^\/(v1|auth)\//.test(path);
        for (const [status, { description, content }] of Object.entries(responses)) {
          expect(description, where).toMatch(/[.;]/);
          if (Number(status) < 400 || path === '/health') continue;
          const error = isOwn || path.startsWith('/gateways') ? 'Error' : 'JuspayError';
          expect(content, where).toEqual({
            'application/json': { schema: { $ref: `#/components/schemas/${error}` } },
          });
        }
        const expected = [...(requestBody ? ['400', '413', '415'] : []), '401', '503'];
        if (!security) expect(Object.keys(responses), where).toEqual(expect.arrayContaining(expected));
        if (path.startsWith('/v1/') && path.includes('{'))
          expect(Object.keys(responses), where).toContain('404');
      }
    }
  });
});

test('the examples of the OpenAPI page are requests that can be read', async () => {
  const spec = await readOpenApi(api);
  const shown: [string, string, unknown][] = Object.entries<Record<string, { requestBody?: Body }>>(
    spec.paths,
  ).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { requestBody }]): [string, string, unknown][] => {
      const json = requestBody?.content['application/json'];
      const example = json?.example ?? json?.schema.examples?.[0];
      return example === undefined ? [] : [[method.toUpperCase(), path, example]];
    }),
  );
  expect(shown.length).toBeGreaterThan(12);
  for (const [method, path, json] of shown) {
    const at = path.replace(/\{[^}]+\}/g, '01890a5d-ac96-774b-bcce-b302099a8057');
    const { status, body } = await call(api, at, { method, json });
    expect(status, `${method} ${path}`).toBeLessThan(500);
    const why = JSON.stringify([body.error?.code, body.error_info?.fields ?? '']);
    expect(why, `${method} ${path}`).not.toMatch(/_field"|Missing field|Must be/);
  }
});

describe('addresses and methods', () => {
  test('an unknown address is 404 in the words of its surface', async () => {
    const ours = await call(api, '/v1/nothing', { as });
    expect([ours.status, ours.body.error.code]).toEqual([404, 'not_found']);
    for (const path of [
      '/nothing',
      '/orders',
      '/session',
      '/v4/order-status',
      '/txns/x/refunds',
      '/orders/a/b/c',
    ]) {
      const theirs = await call(api, path, { as, method: 'PUT' });
      expect([path, theirs.status]).toEqual([path, path === '/orders' ? 405 : 404]);
      expect(theirs.body).toMatchObject({
        error_code: 'INVALID_REQUEST',
        error_info: { category: 'USER_ERROR' },
      });
    }
  });

  test('a known address with another method is 405, and OPTIONS names what is allowed', async () => {
    const wrong = await call(api, '/v1/settings', { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, PATCH, OPTIONS']);
    const options = await call(api, '/orders/O1/refunds', { as, method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow'), options.body]).toEqual([204, 'POST, OPTIONS', '']);
    expect((await call(api, '/orders/O1/refunds')).status).toBe(405);
  });

  test('no other origin is let in by a browser', async () => {
    const answer = await call(api, '/v1/settings', { headers: { origin: 'https://evil.test' } });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('answers carry their id and headers that keep browsers from guessing', async () => {
    for (const path of ['/v1/settings', '/orders/none', '/nothing', '/health']) {
      const { headers } = await call(api, path);
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(headers.get('strict-transport-security')).toBe('max-age=31536000');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-powered-by')).toBeNull();
    }
  });
});

test('where it is reached by plain HTTP, nothing is said of https, and cookies are kept all the same', async () => {
  const plain = await startApi({ settings: { PUBLIC_URL: 'http://refunds.shop.test' } });
  await addPerson(plain.db, { role: 'viewer' });
  const { headers } = await call(plain, '/health');
  expect(headers.get('strict-transport-security')).toBeNull();
  const answer = await newBrowser(plain).ask('/auth/sign-in', {
    json: { email: 'viewer@acme.test', password: PASSWORD },
    headers: { origin: 'http://refunds.shop.test' },
  });
  const names = answer.headers.getSetCookie().map((line) => line.split('=')[0]);
  expect(names).toEqual(['refundry.session_token', 'refundry.browser']);
  await plain.close();
});

describe('/v1', () => {
  test.each<[string, Record<string, string>]>([
    ['no key', {}],
    ['a wrong key', { authorization: `Basic ${Buffer.from('nobody:').toString('base64')}` }],
    [
      "another merchant's header",
      { authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`, 'x-merchantid': 'other' },
    ],
  ])('%s is 401', async (_, headers) => {
    const answer = await call(api, '/v1/settings', { as, headers });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect(answer.body).toEqual({
      error: {
        code: 'unauthorized',
        message: expect.stringMatching(/^The API key .*\.$/),
        field: 'Authorization',
        accepted: 'Basic base64("<api key>:")',
      },
    });
  });

  test('the key alone is enough; the merchant header is optional', async () => {
    const answer = await call(api, '/v1/settings', {
      as,
      headers: { authorization: `Basic ${Buffer.from('acme-key').toString('base64')}` },
    });
    expect(answer.body).toMatchObject({
      merchant_id: 'acme',
      settings: { full_refund_when_amount_absent: true },
    });
  });

  test('settings change one by one', async () => {
    const changed = await call(api, '/v1/settings', {
      as: 'other',
      method: 'PATCH',
      json: { full_refund_when_amount_absent: false },
    });
    expect(changed.body).toMatchObject({
      merchant_id: 'other',
      settings: { full_refund_when_amount_absent: false },
    });
    const same = await call(api, '/v1/settings', { as: 'other', method: 'PATCH', json: {} });
    expect(same.body).toEqual(changed.body);
  });

  test.each([
    ['{"full_refund_when_amount_absent":"yes"}', 'invalid_field', 'full_refund_when_amount_absent'],
    ['{"colour":"red"}', 'invalid_field', 'colour'],
    ['[]', 'invalid_field', undefined],
    ['', 'invalid_json', undefined],
    ['{', 'invalid_json', undefined],
    ['{"a":1,"a":2}', 'invalid_json', undefined],
    ['{"__proto__":{}}', 'invalid_json', undefined],
    ['{"a":"\\u0000"}', 'invalid_text', 'a'],
    ['{"a":"\\ud800"}', 'invalid_text', 'a'],
  ])('the body %s is refused with %s', async (body, code, field) => {
    const answer = await call(api, '/v1/settings', {
      method: 'PATCH',
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({
      code,
      message: expect.stringMatching(/\.$/),
      ...(field && { field }),
    });
  });

  test('a refused field is named with its value and what would be accepted', async () => {
    const answer = await call(api, '/v1/settings', {
      method: 'PATCH',
      json: { full_refund_when_amount_absent: 'yes' },
    });
    expect(answer.body.error).toMatchObject({
      field: 'full_refund_when_amount_absent',
      value: 'yes',
      accepted: 'true or false',
    });
  });

  test('bodies of another type, and of 10 MB, are refused in our words', async () => {
    const xml = await call(api, '/v1/settings', {
      method: 'PATCH',
      body: '<a/>',
      headers: { 'content-type': 'application/xml' },
    });
    expect([xml.status, xml.body.error.code]).toEqual([415, 'unsupported_media_type']);
    const large = await call(api, '/v1/settings', { method: 'PATCH', json: { a: 'a'.repeat(10_000_000) } });
    expect([large.status, large.body.error.code]).toEqual([413, 'body_too_large']);
  });
});

test('a database that is gone is 503 in the words of each surface, and says nothing of ours', async () => {
  const lost = await startApi({ db: nowhere() });
  const theirs = await call(lost, '/orders/L1');
  const ours = await call(lost, '/v1/settings');
  for (const answer of [theirs, ours]) {
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(JSON.stringify(answer.body)).not.toMatch(/pool|postgres|node_modules|\.ts|select/i);
  }
  expect(theirs.body.error_code).toBe('internal_error');
  expect(ours.body.error.code).toBe('unavailable');
  await lost.close();
});

test('the log has a line for each request, without queries, bodies or keys', async () => {
  await call(api, '/orders/LOG1?order_id=LOG1&secret=hunter2');
  const line = api
    .logged()
    .map((text) => JSON.parse(text))
    .findLast((entry) => entry.path === '/orders/LOG1');
  expect(line).toMatchObject({
    method: 'GET',
    status: 400,
    merchant: 'acme',
    reqId: expect.any(String),
    ms: expect.any(Number),
  });
  expect(api.logged().join('')).not.toMatch(/hunter2|acme-key|YWNtZS1rZXk/);
});

test('a caller that hangs up in the middle of a body is no fault of ours, nor of the database', async () => {
  const before = api.logged().length;
  const key = Buffer.from('acme-key:').toString('base64');
  const socket = connect(api.port, '127.0.0.1')
    .on('error', () => {})
    .resume();
  socket.write(
    `POST /v1/refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${key}\r\nContent-Type: application/json\r\n` +
      'Content-Length: 400\r\n\r\n{',
  );
  // Requests that come after it on other connections are answered: by then it is being read.
  for (let n = 0; n < 5; n++) await call(api, '/v1/settings');
  socket.end();
  await once(socket, 'close');
  for (let n = 0; n < 5; n++) await call(api, '/health');
  const entries = () =>
    api
      .logged()
      .slice(before)
      .map((line) => JSON.parse(line) as { level: number; path?: string });
  await expect.poll(() => entries().some(({ path }) => path === '/health')).toBe(true);
  expect(entries().filter(({ level }) => level >= 50)).toEqual([]);
});

test('an address that cannot be read, or holds a fragment, is refused, with the headers of every answer', async () => {
  const at = async (path: string) => {
    const socket = connect(api.port, '127.0.0.1');
    const key = Buffer.from('acme-key:').toString('base64');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${key}\r\nConnection: close\r\n\r\n`,
    );
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  };
  for (const path of ['/v1/orders/%zz', `/v1/orders/${'x'.repeat(600)}`, '/v1/refunds#?limit=1']) {
    const answer = await at(path);
    expect(answer).toMatch(/^HTTP\/1\.1 4/);
    expect(answer).toContain('x-content-type-options: nosniff');
    expect(answer).toContain('x-request-id: ');
  }
});

test('closing lets a request under way finish and closes idle connections', async () => {
  const closing = await startApi();
  await putOrder(closing.db, { orderId: 'C1', amountMinor: 10_000 });
  const idle = connect(closing.port, '127.0.0.1');
  const idleEnded = new Promise((resolve) => idle.once('close', resolve));
  await new Promise<void>((resolve) => idle.once('connect', () => resolve()));

  const body = 'unique_request_id=r1&amount=1';
  const socket = connect(closing.port, '127.0.0.1');
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  const ended = new Promise((resolve) => socket.once('close', resolve));
  const headers = [
    'POST /orders/C1/refunds HTTP/1.1',
    'Host: localhost',
    `Authorization: Basic ${Buffer.from('acme-key').toString('base64')}`,
    'x-merchantid: acme',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    'Expect: 100-continue',
  ];
  socket.write(`${headers.join('\r\n')}\r\n\r\n`);
  // "100 Continue" shows that the server has begun with the request.
  await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  const closed = closing.close();
  socket.write(body);
  await Promise.all([ended, idleEnded, closed]);
  expect(received).toMatch(/HTTP\/1\.1 200 OK[\s\S]*"amount_refunded":1/);
  await expect(
    new Promise((resolve, reject) => get(closing.url, resolve).on('error', reject)),
  ).rejects.toThrow();
});
