import type { Clock } from './clock.ts';
import type { Queryable } from './db.ts';

/**
 * Times are this process's, and other processes act on them: further apart than this, holds would end early, keys
 * would count as younger than they are, and people would be called too soon or too late.
 */
export const TOLERATED_APART_MS = 60_000;

/** How far this process's clock is from the database's. */
export async function clockApartMs(db: Queryable, clock: Clock): Promise<number> {
  const before = clock.now().getTime();
  const [row] = await db.query<{ at: Date }>('select clock_timestamp() as at');
  const after = clock.now().getTime();
  const at = row!.at.getTime();
  return Math.max(before - at, at - after, 0);
}
