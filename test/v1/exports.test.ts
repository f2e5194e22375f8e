import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { charge } from '../orders/support.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock } from '../support/engine.ts';

const clock = new ManualClock(new Date('2026-03-01T10:00:00.000Z'));
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock });
  const lines = Array.from({ length: 1_203 }, (_, n) =>
    JSON.stringify(
      charge({
        order_id: `E-${n}`,
        gateway_payment_id: `pay_${n}`,
        amount: '12.50',
        customer_email: '=cmd|calc@shop.test',
        customer_phone: '+91 99',
        metadata: { n, 'a "quoted", name': 'line\nbreak' },
      }),
    ),
  );
  await call(api, '/v1/transactions', {
    body: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  });
  for (let n = 0; n < 3; n++) {
    const json = {
      order_id: `E-${n}`,
      unique_request_id: `-r${n}`,
      amount: '2.50',
      note: '\t=1+1',
      reason: 'ü "x"',
    };
    expect((await call(api, '/v1/refunds', { json })).status).toBe(201);
  }
});
afterAll(() => api.close());

const read = (text: string): Record<string, string>[] => parse(text, { columns: true, bom: true });

describe('orders as a file', () => {
  test('have every row of the list once, and what the list says of it', async () => {
    const answer = await call(api, '/v1/orders/export.csv');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(answer.headers.get('content-disposition')).toBe('attachment; filename="orders-2026-03-01.csv"');
    const rows = read(answer.body);
    expect(new Set(rows.map((row) => row['order_id'])).size).toBe(1_203);
    expect(rows).toHaveLength(1_203);
    const row = rows.find((each) => each['order_id'] === 'E-1')!;
    expect(row).toMatchObject({
      created_at: '2026-03-01T10:00:00.000Z',
      status: 'CHARGED',
      currency: 'INR',
      amount: '12.50',
      refunded_amount: '2.50',
      refunding_amount: '2.50',
      refundable_amount: '10.00',
      refunded: 'partly',
      gateway: 'MODEL',
      gateway_payment_id: 'pay_1',
    });
    expect(JSON.parse(row['metadata']!)).toEqual({ n: 1, 'a "quoted", name': 'line\nbreak' });
  });

  test('hold no formula', async () => {
    const { body } = await call(api, '/v1/orders/export.csv?order_id=E-0');
    const [row] = read(body);
    expect([row!['customer_email'], row!['customer_phone']]).toEqual(["'=cmd|calc@shop.test", "'+91 99"]);
  });

  test('are narrowed as the list is, and begin with a mark when asked', async () => {
    const plain = await fetch(`${api.url}/v1/orders/export.csv?refunded=partly`, { headers: key('acme') });
    const marked = await fetch(`${api.url}/v1/orders/export.csv?refunded=partly&bom=true&sort=oldest`, {
      headers: key('acme'),
    });
    const bytes = Buffer.from(await marked.arrayBuffer());
    expect(bytes.subarray(0, 3)).toEqual(Buffer.from([0xef, 0xbb, 0xbf]));
    expect(read(await plain.text()).map((row) => row['order_id'])).toEqual(['E-0', 'E-1', 'E-2']);
    expect(read(bytes.toString()).map((row) => row['order_id'])).toEqual(['E-2', 'E-1', 'E-0']);
  });

  test('are nobody else’s', async () => {
    expect(read((await call(api, '/v1/orders/export.csv', { as: 'other' })).body)).toEqual([]);
  });
});

describe('refunds as a file', () => {
  test('have all that the list shows, under its names', async () => {
    const { body } = await call(api, '/v1/refunds/export.csv?sort=oldest');
    const listed = (await call(api, '/v1/refunds?sort=oldest')).body.refunds;
    const rows = read(body);
    expect(rows).toHaveLength(3);
    for (const [n, row] of rows.entries()) {
      expect(Object.keys(row)).toEqual(Object.keys(listed[n]));
      for (const [name, value] of Object.entries(listed[n])) {
        const text = value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
        const guarded = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
        expect([name, row[name]]).toEqual([name, guarded]);
      }
    }
    expect(rows[0]!['unique_request_id']!.startsWith("'-r")).toBe(true);
  });

  test.each([
    ['/v1/orders/export.csv', 'limit', '5'],
    ['/v1/orders/export.csv', 'bom', 'yes'],
    ['/v1/orders/export.csv', 'sort', 'amount_asc'],
    ['/v1/refunds/export.csv', 'cursor', 'x'],
    ['/v1/refunds/export.csv', 'status', 'DONE'],
  ])('%s refuses %s=%s', async (path, field, value) => {
    const { status, body } = await call(api, `${path}?${field}=${value}`);
    expect([status, body.error.field]).toEqual([400, field]);
  });
});

function key(merchant: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${merchant}-key:`).toString('base64')}` };
}
