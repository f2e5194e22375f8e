import { createHash } from 'node:crypto';
import { type Clock, plusMs } from '../lib/clock.ts';
import { type Database, sqlState } from '../lib/db.ts';
import { grouped } from '../lib/grouped.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import type { Vault } from '../lib/vault.ts';
import {
  type EndpointKey,
  type EndpointNews,
  noteHealth,
  type OpenEndpoint,
  openEndpoints,
  openEndpointsOf,
  readSubscriptions,
  retireEndpoints,
  sameOrigin,
} from './endpoints.ts';
import { DEFAULT_WEBHOOK_EVENTS } from './events.ts';
import type { GivenUpBecause } from './outcomes.ts';
import { bulkShare, createPace, FRESH } from './pace.ts';
import { RETIRE_AFTER_FAILURES, RETIRE_AFTER_MS, retryDelayMs } from './schedule.ts';
import { eventIdOf, TRY_TIMEOUT_MS, type TryResult, type WebhookSender, type WebhookTarget } from './send.ts';
import {
  type ClaimedDelivery,
  claimDue,
  type FinishedTry,
  giveUpClaimed,
  giveUpLane,
  insertDeliveries,
  markSpread,
  type NewDelivery,
  type NotificationToSpread,
  recordTries,
  takeNotifications,
} from './store.ts';

/**
 * The order object of the API as it is now, and the order's event sequence number that it shows, read together.
 * Null where the order does not exist.
 */
export type RenderOrder = (
  merchantId: string,
  orderId: string,
) => Promise<{ readonly order: unknown; readonly sequence: number } | null>;

/** The same of a batch, with the batch's own count of its changes. */
export type RenderBatch = (
  merchantId: string,
  batchId: string,
) => Promise<{ readonly batch: unknown; readonly sequence: number } | null>;

export interface DelivererDeps {
  readonly db: Database;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly vault: Vault;
  readonly sender: WebhookSender;
  readonly renderOrder: RenderOrder;
  readonly renderBatch: RenderBatch;
  /** Milliseconds that no change of the clock moves; this process's own where absent. */
  readonly monotonicMs?: () => number;
}

const IDLE_MS = 250;
const SPREAD_SLICE = 500;
/** Of a slice, what bulk notifications get however many others there are. */
const SPREAD_BULK = 50;
const RECORD_SLICE = 200;
/** Tries at once in this process. */
const IN_ALL = 512;
/** In one claim of so many, bulk messages go first in half of the places, so that they never stand still. */
const BULK_TURN = 8;
/** What ends in one moment makes room for one claim, not for many small ones. */
const GATHER_MS = 5;
/** Well past the longest try: a lease that runs out means that its worker is gone. */
export const LEASE_MS = 4 * TRY_TIMEOUT_MS;

/** The loop that tells merchants. Any number of them may run on one database. */
export function createDeliverer(deps: DelivererDeps): Loop {
  const rounds = createDeliveryRounds(deps, () => loop.wake());
  const loop = createLoop({
    name: 'webhooks',
    log: deps.log,
    idleMs: IDLE_MS,
    gatherMs: GATHER_MS,
    ...rounds,
  });
  return loop;
}

export interface DeliveryRounds {
  /** One round; true when there may be more at once. Ends when tries have been begun, not when they are done. */
  tick(): Promise<boolean>;
  /** Waits for all tries that were begun. */
  drain(): Promise<void>;
}

/**
 * The rounds of one such loop, for whoever sets their pace: spreads notifications over the endpoints that want them,
 * and tries what is due. The order is read when a try begins, and one address has at most one try of an order under
 * way, so what is delivered last is the state that is true (invariant 7). What tells of the refunds of a batch lets all
 * else go first, and leaves places free for it. `onFreed` is told when a try has ended.
 */
export function createDeliveryRounds(deps: DelivererDeps, onFreed: () => void): DeliveryRounds {
  const monotonicMs = deps.monotonicMs ?? (() => performance.now());
  const running = new Set<Promise<void>>();
  let runningBulk = 0;
  let claims = 0;
  const pace = createPace();
  const record = grouped(RECORD_SLICE, (finished: FinishedTry[]) => recordAndJudge(deps, finished));

  async function tick(): Promise<boolean> {
    const moreToSpread = await spreadSlice(deps);
    const claimed = await claim();
    return moreToSpread || claimed > 0;
  }

  async function claim(): Promise<number> {
    if (running.size >= IN_ALL) return 0;
    const claimedAtMs = monotonicMs();
    const now = deps.clock.now();
    const tryId = newId();
    const claimed = await claimDue(deps.db, {
      now,
      leaseUntil: plusMs(now, LEASE_MS),
      tryId,
      free: pace.free(),
      otherwiseFree: FRESH,
      limit: { any: IN_ALL - running.size, bulk: Math.max(0, bulkShare(IN_ALL) - runningBulk) },
      bulkFirst: ++claims % BULK_TURN === 0,
    }).catch(nothingWhenBeaten);
    if (claimed.length === 0) return 0;
    const targets = await readTargets(deps, claimed);
    for (const delivery of claimed) track(delivery, deliver(delivery, targets(delivery), tryId, claimedAtMs));
    return claimed.length;
  }

  async function deliver(
    delivery: ClaimedDelivery,
    target: WebhookTarget | GivenUpBecause,
    tryId: string,
    claimedAtMs: number,
  ): Promise<TryResult | null> {
    const giveUp = async (why: GivenUpBecause) => {
      await giveUpClaimed(deps.db, [delivery], { tryId, why, now: deps.clock.now() });
      return null;
    };
    if (typeof target === 'string') return giveUp(target);
    const rendered =
      delivery.batchId === null
        ? await deps.renderOrder(delivery.merchantId, delivery.orderId)
        : await deps.renderBatch(delivery.merchantId, delivery.batchId);
    if (rendered === null) return giveUp(delivery.batchId === null ? 'order_missing' : 'batch_missing');
    // Too late to be sure that the try ends before another worker may begin the next.
    if (monotonicMs() - claimedAtMs > LEASE_MS / 2) throw new Error('what to tell could not be read in time');
    const result = await deps.sender.send(target, {
      eventId: eventIdOf(delivery.notificationId),
      eventName: delivery.eventName,
      createdAt: delivery.createdAt,
      ...rendered,
    });
    await record({ delivery, tryId, result, ...fateOf(delivery, result, deps.random()) });
    return result;
  }

  function track(delivery: ClaimedDelivery, work: Promise<TryResult | null>): void {
    pace.begin(delivery.lane, delivery.bulk);
    runningBulk += Number(delivery.bulk);
    const done: Promise<void> = work
      .catch((error: unknown) => {
        // Its lease runs out, and it is tried again.
        deps.log.error({ err: error, delivery_id: delivery.deliveryId }, 'a webhook delivery failed in here');
        return null;
      })
      .then((result) => {
        pace.end(
          delivery.lane,
          delivery.bulk,
          result && { acknowledged: result.outcome === 'acknowledged', durationMs: result.durationMs },
        );
        runningBulk -= Number(delivery.bulk);
        running.delete(done);
        onFreed();
      });
    running.add(done);
  }

  return {
    tick,
    drain: async () => {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

// Spreading ---------------------------------------------------------------------------------------------

/** Turns one slice of notifications into deliveries, and says whether there may be more. */
async function spreadSlice(deps: DelivererDeps): Promise<boolean> {
  const now = deps.clock.now();
  return deps.db.transaction(async (tx) => {
    const single = SPREAD_SLICE - SPREAD_BULK;
    const notifications = await takeNotifications(tx, now, { single, limit: SPREAD_SLICE });
    if (notifications.length === 0) return false;
    const subscriptions = Map.groupBy(
      await readSubscriptions(tx, [...new Set(notifications.map((n) => n.merchantId))]),
      (subscription) => subscription.merchantId,
    );
    const deliveries = notifications.flatMap((n) => spread(n, subscriptions.get(n.merchantId) ?? []));
    if (deliveries.length > 0) await insertDeliveries(tx, deliveries, now);
    await markSpread(tx, notifications);
    return notifications.length === SPREAD_SLICE || notifications.filter((n) => !n.bulk).length === single;
  });
}

type Subscription = Awaited<ReturnType<typeof readSubscriptions>>[number];

/**
 * The endpoints that want it, and the order's own URL beside them: it is whoever may write orders that chooses that one, and
 * nobody may silence an endpoint without the right to manage webhooks.
 */
function spread(notification: NotificationToSpread, subscriptions: readonly Subscription[]): NewDelivery[] {
  const { orderUrl, spreadAt, ...told } = notification;
  const delivery = (endpointId: string | null, url: string | null, lane: string): NewDelivery => ({
    ...told,
    deliveryId: newId(),
    endpointId,
    orderUrl: url,
    lane,
    nextTryAt: spreadAt,
  });
  const wants = ({ events }: Pick<Subscription, 'events'>) =>
    (events ?? DEFAULT_WEBHOOK_EVENTS).includes(told.eventName);
  const enabled = subscriptions.filter((s) => s.enabled);
  const hearers = enabled.filter((s) => s.createdAt <= told.createdAt && wants(s));
  const deliveries = hearers.map(({ endpointId }) => delivery(endpointId, null, endpointId));
  if (orderUrl === null || hearers.some(({ url }) => url === orderUrl)) return deliveries;
  const neighbour = enabled.find(({ url }) => sameOrigin(url, orderUrl)) ?? { events: null };
  if (wants(neighbour)) deliveries.push(delivery(null, orderUrl, laneOf(told.merchantId, orderUrl)));
  return deliveries;
}

/** The URLs of one merchant's orders at one host take turns together, apart from the merchant's endpoints. */
function laneOf(merchantId: string, url: string): string {
  const host = URL.canParse(url) ? new URL(url).origin : '';
  const hex = createHash('sha256').update(`${merchantId} ${host}`).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// Trying ------------------------------------------------------------------------------------------------

const UNIQUE_VIOLATION = '23505';
const DEADLOCK = '40P01';

/** Another worker took a delivery of the same order for the same address at the same moment: the next tick sees it. */
function nothingWhenBeaten(error: unknown): ClaimedDelivery[] {
  const state = sqlState(error);
  if (state === UNIQUE_VIOLATION || state === DEADLOCK) return [];
  throw error;
}

async function readTargets(
  deps: DelivererDeps,
  claimed: readonly ClaimedDelivery[],
): Promise<(delivery: ClaimedDelivery) => WebhookTarget | GivenUpBecause> {
  const endpoints = claimed.flatMap(({ merchantId, endpointId }) =>
    endpointId === null ? [] : { merchantId, endpointId },
  );
  const merchantIds = new Set(claimed.flatMap((d) => (d.orderUrl === null ? [] : d.merchantId)));
  const [byId, byMerchant] = await Promise.all([
    endpoints.length > 0 ? openEndpoints(deps, endpoints) : new Map<string, OpenEndpoint>(),
    merchantIds.size > 0 ? openEndpointsOf(deps, [...merchantIds]) : new Map<string, OpenEndpoint[]>(),
  ]);
  return (delivery) => {
    if (delivery.orderUrl !== null) {
      return targetOfOrder(delivery.orderUrl, byMerchant.get(delivery.merchantId) ?? []);
    }
    const endpoint = byId.get(delivery.endpointId!);
    if (!endpoint) return 'endpoint_removed';
    return endpoint.enabled ? endpoint.target : 'endpoint_disabled';
  };
}

/**
 * An order's own URL gets the user name and password (contract section 6.1) and the signature of the oldest endpoint at the
 * same origin, and where there is none, neither: whoever may write orders chooses the URL, and must not choose who learns
 * the password or is believed. Custom headers are not sent: they may be keys to the endpoint's own path.
 */
function targetOfOrder(url: string, endpoints: readonly OpenEndpoint[]): WebhookTarget {
  const neighbour = endpoints.find(({ target }) => sameOrigin(target.url, url))?.target;
  const { username = null, password = null } = neighbour?.credentials ?? {};
  return { url, credentials: { username, password, headers: {} }, secrets: neighbour?.secrets ?? [] };
}

/** What becomes of a delivery after a try. */
function fateOf(
  delivery: ClaimedDelivery,
  result: TryResult,
  random: number,
): Pick<FinishedTry, 'state' | 'nextTryAt'> {
  if (result.outcome === 'acknowledged') return { state: 'delivered', nextTryAt: null };
  const delayMs = result.outcome === 'bad_url' ? null : retryDelayMs(delivery.roundTries + 1, random);
  if (delayMs === null) return { state: 'given_up', nextTryAt: null };
  return { state: 'pending', nextTryAt: plusMs(result.at, result.durationMs + delayMs) };
}

// Recording ---------------------------------------------------------------------------------------------

async function recordAndJudge(
  deps: DelivererDeps,
  finished: readonly FinishedTry[],
): Promise<readonly FinishedTry[]> {
  const now = deps.clock.now();
  await recordTries(deps.db, finished, now);
  const news = newsOf(finished);
  if (news.length > 0) await noteHealth(deps.db, news);
  const failing = news.filter((n) => n.failures > 0);
  if (failing.length > 0) await retire(deps, failing, now);
  return finished;
}

async function retire(deps: DelivererDeps, failing: readonly EndpointKey[], now: Date): Promise<void> {
  const retired = await retireEndpoints(deps.db, {
    endpoints: failing,
    failingSince: plusMs(now, -RETIRE_AFTER_MS),
    failures: RETIRE_AFTER_FAILURES,
    now,
  });
  for (const { endpointId, merchantId, reason } of retired) {
    await giveUpLane(deps.db, endpointId, 'endpoint_disabled', now);
    deps.log.warn(
      { endpoint_id: endpointId, merchant_id: merchantId, reason },
      'a webhook endpoint is retired',
    );
  }
}

function newsOf(finished: readonly FinishedTry[]): EndpointNews[] {
  const byEndpoint = Map.groupBy(
    finished.filter(({ delivery }) => delivery.endpointId !== null),
    ({ delivery }) => delivery.endpointId!,
  );
  return [...byEndpoint].map(([endpointId, tries]) => {
    const { merchantId } = tries[0]!.delivery;
    const lastSuccess = tries.findLastIndex(({ result }) => result.outcome === 'acknowledged');
    const lastFailure = tries.findLast(({ result }) => result.outcome !== 'acknowledged');
    return {
      merchantId,
      endpointId,
      acknowledged: lastSuccess >= 0,
      failures: tries.length - 1 - lastSuccess,
      lastFailure: lastFailure?.result.outcome ?? null,
      at: tries.at(-1)!.result.at,
    };
  });
}
