import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { type RefundOutcome, recordRefunds } from '../../src/refunds/record.ts';
import { readOrderRefunds } from '../../src/refunds/store.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';

let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase({ maxConnections: 20 });
  await merchantWithAccount(fresh.db);
  await merchantWithAccount(fresh.db, { merchantId: 'other' });
});
afterAll(() => fresh.drop());

async function reserved(orderId: string): Promise<number> {
  const rows = await fresh.db.query<{ sum: number }>(
    'select sum(reserved_minor)::bigint as sum from transactions where order_id = $1',
    [orderId],
  );
  return rows[0]!.sum;
}

describe('recording refunds', () => {
  test('a partial refund is queued, reserved, in the trail and told', async () => {
    await putOrder(fresh.db, { orderId: 'R1', amountMinor: 129_900 });
    const clock = new ManualClock();
    const [outcome] = await recordRefunds(engineDeps(fresh.db, { clock }), [
      refundRequest({ orderId: 'r1', uniqueRequestId: 'k1', amount: '499.00' }),
    ]);
    expect(outcome).toMatchObject({
      ok: true,
      refund: { orderId: 'R1', amountMinor: 49_900, currency: 'INR', state: 'queued', txnId: 'acme-R1-1' },
    });
    if (!outcome?.ok) throw new Error('refused');
    expect(outcome.refund.idempotencyKey).toMatch(/^[A-Za-z0-9]{22}$/);
    expect(outcome.refund.dueAt.toISOString()).toBe('2026-03-11T10:00:00.000Z');
    expect(await reserved('R1')).toBe(49_900);
    const events = await fresh.db.query<{ kind: string; hash_fits: boolean }>(
      `select body ->> 'kind' as kind, hash = sha256(convert_to(body::text, 'UTF8')) as hash_fits
       from events where order_id = 'R1'`,
    );
    expect(events).toEqual([{ kind: 'refund.recorded', hash_fits: true }]);
    const told = await fresh.db.query(`select event_name from notifications where order_id = 'R1'`);
    expect(told).toEqual([{ event_name: 'REFUND_INITIATED' }]);
  });

  test.each([
    ['an unknown order', { orderId: 'nowhere', amount: '1' }, 'order_not_found'],
    ['another merchant’s order', { merchantId: 'other', orderId: 'E1', amount: '1' }, 'order_not_found'],
    ['an order that is not charged', { orderId: 'E2', amount: '1' }, 'order_not_charged'],
    ['a used id', { orderId: 'E1', amount: '1', uniqueRequestId: 'used' }, 'duplicate_request_id'],
    ['more than is left', { orderId: 'E1', amount: '90.01' }, 'amount_exceeds_rest'],
    ['nothing', { orderId: 'E1', amount: '0.00' }, 'amount_not_positive'],
    ['three decimals of rupees', { orderId: 'E1', amount: '1.005' }, 'amount_too_many_decimals'],
    [
      'three decimals of rupees, the last a zero',
      { orderId: 'E1', amount: '1.000' },
      'amount_too_many_decimals',
    ],
    ['a grouped amount', { orderId: 'E1', amount: '1,000' }, 'amount_unreadable'],
    ['a power of ten', { orderId: 'E1', amount: '1e2' }, 'amount_unreadable'],
    ['a negative amount', { orderId: 'E1', amount: '-1' }, 'amount_unreadable'],
    ['no digits', { orderId: 'E1', amount: '' }, 'amount_unreadable'],
    ['a million digits', { orderId: 'E1', amount: '9'.repeat(1_000_000) }, 'amount_unreadable'],
    ['another currency', { orderId: 'E1', amount: '1', currency: 'USD' }, 'currency_mismatch'],
    [
      'a stale view of the rest',
      { orderId: 'E1', amount: '1', expectedRemaining: '100.00' },
      'remaining_mismatch',
    ],
    [
      'an instant refund where there is none',
      { orderId: 'E1', amount: '1', refundType: 'INSTANT' as const },
      'instant_not_supported',
    ],
    ['someone else’s transaction', { orderId: 'E1', txnId: 'acme-E2-1', amount: '1' }, 'order_not_charged'],
  ])('%s is refused by name', async (_, asked, refusal) => {
    await putOrder(fresh.db, { orderId: 'E1', amountMinor: 10_000 }).catch(() => {});
    await putOrder(fresh.db, { orderId: 'E2', amountMinor: 10_000, status: 'PENDING_VBV' }).catch(() => {});
    await recordRefunds(engineDeps(fresh.db), [
      refundRequest({ orderId: 'E1', uniqueRequestId: 'used', amount: '10' }),
    ]);
    const before = await reserved('E1');
    const [outcome] = await recordRefunds(engineDeps(fresh.db), [
      refundRequest({ uniqueRequestId: `new-${Math.random().toString(36).slice(2)}`, ...asked }),
    ]);
    expect(outcome).toMatchObject({ ok: false, refusal });
    expect(await reserved('E1')).toBe(before);
  });

  test('full means all that is left, of what was really paid', async () => {
    await putOrder(fresh.db, {
      orderId: 'F1',
      amountMinor: 900_000,
      surchargeMinor: 30_000,
      offerMinor: 10_000,
    });
    const deps = engineDeps(fresh.db);
    await recordRefunds(deps, [refundRequest({ orderId: 'F1', uniqueRequestId: 'a', amount: '200.00' })]);
    const [outcome] = await recordRefunds(deps, [
      refundRequest({ orderId: 'F1', uniqueRequestId: 'b', amount: 'full' }),
    ]);
    expect(outcome).toMatchObject({ ok: true, refund: { amountMinor: 900_000 } });
    const [again] = await recordRefunds(deps, [
      refundRequest({ orderId: 'F1', uniqueRequestId: 'c', amount: 'full' }),
    ]);
    expect(again).toMatchObject({ ok: false, refusal: 'amount_exceeds_rest', remaining: '0.00' });
  });

  test('a list sees its own earlier items, and a refusal does not touch its neighbours', async () => {
    await putOrder(fresh.db, { orderId: 'L1', amountMinor: 10_000 });
    await putOrder(fresh.db, { orderId: 'L2', amountMinor: 500, currency: 'JPY', exponent: 0 });
    const outcomes = await recordRefunds(engineDeps(fresh.db), [
      refundRequest({ orderId: 'L1', uniqueRequestId: 'a', amount: '80' }),
      refundRequest({ orderId: 'L1', uniqueRequestId: 'b', amount: '50' }),
      refundRequest({ orderId: 'L2', uniqueRequestId: 'a', amount: '500' }),
      refundRequest({ orderId: 'L1', uniqueRequestId: 'a', amount: '1' }),
      refundRequest({ orderId: 'L1', uniqueRequestId: 'c', amount: '20' }),
      refundRequest({ orderId: 'L1', uniqueRequestId: 'd', amount: 'x' }),
    ]);
    expect(outcomes.map((o) => (o.ok ? o.refund.amountMinor : o.refusal))).toEqual([
      8_000,
      'amount_exceeds_rest',
      500,
      'duplicate_request_id',
      2_000,
      'amount_unreadable',
    ]);
    expect(await reserved('L1')).toBe(10_000);
  });

  test('an order takes 25 refunds and not one more', async () => {
    await putOrder(fresh.db, { orderId: 'M1', amountMinor: 10_000 });
    const outcomes = await recordRefunds(
      engineDeps(fresh.db),
      Array.from({ length: 26 }, (_, n) =>
        refundRequest({ orderId: 'M1', uniqueRequestId: `k${n}`, amount: '1' }),
      ),
    );
    expect(outcomes.filter((o) => o.ok)).toHaveLength(25);
    expect(outcomes[25]).toMatchObject({ ok: false, refusal: 'too_many_refunds' });
  });

  test('refunds that came to nothing close an order only where there are very many', async () => {
    await putOrder(fresh.db, { orderId: 'M2', amountMinor: 10_000 });
    const deps = engineDeps(fresh.db);
    const ask = async (from: number, count: number) => {
      const outcomes: RefundOutcome[] = [];
      for (let n = from; n < from + count; n += 25) {
        const slice = Array.from({ length: Math.min(25, from + count - n) }, (_, i) =>
          refundRequest({ orderId: 'M2', uniqueRequestId: `t${n + i}`, amount: '1' }),
        );
        const made = await recordRefunds(deps, slice);
        outcomes.push(...made);
        for (const outcome of made)
          if (outcome.ok)
            await cancelRefund(deps, 'acme', outcome.refund.refundId, {
              reason: null,
              cause: { by: 'worker', why: 'a test' },
            });
      }
      return outcomes;
    };
    expect((await ask(0, 200)).every(({ ok }) => ok)).toBe(true);
    expect(await ask(200, 1)).toMatchObject([{ ok: false, refusal: 'too_many_refunds' }]);
  });

  test('the same amount again is refused within the window and taken after it', async () => {
    await putOrder(fresh.db, { orderId: 'W1', amountMinor: 10_000 });
    const clock = new ManualClock();
    const deps = engineDeps(fresh.db, { clock });
    const ask = (key: string) =>
      recordRefunds(deps, [
        refundRequest({ orderId: 'W1', uniqueRequestId: key, amount: '10', sameAmountWindowMs: 5_000 }),
      ]);
    expect((await ask('a'))[0]!.ok).toBe(true);
    clock.pass(4_999);
    expect((await ask('b'))[0]).toMatchObject({ ok: false, refusal: 'same_amount_again' });
    clock.pass(1);
    expect((await ask('c'))[0]!.ok).toBe(true);
  });

  test('without a window nobody asks, not even of a refund that another clock has made in our future', async () => {
    await putOrder(fresh.db, { orderId: 'W2', amountMinor: 10_000 });
    const ahead = new ManualClock();
    ahead.pass(5_000);
    const ask = (key: string, clock: ManualClock) =>
      recordRefunds(engineDeps(fresh.db, { clock }), [
        refundRequest({ orderId: 'W2', uniqueRequestId: key, amount: '10', sameAmountWindowMs: 0 }),
      ]);
    expect((await ask('a', ahead))[0]!.ok).toBe(true);
    expect((await ask('b', new ManualClock()))[0]!.ok).toBe(true);
  });

  test('by transaction id, and the charged transaction that has enough left when there are several', async () => {
    await putOrder(fresh.db, { orderId: 'T1', amountMinor: 5_000 });
    await putOrder(fresh.db, { orderId: 'T1', amountMinor: 5_000, txnNo: 2 });
    const deps = engineDeps(fresh.db);
    const [byTxn] = await recordRefunds(deps, [
      refundRequest({ orderId: null, txnId: 'acme-T1-1', uniqueRequestId: 'a', amount: '30' }),
    ]);
    expect(byTxn).toMatchObject({ ok: true, refund: { txnId: 'acme-T1-1', orderId: 'T1' } });
    const [byOrder] = await recordRefunds(deps, [
      refundRequest({ orderId: 'T1', uniqueRequestId: 'b', amount: '40' }),
    ]);
    expect(byOrder).toMatchObject({ ok: true, refund: { txnId: 'acme-T1-2' } });
  });

  test('an amount beyond all amounts is refused by itself', async () => {
    // Fifteen digits of a currency with four decimals are more than a bigint holds.
    await putOrder(fresh.db, { orderId: 'CLF1', amountMinor: 10_0000, currency: 'CLF', exponent: 4 });
    await putOrder(fresh.db, { orderId: 'CLF2', amountMinor: 10_00 });
    const outcomes = await recordRefunds(engineDeps(fresh.db), [
      refundRequest({ orderId: 'CLF1', uniqueRequestId: 'k1', amount: '999999999999999' }),
      refundRequest({ orderId: 'CLF2', uniqueRequestId: 'k1', amount: '1.00' }),
    ]);
    expect(outcomes).toMatchObject([{ ok: false, refusal: 'amount_exceeds_rest' }, { ok: true }]);
  });
});

describe('at once', () => {
  test('50 full refunds of one order: one is recorded', async () => {
    await putOrder(fresh.db, { orderId: 'P1', amountMinor: 10_000 });
    const deps = engineDeps(fresh.db);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        recordRefunds(deps, [refundRequest({ orderId: 'P1', uniqueRequestId: `k${n}`, amount: 'full' })]),
      ),
    );
    expect(outcomes.filter(([o]) => o!.ok)).toHaveLength(1);
    expect(await reserved('P1')).toBe(10_000);
  });

  test('the same id 50 times: one is recorded, whatever the case of the order id', async () => {
    await putOrder(fresh.db, { orderId: 'Pk', amountMinor: 10_000 });
    const deps = engineDeps(fresh.db);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        recordRefunds(deps, [
          refundRequest({ orderId: n % 2 ? 'PK' : 'pk', uniqueRequestId: 'same', amount: '1' }),
        ]),
      ),
    );
    expect(outcomes.filter(([o]) => o!.ok)).toHaveLength(1);
    expect(outcomes.flat().filter((o) => !o.ok && o.refusal === 'duplicate_request_id')).toHaveLength(49);
    expect(await readOrderRefunds(fresh.db, 'acme', 'Pk')).toHaveLength(1);
  });

  test('lists over the same orders in opposite directions neither deadlock nor over-refund', async () => {
    const orders = Array.from({ length: 20 }, (_, n) => `D${n}`);
    for (const orderId of orders) await putOrder(fresh.db, { orderId, amountMinor: 1_000 });
    const deps = engineDeps(fresh.db);
    const outcomes = await Promise.all(
      Array.from({ length: 16 }, (_, n) =>
        recordRefunds(
          deps,
          (n % 2 ? orders : orders.toReversed()).map((orderId) =>
            refundRequest({ orderId, uniqueRequestId: `k${n}`, amount: '3' }),
          ),
        ),
      ),
    );
    for (const orderId of orders) {
      const accepted = outcomes.flat().filter((o) => o.ok && o.refund.orderId === orderId).length;
      expect(accepted).toBe(3);
      expect(await reserved(orderId)).toBe(900);
    }
  });
});

test('whatever is asked, in whatever order, no more than was paid is ever reserved', async () => {
  let n = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 1_000 }),
      fc.array(fc.oneof(fc.integer({ min: 0, max: 600 }), fc.constant('full' as const)), { maxLength: 12 }),
      async (paidMinor, asks) => {
        const orderId = `prop-${n++}`;
        await putOrder(fresh.db, { orderId, amountMinor: paidMinor });
        const outcomes = await recordRefunds(
          engineDeps(fresh.db),
          asks.map((ask, i) =>
            refundRequest({
              orderId,
              uniqueRequestId: `k${i}`,
              amount: ask === 'full' ? 'full' : (ask / 100).toFixed(2),
            }),
          ),
        );
        let left = paidMinor;
        asks.forEach((ask, i) => {
          const want = ask === 'full' ? left : ask;
          const expected = want > 0 && want <= left;
          expect(outcomes[i]!.ok).toBe(expected);
          if (expected) left -= want;
        });
        expect(await reserved(orderId)).toBe(paidMinor - left);
      },
    ),
    { numRuns: 60 },
  );
});

describe('the schema itself refuses', () => {
  const put = (state: string, amountMinor: number) =>
    fresh.db.query(
      `insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
         state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, lane,
         created_at, updated_at, due_at, next_look_at, review_at, event_seq)
       select 'acme', 'S1', gen_random_uuid(), gen_random_uuid()::text, 'acme-S1-1', $2, 'INR', 2, $1, 'MODEL', 'x', 'y',
         'STANDARD', 'ABCDEFGHIJKLMNOPQRSTUV', 'API', 'api', 0, now(), now(), now(),
         case when $1 in ('succeeded', 'failed', 'cancelled', 'reversed') then null else now() end, now(), 1`,
      [state, amountMinor],
    );

  test('more than was paid, a move outside the table, a change without an event, a changed event', async () => {
    await putOrder(fresh.db, { orderId: 'S1', amountMinor: 10_000 });
    await put('queued', 9_000);
    await expect(put('queued', 1_001)).rejects.toThrow('never_more_than_was_paid');
    await expect(
      fresh.db.query(`update refunds set state = 'succeeded', next_look_at = null where order_id = 'S1'`),
    ).rejects.toThrow('without an event');
    await expect(
      fresh.db.query(
        `update refunds set state = 'reversed', event_seq = 2, next_look_at = null where order_id = 'S1'`,
      ),
    ).rejects.toThrow('may not go from queued to reversed');
    await expect(fresh.db.query(`update refunds set amount_minor = 1 where order_id = 'S1'`)).rejects.toThrow(
      'may not change',
    );
    await expect(
      fresh.db.query(`update refunds set next_look_at = null where order_id = 'S1'`),
    ).rejects.toThrow('every_refund_ends');
    await expect(fresh.db.query(`update events set body = '{}'`)).rejects.toThrow('only ever inserted');
    await expect(fresh.db.query('delete from events')).rejects.toThrow('only ever inserted');
    await expect(fresh.db.query('truncate events cascade')).rejects.toThrow('only ever inserted');
    await expect(fresh.db.query(`delete from refunds where order_id = 'S1'`)).rejects.toThrow(
      'only ever inserted',
    );
  });
});
