import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FoundRefund } from '../../src/gateways/gateway.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { decideOnProposal, proposeResolution, resolveRefund } from '../../src/refunds/resolve.ts';
import { refundRequest } from '../support/engine.ts';
import { absent, HOUR, news, type Scene, scene, unanswered, until, webhook } from './model.ts';

/** What a person says of a refund whose outcome is not known, and what the gateway says of it at that moment. */

const cause = (userId: string) =>
  ({ by: 'user', user_id: userId, email: `${userId.at(-1)}@acme.test`, request_id: 'r1' }) as const;
const ANA = cause('0190a0a0-0000-7000-8000-00000000000a');
const BEN = cause('0190a0a0-0000-7000-8000-00000000000b');
const FAILED = {
  outcome: 'failed',
  evidence: 'The bank says so.',
  arn: null,
  gatewayRefundId: null,
} as const;

let s: Scene;
let id: string;
beforeEach(async () => {
  s = await scene();
  s.worker();
  s.model.create = () => unanswered;
  s.model.look = () => ({ kind: 'no_answer', answered: false, why: 'no answer in time', evidence: {} });
  id = await s.refund('in-doubt');
  await s.becomes(id, 'unknown');
  s.clock.pass(11 * 24 * HOUR);
  await s.becomes(id, 'manual_review');
});
afterEach(() => s.end());

const resolve = (word: Partial<Parameters<typeof resolveRefund>[3]> = {}) =>
  resolveRefund(s.deps, 'acme', id, { ...FAILED, ...word, cause: ANA });

test('nobody’s word is taken while the gateway says that it will answer later', async () => {
  s.model.look = () => ({ kind: 'busy', retryAfterMs: 7_000, evidence: {} });
  expect(await resolve()).toMatchObject({ ok: false, refusal: 'gateway_busy', retryAfterMs: 7_000 });
  expect((await s.read(id)).state).toBe('manual_review');
  s.model.look = () => news('succeeded');
  expect(await resolve()).toMatchObject({ ok: false, refusal: 'gateway_says_otherwise' });
  expect((await s.read(id)).state).toBe('succeeded');
});

test('the id of a refund that has failed does not stand in the way of the one that is paid', async () => {
  expect(await resolve({ gatewayRefundId: 'rf_seen_failed' })).toMatchObject({ ok: true });
  s.model.look = ({ gatewayRefundId }) => (gatewayRefundId === null ? news('succeeded') : absent);
  await settleFromWebhook(s.deps, s.account, webhook(id, news('succeeded').news));
  expect(await s.read(id)).toMatchObject({ state: 'manual_review', gatewayRefundId: 'rf_1' });
  const [again] = await recordRefunds(s.deps, [
    refundRequest({ orderId: 'in-doubt', uniqueRequestId: 'again', amount: '10.00' }),
  ]);
  expect(again).toMatchObject({ ok: false, refusal: 'amount_exceeds_rest', remaining: '6.00' });
});

describe('a refund of the gateway that a person names, as after a restore,', () => {
  const NAMED = { outcome: 'succeeded', gatewayRefundId: 'rf_lost' } as const;
  const listed = (changes: Partial<FoundRefund> = {}) => {
    const { news: lost } = news('succeeded', { gatewayRefundId: 'rf_lost' });
    const one = { refundId: null, amountMinor: 4_00, currency: 'INR', news: lost, ...changes };
    s.model.find = () => ({ kind: 'found', refunds: [one], evidence: {} });
  };
  beforeEach(() => {
    s.model.look = () => absent;
  });

  test('settles it by one person’s word where it is paid, of the payment, and of the amount', async () => {
    listed();
    expect(await resolve(NAMED)).toMatchObject({ ok: true });
    expect(await s.read(id)).toMatchObject({
      state: 'succeeded',
      gatewayRefundId: 'rf_lost',
      settledByHand: true,
    });
  });

  test.each([
    ['of another amount', () => listed({ amountMinor: 3_99 })],
    ['not paid yet', () => listed({ news: news('pending', { gatewayRefundId: 'rf_lost' }).news })],
    ['not of the payment', () => listed({ news: news('succeeded', { gatewayRefundId: 'rf_other' }).news })],
    [
      'that of another refund here, by our id',
      async () => listed({ refundId: await s.refund('in-doubt', { key: 'other' }) }),
    ],
    [
      'that of another refund here, by its own id',
      async () => {
        const other = await s.refund('in-doubt', { key: 'other' });
        await s.deps.db.query(`update refunds set gateway_refund_id = 'rf_lost' where refund_id = $1`, [
          other,
        ]);
        listed();
      },
    ],
    [
      'not to be had',
      () => {
        s.model.find = () => ({ kind: 'no_answer', answered: false, why: 'no answer in time', evidence: {} });
      },
    ],
  ] as const)('does not where it is %s', async (_, prepare) => {
    await prepare();
    expect(await resolve(NAMED)).toMatchObject({ ok: false, refusal: 'gateway_says_otherwise' });
    expect((await s.read(id)).state).toBe('manual_review');
  });
});

describe('a proposal against what the gateway says', () => {
  let at: string;
  beforeEach(async () => {
    s.model.look = () => news('pending');
    const proposed = await proposeResolution(s.deps, 'acme', id, { ...FAILED, cause: ANA });
    if (!proposed.ok) throw new Error(proposed.refusal);
    at = proposed.refund.proposal!.at;
  });
  const confirm = () => decideOnProposal(s.deps, 'acme', id, { confirm: true, at, cause: BEN });

  test('counts with a second person’s yes, while the gateway says the same', async () => {
    expect(await confirm()).toMatchObject({ ok: true, refund: { state: 'failed', settledByHand: true } });
  });

  test.each([
    ['the same', news('pending'), 'failed'],
    ['that it is paid', news('succeeded'), 'manual_review'],
    ['another word than both have read', news('pending', { rawStatus: 'on hold' }), 'manual_review'],
  ] as const)('holds or opens again when the gateway is asked later and says %s', async (_, said, state) => {
    await confirm();
    s.model.look = () => said;
    const looks = s.model.looked.length;
    const { recheckAt: first } = await s.read(id);
    s.clock.pass(HOUR);
    await until(async () => {
      s.clock.pass(1_000);
      expect(s.model.looked.length).toBeGreaterThan(looks);
      expect((await s.read(id)).recheckAt).not.toEqual(first);
    });
    await s.becomes(id, state);
    if (state !== 'failed') return;
    expect((await s.read(id)).recheckAt!.getTime()).toBeGreaterThan(s.clock.now().getTime() + HOUR);
    await settleFromWebhook(s.deps, s.account, webhook(id, said.news));
    expect(await s.read(id)).toMatchObject({ state: 'failed', attention: null, settledByHand: true });
  });

  test('does not count once the gateway has come to an end of its own', async () => {
    s.model.look = () => news('succeeded');
    expect(await confirm()).toMatchObject({ ok: false, refusal: 'no_proposal' });
    expect(await s.read(id)).toMatchObject({ state: 'succeeded', settledByHand: false, proposal: null });
  });

  test('is to be made anew once the gateway says something else, and waits while it says nothing yet', async () => {
    s.model.look = () => ({ kind: 'misfit', why: 'refund rf_9 is of 4.00 USD, not 4.00 INR', evidence: {} });
    expect(await confirm()).toMatchObject({ ok: false, refusal: 'gateway_says_otherwise' });
    s.model.look = () => ({ kind: 'busy', retryAfterMs: null, evidence: {} });
    expect(await confirm()).toMatchObject({ ok: false, refusal: 'gateway_busy' });
    expect((await s.read(id)).state).toBe('manual_review');
  });

  test('can be confirmed where the gateway cannot be asked', async () => {
    s.model.look = () => ({ kind: 'no_answer', answered: false, why: 'no answer in time', evidence: {} });
    expect(await confirm()).toMatchObject({ ok: true, refund: { state: 'failed' } });
  });
});

test('what was said against the account or the payment is over once the gateway is only short of balance', async () => {
  let sends = 0;
  s.model.create = () =>
    ++sends === 1
      ? { kind: 'no_payment', errorCode: 'none', errorMessage: 'No such payment.', evidence: {} }
      : { kind: 'no_funds', errorMessage: 'No balance.', evidence: {} };
  const other = await s.refund('short-of-balance');
  await until(async () => expect((await s.read(other)).attention).toContain('no payment'));
  expect(await s.becomes(other, 'waiting_for_funds', HOUR / 6)).toMatchObject({ attention: null });
});
