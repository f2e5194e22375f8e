import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { modelGateway } from './model-gateway.ts';

/** Juspay's official Node SDK, unchanged, in a process and a folder of its own (it needs a package.json there). */

let api: TestApi;
let folder: string;
const clock = new ManualClock();
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway] });
  folder = mkdtempSync(join(tmpdir(), 'refundry-sdk-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'shop', version: '9.9.9' }));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await api.close();
});

interface SdkResult {
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of it
  readonly answer?: any;
  readonly thrown?: string;
  readonly name?: string;
  readonly message?: string;
  readonly status?: string;
  readonly errorCode?: string;
  readonly http?: number;
}

type SdkCall = readonly ['create' | 'status' | 'refund', ...unknown[]];

async function sdk(
  calls: readonly SdkCall[],
  options: { apiKey?: string; merchantId?: string; version?: string } = {},
): Promise<SdkResult[]> {
  const script = fileURLToPath(new URL('node-sdk-client.mjs', import.meta.url));
  const asked = { port: api.port, apiKey: 'acme-key', merchantId: 'acme', ...options, calls };
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(asked)], {
    cwd: folder,
    env: { ...process.env, NODE_ENV: 'production' },
  });
  return JSON.parse(stdout);
}

describe("Juspay's Node SDK", () => {
  test('creates an order, asks for it, refunds it and sees the refund', async () => {
    await putOrder(api.db, { orderId: 'PAID1', amountMinor: 10_050 });
    const [created, status, refunded, after] = await sdk([
      [
        'create',
        {
          order_id: 'ORD1',
          amount: 100.5,
          currency: 'INR',
          customer_id: 'c 1',
          return_url: 'https://shop.test/r?x=1',
          'metadata.JUSPAY:gateway_reference_id': 'g1',
          'options.get_client_auth_token': true,
        },
      ],
      ['status', 'ORD1'],
      ['refund', 'PAID1', { unique_request_id: 'ref-1', amount: 1 }],
      ['status', 'paid1', { 'options.add_full_gateway_response': true }],
    ]);
    expect(created?.answer).toMatchObject({
      order_id: 'ORD1',
      status: 'NEW',
      status_id: 10,
      amount: 100.5,
      customer_id: 'c 1',
      return_url: 'https://shop.test/r?x=1',
      metadata: { 'JUSPAY:gateway_reference_id': 'g1' },
    });
    expect(status?.answer).toEqual(created?.answer);
    expect(refunded?.answer).toMatchObject({
      order_id: 'PAID1',
      status: 'CHARGED',
      amount_refunded: 1,
      refunds: [{ unique_request_id: 'ref-1', amount: 1, status: 'PENDING', sent_to_gateway: false }],
    });
    expect(after?.answer).toEqual(refunded?.answer);
  });

  test('as JSON with numbers, when its caller asks for that', async () => {
    await putOrder(api.db, { orderId: 'PAID2', amountMinor: 10_000 });
    const config = { headers: { 'Content-Type': 'application/json' } };
    const [refunded] = await sdk([
      ['refund', 'PAID2', { unique_request_id: 'ref1', order_id: 'PAID2', amount: 2.25 }, config],
    ]);
    expect(refunded?.answer).toMatchObject({ amount_refunded: 2.25 });
  });

  test('with an old version, an order is CREATED', async () => {
    const [created] = await sdk([['create', { order_id: 'ORD2', amount: 1 }]], { version: '2016-10-27' });
    expect(created?.answer).toMatchObject({ status: 'CREATED', status_id: 1, order_id: 'ORD2' });
  });

  test('turns each refusal into its own error', async () => {
    await putOrder(api.db, { orderId: 'PAID3', amountMinor: 10_000 });
    await putOrder(api.db, { orderId: 'OPEN3', amountMinor: 10_000, status: 'NEW' });
    await putOrder(api.db, { orderId: 'THEIRS', amountMinor: 10_000, merchantId: 'other' });
    const refund = (orderId: string, body: Record<string, unknown>): SdkCall => ['refund', orderId, body];
    const cases: [SdkCall, Partial<SdkResult>][] = [
      [
        refund('PAID3', { unique_request_id: 'used', amount: 5 }),
        { answer: expect.objectContaining({ amount_refunded: 5 }) },
      ],
      [
        refund('PAID3', { unique_request_id: 'used', amount: 6 }),
        {
          errorCode: 'duplicate.call',
          message: 'A refund call was already completed with this unique_request_id for the order.',
        },
      ],
      [
        refund('PAID3', { unique_request_id: 'again', amount: 5 }),
        {
          errorCode: 'duplicate.call',
          message: 'A refund call was already processing with this amount for the order.',
        },
      ],
      [
        refund('PAID3', { unique_request_id: 'more', amount: 95.01 }),
        { errorCode: 'invalid.amount.exceeded', message: 'Refund amount exceeds the refundable amount.' },
      ],
      [refund('PAID3', { amount: 1 }), { status: 'Bad Request', errorCode: 'Mandatory fields are missing' }],
      [
        refund('PAID3', { unique_request_id: '(undefined)', amount: 1 }),
        { status: 'Bad Request', errorCode: 'Mandatory fields are missing' },
      ],
      [
        refund('PAID3', { unique_request_id: 'zero', amount: 0 }),
        { errorCode: 'invalid amount', message: 'Amount is invalid.' },
      ],
      [
        refund('PAID3', { unique_request_id: 'undef', amount: '(undefined)' }),
        { errorCode: 'invalid amount' },
      ],
      [
        refund('PAID3', { unique_request_id: 'null', amount: null }),
        { errorCode: 'Mandatory fields are missing' },
      ],
      [refund('PAID3', { unique_request_id: 'nullish', amount: null }), { errorCode: 'invalid amount' }],
      [
        refund('PAID3', { unique_request_id: 'object', amount: { value: 1 } }),
        { errorCode: 'invalid amount' },
      ],
      [refund('PAID3', { unique_request_id: 'array', amount: [1, 2] }), { errorCode: 'invalid amount' }],
      [refund('PAID3', { unique_request_id: 'milli', amount: 1.001 }), { errorCode: 'invalid amount' }],
      [
        refund('OPEN3', { unique_request_id: 'open', amount: 1 }),
        { errorCode: 'invalid.order.not_successful', message: 'Cannot process unsuccessful order.' },
      ],
      [refund('NOWHERE', { unique_request_id: 'none', amount: 1 }), { status: 'NOT_FOUND' }],
      [refund('THEIRS', { unique_request_id: 'theirs', amount: 1 }), { status: 'NOT_FOUND' }],
      [['status', 'NOWHERE'], { status: 'NOT_FOUND' }],
      [['create', { order_id: 'ORD3' }], { errorCode: 'INVALID_REQUEST', message: 'Bad Request.' }],
      [['create', { order_id: 'PAID3', amount: 1 }], { errorCode: 'INVALID_REQUEST' }],
    ];
    const results = await sdk(cases.map(([asked]) => asked));
    for (const [index, [asked, expected]] of cases.entries()) {
      const refused = { http: 400, thrown: 'InvalidRequestError' };
      expect(results[index], JSON.stringify(asked)).toMatchObject(
        expected.answer ? expected : { ...refused, ...expected },
      );
    }
    expect(await api.db.query(`select amount_minor from refunds where order_id = 'PAID3'`)).toEqual([
      { amount_minor: 500 },
    ]);
  });

  test('tells a wrong key and a wrong merchant from other errors', async () => {
    for (const who of [{ apiKey: 'wrong' }, { merchantId: 'other' }]) {
      const [status] = await sdk([['status', 'PAID1']], who);
      expect(status).toMatchObject({ thrown: 'AuthenticationError', http: 401, errorCode: 'access_denied' });
    }
  });
});
