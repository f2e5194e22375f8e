import type { Clock } from '../lib/clock.ts';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';

/** How often something may be tried in a window of time, and who tries. */
export interface AttemptLimit {
  readonly bucket: string;
  readonly most: number;
  readonly windowMs: number;
}

/**
 * Counts one more try; null when it is within the limit, else when the window ends. The window begins with the first
 * try and is not prolonged by more of them, so nobody is kept out for longer than one window at a time.
 */
export async function countAttempt(db: Queryable, clock: Clock, limit: AttemptLimit): Promise<Date | null> {
  const now = clock.now();
  const [row] = await db.query<{ tries: number; windowEndsAt: Date }>(
    `insert into sign_in_attempts as a (bucket, tries, window_ends_at) values ($1, 1, $3)
     on conflict (bucket) do update set
       tries = case when a.window_ends_at <= $2 then 1 else a.tries + 1 end,
       window_ends_at = case when a.window_ends_at <= $2 then $3 else a.window_ends_at end
     returning tries, window_ends_at as "windowEndsAt"`,
    [limit.bucket, now, plusMs(now, limit.windowMs)],
  );
  return row!.tries <= limit.most ? null : row!.windowEndsAt;
}

/** Takes a try back that turned out to be a good one. */
export async function forgiveAttempt(db: Queryable, bucket: string): Promise<void> {
  await db.query('update sign_in_attempts set tries = greatest(tries - 1, 0) where bucket = $1', [bucket]);
}

/** Removes counts whose window is over. */
export async function forgetOldAttempts(db: Queryable, clock: Clock): Promise<void> {
  await db.query('delete from sign_in_attempts where window_ends_at <= $1', [clock.now()]);
}
