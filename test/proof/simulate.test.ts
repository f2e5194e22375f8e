/** The short form of `npm run proof -- simulate`, and every seed that ever broke it. */
import { expect, inject, test } from 'vitest';
import type { Figures } from '../../proof/proof.ts';
import { simulateOn } from '../../proof/simulate/simulate.ts';

function simulated(options: { lives: number; seed: number; refunds?: number }): Promise<Figures> {
  return simulateOn(inject('serverUrl'), {
    options: { refunds: 200, faults: 0, ...options },
    progress: () => undefined,
    signal: new AbortController().signal,
    resumeAt: null,
    saveAt: () => undefined,
  });
}

test('several hundred refunds live through everything that can go wrong', async () => {
  const figures = await simulated({ lives: 400, seed: 1000, refunds: 100 });
  expect(figures['lives']).toBeGreaterThanOrEqual(400);
  expect(Object.keys(figures).filter((what) => what.startsWith('fault: ')).length).toBeGreaterThan(20);
});

test.each([
  { seed: 2, refunds: 60, showed: 'a reference that came with a late success was told to nobody' },
  { seed: 19, refunds: 60, showed: 'a look-up that lagged silenced the webhook of a success taken back' },
])('seed $seed, which showed that $showed', async ({ seed, refunds }) => {
  await simulated({ lives: 1, seed, refunds });
});
