import { expect, test } from 'vitest';
import { fuzz } from '../../proof/fuzz/fuzz.ts';
import { freshDatabase } from '../support/database.ts';

/** The short form of `npm run proof -- fuzz`: the same code, fewer of each. */
test('bad input through every door breaks nothing and tells nobody anything', async () => {
  const { connectionString, drop } = await freshDatabase();
  try {
    const figures = await fuzz({
      databaseUrl: connectionString,
      requests: 1_200,
      seed: 20_261_123,
      from: 0,
      signal: new AbortController().signal,
      progress: () => {},
      saveAt: () => {},
    });
    expect(figures['requests']).toBe(1_200);
    for (const role of ['viewer', 'support', 'operations', 'admin'])
      expect(figures[`of them from people, ${role}`]).toBeGreaterThan(0);
  } finally {
    await drop();
  }
}, 180_000);
