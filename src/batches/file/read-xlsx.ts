import { MAX_CELL_LENGTH } from '../../lib/csv-records.ts';
import { shown } from '../../lib/shown.ts';
import { fitted, shapeOf, type TableShape } from '../../lib/table-shape.ts';
import { BATCH_LIMITS } from '../words.ts';
import { FileProblem, MAX_COLUMNS } from './file-problem.ts';
import {
  type BatchFile,
  type FileRow,
  type FileTrouble,
  headerOf,
  NO_TROUBLES,
  noHeader,
  noRows,
  ROWS_AT_ONCE,
  type SheetChoice,
  tooManyColumns,
  tooManyRows,
} from './file-row.ts';
import { type Archive, damaged, openArchive, XLSX_LIMITS, xmlParser } from './xlsx-archive.ts';
import { type Book, readBook, type Sheet, unescaped } from './xlsx-book.ts';
import { PLAIN, readNumber } from './xlsx-number.ts';

/** A row of the sheet that is not empty. */
interface SheetRow {
  readonly line: number;
  readonly cells: string[];
  readonly hidden: boolean;
  readonly troubles: FileTrouble[];
}

/** A workbook may have hundreds of sheets; so many of them are looked at to find the one that is meant. */
const SHEETS_LOOKED_AT = 50;

/**
 * Opens a workbook (.xlsx, .xlsm) and reads the sheet that is meant: the one that was named, or the only one that can be seen and
 * has the columns of such a file, or else the first. Where several have them, nothing is chosen. The file and the texts that its
 * cells share are held in memory, the rows are not. Formulas are not computed, macros and links not followed.
 */
export async function openXlsx(
  bytes: AsyncGenerator<Buffer, void, void>,
  choice: SheetChoice,
): Promise<BatchFile> {
  const archive = await openArchive(bytes);
  const book = await readBook(archive);
  const sheet = await chosenSheet(archive, book, choice);
  const layout: Layout = { hiddenColumns: new Set(), headerLine: 0 };
  const rows = sheetRows(archive, book, sheet, layout);
  const first = await rows.next();
  if (first.done) throw noHeader(`its sheet “${shown(sheet.name)}” is empty`);
  const [head, ...under] = first.value;
  const named = headerOf(head!.cells);
  const shape = shapeOf(named);
  const header = named.slice(0, shape.width);
  if (header.length > MAX_COLUMNS) throw tooManyColumns();
  return {
    format: 'xlsx',
    separator: null,
    header,
    sheet: sheet.name,
    otherSheets: book.sheets.filter((other) => other !== sheet).map(({ name, hidden }) => ({ name, hidden })),
    hiddenColumns: layout.hiddenColumns,
    rows: () => rowsOf(under, rows, shape),
    close: async () => void (await rows.return()),
  };
}

async function chosenSheet(archive: Archive, book: Book, { sheet, fits }: SheetChoice): Promise<Sheet> {
  const visible = book.sheets.filter(({ hidden }) => !hidden);
  const names = visible.map(({ name }) => name).join(', ');
  if (sheet !== null) {
    const found =
      visible.find(({ name }) => name === sheet) ?? visible.find(({ name }) => name.trim() === sheet.trim());
    if (found) return found;
    const isHidden = book.sheets.some(({ name, hidden }) => hidden && name === sheet);
    throw new FileProblem(
      'no_such_sheet',
      `The workbook has no sheet “${shown(sheet)}”${isHidden ? ' that can be seen: it is hidden' : ''}. It has ${listed(visible)}.`,
      {
        field: 'sheet',
        value: shown(sheet),
        accepted: shown(names),
        sheets: visible.map(({ name }) => name),
      },
    );
  }
  if (visible.length === 1) return visible[0]!;
  const fitting: Sheet[] = [];
  for (const one of visible.slice(0, SHEETS_LOOKED_AT))
    if (fits(await headerOfSheet(archive, book, one))) fitting.push(one);
  if (fitting.length > 1) {
    throw new FileProblem(
      'several_sheets',
      `Several sheets of the workbook have the columns of such a file: ${listed(fitting)}. Nothing was read. Say which one is meant, or leave one of them in the file.`,
      {
        field: 'sheet',
        value: shown(fitting.map(({ name }) => name).join(', ')),
        accepted: 'the name of one sheet',
        sheets: fitting.map(({ name }) => name),
      },
    );
  }
  return fitting[0] ?? visible[0]!;
}

/** The first row that is not empty. */
async function headerOfSheet(archive: Archive, book: Book, sheet: Sheet): Promise<string[]> {
  const rows = sheetRows(archive, book, sheet, { hiddenColumns: new Set(), headerLine: 0 }, 1);
  try {
    const first = await rows.next();
    return first.done ? [] : headerOf(first.value[0]!.cells);
  } finally {
    await rows.return();
  }
}

const listed = (sheets: readonly Sheet[]) =>
  sheets
    .slice(0, 20)
    .map(({ name }) => `“${shown(name)}”`)
    .join(', ') + (sheets.length > 20 ? ` and ${sheets.length - 20} more` : '');

async function* rowsOf(
  first: readonly SheetRow[],
  rest: AsyncGenerator<SheetRow[], void, void>,
  shape: TableShape,
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
          rows.push(rowOf(rowNo, row, shape));
        }
        yield rows;
      }
    }
    if (rowNo === 0) throw noRows();
  } finally {
    await rest.return();
  }
}

function rowOf(rowNo: number, row: SheetRow, shape: TableShape): FileRow {
  const { line, troubles } = row;
  const { cells, tooMany } = fitted(row.cells, shape);
  const trouble: FileTrouble | null = tooMany
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

/** What is known of a sheet beside its rows. Filled while these are read. */
interface Layout {
  readonly hiddenColumns: Set<number>;
  /** The row of the header; 0 while it has not come. */
  headerLine: number;
}

async function* sheetRows(
  archive: Archive,
  book: Book,
  sheet: Sheet,
  layout: Layout,
  atOnce = ROWS_AT_ONCE,
): AsyncGenerator<SheetRow[], void, void> {
  let rows: SheetRow[] = [];
  const parser = sheetParser(book, layout, (row) => {
    if (layout.headerLine === 0) layout.headerLine = row.line;
    rows.push(row);
  });
  for await (const _ of archive.parse(sheet.part, XLSX_LIMITS.sheetBytes, parser)) {
    if (rows.length < atOnce) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

function sheetParser(book: Book, layout: Layout, take: (row: SheetRow) => void) {
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
        case 'col':
          if (isTrue(attributes['hidden']) || Number(attributes['width'] ?? 1) === 0)
            hideColumns(Number(attributes['min']), Number(attributes['max']));
          break;
        case 'mergeCell':
          refuseMerged(attributes['ref'] ?? '');
          break;
        case 'row':
          before = line;
          line = attributes['r'] === undefined ? line + 1 : Number(attributes['r']);
          // A place that comes twice is read by each program in its own way.
          if (!(Number.isInteger(line) && line > before && line <= LAST_ROW))
            throw damaged('a row has no place, or one that is taken');
          row = { line, cells: [], hidden: isHiddenRow(attributes), troubles: [] };
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

  function hideColumns(from: number, to: number): void {
    for (let at = from; at <= Math.min(to, MAX_COLUMNS); at++) layout.hiddenColumns.add(at - 1);
  }

  /** Below its header a table has no merged cells: which of the rows a value is of would be a guess. */
  function refuseMerged(area: string): void {
    const last = Number(/\d+$/.exec(area)?.[0] ?? 0);
    if (layout.headerLine === 0 || last <= layout.headerLine) return;
    throw new FileProblem(
      'merged_cells',
      `The cells ${shown(area)} of the sheet are merged, so that it is not known which row their value is of. Unmerge them, and fill in each row.`,
      { value: shown(area), accepted: 'a sheet without merged cells' },
    );
  }

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
    if (clean !== '' && book.formats[style]?.kind === 'unseen') {
      return {
        text: clean,
        trouble: {
          code: 'hidden_cell',
          message: `The cell holds “${shown(clean)}”, but its number format shows nothing or another number. Format the column as text, and look at the value again.`,
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

/** Hidden by a filter, a group or by hand, or so low that nothing of it is seen. */
const isHiddenRow = (attributes: Readonly<Record<string, string>>) =>
  isTrue(attributes['hidden']) || Number(attributes['ht'] ?? 1) === 0;

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
