import { expect, test } from 'vitest';
import { troubleOf } from '../../src/lib/database-trouble.ts';
import { freshDatabase } from '../support/database.ts';

test('whatever is asked on a connection that the server has ended is the database’s trouble', async () => {
  const fresh = await freshDatabase();
  const troubles: unknown[] = [];
  const ended = fresh.db.transaction(async (tx) => {
    for (let n = 0; n < 3; n++)
      await tx
        .query('select pg_terminate_backend(pg_backend_pid())')
        .catch((error: unknown) => troubles.push(troubleOf(error)));
    throw new Error('ended');
  });
  await expect(ended).rejects.toThrow('ended');
  expect(troubles).toEqual(['unreachable', 'unreachable', 'unreachable']);
  await fresh.drop();
});
