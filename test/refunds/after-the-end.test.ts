import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noteWebhookTrouble } from '../../src/gateways/health.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { refundRequest } from '../support/engine.ts';
import { absent, HOUR, news, type Scene, scene, until, webhook } from './model.ts';

/** What becomes of refunds that have ended, when the gateway takes back what it said. */
const DAY = 24 * HOUR;

let s: Scene;
beforeEach(async () => {
  s = await scene({ capabilities: { recheckDelaysMs: [DAY, 2 * DAY] } });
});
afterEach(() => s.end());

async function eventNames(refundId: string): Promise<string[]> {
  const rows = await s.deps.db.query<{ name: string }>(
    'select event_name as name from notifications where refund_id = $1 order by event_seq, event_name',
    [refundId],
  );
  return rows.map(({ name }) => name);
}

async function paid(orderId: string): Promise<string> {
  s.model.create = () => news('succeeded', { at: s.clock.now() });
  const id = await s.refund(orderId);
  await s.becomes(id, 'succeeded');
  return id;
}

describe('a success', () => {
  test('is asked about again when the connector says, and the customer’s missing money is told', async () => {
    s.worker();
    const id = await paid('taken-back');
    expect((await s.read(id)).recheckAt).toEqual(new Date(s.clock.now().getTime() + DAY));
    s.model.look = () => news('reversed');
    s.clock.pass(DAY - HOUR);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(s.model.looked).toHaveLength(0);
    s.clock.pass(HOUR);
    expect(await s.becomes(id, 'reversed', 1_000)).toMatchObject({ nextLookAt: null, recheckAt: null });
    expect(await eventNames(id)).toEqual(['REFUND_INITIATED', 'ORDER_REFUNDED', 'ORDER_REFUND_FAILED']);
  });

  test('that holds is asked about as often as the connector says, and then no more', async () => {
    s.worker();
    const id = await paid('holds');
    s.model.look = () => news('succeeded');
    for (const [looks, days] of [
      [1, 1],
      [2, 2],
    ] as const) {
      s.clock.pass(days * DAY);
      await until(async () => {
        s.clock.pass(1_000);
        expect(s.model.looked).toHaveLength(looks);
      });
    }
    await until(async () => expect((await s.read(id)).recheckAt).toBeNull());
    expect((await s.read(id)).state).toBe('succeeded');
  });

  test('that the gateway’s books have lost calls people after as many answers as are a proof', async () => {
    s.worker();
    const id = await paid('lost');
    s.model.look = () => absent;
    s.clock.pass(DAY);
    await until(async () => {
      s.clock.pass(20 * 60_000);
      expect((await s.read(id)).attention).toContain('no such refund');
    });
    expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
    expect(s.model.looked).toHaveLength(2);
    expect(await eventNames(id)).toContain('REFUND_MANUAL_REVIEW_NEEDED');
  });

  test('calls people at the end where only books could be asked that it was not sent to', async () => {
    s.worker();
    const id = await paid('other-books');
    s.model.look = () => absent;
    await s.deps.db.query(`update refunds set sent_to = 'acct_before live' where refund_id = $1`, [id]);
    await until(async () => {
      s.clock.pass(DAY);
      expect((await s.read(id)).recheckAt).toBeNull();
    });
    expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
    expect((await s.read(id)).attention).toContain('open other books');
    expect((await eventNames(id)).filter((name) => name === 'REFUND_MANUAL_REVIEW_NEEDED')).toHaveLength(1);
  });

  test('is asked about within minutes where webhooks of its account were rejected', async () => {
    s.worker();
    const id = await paid('webhook-lost');
    s.model.look = () => news('reversed');
    await noteWebhookTrouble(
      s.deps.db,
      s.clock,
      { merchantId: 'acme', gatewayAccountId: s.accountId },
      'the signature is not made with a key of this account',
    );
    s.clock.pass(1_000);
    await until(async () =>
      expect((await s.read(id)).recheckAt!.getTime()).toBeLessThan(s.clock.now().getTime() + HOUR),
    );
    s.clock.pass(10 * 60_000);
    await s.becomes(id, 'reversed', 1_000);
  });
});

describe('a cancelled refund that the gateway proves to be paid', () => {
  async function cancelled(orderId: string, amount = '4.00'): Promise<string> {
    const id = await s.refund(orderId, { amount });
    const asked = { reason: null, cause: { by: 'worker', why: 'a test' } as const };
    expect(await cancelRefund(s.deps, 'acme', id, asked)).toMatchObject({ ok: true });
    return id;
  }

  test('goes to people, holds its amount again, and the merchant is told', async () => {
    const id = await cancelled('paid-after-all');
    s.model.look = () => news('succeeded');
    await settleFromWebhook(s.deps, s.account, webhook(id, news('succeeded').news));
    expect(await s.read(id)).toMatchObject({ state: 'manual_review', gatewayRefundId: 'rf_1' });
    expect(await eventNames(id)).toContain('REFUND_MANUAL_REVIEW_NEEDED');
    const [more] = await recordRefunds(s.deps, [
      refundRequest({ orderId: 'paid-after-all', uniqueRequestId: 'again', amount: '10.00' }),
    ]);
    expect(more).toMatchObject({ ok: false, refusal: 'amount_exceeds_rest', remaining: '6.00' });
  });

  test('where the amount has been refunded again: nothing can be held, and people are called, once', async () => {
    const id = await cancelled('paid-twice', '10.00');
    s.model.look = () => news('succeeded');
    await s.refund('paid-twice', { amount: '10.00', key: 'second' });
    const told = webhook(id, news('succeeded').news);
    await settleFromWebhook(s.deps, s.account, told);
    await settleFromWebhook(s.deps, s.account, told);
    expect(await s.read(id)).toMatchObject({ state: 'cancelled' });
    expect((await s.read(id)).attention).toContain('twice');
    expect((await eventNames(id)).filter((name) => name === 'REFUND_MANUAL_REVIEW_NEEDED')).toHaveLength(1);
  });
});

test('a refund that the gateway said it had not made is asked about before it is cancelled', async () => {
  s.worker();
  s.model.create = () => ({ kind: 'busy', retryAfterMs: DAY, evidence: {} });
  const id = await s.refund('asked-first');
  await until(async () => expect((await s.read(id)).sends).toBe(1));
  await until(async () => expect((await s.read(id)).state).toBe('queued'));
  s.model.look = () => news('succeeded');
  const outcome = await cancelRefund(s.deps, 'acme', id, {
    reason: null,
    cause: { by: 'worker', why: 'a test' },
  });
  expect(outcome).toMatchObject({ ok: false, refusal: 'wrong_state', refund: { state: 'succeeded' } });
});
