/** Books restored from a backup: what was under way is asked about, and what may be a repeat is not sent (invariant 3). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FindAnswer, FoundRefund } from '../../src/gateways/gateway.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { plusMs } from '../../src/lib/clock.ts';
import { newId } from '../../src/lib/ids.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import {
  type CheckedPayment,
  checkRestored,
  markRestored,
  readRestored,
} from '../../src/refunds/restored.ts';
import type { RefundState } from '../../src/refunds/states.ts';
import { merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';
import { absent, HOUR, MINUTE, news, type Scene, scene, until } from './model.ts';

let s: Scene;
let find: () => FindAnswer;
beforeEach(async () => {
  s = await scene();
  s.model.create = () => news('succeeded');
  find = () => ({ kind: 'found', refunds: [], evidence: {} });
});
afterEach(() => s.end());

const backedUpAt = () => plusMs(s.clock.now(), -HOUR);

function worker() {
  return s.worker({
    restored: { backedUpAt: backedUpAt(), watchUntil: plusMs(s.clock.now(), HOUR) },
    gateways: registryOf([{ ...s.model.gateway, findRefunds: async () => find() }]),
  });
}

function found(changes: Partial<FoundRefund> & { status?: 'succeeded' | 'pending' | 'failed' }): FoundRefund {
  const { status = 'succeeded', ...rest } = changes;
  const { news: said } = news(status, { gatewayRefundId: 'rf_other', at: s.clock.now() });
  return { refundId: newId(), amountMinor: 400, currency: 'INR', news: said, ...rest };
}

describe('before the first send', () => {
  test('while the gateway cannot be asked, nothing is sent; once it has no other refund, it is', async () => {
    let asked = 0;
    find = () => {
      asked++;
      return { kind: 'no_answer', answered: false, why: 'time-out', evidence: {} };
    };
    const id = await s.refund('O1');
    const running = worker();
    await until(() => expect(asked).toBe(1));
    s.clock.pass(MINUTE);
    running.wake();
    await until(() => expect(asked).toBeGreaterThan(1));
    expect(s.model.asked).toEqual([]);
    expect((await s.read(id)).state).toBe('queued');
    find = () => ({ kind: 'found', refunds: [], evidence: {} });
    s.clock.pass(MINUTE);
    running.wake();
    await s.becomes(id, 'succeeded', MINUTE);
    expect(s.model.asked).toHaveLength(1);
  });

  test.each([
    ['one with an id of ours that is not in the books', () => found({})],
    ['one that is still pending', () => found({ status: 'pending' })],
    ['one that was made by hand since the backup', () => found({ refundId: null })],
  ])('a refund at the gateway holds it: %s', async (_, stranger) => {
    find = () => ({ kind: 'found', refunds: [stranger()], evidence: {} });
    const id = await s.refund('O1');
    worker();
    const held = await s.becomes(id, 'manual_review');
    expect(held.attention).toContain('rf_other over 4.00 INR');
    expect(held.keyUsedAt).toBeNull();
    expect(s.model.asked).toEqual([]);
  });

  test('it is held by one that only another merchant’s books know', async () => {
    await merchantWithAccount(s.deps.db, { merchantId: 'other' });
    await putOrder(s.deps.db, { merchantId: 'other', orderId: 'O1', amountMinor: 10_00 });
    const request = { merchantId: 'other', orderId: 'O1', uniqueRequestId: 'r1', amount: '4.00' };
    const [theirs] = await recordRefunds(s.deps, [refundRequest(request)]);
    if (!theirs?.ok) throw new Error(JSON.stringify(theirs));
    const { refundId } = theirs.refund;
    find = () => ({ kind: 'found', refunds: [found({ refundId })], evidence: {} });
    const id = await s.refund('O2');
    worker();
    await s.becomes(id, 'manual_review');
    expect(s.model.asked.map((asked) => asked.refundId)).not.toContain(id);
  });

  test.each([
    ['account', { gateway: 'OTHER', accountId: 'ga_other', paymentId: 'pay_O1_1' }],
    ['payment', { paymentId: 'pay_O2_1' }],
  ])('it is held by one whose id the books know of another %s only', async (_, paidBy) => {
    if ('accountId' in paidBy) await merchantWithAccount(s.deps.db, paidBy);
    await putOrder(s.deps.db, { orderId: 'O2', amountMinor: 10_00, ...paidBy });
    const known = await s.refund('O2');
    await s.deps.db.query(`update refunds set gateway_refund_id = 'rf_other' where refund_id = $1`, [known]);
    find = () => ({ kind: 'found', refunds: [found({})], evidence: {} });
    const id = await s.refund('O1');
    worker();
    await s.becomes(id, 'manual_review');
    expect(s.model.asked.map((asked) => asked.refundId)).not.toContain(id);
  });

  test.each([
    ['one that failed', () => found({ status: 'failed' })],
    [
      'one that was made by hand before the backup',
      () => found({ refundId: null, news: news('succeeded', { at: plusMs(backedUpAt(), -HOUR) }).news }),
    ],
  ])('it is sent beside %s', async (_, known) => {
    find = () => ({ kind: 'found', refunds: [known()], evidence: {} });
    const id = await s.refund('O1');
    worker();
    await s.becomes(id, 'succeeded');
  });

  test('it is sent beside those that the books know, by our id or the gateway’s', async () => {
    const first = await s.refund('O1', { amount: '1.00', key: 'r1' });
    const running = worker();
    await s.becomes(first, 'succeeded');
    find = () => ({
      kind: 'found',
      refunds: [found({ refundId: first }), found({ refundId: null, news: news('succeeded').news })],
      evidence: {},
    });
    const second = await s.refund('O1', { amount: '2.00', key: 'r2' });
    running.wake();
    await s.becomes(second, 'succeeded');
  });
});

describe('what a restore marks', () => {
  async function inState(state: RefundState, set = '') {
    const id = await s.refund('O1');
    await s.deps.db.query(`alter table refunds disable trigger refunds_guard`);
    await s.deps.db.query(`update refunds set state = $1 ${set}`, [state]);
    await s.deps.db.query(`alter table refunds enable trigger refunds_guard`);
    return id;
  }
  const mark = () => s.deps.db.transaction((tx) => markRestored(tx, s.deps, backedUpAt()));

  test.each([
    ['queued', ''],
    ['sending', ', sends = 1'],
    ['unknown', ', sends = 1, unanswered = 1, absences = 1'],
    ['waiting_for_funds', ', sends = 1'],
  ] as const)('%s: unknown, its key used since the backup, its absences counted anew', async (state, set) => {
    const id = await inState(state, set);
    expect(await mark()).toBe(1);
    expect(await s.read(id)).toMatchObject({
      state: 'unknown',
      keyUsedAt: backedUpAt(),
      absences: 0,
      absenceCountsAt: plusMs(s.clock.now(), MINUTE),
    });
  });

  test('a key that was used before the backup keeps its age', async () => {
    const before = plusMs(s.clock.now(), -10 * HOUR);
    const id = await inState('unknown', `, sends = 1, key_used_at = '${before.toISOString()}'`);
    await mark();
    expect((await s.read(id)).keyUsedAt).toEqual(before);
  });

  test.each([
    ['submitted', `, gateway_refund_id = 'rf_1', sends = 1`],
    ['waiting_for_funds', `, gateway_refund_id = 'rf_1', sends = 1`],
    ['manual_review', ', sends = 1'],
  ] as const)('%s, which is only followed, stays and is asked about at once', async (state, set) => {
    const id = await inState(state, `${set}, next_look_at = '2027-01-01', review_at = '2020-01-01'`);
    expect(await mark()).toBe(1);
    const marked = await s.read(id);
    expect(marked).toMatchObject({ state, nextLookAt: s.clock.now() });
    // It is not overdue before it could be asked about.
    expect(marked.reviewAt.getTime()).toBeGreaterThan(s.clock.now().getTime());
  });

  test('what has ended stays as it is', async () => {
    const id = await inState('succeeded', ', next_look_at = null');
    expect(await mark()).toBe(0);
    expect((await s.read(id)).state).toBe('succeeded');
  });

  test('of several restores the oldest backup counts, and the watch that ends last, until it ends', async () => {
    const [older, newer] = [plusMs(s.clock.now(), -9 * HOUR), plusMs(s.clock.now(), -HOUR)];
    for (const asOf of [older, newer]) {
      await s.deps.db.transaction((tx) => markRestored(tx, s.deps, asOf));
      s.clock.pass(HOUR);
    }
    const restored = (await readRestored(s.deps.db, s.clock.now()))!;
    expect(restored.backedUpAt).toEqual(older);
    expect(restored.watchUntil).toEqual(plusMs(s.clock.now(), 365 * 24 * HOUR - HOUR));
    expect(await readRestored(s.deps.db, plusMs(restored.watchUntil, 1))).toBeNull();
  });

  test('a key that may be forgotten by now is not used again, however surely nothing was made', async () => {
    const id = await s.refund('O1');
    s.clock.pass(30 * HOUR);
    await s.deps.db.transaction((tx) => markRestored(tx, s.deps, plusMs(s.clock.now(), -26 * HOUR)));
    s.model.look = () => absent;
    worker();
    await s.becomes(id, 'manual_review', MINUTE);
    expect(s.model.asked).toEqual([]);
  });
});

/** More than are read at once. */
const MANY = 501;

describe('many', () => {
  beforeEach(async () => {
    const numbers = Array.from({ length: MANY }, (_, n) => n);
    for (let from = 0; from < MANY; from += 50)
      await Promise.all(numbers.slice(from, from + 50).map((n) => s.refund(`many-${n}`)));
  });

  test('every refund under way is marked', async () => {
    const marked = await s.deps.db.transaction((tx) => markRestored(tx, s.deps, backedUpAt()));
    expect(marked).toBe(MANY);
    expect(await s.deps.db.query('select state, count(*) as count from refunds group by state')).toEqual([
      { state: 'unknown', count: MANY },
    ]);
  });

  test('every charged payment is asked about', async () => {
    const asked = new Set<string>();
    const told: CheckedPayment[] = [];
    const gateway = {
      ...s.model.gateway,
      findRefunds: async ({ gatewayPaymentId }: { gatewayPaymentId: string }): Promise<FindAnswer> => {
        asked.add(gatewayPaymentId);
        return { kind: 'found', refunds: asked.size === MANY ? [found({})] : [], evidence: {} };
      },
    };
    const restored = { backedUpAt: backedUpAt(), watchUntil: plusMs(s.clock.now(), HOUR) };
    const deps = { ...s.deps, gateways: registryOf([gateway]) };
    expect(await checkRestored(deps, restored, (one) => told.push(one))).toBe(MANY);
    expect(asked.size).toBe(MANY);
    expect(told).toMatchObject([{ kind: 'strangers', payment: { orderId: 'many-99' } }]);
  });
});
