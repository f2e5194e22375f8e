/**
 * `npm run proof` runs every proof in turn; `npm run proof -- simulate --lives 1000 --seed 7` runs one. Ends with
 * status 1 at the first broken invariant, prints the figures last, and goes on where a stopped run left off.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crash } from './crash/crash.ts';
import { fuzzProof } from './fuzz/fuzz.ts';
import { BrokenInvariant, type Figures, type Proof } from './proof.ts';
import { mutants } from './simulate/mutants.ts';
import { simulate } from './simulate/simulate.ts';
import { soak } from './soak/soak.ts';

/** What is proved later joins here. */
const PROOFS: readonly Proof[] = [simulate, mutants, crash, soak, fuzzProof];

const PLACES = join(import.meta.dirname, '../data/proof');

async function main(args: readonly string[]): Promise<number> {
  const [name, ...flags] = args;
  if (name === '--help' || (name !== undefined && !PROOFS.some((proof) => proof.name === name))) {
    console.log(help());
    return name === '--help' ? 0 : 2;
  }
  const chosen = PROOFS.filter((proof) => name === undefined || proof.name === name);
  const stop = new AbortController();
  process.once('SIGINT', () => {
    console.log('Stopping; the next run with the same options goes on from here.');
    stop.abort();
  });
  const results: [Proof, Figures][] = [];
  for (const proof of chosen) {
    const options = readOptions(proof, flags);
    if (typeof options === 'string') {
      console.log(`${options}\n${help()}`);
      return 2;
    }
    try {
      results.push([proof, await proveResumably(proof, options, stop.signal)]);
    } catch (error) {
      if (!(error instanceof BrokenInvariant)) throw error;
      console.error(`${proof.name}: BROKEN\n${error.message}`);
      return 1;
    }
    if (stop.signal.aborted) break;
  }
  for (const [proof, figures] of results) {
    console.log(`\n${proof.name}`);
    for (const [what, figure] of Object.entries(figures)) console.log(`  ${what.padEnd(44)} ${figure}`);
  }
  return stop.signal.aborted ? 1 : 0;
}

async function proveResumably(
  proof: Proof,
  options: Readonly<Record<string, number | string>>,
  signal: AbortSignal,
): Promise<Figures> {
  const asked = createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 16);
  const place = join(PLACES, `${proof.name}-${asked}.json`);
  const entries = Object.entries(options);
  const figures = await proof.prove({
    options: Object.fromEntries(
      entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    ),
    texts: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    signal,
    progress: (line) => console.log(`${proof.name}: ${line}`),
    resumeAt: readPlace(place),
    saveAt(where) {
      mkdirSync(PLACES, { recursive: true });
      writeFileSync(place, JSON.stringify(where));
    },
  });
  if (!signal.aborted) rmSync(place, { force: true });
  return figures;
}

function readPlace(place: string): unknown {
  try {
    return JSON.parse(readFileSync(place, 'utf8'));
  } catch {
    return null;
  }
}

function readOptions(proof: Proof, flags: readonly string[]): Record<string, number | string> | string {
  const options = Object.fromEntries(proof.options.map(({ name, otherwise }) => [name, otherwise]));
  for (let n = 0; n < flags.length; n += 2) {
    const name = flags[n]!.replace(/^--/, '');
    const text = flags[n + 1] ?? '';
    if (!(name in options)) return `${proof.name} has no option --${name}.`;
    const isText = typeof options[name] === 'string';
    const value = isText ? text : Number(text);
    if (!isText && (!Number.isSafeInteger(value) || Number(value) < 0))
      return `--${name} takes a whole number, not "${text}".`;
    options[name] = value;
  }
  return options;
}

function help(): string {
  return [
    'npm run proof -- [name] [--option N …]',
    ...PROOFS.flatMap((proof) => [
      `  ${proof.name.padEnd(10)} ${proof.about}`,
      ...proof.options.map((o) =>
        typeof o.otherwise === 'string'
          ? `${`    --${o.name} TEXT`.padEnd(22)}${o.about}`
          : `${`    --${o.name} N`.padEnd(22)}${o.about} (otherwise ${o.otherwise})`,
      ),
    ]),
  ].join('\n');
}

process.exitCode = await main(process.argv.slice(2));
