/** The short forms of `npm run proof -- simulate` and `mutants`. What it once found is among the mutants. */
import { expect, inject, test } from 'vitest';
import type { Figures, ProofRun } from '../../proof/proof.ts';
import { findMutants, MUTANTS, refuseLostTexts } from '../../proof/simulate/mutants.ts';
import { simulateOn } from '../../proof/simulate/simulate.ts';

function simulated(
  { faults = '', ...options }: { lives: number; seed: number; refunds: number; faults?: string },
  run: Partial<ProofRun> = {},
): Promise<Figures> {
  return simulateOn(inject('serverUrl'), {
    progress: () => undefined,
    signal: new AbortController().signal,
    resumeAt: null,
    saveAt: () => undefined,
    ...run,
    options: { minutes: 0, ...options },
    texts: { faults },
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

test('every mutant still finds the text that it changes', refuseLostTexts);

test.each([
  ['an unanswered send is made again', { lives: 3_000, seed: 1 }],
  // Once found by it in the program itself; the seed is one that shows it.
  ['a refund that a restore has lost passes for one of another account', { lives: 1, seed: 2 }],
  // Each with the few kinds of faults that show it.
  ['what anybody answers counts as not made', { lives: 1, seed: 4 }],
  ['another amount is an answer that cannot be read', { lives: 1, seed: 3 }],
])(
  'a fault put in on purpose is found: %s',
  async (name, options) => {
    const chosen = MUTANTS.filter((mutant) => mutant.name === name);
    expect(chosen).toHaveLength(1);
    await findMutants(
      inject('serverUrl'),
      {
        options,
        progress: () => undefined,
        signal: new AbortController().signal,
        resumeAt: null,
        saveAt: () => undefined,
      },
      chosen,
    );
  },
  300_000,
);
