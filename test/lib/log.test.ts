import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { createLogger } from '../../src/lib/log.ts';

function linesOf(write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  const log = createLogger('info', {
    write: (line: string) => lines.push(line),
  } as unknown as NodeJS.WritableStream);
  write(log);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('secrets, card and bank data are hidden wherever in an object they sit', () => {
  const [line] = linesOf((log) =>
    log.info(
      {
        authorization: 'Basic hunter2',
        card: { number: '4242' },
        a: { b: { password: 'hunter2' } },
        order_id: 'o-1',
      },
      'hello',
    ),
  );
  expect(JSON.stringify(line)).not.toMatch(/hunter2|4242/);
  expect(line).toMatchObject({ order_id: 'o-1', msg: 'hello' });
});

test('an error says its name, code, message and cause, and nothing else that hangs on it', async () => {
  const client = new pg.Client({ connectionString: inject('serverUrl') });
  await client.connect();
  const cause = await client.query("select 'x'::integer").catch((error: Error) => error);
  await client.end();
  const error = Object.assign(new RangeError('outer', { cause }), { client });
  const [line] = linesOf((log) => log.error({ err: error }, 'failed'));
  expect(line!['err']).toEqual({
    type: 'RangeError',
    message: 'outer',
    stack: error.stack,
    cause: {
      type: 'error',
      message: 'invalid input syntax for type integer: "x"',
      code: '22P02',
      stack: expect.any(String),
    },
  });
});
