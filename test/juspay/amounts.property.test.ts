import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { modelGateway } from './model-gateway.ts';

/** Whatever a body looks like: what is accepted is the amount that was asked for, and nothing else is accepted. */

let api: TestApi;
const clock = new ManualClock();
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway] });
});
afterAll(() => api.close());

const PAID_MINOR = 1_000_000;

/** What a careful person would say was asked for: minor units, everything, or nothing that can be done. */
function asked(written: string | undefined): number | 'everything' | 'nothing' {
  if (written === undefined) return 'everything';
  const parts = /^([0-9]+)(?:\.([0-9]{1,2}))?$/.exec(written);
  if (!parts) return 'nothing';
  const minor = BigInt(parts[1]!) * 100n + BigInt((parts[2] ?? '').padEnd(2, '0'));
  return minor > 0n && minor <= BigInt(PAID_MINOR) ? Number(minor) : 'nothing';
}

const plain = fc
  .tuple(
    fc.integer({ min: 0, max: 12_000 }),
    fc.integer({ min: 0, max: 999 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([whole, part, decimals]) =>
    decimals === 0 ? `${whole}` : `${whole}.${`${part}`.padStart(3, '0').slice(0, decimals)}`,
  );
const odd = fc.constantFrom(
  '',
  'null',
  'undefined',
  'NaN',
  '1e2',
  '1E+2',
  '-5',
  '+5',
  '5-',
  '0x5',
  '٥',
  '５',
  '5,0',
  '5 0',
  '1_000',
  '.5',
  '5.',
  '0',
  '0.00',
  '007',
  'true',
  '[]',
);
const noisy = fc
  .tuple(plain, fc.string({ maxLength: 2 }), fc.boolean())
  .map(([text, noise, before]) => (before ? noise + text : text + noise));
const amounts = fc.oneof(plain, plain, odd, noisy, fc.string(), fc.constant(undefined));

const FORM = 'application/x-www-form-urlencoded';
const encoded = (fields: readonly (readonly [string, string])[]) =>
  fields.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');

type Encoding = (fields: readonly (readonly [string, string])[]) => Call & { query?: string };
const encodings: Record<string, Encoding> = {
  form: (fields) => ({ body: encoded(fields), headers: { 'content-type': FORM } }),
  query: (fields) => ({
    method: 'POST',
    query: encoded(fields),
    body: '',
    headers: { 'content-type': FORM },
  }),
  json: (fields) => ({ json: Object.fromEntries(fields) }),
  multipart: (fields) => ({
    body: `${fields
      .map(
        ([name, value]) => `--b0undary\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      )
      .join('')}--b0undary--\r\n`,
    headers: { 'content-type': 'multipart/form-data; boundary=b0undary' },
  }),
};

let count = 0;
async function refundOf(orderId: string): Promise<number[]> {
  const rows = await api.db.query<{ amount_minor: number }>(
    'select amount_minor from refunds where order_id = $1',
    [orderId],
  );
  return rows.map((row) => row.amount_minor);
}

async function check(orderId: string, written: string | undefined, options: Call & { query?: string }) {
  const answer = await call(
    api,
    `/orders/${orderId}/refunds${options.query ? `?${options.query}` : ''}`,
    options,
  );
  const expected = asked(written);
  expect(answer.status).toBe(expected === 'nothing' ? 400 : 200);
  expect(await refundOf(orderId)).toEqual(
    expected === 'nothing' ? [] : [expected === 'everything' ? PAID_MINOR : expected],
  );
}

test('text amounts in every encoding', async () => {
  await fc.assert(
    fc.asyncProperty(
      amounts,
      fc.constantFrom(...Object.keys(encodings)),
      fc.dictionary(
        fc.constantFrom('udf1', 'udf2', 'metaData', 'refund_reason'),
        fc.constantFrom('', 'x', '100', 'null'),
      ),
      async (written, encoding, more) => {
        // Such text cannot be put into a URL or a multipart body at all, or ends the part it stands in.
        fc.pre(written === undefined || (written.isWellFormed() && !/[\0\r\n]/.test(written)));
        const orderId = `T${++count}`;
        await putOrder(api.db, { orderId, amountMinor: PAID_MINOR });
        const fields = [
          ['unique_request_id', 'r1'],
          ...(written === undefined ? [] : [['amount', written] as const]),
          ...Object.entries(more),
        ] as [string, string][];
        await check(orderId, written, encodings[encoding]!(fields));
      },
    ),
    { numRuns: 300 },
  );
});

test('JSON number tokens', async () => {
  const token = fc.oneof(
    plain.map((text) => text.replace(/^0+(?=\d)/, '')),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.bigInt().map(String),
    fc.constantFrom('1e2', '1E2', '10e-1', '-0', '0.0', '1.10', '9007199254740993', '0.1000000000000000055'),
  );
  await fc.assert(
    fc.asyncProperty(token, async (written) => {
      const orderId = `N${++count}`;
      await putOrder(api.db, { orderId, amountMinor: PAID_MINOR });
      await check(orderId, written, {
        body: `{"unique_request_id":"r1","amount":${written}}`,
        headers: { 'content-type': 'application/json' },
      });
    }),
    { numRuns: 200 },
  );
});

test('bodies with any names and values: a full refund only where nothing stands for an amount', async () => {
  const name = fc.oneof(
    fc.constantFrom(
      'amount',
      'Amount',
      'amount ',
      'amount[]',
      'amount.x',
      'amoun',
      'refund_amount',
      'metadata',
      'udf1',
      'order_id',
      'currency',
    ),
    fc.string({ maxLength: 12 }),
  );
  const harmless = new Set(['unique_request_id', 'metadata', 'udf1', 'order_id', 'currency']);
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, fc.jsonValue({ maxDepth: 2 })), async (fields) => {
      const orderId = `A${++count}`;
      await putOrder(api.db, { orderId, amountMinor: PAID_MINOR });
      await call(api, `/orders/${orderId}/refunds`, { json: { ...fields, unique_request_id: 'r1' } });
      const given = Object.keys(fields).find((key) => !harmless.has(key));
      const recorded = await refundOf(orderId);
      if (given === undefined) return;
      if ('amount' in fields) {
        const { amount } = fields;
        const written =
          typeof amount === 'string' || typeof amount === 'number'
            ? JSON.stringify(amount).replaceAll('"', '')
            : '';
        expect([[], [asked(written)]]).toContainEqual(recorded);
      } else expect(recorded).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
