import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { newSecret } from '../../src/lib/ids.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { BrokenInvariant, type Figures, type Proof, type ProofRun } from '../proof.ts';
import { FAULT_KINDS } from './faults.ts';
import type { LaneAnswer } from './lane.ts';
import { mixOfWorld, type WorldFigures, type WorldSpec } from './world.ts';

/** Worlds that live at the same moment, each in a thread and a database of its own. */
const SIDE_BY_SIDE = 4;
const REFUNDS_OF_A_WORLD = 200;
/** Runs this long must have met every kind of fault. */
const LIVES_THAT_SHOW_ALL = 20_000;
/** What PostgreSQL does by itself, it does at another time in a world that is lived again. */
const SERVER_SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  autovacuum: 'off',
} as const;

export const simulate: Proof = {
  name: 'simulate',
  about:
    'Lives refunds through in small worlds of the real engine, with everything going wrong that can; an auditor with books of its own checks every invariant.',
  options: [
    { name: 'lives', otherwise: 100_000, about: 'refunds to live through' },
    { name: 'seed', otherwise: 1, about: 'the seed of the first world; the next ones count up from it' },
    { name: 'refunds', otherwise: REFUNDS_OF_A_WORLD, about: 'refunds asked for in each world' },
    {
      name: 'minutes',
      otherwise: 0,
      about: 'begin no world after so many minutes; 0: however long it takes',
    },
    {
      name: 'faults',
      otherwise: '',
      about: 'the only kinds of faults, by name with commas between; otherwise by the seed',
    },
  ],
  prove: (run) => onServer((serverUrl) => simulateOn(serverUrl, run)),
};

/** Has a PostgreSQL for worlds: nothing has to outlive it, and all that speak to it are near. */
export async function onServer<Result>(work: (serverUrl: string) => Promise<Result>): Promise<Result> {
  const dataDir = mkdtempSync(join(tmpdir(), 'refundry-simulate-'));
  // The server may run as another user.
  const sockets = mkdtempSync(join(tmpdir(), 'refundry-sockets-'));
  chmodSync(sockets, 0o777);
  const hasSockets = process.platform !== 'win32';
  const server = await startEmbeddedPostgres({
    dataDir,
    whenOwned: 'refuse',
    settings: { ...SERVER_SETTINGS, ...(hasSockets && { unix_socket_directories: sockets }) },
  });
  try {
    return await work(`${server.connectionString}${hasSockets ? `?host=${sockets}` : ''}`);
  } finally {
    await server.stop();
    for (const folder of [dataDir, sockets]) rmSync(folder, { recursive: true, force: true });
  }
}

/** The same on a server that is there already; its user must be allowed to make databases. */
export async function simulateOn(
  serverUrl: string,
  run: ProofRun,
  how: { readonly shrinks: boolean } = { shrinks: true },
): Promise<Figures> {
  const shelf = await openShelf(serverUrl);
  try {
    return await simulateIn(shelf, run, how.shrinks);
  } finally {
    await shelf.close();
  }
}

/** A thread that lives worlds, one at a time. */
interface Lane {
  /** Null: all invariants held. */
  live(spec: WorldSpec): Promise<{ readonly figures: WorldFigures } | { readonly broken: string }>;
}

/** Makes lanes, each on a migrated database of its own, and removes them all in the end. */
interface Shelf {
  take(): Promise<Lane>;
  close(): Promise<void>;
}

async function openShelf(serverUrl: string): Promise<Shelf> {
  const admin = openDatabase({ connectionString: serverUrl, maxConnections: 1 });
  const template = newSecret('refundry_simulate_', 6);
  await admin.query(`create database ${template} encoding 'UTF8' template template0`);
  const first = openDatabase({ connectionString: urlOf(serverUrl, template), maxConnections: 1 });
  await migrate(first);
  await first.close();
  const taken: { name: string; worker: Worker }[] = [];
  return {
    async take() {
      const name = `${template}_${taken.length}`;
      await admin.query(`create database ${name} template ${template}`);
      const worker = new Worker(new URL('./lane.ts', import.meta.url), {
        workerData: { connectionString: urlOf(serverUrl, name) },
      });
      taken.push({ name, worker });
      return {
        live: (spec) =>
          new Promise((resolve, reject) => {
            worker.once('error', reject);
            worker.once('message', (answer: LaneAnswer) => {
              worker.off('error', reject);
              if (answer.kind === 'lived') resolve({ figures: answer.figures });
              else if (answer.kind === 'broken') resolve({ broken: answer.what });
              else reject(answer.error);
            });
            worker.postMessage(spec);
          }),
      };
    },
    async close() {
      for (const { worker } of taken) await worker.terminate();
      for (const name of [...taken.map((one) => one.name), template])
        await admin.query(`drop database if exists ${name} with (force)`);
      await admin.close();
    },
  };
}

/** What a stopped run goes on from. */
interface Place {
  readonly nextSeed: number;
  readonly sums: Readonly<Record<string, number>>;
}

async function simulateIn(shelf: Shelf, run: ProofRun, shrinks: boolean): Promise<Figures> {
  const began = Date.now();
  const { lives, seed, refunds, minutes } = run.options as Readonly<
    Record<'lives' | 'seed' | 'refunds' | 'minutes', number>
  >;
  const lastBeginMs = minutes > 0 ? began + minutes * 60_000 : Number.POSITIVE_INFINITY;
  const faults = run.texts?.['faults'] ?? '';
  const place = run.resumeAt as Place | null;
  const sums = new Map(Object.entries(place?.sums ?? {}));
  const add = (what: string, figure: number) => sums.set(what, (sums.get(what) ?? 0) + figure);
  // What is summed up is what is not lived again when a stopped run goes on: all worlds below one seed.
  const ended = new Map<number, WorldFigures>();
  let nextSeed = place?.nextSeed ?? seed;
  let doneBelow = nextSeed;
  let lived = sums.get('lives') ?? 0;
  const broken: Found[] = [];
  let saidAt = Date.now();

  const live = async (lane: Lane) => {
    while (lived < lives && Date.now() < lastBeginMs && broken.length === 0 && !run.signal.aborted) {
      const spec = { seed: nextSeed++, refunds, faults: faultsOf(faults) };
      const outcome = await lane.live(spec).catch((error: unknown) => {
        throw new Error(`the simulation itself failed at seed ${spec.seed}`, { cause: error });
      });
      if ('broken' in outcome) {
        broken.push({ spec, what: outcome.broken });
        return;
      }
      lived += outcome.figures.lives;
      ended.set(spec.seed, outcome.figures);
      for (let world = ended.get(doneBelow); world; world = ended.get(doneBelow)) {
        ended.delete(doneBelow++);
        sum(world, add);
      }
      if (Date.now() - saidAt > 10_000) {
        saidAt = Date.now();
        run.progress(
          `${lived} of ${lives} lives, ${(sums.get('worlds') ?? 0) + ended.size} worlds, none broken`,
        );
      }
    }
  };
  const lanes: Lane[] = [];
  for (let n = 0; n < SIDE_BY_SIDE; n++) lanes.push(await shelf.take());
  await Promise.all(lanes.map(live));
  if (broken[0]) {
    if (shrinks)
      run.progress(
        `${broken[0].what}\nSee it again: ${replayOf(broken[0].spec)}\nLooking for a smaller world that shows it …`,
      );
    const smallest = shrinks ? await shrink(lanes[0]!, broken[0]) : broken[0];
    throw new BrokenInvariant(smallest.what, replayOf(smallest.spec));
  }
  add('seconds', Math.round((Date.now() - began) / 1000));
  if (run.signal.aborted) run.saveAt({ nextSeed: doneBelow, sums: Object.fromEntries(sums) } satisfies Place);
  else if (faults === '' && lived >= LIVES_THAT_SHOW_ALL)
    refuseIdleFaults(sums, replayOf({ seed, refunds, faults: null }));
  return figuresOf(sums);
}

/** A kind of fault that never strikes proves nothing. */
function refuseIdleFaults(sums: ReadonlyMap<string, number>, replay: string): void {
  const idle = FAULT_KINDS.filter(({ name }) => !sums.has(`fault: ${name}`)).map(({ name }) => name);
  if (idle.length > 0) throw new BrokenInvariant(`these faults never happened: ${idle.join(', ')}`, replay);
}

function sum(world: WorldFigures, add: (what: string, figure: number) => void): void {
  add('lives', world.lives);
  add('worlds', 1);
  add('steps', world.steps);
  add('sends that reached a gateway', world.sends);
  add('payouts', world.payouts);
  add('messages that reached a merchant', world.messages);
  add('invariants checked', world.checked);
  add('seconds', 0);
  for (const [name, count] of world.faults) add(`fault: ${name}`, count);
}

function figuresOf(sums: ReadonlyMap<string, number>): Figures {
  const order = (name: string) =>
    name.startsWith('fault: ') ? FAULT_KINDS.findIndex((kind) => name === `fault: ${kind.name}`) : -1;
  return Object.fromEntries([...sums].sort(([a], [b]) => order(a) - order(b)));
}

interface Found {
  readonly spec: WorldSpec;
  readonly what: string;
}

/** Fewer refunds, then fewer kinds of faults, as long as something still breaks. */
async function shrink(lane: Lane, found: Found): Promise<Found> {
  let smallest = found;
  const breaks = async (spec: WorldSpec): Promise<boolean> => {
    const outcome = await lane.live(spec);
    if (!('broken' in outcome)) return false;
    smallest = { spec, what: outcome.broken };
    return true;
  };
  for (let refunds = 1; refunds < found.spec.refunds; refunds *= 2)
    if (await breaks({ ...found.spec, refunds })) break;
  for (const name of mixOfWorld(found.spec).kinds) {
    const fewer = new Set(mixOfWorld(smallest.spec).kinds);
    fewer.delete(name);
    if (fewer.size > 0) await breaks({ ...smallest.spec, faults: fewer });
  }
  return smallest;
}

function faultsOf(names: string): ReadonlySet<string> | null {
  if (names === '') return null;
  const faults = new Set(names.split(',').map((name) => name.trim()));
  for (const name of faults)
    if (!FAULT_KINDS.some((kind) => kind.name === name)) throw new Error(`there is no fault "${name}"`);
  return faults;
}

function replayOf({ seed, refunds, faults }: WorldSpec): string {
  return [
    `npm run proof -- simulate --lives 1 --seed ${seed}`,
    ...(refunds === REFUNDS_OF_A_WORLD ? [] : [`--refunds ${refunds}`]),
    ...(faults === null ? [] : [`--faults '${[...faults].join(', ')}'`]),
  ].join(' ');
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}
