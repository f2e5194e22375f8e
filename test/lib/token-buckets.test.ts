import { expect, test } from 'vitest';
import { createTokenBuckets } from '../../src/lib/token-buckets.ts';

function buckets(options: { mostBuckets?: number } = {}) {
  const clock = { nowMs: 1_000_000 };
  const made = createTokenBuckets({ atOnce: 3, perSecond: 2 }, { nowMs: () => clock.nowMs, ...options });
  return { ...made, clock };
}

test('so many at once, then one whenever one has come back; what was refused took nothing', () => {
  const { take, clock } = buckets();
  expect([take('a'), take('a'), take('a')]).toEqual([0, 0, 0]);
  expect([take('a'), take('a')]).toEqual([500, 500]);
  clock.nowMs += 250;
  expect(take('a')).toBe(250);
  clock.nowMs += 250;
  expect([take('a'), take('a')]).toEqual([0, 500]);
  clock.nowMs += 3_600_000;
  expect([take('a'), take('a'), take('a'), take('a')]).toEqual([0, 0, 0, 500]);
});

test('each name has its own, and asking how long to wait takes nothing', () => {
  const { take, waitMs } = buckets();
  for (let n = 0; n < 2; n++) take('a');
  expect([waitMs('a'), waitMs('a'), take('a'), waitMs('a')]).toEqual([0, 0, 0, 500]);
  expect([waitMs('b'), take('b')]).toEqual([0, 0]);
});

test('of more names than may be, the one that was not used for longest is forgotten', () => {
  const { take } = buckets({ mostBuckets: 2 });
  for (const name of ['old', 'busy']) for (let n = 0; n < 3; n++) take(name);
  expect(take('busy')).toBe(500);
  take('new');
  expect(take('busy')).toBe(500);
  expect(take('old')).toBe(0);
});
