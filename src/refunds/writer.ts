import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { Change } from './outcome.ts';
import type { Refund } from './refund.ts';
import { writeChanges } from './store.ts';

/** Writes one change; the answer is the refund as it is now, or null where it had moved on since. */
export type WriteChange = (change: Change) => Promise<Refund | null>;

const SLICE = 200;

/**
 * Changes that come together are written together: whatever has arrived while one slice was being written becomes
 * the next one. A lone change waits for nobody. A slice that fails is written again change by change, so that one
 * that cannot be written never takes its neighbours along.
 */
export function createChangeWriter(db: Queryable, clock: Clock): WriteChange {
  type Waiting = {
    change: Change;
    resolve: (refund: Refund | null) => void;
    reject: (error: unknown) => void;
  };
  const waiting: Waiting[] = [];
  let writing = false;

  async function drain(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const slice = waiting.splice(0, SLICE);
      try {
        const written = await writeChanges(
          db,
          clock,
          slice.map((w) => w.change),
        );
        slice.forEach((w, n) => w.resolve(written[n] ?? null));
      } catch (error) {
        if (slice.length === 1) slice[0]!.reject(error);
        else
          for (const w of slice)
            await writeChanges(db, clock, [w.change]).then((r) => w.resolve(r[0] ?? null), w.reject);
      }
    }
    writing = false;
  }

  return (change) =>
    new Promise((resolve, reject) => {
      waiting.push({ change, resolve, reject });
      if (!writing) void drain();
    });
}
