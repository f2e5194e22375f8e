import type { Separator } from '../../lib/csv-records.ts';
import { BATCH_LIMITS } from '../words.ts';
import { FileProblem, MAX_COLUMNS } from './file-problem.ts';
import type { RowCode } from './row-codes.ts';

/** What the reader could not read rightly, before anything is known about the columns. */
export interface FileTrouble {
  readonly code: RowCode;
  /** Where in the row, from 0; null when it is the row as a whole. */
  readonly column: number | null;
  readonly message: string;
}

/** One row of the file as it stands there. */
export interface FileRow {
  /** Counted without the header and without blank lines, from 1. */
  readonly rowNo: number;
  /** The line of the file where the row begins, from 1; of a workbook, the row of the sheet. */
  readonly line: number;
  /** As many as the header has, unless `trouble` says otherwise. Well-formed text without NUL. */
  readonly cells: readonly string[];
  /** How many of the cells are really there; the others are missing at the end, and empty in `cells`. */
  readonly present: number;
  /** Whether the row has fewer cells than the header. Never so in a workbook, where each cell has its place. */
  readonly isShort: boolean;
  /** Why the row as a whole cannot be trusted, such as a quote that is not closed. */
  readonly trouble: FileTrouble | null;
  /** Cells that are not what was meant, such as one that is not UTF-8. They count where their column is used. */
  readonly cellTroubles: readonly FileTrouble[];
}

/** A sheet of a workbook that is not read. */
export interface OtherSheet {
  readonly name: string;
  readonly hidden: boolean;
}

/** Which sheet of a workbook is meant. */
export interface SheetChoice {
  /** By its name; null where nobody has said. */
  readonly sheet: string | null;
  /** Whether a sheet with such a header could be what is meant. */
  readonly fits: (header: readonly string[]) => boolean;
}

/** A file that has been opened: its header is known, its rows come once. */
export interface BatchFile {
  readonly format: 'csv' | 'xlsx';
  /** Between the cells of a CSV file; null for a workbook. */
  readonly separator: Separator | null;
  readonly header: readonly string[];
  /** Of a workbook, the name of the sheet that is read; null for CSV. */
  readonly sheet: string | null;
  readonly otherSheets: readonly OtherSheet[];
  /** Where columns are hidden in the sheet. */
  readonly hiddenColumns: ReadonlySet<number>;
  /** Lists of at most some thousands. Throws a FileProblem where the file cannot be read any further. */
  rows(): AsyncGenerator<readonly FileRow[]>;
  /** Lets go of the stream where the rows are not wanted. */
  close(): Promise<void>;
}

export const ROWS_AT_ONCE = 4_000;
export const NO_TROUBLES: readonly FileTrouble[] = Object.freeze([]);

/** The header with what is no part of any name taken off. */
export function headerOf(cells: readonly string[]): string[] {
  return cells.map((cell) => cell.replace(/^\uFEFF/, '').trim());
}

export function tooManyRows(): FileProblem {
  return new FileProblem(
    'too_many_rows',
    `The file has more than ${BATCH_LIMITS.rows} rows. Split it into several files.`,
    { accepted: `at most ${BATCH_LIMITS.rows} rows` },
  );
}

export function noRows(): FileProblem {
  return new FileProblem('no_rows', 'The file has a line of column names and no row under it.', {
    accepted: 'at least one row',
  });
}

export function noHeader(why: string): FileProblem {
  return new FileProblem(
    'unreadable_header',
    `The file does not begin with a line that names its columns: ${why.replace(/\.$/, '')}.`,
    { accepted: 'a first line such as order_id,unique_request_id,amount,currency,note' },
  );
}

export function tooManyColumns(): FileProblem {
  return new FileProblem('too_many_columns', `The file has more than ${MAX_COLUMNS} columns.`, {
    accepted: `at most ${MAX_COLUMNS} columns`,
  });
}
