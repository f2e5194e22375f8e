import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { OperatorError } from '../../src/lib/operator-error.ts';
import { importFile } from '../../src/orders/import-file.ts';
import { readOrder } from '../../src/orders/store.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { merchantWithAccount } from '../support/engine.ts';
import { charge, expectChainsIntact } from './support.ts';

let fresh: FreshDatabase;
let folder: string;
beforeAll(async () => {
  fresh = await freshDatabase();
  await merchantWithAccount(fresh.db);
});
afterAll(async () => {
  await expectChainsIntact(fresh.db);
  await fresh.drop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-import-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function load(name: string, content: string | Buffer, merchantId = 'acme') {
  const path = join(folder, name);
  writeFileSync(path, content);
  let shown = '';
  const out = { isTTY: false, write: (text: string) => (shown += text) } as unknown as NodeJS.WriteStream;
  const summary = await importFile({ db: fresh.db, clock: systemClock, merchantId, path, out });
  return { ...summary, shown };
}

const HEADER = 'order_id,amount,currency,status,gateway,gateway_payment_id';

describe('a CSV file', () => {
  it('is loaded, with quotes, empty cells, a byte order mark and Windows line ends', async () => {
    const rows = [
      `\uFEFF${HEADER}, udf1 ,customer_email,metadata,surcharge`,
      'CSV-1,10.00,INR,CHARGED,MODEL,csv_1,"says ""hello"", twice",zoë@shop.test,"{""webhook_url"":""https://shop.test/h""}",',
      '',
      ',,,,,,,,,',
      'CSV-2,1500,JPY,CHARGED,MODEL,csv_2,,,,5',
    ];
    const result = await load('orders.csv', `${rows.join('\r\n')}\r\n`);
    expect(result).toMatchObject({ recorded: 2, unchanged: 0, refused: 0, errorsPath: null });
    expect(result.shown).toContain('2 recorded, 0 known before, 0 refused');
    const found = await readOrder(fresh.db, 'acme', 'CSV-1');
    expect(found!.order).toMatchObject({
      amountMinor: 1000,
      details: { udf1: 'says "hello", twice' },
      customerEmail: 'zoë@shop.test',
      metadata: { webhook_url: 'https://shop.test/h' },
    });
    expect((await readOrder(fresh.db, 'acme', 'CSV-2'))!.transactions[0]).toMatchObject({
      effectiveMinor: 1505,
    });
    const [event] = await fresh.db.query<{ body: object }>(
      `select body from events where order_id = 'CSV-2' and seq = 2`,
    );
    expect(event!.body).toMatchObject({ cause: { by: 'file', name: 'orders.csv', line: 5 } });
  });

  it('lists what was refused beside it, and may be loaded again', async () => {
    const content = [
      `${HEADER},udf1`,
      'BAD-1,10.00,INR,CHARGED,MODEL,bad_1,',
      'BAD-2,10.005,INR,CHARGED,MODEL,bad_2,',
      'BAD-3,10.00,INR,CHARGED,MODEL',
      'BAD-4,10.00,INR,CHARGED,MODEL,bad_4,4111111111111111',
      '=1+1,=cmd(),INR,CHARGED,MODEL,bad_5,',
      Buffer.from('BAD-6,10.00,INR,CHARGED,MODEL,bad_6,Jos\xe9', 'latin1'),
      'BAD-1,11.00,INR,CHARGED,MODEL,bad_1,',
    ].map((line) => Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
    for (const time of ['first', 'second']) {
      const result = await load('bad.csv', Buffer.concat(content));
      expect(result).toMatchObject({
        recorded: time === 'first' ? 1 : 0,
        unchanged: time === 'first' ? 0 : 1,
        refused: 6,
        errorsPath: join(folder, 'bad.csv.errors.csv'),
      });
      const errors = readFileSync(result.errorsPath!, 'utf8');
      expect(errors).not.toContain('4111111111111111');
      const rows: Record<string, string>[] = parse(errors, { columns: true });
      expect(rows.map(({ line, field, value }) => [line, field, value])).toEqual([
        ['3', 'amount', '10.005'],
        ['4', 'gateway_payment_id', ''],
        ['5', 'udf1', ''],
        ['6', 'amount', "'=cmd()"],
        ['7', 'udf1', ''],
        ['8', 'amount', '11.00'],
      ]);
      for (const row of rows) expect(row['sentence']).toMatch(/^[A-Z].+\.$/);
    }
    const good = await load('bad.csv', `${HEADER}\nBAD-1,10.00,INR,CHARGED,MODEL,bad_1\n`);
    expect(good).toMatchObject({ unchanged: 1, refused: 0, errorsPath: null });
    expect(existsSync(join(folder, 'bad.csv.errors.csv'))).toBe(false);
  });

  it('that has a quote nobody closes loses that line alone, and says where', async () => {
    const result = await load(
      'broken.csv',
      `${HEADER}\nHALF-1,10.00,INR,CHARGED,MODEL,half_1\nHALF-2,10.00,INR,CHARGED,MODEL,"half_2\nHALF-3,10.00,INR,CHARGED,MODEL,half_3\n`,
    );
    expect(result).toMatchObject({ recorded: 2, refused: 1 });
    expect(readFileSync(result.errorsPath!, 'utf8')).toContain(
      'The double quote that begins cell 6 of line 3',
    );
  });

  it('whose rows have another shape than its header records no other amount', async () => {
    const rows = [
      `${HEADER.replace('amount,', '')},amount,udf1,customer_id`,
      'SHAPE-1,INR,CHARGED,MODEL,shape_1,1,234.50,,',
      'SHAPE-2,INR,CHARGED,MODEL,shape_2,1,234.50,',
      'SHAPE-3,INR,CHARGED,MODEL,shape_3,12,50',
      'SHAPE-4,INR,CHARGED,MODEL,shape_4,99.00',
      'SHAPE-5,INR,CHARGED,MODEL,shape_5,"1,234.50",,',
      'SHAPE-6,INR,CHARGED,MODEL,shape_6, "77.00" , "a, b",',
      'SHAPE-7,INR,CHARGED,MODEL,shape_7,88.00\u200b,,',
    ];
    const result = await load('shape.csv', rows.join('\n'));
    expect(result).toMatchObject({ recorded: 2, refused: 5 });
    for (const [order, amountMinor] of [
      ['SHAPE-4', 9_900],
      ['SHAPE-6', 7_700],
    ] as const)
      expect((await readOrder(fresh.db, 'acme', order))!.order).toMatchObject({ amountMinor });
    const errors: Record<string, string>[] = parse(readFileSync(result.errorsPath!, 'utf8'), {
      columns: true,
    });
    expect(errors.map(({ line, field }) => [line, field])).toEqual([
      ['2', ''],
      ['3', 'amount'],
      ['4', 'amount'],
      ['6', 'amount'],
      ['8', 'amount'],
    ]);
    expect(errors.at(-1)!['sentence']).toContain('U+200B (zero width space): delete it');
  });

  it('of semicolons, with the empty columns of a spreadsheet, is understood', async () => {
    const rows = [`${HEADER.replaceAll(',', ';')};;`, 'SEMI-1;10.00;INR;CHARGED;MODEL;semi_1;;'];
    expect(await load('semicolons.csv', `\uFEFF${rows.join('\r\n')}`)).toMatchObject({
      recorded: 1,
      refused: 0,
    });
  });

  it.each([
    ['empty.csv', '', /empty/],
    ['strange.csv', `${HEADER},colour\n`, /"colour".*order_id, amount/s],
    ['bars.csv', `${HEADER.replaceAll(',', '|')}\n`, /separated by commas/],
    ['unicode.csv', Buffer.from(`\uFEFF${HEADER}\n`, 'utf16le'), /UTF-16/],
    ['unseen.csv', `\u200b${HEADER}\n`, /U\+200B \(zero width space\)/],
    ['twice.csv', `${HEADER},amount\n`, /amount twice/],
    ['short.csv', 'order_id,amount\n', /does not name currency, status, gateway, gateway_payment_id/],
    ['orders.xlsx', '', /neither \.csv nor/],
  ])('%s is refused whole, in a sentence', async (name, content, sentence) => {
    await expect(load(name, content)).rejects.toThrow(OperatorError);
    await expect(load(name, content)).rejects.toThrow(sentence);
  });

  it('that is not there is said to be so', async () => {
    const out = process.stdout;
    const path = join(folder, 'nowhere.csv');
    const missing = importFile({ db: fresh.db, clock: systemClock, merchantId: 'acme', path, out });
    await expect(missing).rejects.toThrow(/nowhere\.csv cannot be read/);
  });
});

describe('an NDJSON file', () => {
  it('is loaded, bad lines aside, with progress for logs', async () => {
    const lines = Array.from({ length: 3_000 }, (_, index) =>
      index === 1_234
        ? '{"order_id":'
        : JSON.stringify(charge({ order_id: `ND-${index}`, gateway_payment_id: `nd_${index}` })),
    );
    const result = await load('orders.ndjson', lines.join('\n'));
    expect(result).toMatchObject({ recorded: 2_999, unchanged: 0, refused: 1 });
    expect(result.shown).toMatch(/^\d0 %: \d+ recorded/);
    expect(readFileSync(result.errorsPath!, 'utf8')).toContain(
      '"1235","","","The line cannot be read as JSON',
    );
  });

  it('two loads of one file at once take each payment once', async () => {
    const path = join(folder, 'same.jsonl');
    const told = Array.from({ length: 1_500 }, (_, index) =>
      JSON.stringify(charge({ order_id: `SAME-${index}`, gateway_payment_id: `same_${index}` })),
    );
    writeFileSync(path, told.join('\n'));
    const out = { isTTY: false, write: () => true } as unknown as NodeJS.WriteStream;
    const loads = await Promise.all(
      [1, 2, 3].map(() => importFile({ db: fresh.db, clock: systemClock, merchantId: 'acme', path, out })),
    );
    const sum = (of: 'recorded' | 'unchanged' | 'refused') =>
      loads.reduce((total, one) => total + one[of], 0);
    expect([sum('recorded'), sum('unchanged'), sum('refused')]).toEqual([1_500, 3_000, 0]);
  });
});
