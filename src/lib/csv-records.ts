import { isUtf8 } from 'node:buffer';
import { shown } from './shown.ts';
import { fitted, type TableShape } from './table-shape.ts';

export const SEPARATORS = [',', ';', '\t'] as const;
export type Separator = (typeof SEPARATORS)[number];

/** What a spreadsheet's cell can hold (Excel's own limit). */
export const MAX_CELL_LENGTH = 32_767;
/** One row with all its cells. */
export const MAX_RECORD_BYTES = 256 * 1024;

const LF = 0x0a;
/** Chunks are gathered, or cut, to about this size, so that a row is rarely cut in two. */
const BLOCK_BYTES = 64 * 1024;
/** A cell in quotes with more line ends than this is a quote that somebody forgot to close. */
const MAX_LINES_OF_A_CELL = 200;

/** Why a row cannot be trusted, or one of its cells. */
export interface CsvTrouble {
  readonly code: 'too_many_cells' | 'unclosed_quote' | 'too_long' | 'not_utf8' | 'nul_character';
  /** Where in the row, from 0; null when it is the row as a whole. */
  readonly column: number | null;
  readonly message: string;
}

/** One record as it stands: its cells, the line it begins in, and why it cannot be trusted. */
export interface CsvRecord {
  readonly line: number;
  readonly cells: string[];
  readonly trouble: CsvTrouble | null;
  /** Whether the bytes around it are not all UTF-8: its text has one character for each byte then. */
  readonly bytewise: boolean;
}

/** A record in the shape that the header gives to all of them. */
export interface CsvRow {
  readonly line: number;
  /** As many as the header names, unless `trouble` says otherwise. Well-formed text without NUL. */
  readonly cells: string[];
  /** How many of the cells are really there; the others are missing at the end. */
  readonly present: number;
  /** Whether it has fewer cells than the header. */
  readonly isShort: boolean;
  readonly trouble: CsvTrouble | null;
  readonly cellTroubles: readonly CsvTrouble[];
}

// Records → rows --------------------------------------------------------------------------------------------

/** The cells of a header as text. */
export function headerCells(header: CsvRecord): string[] {
  return header.cells.map((cell) => textOf(cell, header.bytewise).text);
}

const SPECIAL = /[\0\x80-\uffff]/;

/** Brings a record into the shape of its table, with what cannot be trusted of it. */
export function csvRowOf(record: CsvRecord, shape: TableShape): CsvRow {
  const { line, bytewise } = record;
  const { cells, present, isShort, tooMany } = fitted(record.cells, shape);
  const trouble = record.trouble ?? (tooMany ? tooManyCells(record.cells.length, shape) : null);
  const troubles: CsvTrouble[] = [];
  for (let column = 0; column < cells.length; column++) {
    const cell = cells[column]!;
    if (cell.length > MAX_CELL_LENGTH) {
      troubles.push(tooLong(column));
      cells[column] = textOf(cell.slice(0, MAX_CELL_LENGTH).toWellFormed(), bytewise).text;
    } else if (SPECIAL.test(cell)) {
      const { text, why } = textOf(cell, bytewise);
      cells[column] = text;
      if (why) troubles.push({ ...why, column });
    }
  }
  const cellTroubles = troubles.length === 0 ? NO_TROUBLES : troubles;
  return { line, cells, present, isShort, trouble, cellTroubles };
}

const NO_TROUBLES: readonly CsvTrouble[] = Object.freeze([]);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const windows1252 = new TextDecoder('windows-1252');

/** The text of a cell, and what is wrong with it. What is not UTF-8 is shown as Windows-1252 would have it. */
function textOf(cell: string, bytewise: boolean): { text: string; why: Omit<CsvTrouble, 'column'> | null } {
  let text = cell;
  let why: Omit<CsvTrouble, 'column'> | null = null;
  if (bytewise && SPECIAL.test(cell)) {
    const bytes = Buffer.from(cell, 'latin1');
    try {
      text = utf8.decode(bytes);
    } catch {
      text = windows1252.decode(bytes);
      why = notUtf8(bytes, text);
    }
  }
  if (text.includes('\0')) {
    text = text.replaceAll('\0', '\uFFFD');
    why ??= {
      code: 'nul_character',
      message: `The cell “${shown(text)}” holds a NUL character. Type it again.`,
    };
  }
  return { text, why };
}

function notUtf8(bytes: Buffer, as1252: string): Omit<CsvTrouble, 'column'> {
  // The five places of Windows-1252 that stand for nothing.
  const known = !bytes.some((byte) => [0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte));
  return {
    code: 'not_utf8',
    message: known
      ? `The cell is not in UTF-8. It looks like Windows-1252, where it reads “${shown(as1252)}”. Save the file as “CSV UTF-8”.`
      : 'The cell is not in UTF-8, so its letters are not known. Save the file as “CSV UTF-8”.',
  };
}

function tooManyCells(cells: number, { width, surplus }: TableShape): CsvTrouble {
  return {
    code: 'too_many_cells',
    column: null,
    message:
      `The row has ${counted(cells)}, but the header has ${width + surplus}. Mostly the text of a cell, or an amount such as 1,234.50, ` +
      'holds the separator: put that cell in straight double quotes ("). A cell too many counts also where it is empty.',
  };
}

function tooLong(column: number): CsvTrouble {
  return {
    code: 'too_long',
    column,
    message: `The cell is longer than ${MAX_CELL_LENGTH} characters, and was cut.`,
  };
}

const counted = (cells: number) => `${cells} cell${cells === 1 ? '' : 's'}`;

// Bytes → records -------------------------------------------------------------------------------------------

/** Some records, with what the first line of the file told about all of them. */
export interface CsvRecords {
  readonly separator: Separator;
  readonly header: CsvRecord;
  readonly records: CsvRecord[];
}

/**
 * All records but blank ones, as they become complete: cells between `,` `;` or tabs (found by the header, or told by
 * Excel's first line `sep=;`), in double quotes where need be, line ends LF or CRLF, UTF-8 with or without a byte order
 * mark. Holds a block and one record, whatever comes.
 */
export async function* csvRecordsOf(
  bytes: AsyncGenerator<Buffer, void, void>,
): AsyncGenerator<CsvRecords, void, void> {
  let separator: Separator | null = null;
  let header: CsvRecord | null = null;
  let records: CsvRecord[] = [];
  let line = 1;
  let rest: Buffer = Buffer.alloc(0);
  // In the middle of a line that is too long to be held.
  let skipping = false;

  function take(record: CsvRecord): void {
    if (record.trouble === null && record.cells.every((cell) => cell.trim() === '')) return;
    if (header === null) header = record;
    else records.push(record);
  }

  /** Reads what is complete of the bytes, and gives the rest back. */
  function read(block: Buffer, last: boolean): Buffer {
    const cut = last ? block.length : block.lastIndexOf(LF) + 1;
    const whole = block.subarray(0, cut);
    const bytewise = !isUtf8(whole);
    const text = bytewise ? whole.toString('latin1') : whole.toString('utf8');
    let quote = text.indexOf('"');
    let at = 0;
    while (at < text.length) {
      const lf = text.indexOf('\n', at);
      const end = lf === -1 ? text.length : lf;
      if (separator === null) {
        const told = /^sep=([,;\t])\r?$/i.exec(text.slice(at, Math.min(end, at + 7)));
        if (told) {
          separator = told[1] as Separator;
          at = end + 1;
          line++;
          continue;
        }
        if (text.slice(at, end).trim() === '') {
          at = end + 1;
          line++;
          continue;
        }
        separator = separatorOf(text.slice(at, end));
      }
      if (quote !== -1 && quote < at) quote = text.indexOf('"', at);
      if (quote === -1 || quote > end) {
        const begin = line++;
        const stop = text.charCodeAt(end - 1) === 0x0d && end > at ? end - 1 : end;
        if (stop - at > MAX_RECORD_BYTES) take(endless(begin, text.slice(at, at + 200), separator));
        else if (stop > at) {
          const cells = text.slice(at, stop).split(separator);
          take({ line: begin, cells, trouble: null, bytewise });
        }
        at = end + 1;
        continue;
      }
      let found = quoted(text, at, separator, line, last);
      if (found === null) {
        const left = Buffer.from(text.slice(at), bytewise ? 'latin1' : 'utf8');
        if (left.length + block.length - cut <= MAX_RECORD_BYTES)
          return Buffer.concat([left, block.subarray(cut)]);
        found = quoted(text, at, separator, line, true)!;
      }
      take({ line, cells: found.cells, trouble: found.trouble, bytewise });
      line += found.lines;
      at = found.next;
    }
    return block.subarray(cut);
  }

  try {
    for await (const chunk of blocksOf(bytes)) {
      let block = chunk;
      if (skipping) {
        const lf = block.indexOf(LF);
        if (lf === -1) continue;
        skipping = false;
        line++;
        block = block.subarray(lf + 1);
      }
      block = rest.length === 0 ? block : Buffer.concat([rest, block]);
      rest = read(block, false);
      if (rest.length > MAX_RECORD_BYTES && !rest.includes(LF)) {
        separator ??= separatorOf(rest.toString('latin1', 0, 4_096));
        take(endless(line, rest.toString('latin1', 0, 200), separator));
        rest = Buffer.alloc(0);
        skipping = true;
      }
      if (separator !== null && header !== null && records.length > 0) {
        yield { separator, header, records };
        records = [];
      }
    }
    if (rest.length > 0) read(rest, true);
    if (separator !== null && header !== null) yield { separator, header, records };
  } finally {
    await bytes.return();
  }
}

/** What a cell in quotes may hold: everything; `""` stands for one quote. Returns null when more bytes are needed. */
function quoted(
  text: string,
  from: number,
  separator: Separator,
  line: number,
  last: boolean,
): { cells: string[]; next: number; lines: number; trouble: CsvTrouble | null } | null {
  const cells: string[] = [];
  let at = from;
  let lines = 1;
  while (true) {
    const begin = at;
    at = afterBlanks(text, at, separator);
    if (text.charCodeAt(at) !== 0x22) {
      // Without a quote at its beginning a cell ends at the next separator or line end, and keeps its blanks.
      while (at < text.length && text[at] !== separator && text[at] !== '\n') at++;
      const ends = text[at] !== separator;
      const cell = text.slice(begin, at++);
      cells.push(ends ? withoutCr(cell) : cell);
      if (ends) return { cells, next: at, lines, trouble: null };
      continue;
    }

    let escaped = false;
    let close = text.indexOf('"', at + 1);
    while (close !== -1 && text.charCodeAt(close + 1) === 0x22 && close - from <= MAX_RECORD_BYTES) {
      escaped = true;
      close = text.indexOf('"', close + 2);
    }
    if (close === -1) {
      if (!last) return null;
      return unclosed(text, from, begin, cells, line, lines);
    }
    // The bytes after the quote decide; they may not be here yet.
    let after = afterBlanks(text, close + 1, separator);
    if (text.charCodeAt(after) === 0x0d && (after + 1 === text.length || text[after + 1] === '\n')) after++;
    const inside = text.slice(at + 1, close);
    const broken = lineEndsIn(inside);
    const next = text[after];
    if (
      close - from > MAX_RECORD_BYTES ||
      broken > MAX_LINES_OF_A_CELL ||
      (next !== undefined && next !== separator && next !== '\n')
    ) {
      return unclosed(text, from, begin, cells, line, lines);
    }
    cells.push(escaped ? inside.replaceAll('""', '"') : inside);
    lines += broken;
    at = after + 1;
    if (next !== separator) return { cells, next: at, lines, trouble: null };
  }
}

/**
 * A quote that is not closed, or is closed in the middle of a text. Only the line in which it begins is given up, so that
 * the rows under it are not taken for one cell.
 */
function unclosed(
  text: string,
  from: number,
  begin: number,
  before: readonly string[],
  line: number,
  lines: number,
): { cells: string[]; next: number; lines: number; trouble: CsvTrouble } {
  let end = text.indexOf('\n', begin);
  if (end === -1) end = text.length;
  const rest = withoutCr(text.slice(begin, Math.min(end, from + MAX_RECORD_BYTES)));
  const where = `cell ${before.length + 1} of line ${line + lines - 1}`;
  return {
    cells: [...before, rest.slice(0, MAX_CELL_LENGTH).toWellFormed()],
    next: end + 1,
    lines,
    trouble: {
      code: 'unclosed_quote',
      column: before.length,
      message: `The double quote that begins ${where} is not closed before a separator or the end of the line: “${shown(rest)}”. Close it, and write a double quote inside such a text twice.`,
    },
  };
}

function endless(line: number, start: string, separator: Separator): CsvRecord {
  return {
    line,
    cells: start.split(separator),
    trouble: {
      code: 'too_long',
      column: null,
      message: `Line ${line} is longer than ${MAX_RECORD_BYTES} bytes. It begins “${shown(start)}”.`,
    },
    bytewise: true,
  };
}

/** The separator that a header has most of, quoted names aside. */
function separatorOf(header: string): Separator {
  const bare = header.replace(/"(?:[^"]|"")*"/g, '');
  const count = (separator: string) => bare.split(separator).length;
  return SEPARATORS.reduce((best, one) => (count(one) > count(best) ? one : best));
}

/** Blanks around a cell mean nothing, nor do those around its quotes: plain ones, tabs and no-break spaces. */
function afterBlanks(text: string, from: number, separator: Separator): number {
  let at = from;
  while (at < text.length && ' \t\u00a0\ufeff'.includes(text[at]!) && text[at] !== separator) at++;
  return at;
}

function lineEndsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

const withoutCr = (text: string) => (text.endsWith('\r') ? text.slice(0, -1) : text);

/** The same bytes in pieces of a size that is good to work on, without a byte order mark. */
async function* blocksOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = [];
  let length = 0;
  let start = true;
  function* gathered(): Generator<Buffer> {
    let block = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    parts = [];
    length = 0;
    if (start && block[0] === 0xef && block[1] === 0xbb && block[2] === 0xbf) block = block.subarray(3);
    start = false;
    for (let at = 0; at < block.length; at += BLOCK_BYTES) yield block.subarray(at, at + BLOCK_BYTES);
  }
  for await (const chunk of bytes) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= BLOCK_BYTES) yield* gathered();
  }
  yield* gathered();
}
