import { expect, test } from 'vitest';
import { crashRounds } from '../../proof/crash/crash.ts';

test('kill -9 under load: what was accepted is kept, paid once, told truly, and the three books agree', async () => {
  const figures = await crashRounds(
    {
      options: { rounds: 3, seed: 14 },
      progress: () => undefined,
      signal: new AbortController().signal,
      resumeAt: null,
      saveAt: () => undefined,
    },
    { roundsOfABlock: 3, workers: 1, manualReviewAfter: '4s', inHurry: true },
  );
  expect(figures).toMatchObject({ rounds: 3, 'refunds lost': 0, 'payouts made twice': 0 });
  expect(figures['refunds accepted']).toBeGreaterThan(50);
}, 180_000);
