import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { strToU8, unzipSync, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import writeExcelFile from 'write-excel-file/node';
import { FileProblem } from '../../../src/batches/file/read-file.ts';
import { formatOf, PLAIN, readNumber } from '../../../src/batches/file/xlsx-number.ts';
import { readAll, troublesOf } from './support.ts';

const DATA = join(import.meta.dirname, 'data');
const made = (name: string) => readFileSync(join(DATA, name));

describe('workbooks of other programs', () => {
  test('openpyxl: numbers, dates, formulas, formats, a hidden row, a second sheet', async () => {
    const { file, rows } = await readAll(made('openpyxl.xlsx'));
    expect(file).toMatchObject({ format: 'xlsx', separator: null });
    expect(file.header).toEqual(['order_id', 'unique_request_id', 'amount', 'currency', 'note']);
    expect(rows.map(({ rowNo, line, cells }) => [rowNo, line, ...cells.slice(0, 3)])).toEqual([
      [1, 2, 'A-1', 'A-1-r1', '499.5'],
      [2, 3, '1234567890123460000', 'A-2-r1', '1.1'],
      [3, 4, 'A-3', 'A-3-r1', '=SUM(C2:C3)'],
      [4, 5, 'A-4', 'A-4-r1', '2026-03-12'],
      [5, 7, '00042', 'A-5-r1', '0.3'],
      [6, 8, 'A-6', 'A-6-r1', '=1/0'],
      [7, 9, 'A-7', 'A-7-r1', '50%'],
      [8, 10, 'A-8', 'A-8-r1', '1234567.89'],
      [9, 11, 'A-9', 'A-9-r1', '10'],
    ]);
    expect(rows[0]!.cells[4]).toBe('नमस्ते, "quoted"\nsecond line');
    expect(troublesOf(rows)).toEqual([
      [2, 'rounded_number', 0],
      [3, 'formula', 2],
      [4, 'date_in_cell', 2],
      [4, 'date_in_cell', 4],
      [6, 'formula', 2],
      [9, 'hidden_row', null],
    ]);
  });

  test('XlsxWriter: its first sheet is hidden, so the second is read; 1.1 and 435 as people see them', async () => {
    const { file, rows } = await readAll(made('xlsxwriter.xlsx'));
    expect(file.header).toEqual(['Order ID', 'Request-Id', 'Refund Amount', 'CCY']);
    expect(rows.map(({ cells }) => cells)).toEqual([
      ['007', 'x-1', '1.1', 'INR'],
      ['A-2', 'x-2', '2', 'INR'],
      ['A-3', 'x-3', '435', 'INR'],
      ['A-4', 'x-4', '1000000000000000', 'INR'],
      ['A-5', '', '#N/A', ''],
      ['TRUE', '', '', ''],
      ['A-8', '', '', ''],
    ]);
    expect(troublesOf(rows)).toEqual([
      [2, 'formula', 2],
      [4, 'rounded_number', 2],
      [5, 'formula', 2],
    ]);
  });

  test('exceljs: rich text, an error, a date, a formula with its value', async () => {
    const { rows } = await readAll(made('exceljs.xlsx'));
    expect(rows.map(({ cells }) => cells.slice(2))).toEqual([
      ['499.5', 'INR', 'rich text'],
      ['999', 'INR', 'x'],
      ['1', 'INR', '#REF!'],
      ['2026-03-12', 'INR', 'TRUE'],
    ]);
    expect(troublesOf(rows)).toEqual([
      [2, 'formula', 2],
      [3, 'formula', 2],
      [3, 'cell_error', 4],
      [4, 'date_in_cell', 2],
    ]);
  });

  test('write-excel-file: any table of texts reads back as it was', async () => {
    // What XML 1.0 can hold and the writer keeps, and cells that are not blank, so that no row is left out. The writer takes texts such as
    // “toString” for properties of its own.
    const cell = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter(
        (text) =>
          !/[\p{Cc}\ufffd-\uffff]|_x[0-9a-f]{4}_/iu.test(text) &&
          text.trim() === text &&
          text !== '' &&
          !(text in {}),
      );
    const table = fc
      .integer({ min: 1, max: 5 })
      .chain((width) =>
        fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 2, maxLength: 8 }),
      );
    await fc.assert(
      fc.asyncProperty(table, fc.array(fc.nat(4_000), { maxLength: 5 }), async (rows, cuts) => {
        const data = rows.map((cells) => cells.map((value) => ({ value, type: String })));
        const bytes = await writeExcelFile(data).toBuffer();
        const { file, rows: read } = await readAll(Buffer.from(bytes), cuts);
        expect(file.header).toEqual(rows[0]);
        expect(read.map(({ cells }) => cells)).toEqual(rows.slice(1));
        expect(troublesOf(read)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('numbers are decimal text', () => {
  test('a number of up to 15 digits, however it is written, is that number', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 999_999_999_999_999n }),
        fc.integer({ min: -20, max: 0 }),
        fc.integer({ min: -30, max: 30 }),
        fc.boolean(),
        (digits, exponent, moved, negative) => {
          // digits × 10^exponent, written out, and the same with its point moved and an exponent that undoes it.
          const plain = (whole: string, power: number) => {
            if (power >= 0) return whole + '0'.repeat(power);
            const padded = whole.padStart(1 - power, '0');
            const text = `${padded.slice(0, power)}.${padded.slice(power)}`;
            return text.replace(/0+$/, '').replace(/\.$/, '');
          };
          const sign = negative ? '-' : '';
          const expected = sign + plain(String(digits), exponent);
          const text = (stored: string) => {
            const reading = readNumber(stored, PLAIN, false);
            return reading.ok ? reading.text : reading;
          };
          expect(text(sign + plain(String(digits), exponent))).toBe(expected);
          expect(text(`${sign}${plain(String(digits), exponent + moved)}E${-moved}`)).toBe(expected);
        },
      ),
    );
  });

  test.each([
    ['1.1000000000000001', '1.1'],
    ['0.30000000000000004', '0.3'],
    ['434.99999999999994', '435'],
    ['99999999999999.996', '100000000000000'],
    ['0', '0'],
    ['-0', '0'],
    ['1E-3', '0.001'],
    ['4.9900000000000002E2', '499'],
  ])('%s is %s', (stored, text) => {
    expect(readNumber(stored, PLAIN, false)).toEqual({ ok: true, text, what: 'number' });
  });

  test.each([
    ['dd/mm/yyyy', 'date'],
    ['[$-409]d-mmm-yy;@', 'date'],
    ['[h]:mm', 'date'],
    ['0.00', 'plain'],
    ['#,##0.00 "days"', 'plain'],
    ['[Red]-0.00', 'plain'],
    ['[$₹-4009]#,##0.00', 'plain'],
    ['General', 'plain'],
    ['0.00E+00', 'plain'],
    ['0.0%', 'percent'],
    ['0000000', 'zeros'],
  ])('the format %s is a %s', (code, kind) => {
    expect(formatOf(code).kind).toBe(kind);
  });

  test('days since 1899, with the leap day that 1900 never had, or since 1904', () => {
    const date = (stored: string, since1904 = false) => {
      const reading = readNumber(stored, { kind: 'date' }, since1904);
      return reading.ok ? reading.text : null;
    };
    expect(date('1')).toBe('1900-01-01');
    expect(date('59')).toBe('1900-02-28');
    expect(date('61')).toBe('1900-03-01');
    expect(date('45658')).toBe('2025-01-01');
    expect(date('45658.5')).toBe('2025-01-01 12:00:00');
    expect(date('44196', true)).toBe('2025-01-01');
  });
});

describe('workbooks made to do harm, and damaged ones', () => {
  const CONTENT = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>';
  const REL = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
  const cell = (text: string) => `<c t="inlineStr"><is><t>${text}</t></is></c>`;
  const HEADER = `<row r="1">${cell('order_id')}${cell('amount')}</row>`;
  const sheetOf = (rows: string) => `<worksheet><sheetData>${HEADER}${rows}</sheetData></worksheet>`;
  const SHEET = sheetOf(`<row r="2">${cell('A-1')}<c><v>1.5</v></c></row>`);

  function partsOf(sheet: string, more: Record<string, string> = {}): Record<string, string> {
    return {
      '[Content_Types].xml': CONTENT,
      '_rels/.rels': `<Relationships><Relationship Id="r" Type="${REL}/officeDocument" Target="/xl/workbook.xml"/></Relationships>`,
      'xl/workbook.xml': `<workbook xmlns:r="${REL}"><sheets><sheet name="S" sheetId="1" r:id="a"/></sheets></workbook>`,
      'xl/_rels/workbook.xml.rels': `<Relationships><Relationship Id="a" Type="${REL}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="b" Type="${REL}/sharedStrings" Target="sharedStrings.xml"/></Relationships>`,
      'xl/sharedStrings.xml': '<sst><si><t>one</t></si></sst>',
      'xl/worksheets/sheet1.xml': sheet,
      ...more,
    };
  }
  const zipped = (parts: Record<string, string>) =>
    Buffer.from(
      zipSync(Object.fromEntries(Object.entries(parts).map(([name, text]) => [name, strToU8(text)]))),
    );
  const book = (sheet: string, more: Record<string, string> = {}) => zipped(partsOf(sheet, more));

  async function problemOf(bytes: Buffer): Promise<FileProblem> {
    const error = await readAll(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FileProblem);
    return error as FileProblem;
  }

  /** Changes what the table of contents claims of the size of a part when unpacked. */
  function claiming(bytes: Buffer, name: string, size: number): Buffer {
    const changed = Buffer.from(bytes);
    for (let at = changed.indexOf('PK\x01\x02'); at !== -1; at = changed.indexOf('PK\x01\x02', at + 4)) {
      const length = changed.readUInt16LE(at + 28);
      if (changed.toString('utf8', at + 46, at + 46 + length) === name) changed.writeUInt32LE(size, at + 24);
    }
    return changed;
  }

  test('the smallest one reads', async () => {
    const { rows } = await readAll(book(SHEET));
    expect(rows).toMatchObject([
      { rowNo: 1, line: 2, cells: ['A-1', '1.5'], trouble: null, cellTroubles: [] },
    ]);
  });

  test('a sheet that claims to unpack to two thousand million bytes', async () => {
    const problem = await problemOf(claiming(book(SHEET), 'xl/worksheets/sheet1.xml', 2_000_000_000));
    expect(problem.code).toBe('xlsx_too_large');
    expect(problem.message).toContain('CSV UTF-8');
  });

  test('one that unpacks to more than it claims', async () => {
    const big = book(sheetOf('<row/>'.repeat(200_000)));
    expect(await problemOf(claiming(big, 'xl/worksheets/sheet1.xml', 500))).toMatchObject({
      code: 'bad_xlsx',
    });
  });

  test('fifty million blanks in fifty thousand bytes are not unpacked to their end', async () => {
    const bomb = book(SHEET, {
      'xl/sharedStrings.xml': `<sst><si><t>${' '.repeat(50_000_000)}</t></si></sst>`,
    });
    expect(bomb.length).toBeLessThan(60_000);
    const problem = await problemOf(bomb);
    expect(problem).toMatchObject({ code: 'bad_xlsx' });
    expect(problem.message).toContain('text without end');
  });

  test.each<[string, Record<string, string>, string, RegExp]>([
    ['entities that unfold', partsOf(`<!DOCTYPE x [<!ENTITY a "aaaa">]>${SHEET}`), 'bad_xlsx', /entities/],
    [
      'an entity that nobody declared',
      partsOf(sheetOf(`<row>${cell('&a;')}</row>`)),
      'bad_xlsx',
      /well-formed/,
    ],
    ['tags in tags in tags', partsOf(sheetOf('<row>'.repeat(5_000))), 'bad_xlsx', /nested/],
    ['a row that is none', partsOf(sheetOf('<row r="99999999"/>')), 'bad_xlsx', /row has no place/],
    [
      'two cells in one place',
      partsOf(sheetOf('<row r="2"><c r="B2"><v>1</v></c><c r="B2"><v>100</v></c></row>')),
      'bad_xlsx',
      /taken/,
    ],
    ['two rows in one place', partsOf(sheetOf('<row r="2"/><row r="2"/>')), 'bad_xlsx', /taken/],
    [
      'a cell far to the right',
      partsOf(sheetOf('<row><c r="ZZZZ1"/></row>')),
      'bad_xlsx',
      /cell in row 2 has no place/,
    ],
    [
      'a text that is not there',
      partsOf(sheetOf('<row><c t="s"><v>7</v></c></row>')),
      'bad_xlsx',
      /not there/,
    ],
    ['a number that is none', partsOf(sheetOf('<row><c><v>12abc</v></c></row>')), 'bad_xlsx', /number/],
    ['XML that breaks off', partsOf(SHEET.slice(0, -20)), 'bad_xlsx', /well-formed/],
    [
      'no sheet',
      partsOf(SHEET, { 'xl/workbook.xml': '<workbook><sheets/></workbook>' }),
      'bad_xlsx',
      /no visible sheet/,
    ],
    [
      'a sheet outside of the file',
      partsOf(SHEET, {
        'xl/_rels/workbook.xml.rels': `<Relationships><Relationship Id="a" Type="${REL}/worksheet" TargetMode="External" Target="file:///etc/passwd"/></Relationships>`,
      }),
      'bad_xlsx',
      /no visible sheet/,
    ],
    [
      'a sheet above of the file',
      partsOf(SHEET, {
        'xl/_rels/workbook.xml.rels': `<Relationships><Relationship Id="a" Type="${REL}/worksheet" Target="../../../etc/passwd"/></Relationships>`,
      }),
      'bad_xlsx',
      /no part/,
    ],
    ['an archive of a table', { 'refunds.csv': 'a,b\n1,2\n' }, 'not_a_table', /ZIP archive.*unpack/],
    [
      'OpenDocument',
      { mimetype: 'application/vnd.oasis.opendocument.spreadsheet', 'content.xml': '<x/>' },
      'other_spreadsheet',
      /OpenDocument/,
    ],
    [
      'a binary workbook',
      { '[Content_Types].xml': CONTENT, 'xl/workbook.bin': 'x' },
      'other_spreadsheet',
      /xlsb/,
    ],
    ['a letter', { '[Content_Types].xml': CONTENT, 'word/document.xml': '<x/>' }, 'not_a_table', /Word/],
    ['Numbers', { 'Index/Document.iwa': 'x' }, 'other_spreadsheet', /Numbers/],
    ['an empty sheet', partsOf('<worksheet><sheetData/></worksheet>'), 'unreadable_header', /empty/],
    ['a header alone', partsOf(sheetOf('')), 'no_rows', /no row/],
  ])('%s', async (_, parts, code, says) => {
    const problem = await problemOf(zipped(parts));
    expect(problem.code).toBe(code);
    expect(problem.message).toMatch(says);
  });

  test('macros are neither run nor in the way', async () => {
    const { rows } = await readAll(book(SHEET, { 'xl/vbaProject.bin': 'not looked at' }));
    expect(rows.length).toBe(1);
  });

  test('a content that was changed does not pass its checksum', async () => {
    const bytes = Buffer.from(
      zipSync(
        Object.fromEntries(Object.entries(partsOf(SHEET)).map(([name, text]) => [name, strToU8(text)])),
        { level: 0 },
      ),
    );
    const at = bytes.indexOf('<v>1.5</v>');
    bytes.write('<v>9.5</v>', at);
    const problem = await problemOf(bytes);
    expect(problem.message).toContain('wrong checksum');
  });

  test('a cell under no header, and a cell without its place', async () => {
    const { rows } = await readAll(
      book(sheetOf(`<row r="5"><c r="B5"><v>2</v></c></row><row>${cell('a')}${cell('b')}${cell('c')}</row>`)),
    );
    expect(rows.map(({ line, cells }) => [line, cells])).toEqual([
      [5, ['', '2']],
      [6, ['a', 'b', 'c']],
    ]);
    expect(troublesOf(rows)).toEqual([[2, 'too_many_cells', null]]);
  });

  test('nor is a cell overlooked that stands far to the right', async () => {
    const { rows } = await readAll(book(sheetOf(`<row r="2">${cell('A-1')}<c r="XFD2"><v>2</v></c></row>`)));
    expect(troublesOf(rows)).toEqual([[1, 'too_many_cells', null]]);
    const wide = `<row r="1"><c r="XFD1"><v>1</v></c></row>`;
    expect(await problemOf(book(`<worksheet><sheetData>${wide}</sheetData></worksheet>`))).toMatchObject({
      code: 'too_many_columns',
    });
  });

  test('damaged bytes and damaged XML give a FileProblem or rows with their numbers', async () => {
    const bytes = made('openpyxl.xlsx');
    const unpacked = unzipSync(bytes);
    const names = [
      'xl/worksheets/sheet1.xml',
      'xl/workbook.xml',
      'xl/styles.xml',
      'xl/sharedStrings.xml',
    ].filter((name) => unpacked[name]);
    const check = async (changed: Buffer) => {
      const result = await readAll(changed).catch((thrown: unknown) => thrown);
      if (result instanceof Error) {
        expect(result).toBeInstanceOf(FileProblem);
        return;
      }
      const { rows } = result as Awaited<ReturnType<typeof readAll>>;
      expect(rows.map(({ rowNo }) => rowNo)).toEqual(rows.map((_, at) => at + 1));
    };
    const put = fc.tuple(fc.nat(100_000), fc.uint8Array({ maxLength: 3 }), fc.nat(4));
    const changedBy = (whole: Uint8Array, changes: [number, Uint8Array, number][]) =>
      changes.reduce((now, [where, with_, instead]) => {
        const at = where % now.length;
        return Buffer.concat([now.subarray(0, at), with_, now.subarray(Math.min(now.length, at + instead))]);
      }, Buffer.from(whole));
    await fc.assert(
      fc.asyncProperty(fc.array(put, { minLength: 1, maxLength: 3 }), async (changes) => {
        await check(changedBy(bytes, changes));
      }),
      { numRuns: 300 },
    );
    const inXml = fc.tuple(
      fc.nat(100_000),
      fc
        .constantFrom('<', '>', '"', '&', '0', 'A', ' r="9"', '<v>', '</row>', '<c>', 't="s"')
        .map((text) => strToU8(text)),
      fc.nat(4),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.array(inXml, { minLength: 1, maxLength: 3 }),
        async (name, changes) => {
          await check(Buffer.from(zipSync({ ...unpacked, [name]: changedBy(unpacked[name]!, changes) })));
        },
      ),
      { numRuns: 300 },
    );
  });
});
