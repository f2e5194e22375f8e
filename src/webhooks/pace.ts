import { TRY_TIMEOUT_MS } from './send.ts';
import type { Places } from './store.ts';

/** How many tries may be under way at once to one address, from this process. */
export interface Pace {
  /** A try begins. */
  begin(lane: string, bulk: boolean): void;
  /** A try that began has ended in so many milliseconds; null where none was made. */
  end(lane: string, bulk: boolean, tried: Tried | null): void;
  /** How many more may begin now, for each lane where that is not what it is for a fresh one. */
  free(): Map<string, Places>;
}

export interface Tried {
  readonly acknowledged: boolean;
  readonly durationMs: number;
}

/** What a lane of which nothing is known may have under way. */
export const FRESH_ROOM = 8;
/** What one that answers quickly grows to. */
export const MOST_ROOM = 64;
/** Who needs longer is given no more than a fresh one, so that few slow addresses never take all places. */
export const QUICK_MS = TRY_TIMEOUT_MS / 10;
const MOST_REMEMBERED = 10_000;

/** Of so much room, what bulk messages may take: the rest is kept for what comes while they are under way. */
export function bulkShare(room: number): number {
  return Math.max(1, Math.floor((room * 3) / 4));
}

/** What a lane of which nothing is known has free. */
export const FRESH: Places = { any: FRESH_ROOM, bulk: bulkShare(FRESH_ROOM) };

/**
 * Each quick acknowledgement makes room for one more, so that the room doubles with every round that goes well; each
 * failure halves it, so that an address in trouble soon gets one try at a time.
 */
export function createPace(): Pace {
  const lanes = new Map<string, { room: number; busy: number; busyBulk: number }>();

  function roomAfter(room: number, acknowledged: boolean, durationMs: number): number {
    if (!acknowledged) return Math.max(1, Math.floor(room / 2));
    if (durationMs <= QUICK_MS || room < FRESH_ROOM) return Math.min(MOST_ROOM, room + 1);
    return Math.max(FRESH_ROOM, Math.floor(room / 2));
  }

  function forgetOldest(): void {
    for (const [lane, { busy }] of lanes) {
      if (lanes.size <= MOST_REMEMBERED) return;
      if (busy === 0) lanes.delete(lane);
    }
  }

  return {
    begin(lane, bulk) {
      const { room, busy, busyBulk } = lanes.get(lane) ?? { room: FRESH_ROOM, busy: 0, busyBulk: 0 };
      lanes.set(lane, { room, busy: busy + 1, busyBulk: busyBulk + Number(bulk) });
    },
    end(lane, bulk, tried) {
      const before = lanes.get(lane)!;
      const room = tried ? roomAfter(before.room, tried.acknowledged, tried.durationMs) : before.room;
      lanes.delete(lane);
      lanes.set(lane, { room, busy: before.busy - 1, busyBulk: before.busyBulk - Number(bulk) });
      forgetOldest();
    },
    free() {
      const free = new Map<string, Places>();
      for (const [lane, { room, busy, busyBulk }] of lanes) {
        const any = Math.max(0, room - busy);
        const bulk = Math.max(0, Math.min(any, bulkShare(room) - busyBulk));
        if (any !== FRESH.any || bulk !== FRESH.bulk) free.set(lane, { any, bulk });
      }
      return free;
    },
  };
}
