import { expect, test } from 'vitest';
import { createPace, FRESH_ROOM, MOST_ROOM, QUICK_MS } from '../../src/webhooks/pace.ts';

const quick = { acknowledged: true, durationMs: QUICK_MS };
const slow = { acknowledged: true, durationMs: QUICK_MS + 1 };
const failed = { acknowledged: false, durationMs: 1 };

/** The room of a lane that is not tried at the moment, after these tries, one after the other. */
function roomAfter(...tries: readonly Parameters<ReturnType<typeof createPace>['end']>[2][]): number {
  const pace = createPace();
  for (const tried of tries) {
    pace.begin('lane', false);
    pace.end('lane', false, tried);
  }
  return pace.free().get('lane')?.any ?? FRESH_ROOM;
}

const times = <Value>(count: number, value: Value) => Array.from({ length: count }, () => value);

test('quick acknowledgements make room, up to the most', () => {
  expect(roomAfter(quick)).toBe(FRESH_ROOM + 1);
  expect(roomAfter(...times(1_000, quick))).toBe(MOST_ROOM);
});

test('each failure halves the room, down to one; any acknowledgement then makes more again', () => {
  expect(roomAfter(...times(1_000, quick), failed)).toBe(MOST_ROOM / 2);
  expect(roomAfter(...times(10, failed))).toBe(1);
  expect(roomAfter(...times(10, failed), slow, slow)).toBe(3);
});

test('slow acknowledgements lead back to the room of a fresh one, and no further', () => {
  expect(roomAfter(slow)).toBe(FRESH_ROOM);
  expect(roomAfter(...times(1_000, quick), ...times(10, slow))).toBe(FRESH_ROOM);
});

test('what could not be tried says nothing of the address', () => {
  expect(roomAfter(null, null)).toBe(FRESH_ROOM);
});

test('what is under way counts, for its own lane alone', () => {
  const pace = createPace();
  for (let n = 0; n < FRESH_ROOM; n++) pace.begin('a', false);
  pace.begin('b', false);
  expect(pace.free()).toEqual(
    new Map([
      ['a', { any: 0, bulk: 0 }],
      ['b', { any: 7, bulk: 6 }],
    ]),
  );
  for (let n = 0; n < FRESH_ROOM; n++) pace.end('a', false, failed);
  expect(pace.free().get('a')?.any).toBe(1);
});

test('bulk messages leave a quarter of the room free, where there is more than one place', () => {
  const pace = createPace();
  for (let n = 0; n < 6; n++) pace.begin('lane', true);
  expect(pace.free().get('lane')).toEqual({ any: 2, bulk: 0 });
  pace.begin('lane', false);
  pace.end('lane', true, null);
  expect(pace.free().get('lane')).toEqual({ any: 2, bulk: 1 });
  for (let n = 0; n < 5; n++) pace.end('lane', true, null);
  pace.end('lane', false, null);
  expect(pace.free()).toEqual(new Map());

  for (let n = 0; n < 3; n++) {
    pace.begin('in trouble', true);
    pace.end('in trouble', true, failed);
  }
  expect(pace.free().get('in trouble')).toEqual({ any: 1, bulk: 1 });
});

test('of very many lanes, those not tried for longest are forgotten', () => {
  const pace = createPace();
  pace.begin('under way', false);
  for (let n = 0; n < 20_000; n++) {
    pace.begin(`${n}`, false);
    pace.end(`${n}`, false, failed);
  }
  expect(pace.free().size).toBeLessThanOrEqual(10_001);
  expect(pace.free().get('under way')?.any).toBe(FRESH_ROOM - 1);
  expect(pace.free().has('0')).toBe(false);
});
