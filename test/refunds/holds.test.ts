/** A gateway that proves to know a refund of ours which the books do not: nothing more is sent to it (invariant 3). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBooks } from '../../src/books.ts';
import { newId } from '../../src/lib/ids.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { readHeldAccounts, readHolds, releaseHold, releaseHoldsSince } from '../../src/refunds/holds.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { WATCH_MS } from '../../src/refunds/restored.ts';
import { merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';
import { MINUTE, news, type Scene, scene, until, webhook } from './model.ts';

let s: Scene;
beforeEach(async () => {
  s = await scene();
  s.model.create = () => news('succeeded');
});
afterEach(() => s.end());

const told = (id: string, kind: 'authentic' | 'unproven' = 'authentic', deps = s.deps) =>
  settleFromWebhook(deps, s.account, webhook(id, news('succeeded').news, kind));
const held = () => readHeldAccounts(s.deps.db);
const worker = () => s.worker();
const release = (shared = false) =>
  releaseHold(s.deps.db, s.deps.clock, s.account, { by: 'admin@acme.test', reason: 'I looked.', shared });

describe('what holds an account', () => {
  test('proven words about an id of ours that the books do not know; they are kept for people', async () => {
    const lost = newId();
    await told(lost);
    await told(lost);
    expect(await held()).toEqual([s.accountId]);
    const hold = (await readHolds(s.deps.db, 'acme', [s.accountId])).get(s.accountId)!;
    expect(hold.why).toContain(lost);
    expect(hold.strangers).toMatchObject([{ refundId: lost }]);
    expect(await readHolds(s.deps.db, 'other', [s.accountId])).toEqual(new Map());
  });

  test.each([
    ['words that nobody can prove', newId(), 'unproven'],
    ['an id that is none of ours', 'refund-7', 'authentic'],
    ['an id of another kind than ours are', '6f9619ff-8b86-4d01-b42d-00cf4fc964ff', 'authentic'],
  ] as const)('not %s', async (_, id, kind) => {
    await told(id, kind);
    expect(await held()).toEqual([]);
  });

  test('not a refund of the books, of whichever merchant: gateways tell every address of an account', async () => {
    await told(await s.refund('O1'));
    await merchantWithAccount(s.deps.db, { merchantId: 'other' });
    await putOrder(s.deps.db, { merchantId: 'other', orderId: 'O1', amountMinor: 10_00 });
    const [theirs] = await recordRefunds(s.deps, [
      refundRequest({ merchantId: 'other', orderId: 'O1', uniqueRequestId: 'r1', amount: '4.00' }),
    ]);
    if (!theirs?.ok) throw new Error(JSON.stringify(theirs));
    await told(theirs.refund.refundId);
    expect(await held()).toEqual([]);
  });

  test('not what a restore is known to have lost, but what is lost since', async () => {
    const lost = newId();
    const now = Date.now();
    const restored = (backedUpAtMs: number, restoredAtMs: number) => ({
      ...s.deps,
      restored: { backedUpAt: new Date(backedUpAtMs), watchUntil: new Date(restoredAtMs + WATCH_MS) },
    });
    await told(lost, 'authentic', restored(now - MINUTE, now + MINUTE));
    expect(await held()).toEqual([]);
    await told(lost, 'authentic', restored(now - 2 * MINUTE, now - MINUTE));
    expect(await held()).toEqual([s.accountId]);
  });
});

describe('while it is held', () => {
  test('nothing is sent, what was sent is followed, and a release sends what waited', async () => {
    s.model.create = () => news('pending');
    s.model.look = () => news('pending');
    const running = worker();
    const sent = await s.refund('O1');
    await s.becomes(sent, 'submitted');
    await told(newId());
    const waits = await s.refund('O2');
    s.model.look = () => news('succeeded');
    await s.becomes(sent, 'succeeded', MINUTE);
    expect((await s.read(waits)).state).toBe('queued');
    expect(s.model.asked).toHaveLength(1);
    expect(await release()).toBe(true);
    expect(await release()).toBe(false);
    running.wake();
    await s.becomes(waits, 'submitted');
    expect(s.model.asked).toHaveLength(2);
  });

  test.each([
    ['the account is held', () => told(newId())],
    [
      'the books are in doubt',
      () => s.deps.db.query(`update books set doubt = '{"kind": "behind"}', doubted_at = now()`),
    ],
  ] as const)('a refund that was taken to be sent a moment before %s is not sent', async (_, stop) => {
    await readBooks(s.deps.db, s.deps.clock);
    const stopped = Promise.withResolvers<void>();
    const taken = await s.refund('O1');
    const running = s.worker({
      openAccess: async (id) => {
        await stop();
        stopped.resolve();
        return s.deps.openAccess(id);
      },
    });
    await stopped.promise;
    await running.stop();
    expect((await s.read(taken)).state).toBe('queued');
    expect(s.model.asked).toEqual([]);
  });

  test('other accounts go on', async () => {
    await merchantWithAccount(s.deps.db, { merchantId: 'other' });
    await putOrder(s.deps.db, { merchantId: 'other', orderId: 'O1', amountMinor: 10_00 });
    await told(newId());
    const mine = await s.refund('O2');
    const [theirs] = await recordRefunds(s.deps, [
      refundRequest({ merchantId: 'other', orderId: 'O1', uniqueRequestId: 'r1', amount: '4.00' }),
    ]);
    if (!theirs?.ok) throw new Error(JSON.stringify(theirs));
    worker();
    await until(() =>
      expect(s.model.asked.map(({ refundId }) => refundId)).toEqual([theirs.refund.refundId]),
    );
    expect((await s.read(mine)).state).toBe('queued');
  });
});

describe('after a release', () => {
  test('what it was about holds no more, and anything else does', async () => {
    const lost = newId();
    await told(lost);
    await release();
    await told(lost);
    expect(await held()).toEqual([]);
    await told(newId());
    expect(await held()).toEqual([s.accountId]);
  });

  test('of an account that is shared with another installation, none of its ids does', async () => {
    await told(newId());
    await release(true);
    await told(newId());
    expect(await held()).toEqual([]);
  });
});

test('a restore that says what the books are releases what it explains, and leaves what was lost before', async () => {
  const { db, clock } = s.deps;
  await told(newId());
  await db.transaction((tx) => releaseHoldsSince(tx, clock, new Date(Date.now() + MINUTE)));
  expect(await held()).toEqual([s.accountId]);
  await db.transaction((tx) => releaseHoldsSince(tx, clock, new Date(Date.now() - MINUTE)));
  expect(await held()).toEqual([]);
});
