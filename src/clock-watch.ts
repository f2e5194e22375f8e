import type { Clock } from './lib/clock.ts';
import { clockApartMs, TOLERATED_APART_MS } from './lib/database-clock.ts';
import type { Queryable } from './lib/db.ts';
import type { Logger } from './lib/log.ts';
import { createLoop, type Loop } from './lib/loop.ts';
import { OperatorError } from './lib/operator-error.ts';

export interface ClockWatch {
  readonly loop: Loop;
  /** As it was when last compared, at most a few seconds ago. */
  readonly isRight: () => boolean;
}

const COMPARE_EVERY_MS = 5_000;

/** Refuses, with an OperatorError, to go on with a clock that is further from the database's than is tolerated. */
export async function requireRightClock(db: Queryable, clock: Clock): Promise<void> {
  const apartMs = await clockApartMs(db, clock);
  if (apartMs > TOLERATED_APART_MS) {
    throw new OperatorError(
      `This machine's clock and the database's are ${Math.round(apartMs / 1000)} s apart. ` +
        'Set the wrong one right: what is sent again and when people are called depends on it.',
    );
  }
}

/** Compares the clocks every few seconds, so that the worker rests while they are too far apart. */
export function createClockWatch(
  db: Queryable,
  clock: Clock,
  log: Logger,
  everyMs = COMPARE_EVERY_MS,
): ClockWatch {
  let right = true;
  const loop = createLoop({
    name: 'clock',
    log,
    idleMs: everyMs,
    async tick() {
      const apartMs = await clockApartMs(db, clock);
      const now = apartMs <= TOLERATED_APART_MS;
      if (now !== right) {
        if (now) log.info('the clock is right again; the worker goes on');
        else log.error({ seconds_apart: Math.round(apartMs / 1000) }, 'the clock is wrong; the worker rests');
      }
      right = now;
      return false;
    },
  });
  // Nothing that happens here is a reason to look at the clock.
  return { loop: { ...loop, wake: () => undefined }, isRight: () => right };
}
