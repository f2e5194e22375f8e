import { expect, test } from 'vitest';
import { createTally } from '../../src/lib/tally.ts';

function tally() {
  const clock = { nowMs: 0 };
  const told: [string, number, boolean][] = [];
  const made = createTally<string>({
    windowMs: 1_000,
    most: 2,
    tell: (thing, count, others) => told.push([thing, count, others]),
    nowMs: () => clock.nowMs,
  });
  return { ...made, told, clock };
}

test('the first is told at once, how many more there were when the window is over', () => {
  const { note, tellCounted, told, clock } = tally();
  for (const thing of ['x1', 'x2', 'x3']) note('group', 'x', thing);
  expect(told).toEqual([['x1', 1, false]]);
  tellCounted();
  expect(told).toHaveLength(1);
  clock.nowMs = 1_000;
  tellCounted();
  expect(told).toEqual([
    ['x1', 1, false],
    ['x3', 2, false],
  ]);
  note('group', 'x', 'x4');
  expect(told.at(-1)).toEqual(['x4', 1, false]);
});

test('a flood of kinds is told in bounded number, all in all and for each group', () => {
  const { note, tellCounted, told } = tally();
  for (let n = 0; n < 1_000; n++) note('group', `kind ${n}`, `${n}`);
  note('other group', 'kind', 'other');
  tellCounted(true);
  expect(told).toEqual([
    ['0', 1, false],
    ['1', 1, false],
    ['other', 1, false],
    ['999', 998, true],
  ]);
});
