import { expect, test } from 'vitest';
import { growthOf } from '../../proof/soak/slope.ts';
import { soakFor } from '../../proof/soak/soak.ts';

test('mixed load with faults: memory, connections and the age of waiting work stay flat, and the books agree', async () => {
  const figures = await soakFor(
    {
      options: { seed: 1 },
      progress: () => undefined,
      signal: new AbortController().signal,
      resumeAt: null,
      saveAt: () => undefined,
    },
    { loadMs: 5_000, sampleMs: 200, faultsEveryMs: 1_000, manualReviewAfter: '3s', inHurry: true },
  );
  expect(figures).toMatchObject({ 'refunds lost': 0, 'payouts made twice': 0 });
  expect(figures['refunds accepted']).toBeGreaterThan(15);
}, 180_000);

test('a single peak is no growth, a slow climb is', () => {
  const minutes = Array.from({ length: 21 }, (_, minute) => minute);
  expect(growthOf(minutes.map((minute) => ({ minute, value: minute === 15 ? 900 : 100 })))).toBe(0);
  expect(growthOf(minutes.map((minute) => ({ minute, value: 100 + 2 * minute + (minute % 3) })))).toBeCloseTo(
    40,
    0,
  );
  expect(growthOf([])).toBe(0);
});
