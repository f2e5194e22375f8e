import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { statesPage } from '../../docs/make.ts';
import type { Change } from '../../src/refunds/outcome.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import { mayMove, type RefundState, STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { writeChanges } from '../../src/refunds/store.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';

let fresh: FreshDatabase;
beforeAll(async () => {
  fresh = await freshDatabase();
  await merchantWithAccount(fresh.db);
});
afterAll(() => fresh.drop());

describe('the table of states', () => {
  test('speaks the contract’s four words, and final states are those that nothing is looked at in', () => {
    expect(new Set(STATE_NAMES.map((state) => STATES[state].public))).toEqual(
      new Set(['PENDING', 'SUCCESS', 'FAILURE', 'MANUAL_REVIEW']),
    );
    for (const state of STATE_NAMES) {
      const { public: word, final, reserves } = STATES[state];
      expect(final).toBe(word === 'SUCCESS' || word === 'FAILURE');
      // What has failed, been cancelled or been reversed holds nothing (invariant 1, contract section 4.2).
      expect(reserves).toBe(word !== 'FAILURE');
    }
  });

  test('from every state that is not final, an end can be reached', () => {
    const reaches = new Set<RefundState>(STATE_NAMES.filter((state) => STATES[state].final));
    for (const _ of STATE_NAMES) {
      for (const state of STATE_NAMES) {
        if (Object.keys(STATES[state].moves).some((to) => reaches.has(to as RefundState))) reaches.add(state);
      }
    }
    expect([...reaches].sort()).toEqual([...STATE_NAMES].sort());
  });

  test('money that was certainly never sent cannot become a success without being sent', () => {
    for (const state of STATE_NAMES.filter((s) => !STATES[s].sent && s !== 'sending' && s !== 'queued')) {
      expect(mayMove(state, 'succeeded')).toBe(false);
    }
  });

  test('docs/states.md is drawn from it', () => {
    expect(readFileSync(new URL('../../docs/states.md', import.meta.url), 'utf8')).toBe(statesPage());
  });

  test('the database has the same reserving states', async () => {
    const rows = await fresh.db.query<{ state: RefundState; reserves: boolean }>(
      'select state, state_reserves(state) as reserves from unnest($1::text[]) state',
      [STATE_NAMES],
    );
    for (const { state, reserves } of rows)
      expect([state, reserves]).toEqual([state, STATES[state].reserves]);
  });
});

describe('every pair of states', () => {
  /** The shortest way of allowed moves from recording to a state; null where nothing leads there yet. */
  function wayTo(target: RefundState): RefundState[] | null {
    const ways: RefundState[][] = [['queued']];
    const seen = new Set<RefundState>(['queued']);
    for (let way = ways.shift(); way; way = ways.shift()) {
      const at = way.at(-1)!;
      if (at === target) return way;
      for (const next of Object.keys(STATES[at].moves) as RefundState[]) {
        if (!seen.has(next)) {
          seen.add(next);
          ways.push([...way, next]);
        }
      }
    }
    return null;
  }

  const change = (refund: Refund, to: RefundState): Change => ({
    refund,
    to,
    kind: `refund.${to}`,
    set: { next_look_at: STATES[to].final ? null : new Date() },
    evidence: { walked: true },
    notify: [],
    cause: { by: 'worker', why: 'a test walks the table' },
  });

  async function refundIn(state: RefundState): Promise<Refund> {
    const orderId = `walk-${Math.random().toString(36).slice(2)}`;
    await putOrder(fresh.db, { orderId, amountMinor: 5_000 });
    const [outcome] = await recordRefunds(engineDeps(fresh.db), [
      refundRequest({ orderId, uniqueRequestId: 'k', amount: '20' }),
    ]);
    if (!outcome!.ok) throw new Error(outcome!.refusal);
    let refund = outcome!.refund;
    for (const next of wayTo(state)!.slice(1))
      refund = (await writeChanges(fresh.db, engineDeps(fresh.db).clock, [change(refund, next)]))[0]!;
    return refund;
  }

  const reachable = STATE_NAMES.filter((state) => wayTo(state));

  test('all but awaiting_approval, which no door makes yet, are reached', () => {
    expect(STATE_NAMES.filter((state) => !wayTo(state))).toEqual(['awaiting_approval']);
  });

  test.each(
    reachable.flatMap((from) => STATE_NAMES.filter((to) => to !== from).map((to) => [from, to] as const)),
  )('%s → %s', async (from, to) => {
    const refund = await refundIn(from);
    const write = () => writeChanges(fresh.db, engineDeps(fresh.db).clock, [change(refund, to)]);
    if (!mayMove(from, to)) {
      await expect(write()).rejects.toThrow(`may not go from ${from} to ${to}`);
      return;
    }
    const [moved] = await write();
    expect(moved).toMatchObject({ state: to, eventSeq: refund.eventSeq + 1 });
    // The row says what the table says, the books follow, and the trail has it.
    const [facts] = await fresh.db.query<{ reserved: number; last: object }>(
      `select t.reserved_minor as reserved, e.body as last from transactions t
         join events e on e.order_id = t.order_id and e.seq = $2 where t.order_id = $1`,
      [refund.orderId, refund.eventSeq + 1],
    );
    expect(facts!.reserved).toBe(STATES[to].reserves ? 2_000 : 0);
    expect(facts!.last).toMatchObject({ from, to, refund_id: refund.refundId, evidence: { walked: true } });
    // A decision made on the version before is not written any more.
    expect(await write()).toEqual([null]);
  });
});
