/** The short form of `npm run proof -- simulate`, and every seed that ever broke it. */
import { expect, inject, test } from 'vitest';
import type { Figures } from '../../proof/proof.ts';
import { simulateOn } from '../../proof/simulate/simulate.ts';

function simulated(options: {
  lives: number;
  seed: number;
  refunds: number;
  faults?: number;
}): Promise<Figures> {
  return simulateOn(inject('serverUrl'), {
    options: { faults: 0, ...options },
    progress: () => undefined,
    signal: new AbortController().signal,
    resumeAt: null,
    saveAt: () => undefined,
  });
}

test('two hundred refunds live through everything that can go wrong', async () => {
  const figures = await simulated({ lives: 200, seed: 1000, refunds: 60 });
  expect(figures['lives']).toBeGreaterThanOrEqual(200);
  expect(Object.keys(figures).filter((what) => what.startsWith('fault: ')).length).toBeGreaterThan(20);
}, 300_000);

test.each([
  {
    seed: 8,
    refunds: 32,
    faults: 274877947904,
    showed: 'nobody was told of the reference that came with a late success',
  },
  {
    seed: 3,
    refunds: 32,
    faults: 17408,
    showed: 'a look-up that lagged silenced the webhook of a success taken back',
  },
])(
  'seed $seed, which showed that $showed',
  async ({ seed, refunds, faults }) => {
    await simulated({ lives: 1, seed, refunds, faults });
  },
  300_000,
);
