/** The only source of time for rules and SQL, so that ten days can pass in a test's millisecond. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

export function plusMs(at: Date, durationMs: number): Date {
  return new Date(at.getTime() + durationMs);
}
