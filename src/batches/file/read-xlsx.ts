import { BATCH_LIMITS } from '../words.ts';
import { MAX_CELL_LENGTH } from '../../lib/csv-records.ts';
import { MAX_COLUMNS } from './file-problem.ts';
import {
  type BatchFile,
  type FileRow,
  type FileTrouble,
  headerOf,
  NO_TROUBLES,
  noHeader,
  noRows,
  ROWS_AT_ONCE,
  tooManyColumns,
  tooManyRows,
} from './file-row.ts';
import { shown } from '../../lib/shown.ts';
import { fitted } from '../../lib/table-shape.ts';
import { type Archive, damaged, openArchive, XLSX_LIMITS, xmlParser } from './xlsx-archive.ts';
import { type Book, readBook, unescaped } from './xlsx-book.ts';
import { PLAIN, readNumber } from './xlsx-number.ts';

/** A row of the sheet that is not empty. */
interface SheetRow {
  readonly line: number;
  readonly cells: string[];
  readonly hidden: boolean;
  readonly troubles: FileTrouble[];
}

/**
 * Opens a workbook (.xlsx, .xlsm) and reads its first visible sheet. The file and the texts that its cells share are held
 * in memory, the rows are not. Formulas are not computed, macros and links not followed.
 */
export async function openXlsx(bytes: AsyncGenerator<Buffer, void, void>): Promise<BatchFile> {
  const archive = await openArchive(bytes);
  const rows = sheetRows(archive, await readBook(archive));
  const first = await rows.next();
  if (first.done) throw noHeader('its first sheet is empty');
  const [head, ...under] = first.value;
  const header = headerOf(head!.cells);
  while (header.length > 1 && header.at(-1) === '') header.pop();
  if (header.length > MAX_COLUMNS) throw tooManyColumns();
  return {
    format: 'xlsx',
    separator: null,
    header,
    rows: () => rowsOf(under, rows, header.length),
    close: async () => void (await rows.return()),
  };
}

async function* rowsOf(
  first: readonly SheetRow[],
  rest: AsyncGenerator<SheetRow[], void, void>,
  width: number,
): AsyncGenerator<readonly FileRow[]> {
  let rowNo = 0;
  try {
    for (
      let list: readonly SheetRow[] | undefined = first;
      list;
      list = (await rest.next()).value ?? undefined
    ) {
      for (let start = 0; start < list.length; start += ROWS_AT_ONCE) {
        const rows: FileRow[] = [];
        for (const row of list.slice(start, start + ROWS_AT_ONCE)) {
          rowNo++;
          if (rowNo > BATCH_LIMITS.rows) throw tooManyRows();
          rows.push(rowOf(rowNo, row, width));
        }
        yield rows;
      }
    }
    if (rowNo === 0) throw noRows();
  } finally {
    await rest.return();
  }
}

function rowOf(rowNo: number, row: SheetRow, width: number): FileRow {
  const { line, troubles } = row;
  const { cells, tooMany } = fitted(row.cells, { width, surplus: 0 });
  const trouble: FileTrouble | null =
    tooMany
      ? {
          code: 'too_many_cells',
          column: null,
          message: `Row ${line} of the sheet has a cell to the right of the columns that the header names. Take it out, or name its column.`,
        }
      : row.hidden
        ? {
            code: 'hidden_row',
            column: null,
            message: `Row ${line} of the sheet is hidden, by a filter or by hand. Nothing is done that nobody saw: show the row, or delete it.`,
          }
        : null;
  return {
    rowNo,
    line,
    cells,
    present: cells.length,
    isShort: false,
    trouble,
    cellTroubles: troubles.length === 0 ? NO_TROUBLES : troubles,
  };
}

// The sheet --------------------------------------------------------------------------------------------------

/** Excel's own limits. More is no sheet, but an attack or damage. */
const LAST_ROW = 1_048_576;
const LAST_COLUMN = 16_384;

async function* sheetRows(archive: Archive, book: Book): AsyncGenerator<SheetRow[], void, void> {
  let rows: SheetRow[] = [];
  const parser = sheetParser(book, (row) => rows.push(row));
  for await (const _ of archive.parse(book.sheet, XLSX_LIMITS.sheetBytes, parser)) {
    if (rows.length < ROWS_AT_ONCE) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

function sheetParser(book: Book, take: (row: SheetRow) => void) {
  let line = 0;
  let before = 0;
  let row: SheetRow | null = null;
  let column = -1;
  let type = '';
  let style = 0;
  let value = '';
  let formula: string | null = null;
  let into: 'value' | 'formula' | null = null;
  let phonetic = 0;

  return xmlParser({
    open(name, attributes) {
      switch (name) {
        case 'row':
          before = line;
          line = attributes['r'] === undefined ? line + 1 : Number(attributes['r']);
          // A place that comes twice is read by each program in its own way.
          if (!(Number.isInteger(line) && line > before && line <= LAST_ROW))
            throw damaged('a row has no place, or one that is taken');
          row = { line, cells: [], hidden: isTrue(attributes['hidden']), troubles: [] };
          column = -1;
          break;
        case 'c':
          before = column;
          column = attributes['r'] === undefined ? column + 1 : columnOf(attributes['r']);
          if (!(column > before && column < LAST_COLUMN))
            throw damaged(`a cell in row ${line} has no place, or one that is taken`);
          type = attributes['t'] ?? 'n';
          style = Number(attributes['s'] ?? 0);
          value = '';
          formula = null;
          break;
        case 'f':
          formula = '';
          into = 'formula';
          break;
        case 'rPh':
          phonetic++;
          break;
        case 'v':
        case 't':
          into = 'value';
          break;
      }
    },
    text(text) {
      if (into === 'value' && phonetic === 0) value += text;
      else if (into === 'formula') formula += text;
    },
    close(name) {
      switch (name) {
        case 'v':
        case 't':
        case 'f':
          into = null;
          break;
        case 'rPh':
          phonetic--;
          break;
        case 'c':
          // Far to the right it is only known that there is a cell under no header.
          if (row) keep(row, Math.min(column, MAX_COLUMNS));
          break;
        case 'row':
          if (row?.cells.some((cell) => cell.trim() !== '')) take(row);
          row = null;
          break;
      }
    },
  });

  /** Puts the cell into its row, with what cannot be trusted of it. */
  function keep(into: SheetRow, at: number): void {
    const { text, trouble } = read();
    if (text === '' && trouble === null) return;
    while (into.cells.length < at) into.cells.push('');
    into.cells[at] = text;
    if (trouble) into.troubles.push({ ...trouble, column: at });
  }

  function read(): { text: string; trouble: Omit<FileTrouble, 'column'> | null } {
    const { text, trouble } = shownValue();
    const clean = text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text;
    if (formula !== null) {
      return {
        text: clean.trim() === '' ? `=${formula}`.slice(0, MAX_CELL_LENGTH).toWellFormed() : clean,
        trouble: {
          code: 'formula',
          message: `The cell is a formula${formula === '' ? '' : ` (“=${shown(formula)}”)`} that shows “${shown(clean)}”. Formulas are not computed here: copy the column, and paste it as values.`,
        },
      };
    }
    if (clean.length > MAX_CELL_LENGTH) {
      const message = `The cell is longer than ${MAX_CELL_LENGTH} characters, and was cut.`;
      return { text: clean.slice(0, MAX_CELL_LENGTH).toWellFormed(), trouble: { code: 'too_long', message } };
    }
    return { text: clean, trouble };
  }

  function shownValue(): { text: string; trouble: Omit<FileTrouble, 'column'> | null } {
    if (value === '') return { text: '', trouble: null };
    switch (type) {
      case 's': {
        const text = /^\s*\d{1,8}\s*$/.test(value) ? book.strings.at(Number(value)) : undefined;
        if (text === undefined) throw damaged(`a cell in row ${line} points to a text that is not there`);
        return { text, trouble: null };
      }
      case 'inlineStr':
      case 'str':
        return { text: unescaped(value), trouble: null };
      case 'b':
        return {
          text: value.trim() === '1' ? 'TRUE' : value.trim() === '0' ? 'FALSE' : value,
          trouble: null,
        };
      case 'e':
        return {
          text: value,
          trouble: {
            code: 'cell_error',
            message: `The cell shows an error of the spreadsheet: “${shown(value)}”. Write its value.`,
          },
        };
      case 'd':
        return { text: value, trouble: dateTrouble(value) };
      default:
        return numberOf();
    }
  }

  function numberOf(): { text: string; trouble: Omit<FileTrouble, 'column'> | null } {
    const reading = readNumber(value, book.formats[style] ?? PLAIN, book.since1904);
    if (!reading.ok) throw damaged(`a number in row ${line} is none`);
    const { text, what } = reading;
    if (what === 'date') return { text, trouble: dateTrouble(text) };
    if (what === 'number') return { text, trouble: null };
    return {
      text,
      trouble: {
        code: 'rounded_number',
        message: `The cell is the number ${shown(text)}. Spreadsheets keep 15 digits of a number, so its last digits are lost. Format the column as text, and fill in the value again.`,
      },
    };
  }
}

function dateTrouble(text: string): Omit<FileTrouble, 'column'> {
  return {
    code: 'date_in_cell',
    message: `The spreadsheet has made a date of the cell: ${shown(text)}. Format the column as text, and fill in the value again.`,
  };
}

const isTrue = (text: string | undefined) => text === '1' || text === 'true';

/** "C12" → 2; -1 for what is no place. */
function columnOf(reference: string): number {
  let column = 0;
  let at = 0;
  for (; at < reference.length && at < 4; at++) {
    const letter = reference.charCodeAt(at) - 64;
    if (letter < 1 || letter > 26) break;
    column = column * 26 + letter;
  }
  return at >= 1 && at <= 3 ? column - 1 : -1;
}
