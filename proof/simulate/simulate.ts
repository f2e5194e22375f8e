import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { newSecret } from '../../src/lib/ids.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { BrokenInvariant, type Figures, type Proof, type ProofRun } from '../proof.ts';
import { Broken } from './auditor.ts';
import { FAULT_KINDS } from './faults.ts';
import { liveWorld, mixOfWorld, type WorldFigures, type WorldSpec } from './world.ts';

/** Worlds that live at the same moment, each in a database of its own. */
const SIDE_BY_SIDE = 4;
const REFUNDS_OF_A_WORLD = 200;
/** Runs this long must have met every kind of fault. */
const LIVES_THAT_SHOW_ALL = 20_000;

export const simulate: Proof = {
  name: 'simulate',
  about:
    'Lives refunds through in small worlds of the real engine, with everything going wrong that can; an auditor with books of its own checks every invariant.',
  options: [
    { name: 'lives', otherwise: 100_000, about: 'refunds to live through' },
    { name: 'seed', otherwise: 1, about: 'the seed of the first world; the next ones count up from it' },
    { name: 'refunds', otherwise: REFUNDS_OF_A_WORLD, about: 'refunds asked for in each world' },
    {
      name: 'faults',
      otherwise: 0,
      about: 'the kinds of faults, as bits in the order of their list; 0: by the seed',
    },
  ],
  async prove(run) {
    const dataDir = mkdtempSync(join(tmpdir(), 'refundry-simulate-'));
    const server = await startEmbeddedPostgres({
      dataDir,
      whenOwned: 'refuse',
      settings: { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' },
    });
    try {
      return await simulateOn(server.connectionString, run);
    } finally {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
};

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

/** Makes migrated databases, and removes them all in the end. */
interface Shelf {
  take(): Promise<Database>;
  close(): Promise<void>;
}

async function openShelf(serverUrl: string): Promise<Shelf> {
  const admin = openDatabase({ connectionString: serverUrl, maxConnections: 1 });
  const template = newSecret('refundry_simulate_', 6);
  await admin.query(`create database ${template} encoding 'UTF8' template template0`);
  const first = openDatabase({ connectionString: urlOf(serverUrl, template), maxConnections: 1 });
  await migrate(first);
  await first.close();
  const taken: { name: string; database: Database }[] = [];
  return {
    async take() {
      const name = `${template}_${taken.length}`;
      await admin.query(`create database ${name} template ${template}`);
      const database = openDatabase({ connectionString: urlOf(serverUrl, name), maxConnections: 2 });
      taken.push({ name, database });
      return database;
    },
    async close() {
      for (const { database } of taken) await database.close();
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
  const { lives, seed, refunds, faults } = run.options as Readonly<
    Record<'lives' | 'seed' | 'refunds' | 'faults', number>
  >;
  const place = run.resumeAt as Place | null;
  const sums = new Map(Object.entries(place?.sums ?? {}));
  const add = (what: string, figure: number) => sums.set(what, (sums.get(what) ?? 0) + figure);
  // What is summed up is what is not lived again when a stopped run goes on: all worlds below one seed.
  const ended = new Map<number, WorldFigures>();
  let nextSeed = place?.nextSeed ?? seed;
  let doneBelow = nextSeed;
  let lived = sums.get('lives') ?? 0;
  const broken: { spec: WorldSpec; error: Broken }[] = [];
  let saidAt = Date.now();

  const lane = async (database: Database) => {
    while (lived < lives && broken.length === 0 && !run.signal.aborted) {
      const spec = { seed: nextSeed++, refunds, faults: faultsOf(faults) };
      try {
        const world = await liveWorld(database, spec);
        lived += world.lives;
        ended.set(spec.seed, world);
      } catch (error) {
        if (!(error instanceof Broken))
          throw new Error(`the simulation itself failed at seed ${spec.seed}`, { cause: error });
        broken.push({ spec, error });
        return;
      }
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
  const databases: Database[] = [];
  for (let n = 0; n < SIDE_BY_SIDE; n++) databases.push(await shelf.take());
  await Promise.all(databases.map(lane));
  if (broken[0]) {
    if (shrinks) run.progress(`${broken[0].error.message}\nLooking for a smaller world that shows it …`);
    const smallest = shrinks ? await shrink(shelf, broken[0]) : broken[0];
    throw new BrokenInvariant(smallest.error.message, replayOf(smallest.spec));
  }
  add('seconds', Math.round((Date.now() - began) / 1000));
  if (run.signal.aborted) run.saveAt({ nextSeed: doneBelow, sums: Object.fromEntries(sums) } satisfies Place);
  else if (faults === 0 && lived >= LIVES_THAT_SHOW_ALL)
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

/** Fewer refunds, then fewer kinds of faults, as long as something still breaks. */
async function shrink(shelf: Shelf, found: { spec: WorldSpec; error: Broken }) {
  let smallest = found;
  const breaks = async (spec: WorldSpec): Promise<boolean> => {
    try {
      await liveWorld(await shelf.take(), spec);
      return false;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      smallest = { spec, error };
      return true;
    }
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

function faultsOf(bits: number): ReadonlySet<string> | null {
  if (bits === 0) return null;
  return new Set(FAULT_KINDS.filter((_, n) => Math.floor(bits / 2 ** n) % 2 === 1).map(({ name }) => name));
}

function bitsOf(faults: ReadonlySet<string> | null): number {
  return FAULT_KINDS.reduce((bits, { name }, n) => bits + (faults?.has(name) ? 2 ** n : 0), 0);
}

function replayOf({ seed, refunds, faults }: WorldSpec): string {
  return [
    `npm run proof -- simulate --lives 1 --seed ${seed}`,
    ...(refunds === REFUNDS_OF_A_WORLD ? [] : [`--refunds ${refunds}`]),
    ...(faults === null ? [] : [`--faults ${bitsOf(faults)}`]),
  ].join(' ');
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}
