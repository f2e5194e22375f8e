import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/lib/clock.ts';
import { type Database, openDatabase } from '../src/lib/db.ts';
import { startEmbeddedPostgres } from '../src/lib/embedded-postgres.ts';
import { migrate } from '../src/lib/migrate.ts';

/** Runs a bench on a durable embedded PostgreSQL of its own, migrated, and clears up after it. */
export async function onFreshDatabase(work: (db: Database) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'refundry-bench-'));
  const server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' });
  const db = openDatabase({ connectionString: server.connectionString, maxConnections: 16 });
  try {
    await migrate(db, systemClock);
    await work(db);
  } finally {
    await db.close();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

export interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** How often `call` gets done by so many callers at once; `call` answers how many things it did. */
export async function rateOf(callers: number, call: () => Promise<number>, seconds = 4): Promise<Rate> {
  const lasted: number[] = [];
  let done = 0;
  const start = performance.now();
  const end = start + seconds * 1_000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        const begun = performance.now();
        const count = await call();
        done += count;
        lasted.push(performance.now() - begun);
      }
    }),
  );
  const tookSeconds = (performance.now() - start) / 1_000;
  lasted.sort((a, b) => a - b);
  const at = (share: number) => lasted[Math.min(lasted.length - 1, Math.floor(lasted.length * share))] ?? 0;
  return { perSecond: done / tookSeconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

export function printRate(what: string, rate: Rate, limit?: Rate): void {
  const ratio = limit ? `  ${(rate.perSecond / limit.perSecond).toFixed(2)} of the limit` : '';
  console.log(
    `${what.padEnd(52)} ${Math.round(rate.perSecond).toString().padStart(7)}/s  p50 ${rate.p50Ms.toFixed(1)} ms  p99 ${rate.p99Ms.toFixed(1)} ms${ratio}`,
  );
}
