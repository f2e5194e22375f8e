import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('a million rows in 200 MB are read in memory that does not grow with the file', async () => {
  const child = join(import.meta.dirname, 'memory-child.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [child], { timeout: 300_000 });
  const { rows, bad, rose } = JSON.parse(stdout) as { rows: number; bad: number; rose: number };
  expect({ rows, bad }).toEqual({ rows: 1_000_000, bad: 0 });
  expect(rose).toBeLessThan(200_000_000);
}, 300_000);
