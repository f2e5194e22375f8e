import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { BrokenInvariant, type Figures, type Proof, type ProofRun } from '../proof.ts';
import { chanceOf } from '../world/chance.ts';
import { reckon, Wrong } from '../world/reckoning.ts';
import { emptyBooks, type ShopBooks, trade } from '../world/shop.ts';
import { openWorld, type World } from '../world/world.ts';
import { growthOf, medianOf, type Sample } from './slope.ts';

/**
 * Mixed load with faults for a long time: what a process holds must not grow with what it has done. Memory,
 * connections and the age of the oldest work are measured all the time; their slopes must be flat, and in the end
 * the three books must agree.
 */
export const soak: Proof = {
  name: 'soak',
  about: 'Mixed load with faults for a long time: memory, connections and the age of waiting work stay flat.',
  options: [
    { name: 'minutes', otherwise: 60, about: 'how long the load goes on' },
    { name: 'seed', otherwise: 1, about: 'what is asked for and which faults come when' },
  ],
  prove: (run) =>
    soakFor(run, {
      loadMs: run.options['minutes']! * 60_000,
      sampleMs: 5_000,
      faultsEveryMs: 20_000,
      // As often are those in review looked at, and in an hour they become a thousand.
      manualReviewAfter: '4m',
      inHurry: false,
    }),
};

export interface SoakPace {
  readonly loadMs: number;
  readonly sampleMs: number;
  readonly faultsEveryMs: number;
  readonly manualReviewAfter: string;
  /** No fault that takes a minute or more to heal. */
  readonly inHurry: boolean;
}

/** Of each process; their pools fill up to it when much is asked at once. */
const POOL_SIZE = 10;

/** What is measured, by how much its middle line may grow in `minutes`, and what it may never pass. */
const MEASURES = {
  'memory of the server': { unit: 'MB', mayGrow: memoryMayGrow, most: 500 },
  'memory of the worker': { unit: 'MB', mayGrow: memoryMayGrow, most: 500 },
  'connections to PostgreSQL': { unit: '', mayGrow: () => POOL_SIZE, most: 2 * POOL_SIZE },
  'oldest refund that is due': { unit: 's', mayGrow: () => 5, most: 90 },
  'oldest webhook that is due': { unit: 's', mayGrow: () => 5, most: 90 },
} as const satisfies Record<string, { unit: string; mayGrow: (minutes: number) => number; most: number }>;
type Measure = keyof typeof MEASURES;
const MEASURE_NAMES = Object.keys(MEASURES) as Measure[];

/**
 * A collector takes its time, which is the constant; a leak of 1 KB a refund would be some 30 MB in an hour. In its
 * first minutes a process still compiles what it runs, and its heap finds its size in steps of up to 60 MB.
 */
function memoryMayGrow(minutes: number): number {
  return minutes < 4 ? 80 : 24 + 0.2 * minutes;
}

/** What also a small machine has done before the next come: waiting work would say nothing of us else. */
const ORDERS_IN_TWO_SECONDS = 4;
/** A process that has just started grows by what it compiles and keeps for good. */
const WARM_UP = 0.25;

export async function soakFor(run: ProofRun, pace: SoakPace): Promise<Figures> {
  const { seed = 0, minutes = 0 } = run.options;
  const replay = `npm run proof -- soak --minutes ${minutes} --seed ${seed}`;
  const books = emptyBooks();
  const world = await openWorld({ workers: 1, manualReviewAfter: pace.manualReviewAfter });
  const ended = new AbortController();
  const signal = AbortSignal.any([run.signal, ended.signal]);
  const samples = new Map<Measure, Sample[]>(MEASURE_NAMES.map((name) => [name, []]));
  const faults: Record<string, number> = {};
  try {
    const begunAt = Date.now();
    const watching = watch(world, begunAt, pace, samples, books, run, signal);
    const breaking = breakThings(world, seed, pace, faults, signal);
    const background = Promise.all([watching, breaking]).catch((error) => {
      ended.abort();
      throw error;
    });
    background.catch(() => undefined);
    const trading: Promise<void>[] = [];
    for (let n = 0; Date.now() - begunAt < pace.loadMs && !signal.aborted; n++) {
      const plan = { name: `s${n}`, orders: ORDERS_IN_TWO_SECONDS, spreadMs: 2_000 };
      trading.push(trade({ client: world.client, books }, chanceOf(seed, n), plan));
      if (trading.length > 10) await trading.shift();
      await sleep(2_000);
    }
    ended.abort();
    await background;
    await Promise.all(trading);
    const loadMinutes = (Date.now() - begunAt) / 60_000;
    world.receiver.behave(0, Math.random);
    run.progress('the load has ended; waiting for every refund to end and the books to agree');
    const reckoning = await reckon(world, books, 300_000);
    const audit = await world.audit();
    if (audit.status !== 0)
      throw new Wrong(`refundry audit verify ended with ${audit.status}: ${audit.stdout}`);
    const lines = judge(samples);
    return {
      'minutes of load': loadMinutes.toFixed(1),
      'refunds accepted': reckoning.accepted,
      'refunds a second': (reckoning.accepted / loadMinutes / 60).toFixed(1),
      'refunds lost': 0,
      'payouts in the gateway’s books': reckoning.payouts,
      'payouts made twice': 0,
      'webhooks received': world.receiver.received,
      ...Object.fromEntries(Object.entries(faults).map(([fault, count]) => [`fault: ${fault}`, count])),
      ...lines,
    };
  } catch (error) {
    if (error instanceof Wrong) throw new BrokenInvariant(error.message, replay);
    throw error;
  } finally {
    ended.abort();
    await world.close();
  }
}

// Measuring ---------------------------------------------------------------------------------------------

async function watch(
  world: World,
  begunAt: number,
  pace: SoakPace,
  samples: ReadonlyMap<Measure, Sample[]>,
  books: ShopBooks,
  run: ProofRun,
  signal: AbortSignal,
): Promise<void> {
  let saidAt = begunAt;
  while (!signal.aborted) {
    const died = world.endedByItself();
    if (died.length > 0) throw new Wrong(died.join('\n'));
    // While PostgreSQL starts its processes again, nothing can be measured.
    const seen = await measure(world).catch(() => null);
    const minute = (Date.now() - begunAt) / 60_000;
    if (seen) for (const name of MEASURE_NAMES) samples.get(name)!.push({ minute, value: seen[name] });
    if (seen && Date.now() - saidAt >= 30_000) {
      saidAt = Date.now();
      const words = MEASURE_NAMES.map((name) => `${name} ${shown(seen[name], name)}`);
      run.progress(`minute ${minute.toFixed(1)}: ${books.asked.size} refunds asked for; ${words.join(', ')}`);
    }
    await sleep(pace.sampleMs, undefined, { signal }).catch(() => undefined);
  }
}

async function measure(world: World): Promise<Record<Measure, number>> {
  const ages = await queueAges(world.db);
  return {
    'memory of the server': residentMb(world.server.pid),
    'memory of the worker': residentMb(world.workers[0]!.pid),
    ...ages,
  };
}

function residentMb(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1_024;
}

/** A webhook that waits for one of the same order, whose try is under way or comes first, is not due yet. */
async function queueAges(db: Database) {
  const [row] = await db.query<{ connections: number; refund: number | null; webhook: number | null }>(
    `select (select count(*) from pg_stat_activity where application_name = 'refundry') as connections,
       extract(epoch from $1 - (select min(next_look_at) from refunds where next_look_at <= $1))::float as refund,
       extract(epoch from $1 - least((select min(spread_at) from notifications where spread_at <= $1), (
         select min(d.next_try_at) from deliveries d
         where d.state = 'pending' and d.next_try_at <= $1 and not exists (
           select 1 from deliveries o
           where o.merchant_id = d.merchant_id and o.order_id = d.order_id and o.lane = d.lane
             and o.state = 'pending' and o.delivery_id <> d.delivery_id
             and (o.try_id is not null or (o.next_try_at, o.delivery_id) < (d.next_try_at, d.delivery_id))
       ))))::float as webhook`,
    [systemClock.now()],
  );
  return {
    'connections to PostgreSQL': row!.connections,
    'oldest refund that is due': row!.refund ?? 0,
    'oldest webhook that is due': row!.webhook ?? 0,
  };
}

/** The small table: each measure's middle, its most, its growth, and what was allowed. Throws where it grew more. */
function judge(samples: ReadonlyMap<Measure, readonly Sample[]>): Figures {
  const grown: string[] = [];
  const lines: Record<string, string> = {};
  for (const name of MEASURE_NAMES) {
    const all = samples.get(name)!;
    const warm = all.slice(Math.floor(all.length * WARM_UP));
    if (warm.length < 5) throw new Wrong(`only ${warm.length} measurements of ${name} could be made`);
    const minutes = warm.at(-1)!.minute - warm[0]!.minute;
    const growth = growthOf(warm);
    const allowed = MEASURES[name].mayGrow(minutes);
    const values = warm.map(({ value }) => value);
    lines[name] =
      `median ${shown(medianOf(values), name)}, most ${shown(Math.max(...values), name)}, ` +
      `growth ${shown(growth, name)} in ${minutes.toFixed(1)} min (allowed ${shown(allowed, name)})`;
    if (growth > allowed) grown.push(`the ${name} grew: ${lines[name]}`);
    if (Math.max(...values) > MEASURES[name].most) grown.push(`the ${name} passed its limit: ${lines[name]}`);
  }
  if (grown.length > 0) throw new Wrong(grown.join('\n'));
  return lines;
}

function shown(value: number, name: Measure): string {
  return `${value.toFixed(1)} ${MEASURES[name].unit}`.trim();
}

// Faults ------------------------------------------------------------------------------------------------

/** One fault after the other; each heals before the next, and none ends the server or the worker. */
async function breakThings(
  world: World,
  seed: number,
  pace: SoakPace,
  done: Record<string, number>,
  signal: AbortSignal,
): Promise<void> {
  const chance = chanceOf(seed, -1);
  const { sandbox, receiver } = world;
  const faults: Record<string, () => Promise<void>> = {
    'gateway killed, away for 2 s': async () => {
      await sandbox.kill();
      await sleep(2_000);
      await sandbox.start();
    },
    'gateway stands still for 3 s': async () => {
      process.kill(sandbox.pid, 'SIGSTOP');
      await sleep(3_000);
      process.kill(sandbox.pid, 'SIGCONT');
    },
    ...(!pace.inHurry && {
      'process of PostgreSQL killed': () => world.killBackend(),
      'receiver takes and does not say so for 3 s': async () => {
        receiver.behave(100, Math.random);
        await sleep(3_000);
        receiver.behave(0, Math.random);
      },
    }),
  };
  const names = Object.keys(faults);
  for (;;) {
    await sleep(pace.faultsEveryMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const name = chance.pick(names);
    await faults[name]!();
    done[name] = (done[name] ?? 0) + 1;
  }
}
