import type { Clock } from './clock.ts';
import type { Queryable } from './db.ts';

/**
 * Times are this process's, and other processes act on them: further apart than this, holds would end early, keys
 * would count as younger than they are, "not found" as asked for later than it was, and people would be called too soon.
 * Machines that keep time are within milliseconds; twice this is small beside every hold and every proof of absence.
 */
export const TOLERATED_APART_MS = 5_000;

/** How far this process's clock is from the database's. */
export async function clockApartMs(db: Queryable, clock: Clock): Promise<number> {
  const before = clock.now().getTime();
  const [row] = await db.query<{ at: Date }>('select clock_timestamp() as at');
  const after = clock.now().getTime();
  const at = row!.at.getTime();
  return Math.max(before - at, at - after, 0);
}
