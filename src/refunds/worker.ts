import type { LookAnswer } from '../gateways/gateway.ts';
import {
  type CallReport,
  noteCall,
  noteWebhookMissing,
  readWorkingAccounts,
  reportOf,
  takeAllowance,
  takeWebhookTrouble,
  type WebhookTrouble,
  type WorkingAccount,
  wentWell,
} from '../gateways/health.ts';
import { plusMs } from '../lib/clock.ts';
import type { Loop } from '../lib/loop.ts';
import { createLoop } from '../lib/loop.ts';
import { type EngineDeps, holdMs } from './engine.ts';
import { lookAt, recheck } from './look.ts';
import { decideHoldLost, decideOverdue } from './outcome.ts';
import { LANES, type Lane, type Refund } from './refund.ts';
import { settle } from './settle.ts';
import {
  bringRechecksForward,
  claimDue,
  claimRechecks,
  type LaneRoom,
  postponeLook,
  readLostHolds,
  readOverdue,
} from './store.ts';
import { submit } from './submit.ts';

const IDLE_MS = 250;
/** Answers come one by one; claiming for each freed place by itself would cost three statements a refund. */
const GATHER_MS = 5;
const AGEING_MS = 1_000;
const SLICE = 200;
/** What batches leave of a second's calls. */
const KEPT_FOR_SINGLES = 0.1;
/** What asking again about ended refunds may take of a second's calls, where nothing else wants them. */
const SHARE_OF_RECHECKS = 0.2;
/** Over this time the questions are spread that follow from lost webhooks. */
const RECHECKS_SPREAD_MS = 10 * 60_000;
const RECHECKS_SLICE = 2_000;
/** By so many looks a webhook would have come. */
const LOOKS_WITHOUT_WEBHOOK = 2;

/** The loop that moves refunds along. Any number of them may run on one database. */
export function createRefundWorker(deps: EngineDeps): Loop {
  const rounds = createRefundRounds(deps, () => loop.wake());
  const loop = createLoop({
    name: 'refunds',
    log: deps.log,
    idleMs: IDLE_MS,
    gatherMs: GATHER_MS,
    ...rounds,
  });
  return loop;
}

export interface RefundRounds {
  /** One round; true when it found work. Ends when that has been begun, not when it is done. */
  tick(): Promise<boolean>;
  /** Waits for all work that was begun. */
  drain(): Promise<void>;
}

/**
 * One worker's rounds, for whoever sets their pace: claims what is due, lane by lane and account by account within
 * their limits, sends or looks, and ages what has waited too long. `onFreed` is told when a place has become free.
 */
export function createRefundRounds(deps: EngineDeps, onFreed: () => void): RefundRounds {
  const inFlight = new Map<string, Record<Lane, number>>();
  const running = new Set<Promise<void>>();
  /** Accounts whose calls have been failing: only of these a call that went well is worth noting. */
  let troubled = new Set<string>();
  let agedAt = 0;
  let recheckedAt = 0;
  const rechecking = new Map<string, number>();
  let claims = 0;

  async function tick(): Promise<boolean> {
    if (deps.clockIsRight?.() === false || (await deps.booksInDoubt?.())) return false;
    await ageIfTime();
    const accounts = await readWorkingAccounts(deps.db, deps.clock);
    troubled = new Set(accounts.filter((a) => a.failuresInARow > 0).map((a) => a.gatewayAccountId));
    await recheckIfTime(accounts);
    const rooms = accounts.flatMap((account) => roomsOf(account));
    if (rooms.length === 0) return false;
    // Every fourth time, so that an outcome is learnt also while there is never a lack of single refunds.
    const first = claims % 4 === 3 ? LANES.followUp : LANES.single;
    const stopped = (await deps.stoppedBatches?.()) ?? [];
    const claimed = await claimDue(deps.db, deps.clock, rooms, first, stopped);
    if (claimed.length === 0) return false;
    claims++;

    // Each by itself: one that cannot be worked on takes none of the others along.
    for (const refund of await withinAllowance(claimed)) {
      track(refund, refund.state === 'queued' ? send(refund) : look(refund));
    }
    return true;
  }

  function roomsOf(account: WorkingAccount): LaneRoom[] {
    const gateway = deps.gateways.get(account.gateway);
    if (!gateway) return [];
    const now = deps.clock.now();
    const busy = inFlight.get(account.gatewayAccountId) ?? { 0: 0, 1: 0, 2: 0 };
    const total = busy[0] + busy[1] + busy[2];
    let accountRoom = Math.min(account.maxConcurrent - total, Math.floor(account.allowance), SLICE);
    if (account.openUntil && account.openUntil > now) accountRoom = 0;
    // A breaker that has just run out lets one call through; its answer decides.
    else if (account.openUntil) accountRoom = total === 0 ? Math.min(accountRoom, 1) : 0;
    if (accountRoom <= 0) return [];
    // Following up and batches leave places free, so that a single refund always finds one.
    const room = (lane: Lane, share: number) => ({
      gatewayAccountId: account.gatewayAccountId,
      lane,
      room: Math.min(accountRoom, Math.max(1, Math.floor(account.maxConcurrent * share)) - busy[lane]),
      accountRoom,
      holdMs: holdMs(gateway.capabilities),
    });
    // Where batches used up the rate, a single refund would have to wait for it to grow again.
    const kept = Math.min(account.maxPerSecond - 1, Math.ceil(account.maxPerSecond * KEPT_FOR_SINGLES));
    const batch = room(LANES.batch, 0.75);
    const ofBatches = { ...batch, room: Math.min(batch.room, Math.floor(account.allowance) - kept) };
    return [room(LANES.single, 1), room(LANES.followUp, 0.5), ofBatches].filter((r) => r.room > 0);
  }

  /** Asks again about what has ended, where that is due: a little in each second, and not of accounts that rest. */
  async function recheckIfTime(accounts: readonly WorkingAccount[]): Promise<void> {
    const now = deps.clock.now().getTime();
    if (Math.abs(now - recheckedAt) < AGEING_MS) return;
    recheckedAt = now;
    // An account may have a year of them: beside the rounds, which go on meanwhile.
    for (const trouble of await takeWebhookTrouble(deps.db, deps.clock))
      start({ gateway_account_id: trouble.gatewayAccountId }, bringForward(trouble), () => undefined);
    const rooms = accounts.flatMap((account) => {
      const gateway = deps.gateways.get(account.gateway);
      const { gatewayAccountId } = account;
      const underWay = rechecking.get(gatewayAccountId) ?? 0;
      // A rest that is over ends by a call that went well, and there may be no other call for weeks.
      const share = account.openUntil === null ? Math.ceil(account.maxPerSecond * SHARE_OF_RECHECKS) : 1;
      const room = Math.min(share - underWay, Math.floor(account.allowance), SLICE);
      const rests = account.openUntil !== null && account.openUntil.getTime() > now;
      return gateway && !rests && room > 0
        ? [{ gatewayAccountId, room, holdMs: holdMs(gateway.capabilities) }]
        : [];
    });
    if (rooms.length === 0) return;
    const claimed = await claimRechecks(deps.db, deps.clock, rooms);
    if (claimed.length === 0) return;
    const granted = await takeAllowance(deps.db, deps.clock, countByAccount(claimed));
    for (const refund of claimed) {
      const left = granted.get(refund.gatewayAccountId) ?? 0;
      granted.set(refund.gatewayAccountId, left - 1);
      // What finds no allowance is taken again when its hold has run out.
      if (left > 0) trackRecheck(refund);
    }
  }

  async function bringForward({ gatewayAccountId, why }: WebhookTrouble): Promise<void> {
    let refunds = 0;
    for (let slice = RECHECKS_SLICE; slice === RECHECKS_SLICE; refunds += slice) {
      slice = await bringRechecksForward(deps.db, deps.clock, gatewayAccountId, {
        spreadMs: RECHECKS_SPREAD_MS,
        limit: RECHECKS_SLICE,
      });
    }
    deps.log.warn(
      { gateway_account_id: gatewayAccountId, refunds, why },
      'webhooks of the gateway account were rejected or are missing: its successes are asked about again',
    );
  }

  function trackRecheck(refund: Refund): void {
    const { gatewayAccountId } = refund;
    rechecking.set(gatewayAccountId, (rechecking.get(gatewayAccountId) ?? 0) + 1);
    start(
      { refund_id: refund.refundId },
      (async () => {
        const begunAt = deps.clock.now();
        await note(refund, { begunAt, ...reportOf(await recheck(deps, refund)) });
      })(),
      () => rechecking.set(gatewayAccountId, (rechecking.get(gatewayAccountId) ?? 1) - 1),
    );
  }

  /** What another worker's calls left no allowance for goes back to be claimed a second later. */
  async function withinAllowance(claimed: readonly Refund[]): Promise<Refund[]> {
    const left = await takeAllowance(deps.db, deps.clock, countByAccount(claimed));
    const going: Refund[] = [];
    for (const refund of claimed.toSorted((a, b) => a.lane - b.lane)) {
      const granted = left.get(refund.gatewayAccountId) ?? 0;
      left.set(refund.gatewayAccountId, granted - 1);
      if (granted > 0) going.push(refund);
      else await postponeLook(deps.db, refund, plusMs(deps.clock.now(), 1_000), refund.looks);
    }
    return going;
  }

  async function look(refund: Refund): Promise<void> {
    const begunAt = deps.clock.now();
    const answer = await lookAt(deps, refund);
    if (answer === null) return;
    await note(refund, { begunAt, ...reportOf(answer) });
    if (shouldHaveBeenTold(refund, answer)) await noteWebhookMissing(deps.db, deps.clock, refund);
  }

  async function send(refund: Refund): Promise<void> {
    const begunAt = deps.clock.now();
    const report = await submit(deps, refund);
    if (report !== null) await note(refund, { begunAt, ...report });
  }

  async function note(refund: Refund, call: CallReport & { readonly begunAt: Date }): Promise<void> {
    const { gatewayAccountId } = refund;
    if (wentWell(call) && !troubled.has(gatewayAccountId)) return;
    if (!wentWell(call)) troubled.add(gatewayAccountId);
    const restsMs = await noteCall(deps.db, deps.clock, refund, call);
    if (restsMs > 0) {
      deps.log.warn(
        { gateway_account_id: gatewayAccountId, rests_ms: restsMs, why: call.why },
        'the gateway account rests',
      );
    }
  }

  function track(refund: Refund, work: Promise<void>): void {
    const busy = inFlight.get(refund.gatewayAccountId) ?? { 0: 0, 1: 0, 2: 0 };
    busy[refund.lane]++;
    inFlight.set(refund.gatewayAccountId, busy);
    start({ refund_id: refund.refundId }, work, () => busy[refund.lane]--);
  }

  function start(about: object, work: Promise<void>, ended: () => void): void {
    const done: Promise<void> = work
      .catch((error: unknown) => {
        // A refund's hold runs out, and it is looked at again.
        deps.log.error({ err: error, ...about }, 'work beside the rounds failed');
      })
      .finally(() => {
        ended();
        running.delete(done);
        onFreed();
      });
    running.add(done);
  }

  /** What needs no gateway, and so happens whatever becomes of the account and its connector. */
  async function ageIfTime(): Promise<void> {
    const now = deps.clock.now().getTime();
    if (Math.abs(now - agedAt) < AGEING_MS) return;
    agedAt = now;
    const lost = await readLostHolds(deps.db, deps.clock, SLICE);
    const overdue = await readOverdue(deps.db, deps.clock, SLICE);
    await Promise.all([
      ...lost.map((refund) =>
        age(refund, 'the hold of a worker ran out', (fresh, at) =>
          fresh.state === 'sending' && fresh.nextLookAt! <= at.now ? decideHoldLost(fresh, at) : null,
        ),
      ),
      ...overdue.map((refund) =>
        age(refund, 'the limit passed without an outcome', (fresh, at) =>
          fresh.state === refund.state && fresh.reviewAt <= at.now ? decideOverdue(fresh, at) : null,
        ),
      ),
    ]);
  }

  async function age(refund: Refund, why: string, decide: Parameters<typeof settle>[3]): Promise<void> {
    await settle(deps, refund, { by: 'clock', why }, decide).catch((error: unknown) => {
      deps.log.error({ err: error, refund_id: refund.refundId }, 'a refund could not be aged');
    });
  }

  return {
    tick,
    drain: async () => {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

/** The gateway had ended it for a while, and no webhook had said so: others may be lost too. */
function shouldHaveBeenTold(refund: Refund, answer: LookAnswer): boolean {
  const ended = answer.kind === 'news' && ['succeeded', 'failed', 'reversed'].includes(answer.news.status);
  return ended && refund.state === 'submitted' && refund.looks >= LOOKS_WITHOUT_WEBHOOK;
}

function countByAccount(refunds: readonly Refund[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { gatewayAccountId } of refunds)
    counts.set(gatewayAccountId, (counts.get(gatewayAccountId) ?? 0) + 1);
  return counts;
}
