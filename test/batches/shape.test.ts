import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { correct, csv, rowsOf, steps, upload } from './batch.ts';
import { table, workbook } from './file/workbook.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  for (const orderId of ['o1', 'F-1', 'M-1']) await putOrder(api.db, { orderId, amountMinor: 200_000 });
});
afterEach(() => api.close());

const SHIFTED = 'order_id,unique_request_id,currency,amount,note';

describe('the shape of a file is evidence', () => {
  test('an amount that its comma splits is never the amount that has to be confirmed', async () => {
    const { body } = await upload(
      api,
      csv(
        ['o1,a,INR,1,234.50,', 'o1,b,INR,1,234.50', 'o1,c,INR,12,50', 'o1,d,INR,"10.00", "late, sorry"'],
        SHIFTED,
      ),
    );
    expect(body.check.totals).toEqual({ INR: '10.00' });
    const rows = await rowsOf(api, body.batch_id);
    expect(rows.map(({ problem }) => problem?.code ?? null)).toEqual([
      'too_many_cells',
      'split_amount',
      'split_amount',
      null,
    ]);
    expect(rows[3].fields.note).toBe('late, sorry');
  });

  test('of a workbook with several sheets nothing is read before one is named; then it is, with the others', async () => {
    const bytes = workbook([
      { name: 'Feb', rows: table('F-1') },
      { name: 'Mar', rows: table('M-1') },
      { name: 'old', rows: table('F-1'), state: 'veryHidden' },
    ]);
    const { body: asked } = await upload(api, bytes);
    expect(asked).toMatchObject({
      status: 'uploading',
      problem: { code: 'several_sheets', field: 'sheet' },
      file: {
        sheet: null,
        other_sheets: [
          { name: 'Feb', hidden: false },
          { name: 'Mar', hidden: false },
        ],
      },
    });
    await call(api, `/v1/batches/${asked.batch_id}`, { method: 'PATCH', json: { sheet: 'Mar' } });
    await steps(api);
    const { body: batch } = await call(api, `/v1/batches/${asked.batch_id}`);
    expect(batch).toMatchObject({
      status: 'checked',
      problem: null,
      file: {
        sheet: 'Mar',
        other_sheets: [
          { name: 'Feb', hidden: false },
          { name: 'old', hidden: true },
        ],
      },
    });
    expect((await rowsOf(api, batch.batch_id)).map(({ fields }) => fields.order_id)).toEqual(['M-1']);
    const { body: named } = await upload(api, bytes, '&sheet=Feb&same_file=allow');
    expect([named.status, named.file.sheet]).toEqual(['checked', 'Feb']);
  });

  test('a hidden column of ours, and merged cells, stop the file', async () => {
    const before = '<cols><col min="3" max="3" hidden="1"/></cols>';
    const { body: hidden } = await upload(api, workbook([{ name: 'Mar', rows: table('M-1'), before }]));
    expect(hidden).toMatchObject({
      status: 'uploading',
      problem: { code: 'hidden_columns', field: 'amount' },
    });
    const after = '<mergeCells><mergeCell ref="C2:C3"/></mergeCells>';
    const { body: merged } = await upload(api, workbook([{ name: 'Mar', rows: table('M-1'), after }]));
    expect(merged).toMatchObject({ status: 'uploading', problem: { code: 'merged_cells' } });
    expect(await api.db.query('select 1 from batch_rows')).toEqual([]);
  });

  test('failed rows come back whole after a spreadsheet has saved them with semicolons and a byte order mark', async () => {
    const { body } = await upload(api, csv(['o1,a,"12,50",INR,"Größe, falsch"'].concat('o1,b,1.00,INR,')));
    const file = await call(api, `/v1/batches/${body.batch_id}/failed.csv?bom=true`);
    const text = String(file.body);
    expect(text.startsWith('\uFEFF') || text.startsWith('"row"')).toBe(true);
    const corrected = [
      'row;order_id;unique_request_id;amount;currency;note',
      '1;o1;a;12.50;INR;"Größe, falsch"',
    ];
    const { body: mended } = await correct(api, body.batch_id, `\uFEFF${corrected.join('\r\n')}\r\n`);
    expect(mended.check.totals).toEqual({ INR: '13.50' });
    expect((await rowsOf(api, body.batch_id))[0].fields.note).toBe('Größe, falsch');
  });

  test('card numbers in the names of files, sheets and columns are not kept', async () => {
    const card = '4111111111111111';
    const refused = await upload(api, csv(['o1,a,1.00,INR,']), `&file_name=${card}.csv`);
    expect([refused.status, refused.body.error.field]).toEqual([400, 'file_name']);
    const { body } = await upload(
      api,
      csv(['o1,a,1.00,INR,,x'], `order_id,unique_request_id,amount,currency,note,${card} 123`),
    );
    expect(body.status).toBe('checked');
    const kept = await api.db.query<{ text: string }>(
      'select f::text || b::text as text from batch_files f join batches b using (merchant_id, batch_id)',
    );
    expect(JSON.stringify(kept)).not.toContain(card);
    expect(JSON.stringify(kept)).not.toContain('1111 123');
  });
});
