import { expect, test } from 'vitest';
import { RETRY_JITTER, retryDelayMs } from '../../src/webhooks/schedule.ts';

// Written out from contract section 6.2: +60 s; 2 × 5 min; 5 × 10 min; 5 × 1 h; 3 × 6 h.
const PUBLISHED_SECONDS = [
  60, 300, 300, 600, 600, 600, 600, 600, 3600, 3600, 3600, 3600, 3600, 21600, 21600, 21600,
];

test('sixteen retries follow the published delays, and then there are no more', () => {
  const delays = PUBLISHED_SECONDS.map((_, n) => retryDelayMs(n + 1, 0.5));
  expect(delays).toEqual(PUBLISHED_SECONDS.map((seconds) => seconds * 1000));
  expect(retryDelayMs(17, 0.5)).toBeNull();
  expect(retryDelayMs(18, 0)).toBeNull();
});

test('jitter moves each delay by at most a tenth, both ways', () => {
  expect(RETRY_JITTER).toBe(0.1);
  expect(retryDelayMs(1, 0)).toBe(54_000);
  expect(retryDelayMs(1, 1)).toBe(66_000);
  expect(retryDelayMs(16, 0)).toBe(19_440_000);
});
