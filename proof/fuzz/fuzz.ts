import { BrokenInvariant, type Figures, type Proof } from '../proof.ts';
import { fuzzBatches } from './batches.ts';
import { fuzzFiles } from './files.ts';
import { fuzzAnswers, fuzzWebhookDoor, fuzzWebhooks } from './gateways.ts';
import { fuzzHttp } from './http.ts';
import { withPostgres } from './postgres.ts';
import { fuzzRaw, refuseTrickles } from './raw.ts';
import { openWorld } from './world.ts';

export interface FuzzPlan {
  readonly databaseUrl: string;
  readonly requests: number;
  readonly seed: number;
  readonly from: number;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
  readonly saveAt: (done: number) => void;
}

export const fuzzProof: Proof = {
  name: 'fuzz',
  about: 'Sends every kind of bad input through every door, and looks for 5xx, hangs, leaks and wrong books.',
  options: [
    { name: 'requests', otherwise: 50_000, about: 'HTTP requests; the other doors get shares of it' },
    { name: 'seed', otherwise: 1, about: 'what is sent' },
  ],
  prove: (run) =>
    withPostgres((databaseUrl) =>
      fuzz({
        databaseUrl,
        requests: run.options['requests']!,
        seed: run.options['seed']!,
        from: typeof run.resumeAt === 'number' ? run.resumeAt : 0,
        signal: run.signal,
        progress: run.progress,
        saveAt: run.saveAt,
      }),
    ),
};

/** From so many requests on, what takes a minute is tried too. */
const LONG = 10_000;

/** All doors, on an empty database that has its migrations. */
export async function fuzz(plan: FuzzPlan): Promise<Figures> {
  const { requests, seed, signal } = plan;
  const replay = `npm run proof -- fuzz --requests ${requests} --seed ${seed}`;
  const share = (part: number) => ({ seed, signal, count: Math.ceil(requests * part) });
  const figures: Record<string, number | string> = {};
  const add = (what: string, more: Figures) => {
    Object.assign(figures, more);
    plan.progress(`${what} done`);
  };

  add('answers of gateways', await fuzzAnswers(share(0.5)));
  add('webhooks of gateways', await fuzzWebhooks(share(0.5)));
  const world = await openWorld(plan.databaseUrl, seed);
  let wrong: string[] | null = null;
  try {
    add('webhooks at the door', await fuzzWebhookDoor({ world, ...share(0.05) }));
    add('import files', await fuzzFiles({ world, ...share(0.01) }));
    add('batch files', await fuzzBatches({ world, ...share(0.01) }));
    add('connections', await fuzzRaw({ world, seed, signal, conversations: share(0.05).count }));
    const onDone = (done: number) => {
      plan.progress(`${done} of ${requests} requests`);
      plan.saveAt(done);
    };
    // Too slow for a short run.
    const trickles = requests < LONG ? Promise.resolve({}) : refuseTrickles(world, seed);
    const [slow, http] = await Promise.all([trickles, fuzzHttp({ ...plan, world, onDone })]);
    add('requests', { ...http, ...slow });
    if (!world.isAlive()) throw new BrokenInvariant('the server died', replay);
  } finally {
    wrong = await world.end();
  }
  if (wrong.length > 0) throw new BrokenInvariant(wrong.join('\n'), replay);
  return figures;
}
