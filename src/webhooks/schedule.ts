const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * The published schedule (contract section 6.2): what is not acknowledged is sent again after these delays, each
 * counted from the try before it; sixteen times in about a day.
 */
export const RETRY_SCHEDULE: readonly { readonly times: number; readonly delayMs: number }[] = [
  { times: 1, delayMs: MINUTE_MS },
  { times: 2, delayMs: 5 * MINUTE_MS },
  { times: 5, delayMs: 10 * MINUTE_MS },
  { times: 5, delayMs: HOUR_MS },
  { times: 3, delayMs: 6 * HOUR_MS },
];

/** Each delay is made up to this much shorter or longer, so that what failed together does not come back together. */
export const RETRY_JITTER = 0.1;

const DELAYS_MS = RETRY_SCHEDULE.flatMap(({ times, delayMs }) => Array<number>(times).fill(delayMs));

/**
 * How long to wait after the `failedTries`-th try (1 is the first) failed, or null when no retry is left.
 * `random` is 0 to 1 and places the delay within the jitter.
 */
export function retryDelayMs(failedTries: number, random: number): number | null {
  const delayMs = DELAYS_MS[failedTries - 1];
  return delayMs === undefined ? null : Math.round(delayMs * (1 + RETRY_JITTER * (2 * random - 1)));
}

/** An endpoint that has acknowledged nothing for this long, in at least so many tries, is switched off. */
export const RETIRE_AFTER_MS = 5 * 24 * HOUR_MS;
export const RETIRE_AFTER_FAILURES = 20;

/** How long the signing secret before the present one stays valid when it is replaced, unless asked otherwise. */
export const DEFAULT_SECRET_GRACE_MS = 24 * HOUR_MS;
export const MAX_SECRET_GRACE_MS = 7 * 24 * HOUR_MS;
