import { type ChangeNews, type EventPlace, readChanges, readPlacesSince } from '../audit/changes.ts';
import { type Clock, plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';

/** What a follower is told: what changed, or that too much did to say each. */
export interface LiveNews {
  readonly changes: readonly ChangeNews[];
  readonly tooMany: boolean;
  /** Given back by who resumes: nothing before it is missing. */
  readonly upTo: Date;
}

export type Follower = (news: LiveNews) => void;

export interface Live {
  /**
   * Tells a follower what changes for its merchant from now on, and first what changed since it was last told, or in
   * the last seconds. The same may be told twice. Resolves once that has been told; the function ends it.
   */
  follow(merchantId: string, follower: Follower, lastTold: Date | null): Promise<void>;
  leave(merchantId: string, follower: Follower): void;
  readonly loop: Loop;
}

const EVERY_MS = 1_000;
/** An event carries the time at which its statement began; it is seen when that has been committed. */
const OVERLAP_MS = 5_000;
/** How far clocks of processes may be apart (a minute) and commits may take, looked over now and then. */
const WIDE_OVERLAP_MS = 90_000;
const WIDE_EVERY_MS = 15_000;
/** Whoever was away for longer asks for everything again. */
const LONGEST_ABSENCE_MS = 10 * 60_000;
/** More changes at once than this are told as one: that there were many. */
const MOST_TOLD = 200;
const MOST_READ = 5_000;

interface Followed {
  readonly followers: Set<Follower>;
  /** What has been told, or was there before, by place; with its time. */
  readonly seen: Map<string, number>;
  /** Resolves once what was there before is known; until then nothing is told. */
  readonly begun: Promise<void>;
  ready: boolean;
}

/**
 * Follows the trail of events for those who watch, once a second and only the merchants that are watched: with nobody
 * there, nothing is read. It sees what any process wrote.
 */
export function createLive(deps: {
  readonly db: Queryable;
  readonly clock: Clock;
  readonly log: Logger;
}): Live {
  const merchants = new Map<string, Followed>();
  let readAt: Date | null = null;
  let wideAt = new Date(0);

  async function tick(): Promise<boolean> {
    const ids = [...merchants].filter(([, { ready }]) => ready).map(([id]) => id);
    if (ids.length === 0) {
      readAt = null;
      return false;
    }
    const now = deps.clock.now();
    const wide = now.getTime() - wideAt.getTime() >= WIDE_EVERY_MS;
    const absentMs = readAt === null ? 0 : now.getTime() - readAt.getTime();
    const places = await readPlacesSince(
      deps.db,
      ids,
      plusMs(now, -(wide ? WIDE_OVERLAP_MS : OVERLAP_MS) - Math.min(absentMs, LONGEST_ABSENCE_MS)),
      MOST_READ,
    );
    const fresh = Map.groupBy(places.filter(isNews), ({ merchantId }) => merchantId);
    const few = [...fresh.values()].filter((of) => of.length <= MOST_TOLD).flat();
    const changes = few.length === 0 ? [] : await readChanges(deps.db, few);
    readAt = now;
    if (wide) wideAt = now;
    const told = Map.groupBy(changes, ({ merchantId }) => merchantId);
    for (const [id, of] of fresh) {
      const followed = merchants.get(id);
      if (!followed) continue;
      remember(followed, of, now);
      const news = { changes: latestOf(told.get(id) ?? []), tooMany: of.length > MOST_TOLD, upTo: now };
      for (const follower of followed.followers) follower(news);
    }
    return false;
  }

  function isNews(place: EventPlace): boolean {
    return merchants.get(place.merchantId)?.seen.has(keyOf(place)) === false;
  }

  function begin(merchantId: string): Followed {
    const now = deps.clock.now();
    const reading = readPlacesSince(deps.db, [merchantId], plusMs(now, -WIDE_OVERLAP_MS), MOST_READ);
    const followed: Followed = {
      followers: new Set(),
      seen: new Map(),
      begun: reading.then((before) => {
        remember(followed, before, now);
        followed.ready = true;
      }),
      ready: false,
    };
    merchants.set(merchantId, followed);
    return followed;
  }

  async function catchUp(merchantId: string, lastTold: Date | null): Promise<LiveNews> {
    const now = deps.clock.now();
    const since = lastTold === null ? plusMs(now, -2 * OVERLAP_MS) : plusMs(lastTold, -WIDE_OVERLAP_MS);
    if (since < plusMs(now, -LONGEST_ABSENCE_MS)) return { changes: [], tooMany: true, upTo: now };
    const places = await readPlacesSince(deps.db, [merchantId], since, MOST_TOLD + 1);
    if (places.length > MOST_TOLD) return { changes: [], tooMany: true, upTo: now };
    const changes = places.length === 0 ? [] : await readChanges(deps.db, places);
    return { changes: latestOf(changes), tooMany: false, upTo: now };
  }

  return {
    async follow(merchantId, follower, lastTold) {
      const followed = merchants.get(merchantId) ?? begin(merchantId);
      followed.followers.add(follower);
      await followed.begun;
      // Read after that: whatever is not told here is not known there either, and is told by the next round.
      follower(await catchUp(merchantId, lastTold));
    },
    leave(merchantId, follower) {
      const followed = merchants.get(merchantId);
      followed?.followers.delete(follower);
      if (followed?.followers.size === 0) merchants.delete(merchantId);
    },
    loop: createLoop({ name: 'live', log: deps.log, idleMs: EVERY_MS, tick }),
  };
}

function keyOf({ orderId, seq }: EventPlace): string {
  return `${seq} ${orderId}`;
}

function remember({ seen }: Followed, places: readonly EventPlace[], now: Date): void {
  for (const place of places) seen.set(keyOf(place), place.at.getTime());
  if (seen.size < MOST_READ) return;
  const forgetBefore = now.getTime() - 2 * WIDE_OVERLAP_MS;
  for (const [key, at] of seen) if (at < forgetBefore) seen.delete(key);
}

/** Of each order, and of each refund, the last change. */
function latestOf(changes: readonly ChangeNews[]): ChangeNews[] {
  const latest = new Map(changes.map((change) => [change.refundId ?? `order ${change.orderId}`, change]));
  return [...latest.values()];
}
