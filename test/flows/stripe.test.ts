/** Whole refunds through the engine to a Stripe that remembers, over a network that loses things. */
import * as mockttp from 'mockttp';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { stripe } from '../../src/gateways/stripe.ts';
import { createHttp } from '../../src/lib/http.ts';
import type { Loop } from '../../src/lib/loop.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { createRefundWorker } from '../../src/refunds/worker.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';
import { STAND_IN_KEY, type StripeStandIn, startStripeStandIn } from '../support/stripe-stand-in.ts';

const http = createHttp({
  allowPrivate: true,
  timeoutMs: 10_000,
  maxAnswerBytes: 1_000_000,
  userAgent: 'test',
});
let standIn: StripeStandIn;
let network: mockttp.Mockttp;
let fresh: FreshDatabase;
let clock: ManualClock;
let deps: EngineDeps;
let worker: Loop;

beforeAll(async () => {
  standIn = await startStripeStandIn();
});
afterAll(async () => {
  standIn.stop();
  await http.close();
});
beforeEach(async () => {
  network = mockttp.getLocal();
  await network.start();
  fresh = await freshDatabase();
  clock = new ManualClock();
  const baseUrl = network.url.replace('localhost', '127.0.0.1');
  deps = {
    ...engineDeps(fresh.db, { clock, gateways: [stripe], http: http.send }),
    openAccess: async (accountId) => ({
      accountId,
      identity: 'acct_1 test',
      baseUrl,
      credentials: { secret_key: STAND_IN_KEY },
    }),
  };
  worker = createRefundWorker(deps);
  await merchantWithAccount(fresh.db, { gateway: 'STRIPE' });
});
afterEach(async () => {
  await worker.stop();
  await network.stop();
  await fresh.drop();
});

/** Records a refund of 4.00 USD of a charge of 10.00 and lets the worker run. */
async function refund(): Promise<string> {
  const charge = await standIn.charge(10_00);
  await putOrder(fresh.db, {
    orderId: 'ORDER-1',
    amountMinor: 10_00,
    currency: 'USD',
    gateway: 'STRIPE',
    paymentId: charge,
  });
  const [outcome] = await recordRefunds(deps, [
    refundRequest({ orderId: 'ORDER-1', uniqueRequestId: 'r1', amount: '4.00' }),
  ]);
  expect(outcome).toMatchObject({ ok: true });
  worker.start();
  return charge;
}

/** Lets minutes pass until the refund is in this state. */
async function becomes(state: string, stepMs = 60_000): Promise<Record<string, unknown>> {
  return vi.waitFor(
    async () => {
      const [row] = await fresh.db.query('select * from refunds');
      if (row!['state'] !== state) clock.pass(stepMs);
      expect(row!['state']).toBe(state);
      return row!;
    },
    { timeout: 30_000, interval: 300 },
  );
}

test('done at once', async () => {
  await network.forUnmatchedRequest().thenForwardTo(standIn.url);
  const charge = await refund();
  const row = await becomes('succeeded', 0);
  expect(await standIn.booksOf(charge)).toMatchObject([
    { id: row['gateway_refund_id'], amount: 400, metadata: { refundry_refund_id: row['refund_id'] } },
  ]);
});

test('the answer is lost after Stripe did it: found by looking, paid once', async () => {
  const lost = await network
    .forPost('/v1/refunds')
    .once()
    .thenForwardTo(standIn.url, { beforeResponse: () => 'reset' });
  const sent = await network.forPost('/v1/refunds').always().thenForwardTo(standIn.url);
  await network.forUnmatchedRequest().thenForwardTo(standIn.url);
  const charge = await refund();
  await becomes('unknown', 0);
  expect(await standIn.booksOf(charge)).toHaveLength(1);
  const row = await becomes('succeeded');
  expect(await standIn.booksOf(charge)).toMatchObject([{ id: row['gateway_refund_id'], amount: 400 }]);
  expect(
    [await lost.getSeenRequests(), await sent.getSeenRequests()].map((requests) => requests.length),
  ).toEqual([1, 0]);
});

test('the request is lost before Stripe saw it: proved absent, sent again under the same key, paid once', async () => {
  const lost = await network.forPost('/v1/refunds').once().thenResetConnection();
  const sent = await network.forPost('/v1/refunds').always().thenForwardTo(standIn.url);
  await network.forUnmatchedRequest().thenForwardTo(standIn.url);
  const charge = await refund();
  await becomes('unknown', 0);
  expect(await standIn.booksOf(charge)).toEqual([]);
  const row = await becomes('succeeded');
  expect(await standIn.booksOf(charge)).toMatchObject([{ id: row['gateway_refund_id'], amount: 400 }]);
  const [first, ...others] = [...(await lost.getSeenRequests()), ...(await sent.getSeenRequests())];
  expect(others).toHaveLength(1);
  expect(others[0]!.headers['idempotency-key']).toBe(first!.headers['idempotency-key']);
  expect(await others[0]!.body.getText()).toBe(await first!.body.getText());
});

test('Stripe says that the payment was refunded otherwise: a person is asked, and the amount stays held', async () => {
  await network.forUnmatchedRequest().thenForwardTo(standIn.url);
  const charge = await refund();
  await becomes('succeeded', 0);
  await standIn.sdk.refunds.create({ charge, amount: 6_00 });
  await recordRefunds(deps, [refundRequest({ orderId: 'ORDER-1', uniqueRequestId: 'r2', amount: '1.00' })]);
  worker.wake();
  await vi.waitFor(
    async () => {
      expect(
        await fresh.db.query(`select state, error_code from refunds where unique_request_id = 'r2'`),
      ).toEqual([{ state: 'manual_review', error_code: 'charge_already_refunded' }]);
    },
    { timeout: 30_000, interval: 200 },
  );
  const [payment] = await fresh.db.query<{ held: number }>('select reserved_minor as held from transactions');
  expect(payment!.held).toBe(4_00 + 1_00);
});
