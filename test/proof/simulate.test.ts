/** The short forms of `npm run proof -- simulate` and `mutants`. What it once found is among the mutants. */
import { expect, inject, test } from 'vitest';
import type { Figures, ProofRun } from '../../proof/proof.ts';
import { FAULT_KINDS } from '../../proof/simulate/faults.ts';
import { findMutants, MUTANTS, refuseLostTexts } from '../../proof/simulate/mutants.ts';
import { simulateOn } from '../../proof/simulate/simulate.ts';

function simulated(
  options: { lives: number; seed: number; refunds: number; faults?: number },
  run: Partial<ProofRun> = {},
): Promise<Figures> {
  return simulateOn(inject('serverUrl'), {
    progress: () => undefined,
    signal: new AbortController().signal,
    resumeAt: null,
    saveAt: () => undefined,
    ...run,
    options: { faults: 0, ...options },
  });
}

test('a hundred refunds live through everything that can go wrong', async () => {
  const figures = await simulated({ lives: 100, seed: 1006, refunds: 30 });
  expect(figures['lives']).toBeGreaterThanOrEqual(100);
  expect(Object.keys(figures).filter((what) => what.startsWith('fault: ')).length).toBeGreaterThan(20);
}, 300_000);

test('a stopped run goes on where it was: each world counts once', async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 1_000);
  let place: unknown = null;
  await simulated(
    { lives: 1_000_000, seed: 1, refunds: 4 },
    {
      signal: stop.signal,
      saveAt: (where) => {
        place = where;
      },
    },
  );
  const { nextSeed, sums } = place as unknown as { nextSeed: number; sums: Record<string, number> };
  expect(sums['worlds'] ?? 0).toBe(nextSeed - 1);
  const figures = await simulated(
    { lives: (sums['lives'] ?? 0) + 1, seed: 1, refunds: 4 },
    { resumeAt: place },
  );
  expect(figures['worlds']).toBeGreaterThanOrEqual(nextSeed);
}, 300_000);

test('a refund that a restore has lost does not pass for one of another account', async () => {
  const restores = 2 ** FAULT_KINDS.findIndex(({ name }) => name === 'books restored from a backup');
  const figures = await simulated({ lives: 1, seed: 200_047, refunds: 16, faults: restores });
  expect(figures['fault: books restored from a backup']).toBeGreaterThan(0);
}, 300_000);

test('every mutant still finds the text that it changes', refuseLostTexts);

test('a fault put in on purpose is found', async () => {
  const chosen = MUTANTS.filter(({ name }) => name === 'an unanswered send is made again');
  expect(chosen).toHaveLength(1);
  await findMutants(
    inject('serverUrl'),
    {
      options: { lives: 3_000, seed: 1 },
      progress: () => undefined,
      signal: new AbortController().signal,
      resumeAt: null,
      saveAt: () => undefined,
    },
    chosen,
  );
}, 300_000);
