/** The only source of time for rules and SQL, so that ten days can pass in a test's millisecond. */
export interface Clock {
  now(): Date;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export const systemClock: Clock = { now: () => new Date() };

export function plusMs(at: Date, durationMs: number): Date {
  return new Date(at.getTime() + durationMs);
}
