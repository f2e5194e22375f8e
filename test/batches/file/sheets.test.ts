import { describe, expect, test } from 'vitest';
import { matchColumns } from '../../../src/batches/file/columns.ts';
import type { FileRow } from '../../../src/batches/file/file-row.ts';
import { FileProblem, openBatchFile } from '../../../src/batches/file/read-file.ts';
import { streamOf, troublesOf } from './support.ts';
import { cell, line, NAMES, table, workbook } from './workbook.ts';

async function read(bytes: Buffer, sheet: string | null = null) {
  const fits = (header: readonly string[]) => matchColumns('refunds', header, {}).ok;
  const file = await openBatchFile(streamOf(bytes), { sheet, fits });
  const rows: FileRow[] = [];
  for await (const list of file.rows()) rows.push(...list);
  return { file, rows };
}

async function problemOf(bytes: Buffer, sheet: string | null = null): Promise<FileProblem> {
  const error = await read(bytes, sheet).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FileProblem);
  return error as FileProblem;
}

const FEBRUARY = { name: 'Feb', rows: table('F-1') };
const MARCH = { name: 'Mar', rows: table('M-1') };

describe('of several sheets', () => {
  test('the one that alone has the columns is read, and the others are named', async () => {
    const { file, rows } = await read(
      workbook([
        { name: 'Read me', rows: line(['Refunds of March']) },
        MARCH,
        { ...FEBRUARY, state: 'veryHidden' },
      ]),
    );
    expect(file).toMatchObject({
      sheet: 'Mar',
      otherSheets: [
        { name: 'Read me', hidden: false },
        { name: 'Feb', hidden: true },
      ],
    });
    expect(rows.map(({ cells }) => cells[0])).toEqual(['M-1']);
  });

  test('none is chosen where two have them; the name of one is', async () => {
    const two = workbook([FEBRUARY, MARCH]);
    expect(await problemOf(two)).toMatchObject({
      code: 'several_sheets',
      field: 'sheet',
      sheets: ['Feb', 'Mar'],
    });
    expect((await problemOf(two)).message).toContain('“Feb”, “Mar”');
    const { file, rows } = await read(two, 'Mar');
    expect([file.sheet, file.otherSheets, rows[0]!.cells[0]]).toEqual([
      'Mar',
      [{ name: 'Feb', hidden: false }],
      'M-1',
    ]);
    expect(await problemOf(two, 'April')).toMatchObject({ code: 'no_such_sheet', accepted: 'Feb, Mar' });
  });

  test('a hidden one cannot be chosen', async () => {
    const problem = await problemOf(workbook([FEBRUARY, { ...MARCH, state: 'hidden' }]), 'Mar');
    expect(problem).toMatchObject({ code: 'no_such_sheet' });
    expect(problem.message).toContain('hidden');
  });

  test('where none has them the first is read, so that its columns can be named', async () => {
    const other = (name: string) => ({ name, rows: line(['Bestellung', 'Betrag']) + line(['1', '2']) });
    expect((await read(workbook([other('A'), other('B')]))).file).toMatchObject({
      sheet: 'A',
      header: ['Bestellung', 'Betrag'],
    });
  });
});

describe('what cannot be seen in a sheet', () => {
  test('hidden columns are told', async () => {
    const before =
      '<cols><col min="3" max="3" hidden="1"/><col min="4" max="4" width="0"/><col min="9" max="16384" hidden="1"/></cols>';
    const { file } = await read(workbook([{ ...MARCH, before }]));
    expect([...file.hiddenColumns].filter((place) => place < 8)).toEqual([2, 3]);
  });

  test('rows that are hidden or have no height are bad', async () => {
    const rows =
      line(NAMES) +
      line(['A', 'r', '1.00', 'INR'], 'hidden="1"') +
      line(['B', 'r', '1.00', 'INR'], 'ht="0" customHeight="1"');
    const read_ = await read(workbook([{ name: 'S', rows }]));
    expect(troublesOf(read_.rows).map(([no, code]) => [no, code])).toEqual([
      [1, 'hidden_row'],
      [2, 'hidden_row'],
    ]);
  });

  test('a number format that shows nothing, or another number', async () => {
    const styles =
      '<numFmts><numFmt numFmtId="170" formatCode=";;;"/><numFmt numFmtId="171" formatCode="#,##0,"/><numFmt numFmtId="172" formatCode="#,##0.00"/></numFmts>' +
      '<cellXfs><xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="171"/><xf numFmtId="172"/></cellXfs>';
    const number = (text: string, style: number) => `<c s="${style}"><v>${text}</v></c>`;
    const rows = [1, 2, 3]
      .map((style) => `<row>${cell('A')}${cell('r')}${number('1234567', style)}${cell('INR')}</row>`)
      .join('');
    const { rows: found } = await read(workbook([{ name: 'S', rows: line(NAMES) + rows }], styles));
    expect(troublesOf(found)).toEqual([
      [1, 'hidden_cell', 2],
      [2, 'hidden_cell', 2],
    ]);
    expect(found[2]!.cells[2]).toBe('1234567');
  });

  test('merged cells below the header leave open which row they are of', async () => {
    const after = '<mergeCells><mergeCell ref="C2:C3"/></mergeCells>';
    expect(await problemOf(workbook([{ ...MARCH, after }]))).toMatchObject({
      code: 'merged_cells',
      value: 'C2:C3',
    });
    const above = '<mergeCells><mergeCell ref="A1:B1"/></mergeCells>';
    expect((await read(workbook([{ ...MARCH, after: above }]))).rows.length).toBe(1);
  });

  test('a cell beyond the header counts, also where it holds only a blank', async () => {
    const rows = line(NAMES) + line(['A', 'r', '1', 'INR', '234.50']) + line(['B', 'r', '1', 'INR', ' ']);
    const { rows: found } = await read(workbook([{ name: 'S', rows }]));
    expect(troublesOf(found).map(([no, code]) => [no, code])).toEqual([
      [1, 'too_many_cells'],
      [2, 'too_many_cells'],
    ]);
  });
});
