import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { readOpenApi } from '../support/openapi.ts';

/** Every route that the OpenAPI page lists, with requests that nobody thought of: never a 5xx, always a reason. */

let api: TestApi;
let routes: { method: string; path: string; query: string[]; fields: string[] }[];
beforeAll(async () => {
  api = await startApi();
  await putOrder(api.db, { orderId: 'O1', amountMinor: 1_000_000_000 });
  const spec = await readOpenApi(api);
  routes = Object.entries<Record<string, SpecRoute>>(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      // An event stream ends when its listener does: test/v1/stream.test.ts has those.
      .filter(([, { responses }]) => responses['200']?.content?.['text/event-stream'] === undefined)
      .map(([method, route]) => ({
        method: method.toUpperCase(),
        path,
        query: (route.parameters ?? []).filter((one) => one.in === 'query').map((one) => one.name),
        fields: Object.values(route.requestBody?.content ?? {}).flatMap(({ schema }) =>
          Object.keys(schema?.properties ?? {}),
        ),
      })),
  );
});
afterAll(() => api.close());

interface SpecRoute {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly responses: Record<string, { readonly content?: Record<string, unknown> }>;
  readonly requestBody?: { readonly content: Record<string, { schema?: { properties?: object } }> };
}

const odd = fc.constantFrom(
  ...[
    '',
    'null',
    'undefined',
    '0',
    '-1',
    '1e999',
    '9'.repeat(400),
    '\0',
    'a\0b',
    "' or 1=1 --",
    '%',
    '%00',
    '../..',
    '💸',
  ],
  ...[
    'true',
    '[]',
    '{}',
    'O1',
    'acme-O1-1',
    'INR',
    'XXX',
    '2026-02-30T00:00:00Z',
    '0001-01-01',
    '+275760-09-13T00:00:00Z',
  ],
  ...['00000000-0000-0000-0000-000000000000', 'http://127.0.0.1', 'file:///etc/passwd', '\ud800', '\u202e'],
);
const text = fc.oneof(odd, odd, fc.string({ unit: 'binary', maxLength: 40 }));
const scalar = fc.oneof(text, fc.double(), fc.maxSafeInteger(), fc.boolean(), fc.constant(null));
const value = fc.oneof(
  scalar,
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(text, scalar, { maxKeys: 3 }),
  fc.jsonValue(),
);
const types = fc.oneof(
  fc.constant('application/json'),
  fc.constantFrom(
    ...[
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=b',
      'multipart/form-data',
      'text/plain',
    ],
    ...[
      'application/x-ndjson',
      'text/csv',
      'application/octet-stream',
      'application/json; charset=utf-16',
      'nonsense',
      '',
    ],
  ),
);

test('any fields in any route', async () => {
  expect(routes.length).toBeGreaterThan(20);
  await fc.assert(
    fc.asyncProperty(
      fc.nat().map((n) => routes[n % routes.length]!),
      fc.array(text, { minLength: 3, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(), value), { maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(), text), { maxLength: 4 }),
      types,
      async (route, params, given, asked, type) => {
        const names = route.fields.length > 0 ? route.fields : ['a'];
        const fields = Object.fromEntries(given.map(([n, one]) => [names[n % names.length]!, one]));
        const query = asked
          .map(([n, one]) => `${route.query[n % route.query.length] ?? 'q'}=${encode(one)}`)
          .join('&');
        const path = route.path.replace(/\{[^}]+\}/g, () => encode(params.pop() || 'x'));
        await ask(route.method, `${path}${query && `?${query}`}`, type, JSON.stringify(fields));
      },
    ),
    { numRuns: 600 },
  );
});

test('any bytes as a body', async () => {
  const fragments = fc.constantFrom(
    'amount',
    '=',
    '&',
    '"',
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '\r\n',
    '--b',
    '--',
    '%',
    '1',
    'unique_request_id',
    'Content-Disposition: form-data; name="amount"',
    '\ufeff',
    '\\u0000',
    '.',
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
    fc.array(fragments, { maxLength: 30 }).map((parts) => Buffer.from(parts.join(''))),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.nat().map((n) => routes.filter((route) => route.method !== 'GET')[n % routes.length] ?? routes[0]!),
      types,
      bytes,
      async (route, type, body) => {
        const path = route.path.replace(/\{[^}]+\}/g, 'O1');
        await ask(route.method, path, type, route.method === 'GET' ? undefined : body);
      },
    ),
    { numRuns: 400 },
  );
});

function encode(one: string): string {
  return encodeURIComponent(one.toWellFormed());
}

async function ask(
  method: string,
  path: string,
  type: string,
  body: string | Buffer | undefined,
): Promise<void> {
  const sends = method !== 'GET' && body !== undefined;
  const answer = await call(api, path, {
    method,
    headers: type === '' || !sends ? {} : { 'content-type': type },
    ...(sends && { body: new Uint8Array(Buffer.from(body)) }),
  });
  expect(answer.status, `${method} ${path} ${type} ${body}: ${JSON.stringify(answer.body)}`).toBeLessThan(
    500,
  );
  if (answer.status >= 400)
    expect(answer.body).toSatisfy((refused: object) => 'error' in refused || 'status' in refused);
}
