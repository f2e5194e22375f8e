import { TRY_TIMEOUT_MS } from './send.ts';

/** How many tries may be under way at once to one address, from this process. */
export interface Pace {
  /** A try begins. */
  begin(lane: string): void;
  /** A try that began has ended in so many milliseconds; null where none was made. */
  end(lane: string, tried: { readonly acknowledged: boolean; readonly durationMs: number } | null): void;
  /** How many more may begin now, for each lane where that is not FRESH_ROOM. */
  free(): Map<string, number>;
}

/** What a lane of which nothing is known may have under way. */
export const FRESH_ROOM = 8;
/** What one that answers quickly grows to. */
export const MOST_ROOM = 64;
/** Who needs longer is given no more than a fresh one, so that few slow addresses never take all places. */
export const QUICK_MS = TRY_TIMEOUT_MS / 10;
const MOST_REMEMBERED = 10_000;

/**
 * Each quick acknowledgement makes room for one more, so that the room doubles with every round that goes well; each
 * failure halves it, so that an address in trouble soon gets one try at a time.
 */
export function createPace(): Pace {
  const lanes = new Map<string, { room: number; busy: number }>();

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
    begin(lane) {
      const { room, busy } = lanes.get(lane) ?? { room: FRESH_ROOM, busy: 0 };
      lanes.set(lane, { room, busy: busy + 1 });
    },
    end(lane, tried) {
      const before = lanes.get(lane)!;
      const room = tried ? roomAfter(before.room, tried.acknowledged, tried.durationMs) : before.room;
      lanes.delete(lane);
      lanes.set(lane, { room, busy: before.busy - 1 });
      forgetOldest();
    },
    free() {
      const free = new Map<string, number>();
      for (const [lane, { room, busy }] of lanes) {
        if (room - busy !== FRESH_ROOM) free.set(lane, Math.max(0, room - busy));
      }
      return free;
    },
  };
}
