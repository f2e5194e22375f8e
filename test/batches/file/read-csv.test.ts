import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FileProblem, openBatchFile } from '../../../src/batches/file/read-file.ts';
import { MAX_CELL_LENGTH } from '../../../src/lib/csv-records.ts';
import { readAll, troublesOf } from './support.ts';

const HEADER = 'order_id,unique_request_id,amount,currency,note';

async function problemOf(bytes: Buffer | string): Promise<FileProblem> {
  const error = await readAll(bytes).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FileProblem);
  return error as FileProblem;
}

describe('a table written rightly reads back as it was', () => {
  // What any cell may hold: letters of all scripts, quotes, separators, line ends, blanks, apostrophes.
  const cell = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({
      unit: fc.constantFrom('"', ',', ';', '\t', '\n', '\r\n', ' ', 'a', 'é', '₹', '😀', "'"),
      maxLength: 8,
    }),
  );
  const clean = (text: string) => !text.includes('\0') && text.isWellFormed();
  const table = fc
    .integer({ min: 2, max: 6 })
    .chain((width) =>
      fc.tuple(
        fc.array(fc.stringMatching(/^[A-Za-z][A-Za-z _]{0,8}[A-Za-z]$/), {
          minLength: width,
          maxLength: width,
        }),
        fc.array(fc.array(cell.filter(clean), { minLength: width, maxLength: width }), {
          minLength: 1,
          maxLength: 20,
        }),
      ),
    )
    .filter(([, rows]) => rows.every((cells) => cells.some((text) => text.trim() !== '')));

  test('whatever separator, quotes, line ends, byte order mark and chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        table,
        fc.constantFrom(',', ';', '\t'),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.nat(2_000), { maxLength: 30 }),
        async ([header, rows], separator, lineEnd, bom, always, ends, cuts) => {
          // Quotes where RFC 4180 asks for them, or everywhere. A blank line between rows means nothing.
          const written = (text: string) =>
            always || /[",;\t\r\n]/.test(text) || text.trim() !== text
              ? `"${text.replaceAll('"', '""')}"`
              : text;
          const lines = [header, ...rows].map((cells) => cells.map(written).join(separator));
          const text = (bom ? '\uFEFF' : '') + lines.join(lineEnd) + (ends ? lineEnd : '');
          const { file, rows: read } = await readAll(text, cuts);
          expect(file.format).toBe('csv');
          expect(file.separator).toBe(separator);
          expect(file.header).toEqual(header);
          expect(read.map(({ cells }) => cells)).toEqual(rows);
          expect(read.map(({ rowNo }) => rowNo)).toEqual(rows.map((_, at) => at + 1));
          expect(troublesOf(read)).toEqual([]);
          // Where a row begins follows from the line ends before it.
          let line = 1;
          const begins = lines.map((one) => {
            const here = line;
            line += one.split('\n').length;
            return here;
          });
          expect(read.map((row) => row.line)).toEqual(begins.slice(1));
        },
      ),
      { numRuns: 400 },
    );
  });
});

test('rows on the border of two blocks read as all others do, whatever stands in them', async () => {
  const piece = fc.constantFrom('"', '""', ',', '\n', '\r\n', ' ', 'a', 'é', '₹', '😀', 'long '.repeat(40));
  const cell = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  const pattern = fc.array(fc.array(cell, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(
      pattern,
      fc.integer({ min: 1, max: 400_000 }),
      fc.boolean(),
      async (rows, chunk, latin) => {
        const written = (text: string) => `"${text.replaceAll('"', '""')}"`;
        const expected: string[][] = [];
        const lines: Buffer[] = [Buffer.from('a,b,c,d\n')];
        for (let no = 1, length = 0; length < 700_000; no++) {
          const cells = [String(no), ...rows[no % rows.length]!];
          expected.push(cells);
          const line = Buffer.from(`${cells.map(written).join(',')}\n`);
          lines.push(line);
          length += line.length;
          // Here and there a row that is not UTF-8, so that its block is read byte by byte.
          if (latin && no % 500 === 0) {
            lines.push(Buffer.from('x,caf\xe9,"y\xe9",z\n', 'latin1'));
            expected.push(['x', 'café', 'yé', 'z']);
          }
        }
        const whole = Buffer.concat(lines);
        const cuts = Array.from(
          { length: Math.min(5_000, Math.floor(whole.length / chunk)) },
          (_, at) => (at + 1) * chunk,
        );
        const { rows: read } = await readAll(whole, cuts);
        expect(read.length).toBe(expected.length);
        const wrong = read.findIndex(({ cells }, at) =>
          cells.some((text, place) => text !== expected[at]![place]),
        );
        expect(wrong).toBe(-1);
        expect(new Set(troublesOf(read).map(([, code]) => code))).toEqual(
          new Set(latin && expected.length > 500 ? ['not_utf8'] : []),
        );
      },
    ),
    { numRuns: 30 },
  );
});

describe('what stands in a file is told with its row and its line', () => {
  test('rows are counted without blank lines, lines with them', async () => {
    const { rows } = await readAll(
      `\n${HEADER}\n\nA-1,r1,1.00,INR,\n , ,,,\n  \nA-2,r2,2.00,INR,"one\ntwo"\nA-3,r3,3.00,INR,`,
    );
    expect(rows.map(({ rowNo, line, cells }) => [rowNo, line, cells[0]])).toEqual([
      [1, 4, 'A-1'],
      [2, 7, 'A-2'],
      [3, 9, 'A-3'],
    ]);
  });

  test('a cell too many counts, also where it is empty; missing ones are told', async () => {
    const { rows } = await readAll(`a,b,c\n1,2\n1,2,3,4\n1,2,3,\n1,2,3\n1\n`);
    expect(troublesOf(rows)).toEqual([
      [2, 'too_many_cells', null],
      [3, 'too_many_cells', null],
    ]);
    expect(rows.map(({ present, isShort }) => [present, isShort])).toEqual([
      [2, true],
      [3, false],
      [3, false],
      [3, false],
      [1, true],
    ]);
    expect(rows.map(({ cells }) => cells.length)).toEqual([3, 4, 4, 3, 3]);
  });

  test('empty cells that the header has as well, and all of them, are the separators of a spreadsheet', async () => {
    const { file, rows } = await readAll(`a,b,,\n1,2,,\n1,2,\n1,2\n1,2,,,\n1,2,,x\n`);
    expect(file.header).toEqual(['a', 'b']);
    expect(troublesOf(rows)).toEqual([
      [2, 'too_many_cells', null],
      [4, 'too_many_cells', null],
      [5, 'too_many_cells', null],
    ]);
    expect(rows.map(({ isShort }) => isShort)).toEqual([false, true, true, false, false]);
  });

  test('blanks around the quotes of a cell mean nothing; a quote within a text is kept', async () => {
    const { rows } = await readAll(
      'a,b,c\nA-1, "Late, sorry" ,x\nA-2,\u00a0"plain",\t"t\nwo"\nA-3, 5" pipe,6\nA-4, say ""hi"",7\n',
    );
    expect(troublesOf(rows)).toEqual([]);
    expect(rows.map(({ cells }) => cells.slice(1))).toEqual([
      ['Late, sorry', 'x'],
      ['plain', 't\nwo'],
      [' 5" pipe', '6'],
      [' say ""hi""', '7'],
    ]);
  });

  test('a quote that is not closed costs its own line alone', async () => {
    const rest = Array.from({ length: 50_000 }, (_, at) => `B-${at},b,1.00,INR,"a ""quoted"" note"`);
    const { rows } = await readAll([HEADER, 'A-1,r1,1.00,INR,"oops', ...rest].join('\n'));
    expect(rows.length).toBe(50_001);
    expect(troublesOf(rows)).toEqual([[1, 'unclosed_quote', 4]]);
    expect(rows[0]!.trouble!.message).toContain('cell 5 of line 2');
    expect(rows.at(-1)).toMatchObject({
      rowNo: 50_001,
      line: 50_002,
      cells: ['B-49999', 'b', '1.00', 'INR', 'a "quoted" note'],
    });
  });

  test('nor does one that nothing ever closes, however long the file goes on', async () => {
    const rest = Array.from({ length: 100_000 }, (_, at) => `B-${at},b,1.00,INR,`);
    const { rows } = await readAll([HEADER, 'A-1,r1,"1.00,INR,', ...rest].join('\r\n'));
    expect(rows.length).toBe(100_001);
    expect(troublesOf(rows)).toEqual([[1, 'unclosed_quote', 2]]);
    expect(rows.at(-1)).toMatchObject({ rowNo: 100_001, line: 100_002 });
  });

  test('nor one that a quote far below closes by chance', async () => {
    const rest = Array.from({ length: 1_000 }, (_, at) => `B-${at},b,1.00,INR,`);
    const { rows } = await readAll(
      [HEADER, 'A-1,r1,1.00,INR,"oops', ...rest, 'C-1,c,1.00,INR,x"'].join('\n'),
    );
    expect(rows.length).toBe(1_002);
    expect(troublesOf(rows)).toEqual([[1, 'unclosed_quote', 4]]);
  });

  test('text after a closing quote; a quote inside a text is a quote', async () => {
    const { rows } = await readAll('a,b\n"x"y,1\n5" pipe,2\n"x" ,3\n');
    expect(troublesOf(rows)).toEqual([[1, 'unclosed_quote', 0]]);
    expect(rows.slice(1).map(({ cells }) => cells)).toEqual([
      ['5" pipe', '2'],
      ['x', '3'],
    ]);
  });

  test('bytes that are not UTF-8: which encoding it looks like, and what it reads there', async () => {
    const latin = Buffer.from('order_id,note\nA-1,Jos\xe9\nA-2,plain\n', 'latin1');
    const { rows } = await readAll(Buffer.concat([latin, Buffer.from('A-3,José\nA-4,नमस्ते')]));
    expect(troublesOf(rows)).toEqual([[1, 'not_utf8', 1]]);
    expect(rows[0]!.cellTroubles[0]!.message).toContain('Windows-1252, where it reads “José”');
    expect(rows.map(({ cells }) => cells[1])).toEqual(['José', 'plain', 'José', 'नमस्ते']);
  });

  test('a NUL is told and not handed on', async () => {
    const { rows } = await readAll('order_id,note\nA\0-1,x\nA-2,y\n');
    expect(troublesOf(rows)).toEqual([[1, 'nul_character', 0]]);
    expect(rows[0]!.cells[0]).not.toContain('\0');
  });

  test('a cell and a line longer than may be', async () => {
    const long = 'x'.repeat(MAX_CELL_LENGTH + 1);
    const endless = 'y'.repeat(600_000);
    const { rows } = await readAll(`a,b\n1,${long}\n${endless},2\n3,4\n"${endless}",6\n7,8`);
    expect(troublesOf(rows)).toEqual([
      [1, 'too_long', 1],
      [2, 'too_long', null],
      [4, 'too_long', null],
    ]);
    expect(rows.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6]);
    expect(rows[2]!.cells).toEqual(['3', '4']);
    expect(rows[4]!.cells).toEqual(['7', '8']);
    for (const row of rows)
      for (const cell of row.cells) expect(cell.length).toBeLessThanOrEqual(MAX_CELL_LENGTH);
  });

  test("Excel's first line sep=; is no header", async () => {
    const { file, rows } = await readAll('sep=;\r\na;b,c\r\n1;2\r\n');
    expect(file).toMatchObject({ separator: ';', header: ['a', 'b,c'] });
    expect(rows[0]).toMatchObject({ line: 3, cells: ['1', '2'] });
  });

  test('the separator is found outside of quotes', async () => {
    const { file } = await readAll('"a, the first, of, all";b\n1;2\n');
    expect(file.header).toEqual(['a, the first, of, all', 'b']);
  });
});

describe('a file that cannot be read says what it is and how to save it rightly', () => {
  const utf16 = (text: string, bom: boolean) => Buffer.from((bom ? '\uFEFF' : '') + text, 'utf16le');
  const table = `${HEADER}\r\nA-1,r1,1.00,INR,\r\n`;
  const ole = Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.alloc(4_096)]);

  test.each<[string, Buffer | string, string, RegExp]>([
    ['nothing', '', 'empty_file', /empty/],
    ['blank lines', '\n\r\n  \n', 'empty_file', /empty/],
    ['a header alone', `${HEADER}\n\n`, 'no_rows', /no row under it/],
    ['UTF-16 as Excel writes it', utf16(table, true), 'not_utf8', /UTF-16.*CSV UTF-8/],
    ['UTF-16 without a mark', utf16(table, false), 'not_utf8', /UTF-16/],
    ['UTF-16, big end first', utf16(table, true).swap16(), 'not_utf8', /UTF-16/],
    ['an old workbook', ole, 'old_excel', /\.xls\).*password/],
    ['a PDF', '%PDF-1.7\n1 0 obj', 'not_a_table', /PDF/],
    ['a web page', '\n<!DOCTYPE html><html><body><table><tr><td>order_id', 'not_a_table', /web page/],
    [
      'a table of a web page named .xls',
      '<table><tr><td>order_id</td></tr></table>',
      'not_a_table',
      /web page/,
    ],
    ['XML', '<?xml version="1.0"?><Workbook/>', 'not_a_table', /XML/],
    ['JSON', '[{"order_id":"A-1"}]', 'not_a_table', /JSON/],
    ['gzip', Buffer.from('1f8b0800000000000003', 'hex'), 'not_a_table', /gzip/],
    ['a picture', Buffer.from('89504e470d0a1a0a', 'hex'), 'not_a_table', /picture/],
    ['bytes', Buffer.from(Array.from({ length: 400 }, (_, at) => at % 16)), 'not_a_table', /not text/],
    ['lines that end with CR alone', table.replaceAll('\r\n', '\r'), 'line_ends', /CR alone/],
    ['a header in an open quote', `"order_id,amount\nA-1,1.00\n`, 'unreadable_header', /quote/],
    ['a line without end', 'x'.repeat(1_000_000), 'unreadable_header', /longer than/],
    [
      'a thousand columns',
      `${Array.from({ length: 1_000 }, (_, at) => `c${at}`).join()}\n1\n`,
      'too_many_columns',
      /200/,
    ],
  ])('%s', async (_, bytes, code, says) => {
    const problem = await problemOf(bytes);
    expect(problem.code).toBe(code);
    expect(problem.message).toMatch(says);
  });

  test('more rows than may be are refused at the row that is too many', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      yield Buffer.from('a,b\n');
      const block = Buffer.from('1,2\n'.repeat(10_000));
      for (let at = 0; at < 101; at++) yield block;
    }
    const file = await openBatchFile(endless());
    let rows = 0;
    const error = await (async () => {
      for await (const list of file.rows()) rows += list.length;
    })().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'too_many_rows' });
    expect(rows).toBeGreaterThan(990_000);
    expect(rows).toBeLessThanOrEqual(1_000_000);
  });

  test('more bytes than may be are refused, and the stream is closed', async () => {
    let closed = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        yield Buffer.from('a,b\n1,2\n');
        const block = Buffer.alloc(1_000_000, `${'x'.repeat(999)}\n`);
        while (true) yield block;
      } finally {
        closed = true;
      }
    }
    const file = await openBatchFile(endless());
    const error = await (async () => {
      for await (const _ of file.rows());
    })().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'file_too_large' });
    expect(closed).toBe(true);
  });

  test('who leaves in the middle closes the stream too', async () => {
    for (const leave of ['rows', 'close'] as const) {
      let closed = false;
      async function* endless(): AsyncGenerator<Buffer> {
        try {
          yield Buffer.from('a,b\n');
          while (true) yield Buffer.from('1,2\n'.repeat(50_000));
        } finally {
          closed = true;
        }
      }
      const file = await openBatchFile(endless());
      if (leave === 'close') await file.close();
      else for await (const _ of file.rows()) break;
      expect(closed).toBe(true);
    }
  });
});

describe('whatever bytes come', () => {
  const good = Buffer.from(
    `${HEADER}\r\n${Array.from({ length: 40 }, (_, at) => `A-${at},r-${at},${at}.50,INR,"note ""${at}"" é, ₹"`).join('\r\n')}\r\n`,
  );
  const change = fc.record({
    at: fc.nat(good.length - 1),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom('"', '\n', ',', '\r', '\0', '""', '"\n').map((text) => Buffer.from(text)),
    ),
    instead: fc.nat(3),
  });

  test('a damaged file gives rows with their numbers, or a FileProblem, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(good.length), { maxLength: 5 }),
        async (changes, cuts) => {
          let bytes = good;
          for (const { at, bytes: put, instead } of changes)
            bytes = Buffer.concat([
              bytes.subarray(0, at),
              put,
              bytes.subarray(Math.min(at + instead, bytes.length)),
            ]);
          const result = await readAll(bytes, cuts).catch((thrown: unknown) => thrown);
          if (result instanceof Error) {
            expect(result).toBeInstanceOf(FileProblem);
            return;
          }
          const { rows } = result as Awaited<ReturnType<typeof readAll>>;
          expect(rows.map(({ rowNo }) => rowNo)).toEqual(rows.map((_, at) => at + 1));
          const lines = rows.map(({ line }) => line);
          expect(lines).toEqual([...lines].sort((a, b) => a - b));
          for (const { cells } of rows)
            for (const cell of cells) expect(cell.isWellFormed() && !cell.includes('\0')).toBe(true);
          // A change touches the lines it stands in; what is far from all of them reads as it was.
          const wholeHeader = changes.every(({ at }) => at > HEADER.length + 2);
          if (wholeHeader) {
            const notes = new Set(rows.map(({ cells }) => cells.join('|')));
            const untouched = Array.from(
              { length: 40 },
              (_, at) => `A-${at}|r-${at}|${at}.50|INR|note "${at}" é, ₹`,
            ).filter((text) => notes.has(text));
            expect(untouched.length).toBeGreaterThanOrEqual(40 - 3 * changes.length - 3);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('so do bytes of any kind', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat(300), { maxLength: 5 }),
        async (bytes, cuts) => {
          const result = await readAll(Buffer.from(bytes), cuts).catch((thrown: unknown) => thrown);
          if (result instanceof Error) expect(result).toBeInstanceOf(FileProblem);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
