import fc from 'fast-check';
import { strToU8, unzipSync, zipSync } from 'fflate';
import { afterAll, beforeAll, expect, test } from 'vitest';
import writeExcelFile from 'write-excel-file/node';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { csv, get, HEADER, steps } from './batch.ts';

/** Whatever a file holds, its batch comes to verdicts or to a problem that says why not: it is never stuck. */

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock: new ManualClock() });
  await putOrder(api.db, { orderId: 'o1', amountMinor: 10_000 });
});
afterAll(() => api.close());

const odd = fc.constantFrom(
  ...[
    '\u0000',
    'a\u0000b',
    '\\.',
    '\\N',
    '\\',
    '\t',
    '\r',
    '\n',
    '"',
    "'",
    '""',
    '=1+1',
    '@x',
    '\ufeff',
    '\u202e',
    '\u2028',
  ],
  ...[
    '😀'.repeat(40),
    `${'x'.repeat(59)}😀`,
    'ÿ',
    '١٢٣',
    'İ',
    'ß',
    '1e5',
    '1.23E+05',
    '4111111111111111',
    '{}',
    '[]',
    'null',
  ],
  ...[
    '__proto__',
    'constructor',
    '9'.repeat(400),
    '-0',
    'NaN',
    'Infinity',
    '00000000-0000-0000-0000-000000000000',
    'full',
    ';',
  ],
);
const cell = fc.oneof(
  { weight: 3, arbitrary: odd },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }) },
  { weight: 3, arbitrary: fc.constantFrom('o1', 'O1', 'INR', '1.00', 'a', '') },
);
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
const line = (cells: readonly string[]) => cells.map(quoted).join(',');

/** By words in cells, extra columns with any name, and bytes that are no text at all. */
const file = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.array(fc.tuple(cell, cell, cell, cell, cell, cell), { minLength: 1, maxLength: 8 }), cell)
      .map(([rows, header]) => Buffer.from(csv(rows.map(line), `${HEADER},${quoted(header)}`))),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.tuple(cell, cell, cell, cell, cell, cell), { minLength: 1, maxLength: 4 })
      .map((rows) =>
        Buffer.from(csv(rows.map(line), 'refund_id,order_id,unique_request_id,status,arn,evidence')),
      ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(60)).map(([bytes, at]) => {
      const whole = Buffer.from(csv(['o1,a,1.00,INR,x', 'o1,b,2.00,INR,y']));
      return Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at)]);
    }),
  },
);

let files = 0;

async function settles(body: Buffer, kind: string): Promise<string> {
  const answer = await call(api, `/v1/batches?name=f${++files}&kind=${kind}&same_file=allow`, {
    body: new Uint8Array(body),
    headers: { 'content-type': 'application/octet-stream' },
  });
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  await steps(api);
  const { body: batch } = await get(api, answer.body.batch_id);
  if (batch.status === 'uploading') expect(batch.problem).not.toBeNull();
  else {
    expect(batch.status).toBe('checked');
    expect(batch.rows.good + batch.rows.look_alike + batch.rows.bad).toBe(batch.rows.total);
    for (const path of ['rows', 'results.csv', 'failed.csv']) {
      const shown = await call(api, `/v1/batches/${batch.batch_id}/${path}`);
      expect([path, shown.status]).toEqual([path, 200]);
    }
  }
  return batch.status;
}

test('of text', async () => {
  const seen: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(file, fc.constantFrom('refunds', 'status_updates'), async (body, kind) => {
      if (body.length === 0) return;
      const status = await settles(body, kind);
      seen[status] = (seen[status] ?? 0) + 1;
    }),
    { numRuns: Number(process.env['FILES_RUNS'] ?? 60), endOnFailure: true },
  );
  expect(Object.keys(seen).sort()).toEqual(['checked', 'uploading']);
  expect(api.logged().filter((text) => text.includes('a step of a batch failed'))).toEqual([]);
});

test('of workbooks', async () => {
  const book = await (
    await writeExcelFile([
      [...HEADER.split(','), 'HEAD'].map((value) => ({ value, type: String })),
      ...[1, 2].map((n) =>
        ['o1', `AAA${n}`, '1.00', 'INR', 'BBB', 'CCC'].map((value) => ({ value, type: String })),
      ),
    ])
  ).toBuffer();
  const parts = unzipSync(new Uint8Array(book));
  const texts = [
    '_xD800_',
    '_x0000_',
    'x_xDC00__xD800_',
    '&#55357;',
    '&#x1;',
    '_x000D__x000A_',
    '\\.',
    '&#x10FFFF;',
  ];
  for (const [n, text] of texts.entries()) {
    for (const place of ['HEAD', 'AAA1', 'BBB', 'CCC']) {
      const changed = Object.fromEntries(
        Object.entries(parts).map(([name, bytes]) => {
          const old = Buffer.from(bytes).toString('utf8');
          return [name, old.includes(place) ? strToU8(old.replace(place, text + n)) : bytes];
        }),
      );
      await settles(Buffer.from(zipSync(changed)), 'refunds');
    }
  }
  expect(api.logged().filter((text) => text.includes('a step of a batch failed'))).toEqual([]);
});
