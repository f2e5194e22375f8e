import type { Database } from '../../src/lib/db.ts';
import { until } from './running.ts';

/** What somebody slow holds: others have to wait until `release`. */
export interface HeldLock {
  /** Until so many wait for a lock: all of them are at the critical point. */
  waiting(n: number): Promise<void>;
  release(): Promise<void>;
}

/** Takes a lock in a transaction of its own, by a statement. */
export async function hold(db: Database, lock: string): Promise<HeldLock> {
  const client = await db.connect();
  await client.query('begin');
  await client.query(lock);
  return {
    waiting: (n) => waiting(db, n),
    async release() {
      await client.query('commit');
      client.release();
    },
  };
}

/** Until so many of the database's connections wait for a lock. */
export function waiting(db: Database, n: number): Promise<void> {
  return until(`${n} to wait`, async () => {
    const [row] = await db.query<{ n: number }>(
      `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return row!.n >= n || undefined;
  }).then(() => undefined);
}

/**
 * Begins each of these once the one before it waits for the lock, by one connection each, then lets go of it: all have begun
 * before the first has got anywhere, and they get the lock in this order.
 */
export async function inTurn<Results extends readonly unknown[]>(
  db: Database,
  lock: string,
  begin: { readonly [N in keyof Results]: () => Promise<Results[N]> },
): Promise<Results> {
  const held = await hold(db, lock);
  const begun: Promise<unknown>[] = [];
  try {
    for (const act of begin) {
      begun.push(act());
      await held.waiting(begun.length);
    }
  } finally {
    await held.release();
  }
  return (await Promise.all(begun)) as unknown as Results;
}
