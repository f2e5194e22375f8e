import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { grouped } from '../lib/grouped.ts';
import type { Change } from './outcome.ts';
import type { Refund } from './refund.ts';
import { writeChanges } from './store.ts';

/** Writes one change; the answer is the refund as it is now, or null where it had moved on since. */
export type WriteChange = (change: Change) => Promise<Refund | null>;

/** Answers that come together are recorded together; a change repeated after a failure finds itself decided on an old version. */
export function createChangeWriter(db: Queryable, clock: Clock): WriteChange {
  return grouped(200, (changes: Change[]) => writeChanges(db, clock, changes));
}
