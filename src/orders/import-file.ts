import { appendFileSync, createReadStream, existsSync, type ReadStream, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { SingleBar } from 'cli-progress';
import { maskCardNumbers } from '../lib/card-number.ts';
import type { Clock } from '../lib/clock.ts';
import { csvCell } from '../lib/csv.ts';
import { type CsvRecord, type CsvRow, csvRecordsOf, csvRowOf, headerCells } from '../lib/csv-records.ts';
import type { Database } from '../lib/db.ts';
import { linesOf, slicesOf } from '../lib/lines.ts';
import { OperatorError } from '../lib/operator-error.ts';
import { shown } from '../lib/shown.ts';
import { isPlainNumber, looksSplit, shapeOf, type TableShape } from '../lib/table-shape.ts';
import { unseenSentence } from '../lib/unseen.ts';
import { MAX_LINE_BYTES, type ReadLine, readLine, recordLines, SLICE_LENGTH } from './import.ts';
import { TRANSACTION_FIELDS, type TransactionRefusal } from './told.ts';

export interface ImportFileOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly merchantId: string;
  /** A `.csv` with a header of field names, or `.ndjson` / `.jsonl` with one JSON object on each line. */
  readonly path: string;
  /** Where progress and the summary are shown. */
  readonly out: NodeJS.WriteStream;
}

export interface ImportSummary {
  readonly recorded: number;
  readonly unchanged: number;
  readonly refused: number;
  /** Where the refused lines are listed; null when there are none. */
  readonly errorsPath: string | null;
}

/**
 * Tells of all payments in a file, in constant memory, with a progress bar and a summary. Lines that are refused
 * are listed in `<path>.errors.csv` with line, field, value and a sentence; the others are recorded. May be run
 * again on the same file. Throws OperatorError for a file that cannot be read at all.
 */
export async function importFile(options: ImportFileOptions): Promise<ImportSummary> {
  const { db, clock, merchantId, path, out } = options;
  const linesIn = READERS[extname(path).toLowerCase()];
  if (!linesIn) {
    throw new OperatorError(
      `${path} is neither .csv nor .ndjson nor .jsonl: give it the name that it deserves.`,
    );
  }
  const totalBytes = await sizeOf(path);
  const file = createReadStream(path);
  const progress = createProgress(out, totalBytes);
  const errors = createErrorList(`${path}.errors.csv`);
  const counts = { recorded: 0, unchanged: 0, refused: 0 };
  const name = maskCardNumbers(basename(path));
  try {
    for await (const slice of slicesOf(linesIn(file), SLICE_LENGTH)) {
      const outcomes = await recordLines(db, clock, merchantId, slice, (line) => ({
        by: 'file',
        name,
        line,
      }));
      for (const { outcome } of outcomes) counts[outcome]++;
      errors.add(
        outcomes.flatMap((outcome, index) =>
          outcome.outcome === 'refused' ? [{ line: slice[index]!.line, refusal: outcome.refusal }] : [],
        ),
      );
      progress.at(file.bytesRead, counts);
    }
  } finally {
    file.destroy();
    progress.end();
  }
  const errorsPath = counts.refused > 0 ? errors.path : null;
  out.write(
    `${name}: ${counts.recorded} recorded, ${counts.unchanged} known before, ${counts.refused} refused.\n` +
      (errorsPath === null ? '' : `Why they were refused: ${errorsPath}\n`),
  );
  return { ...counts, errorsPath };
}

async function sizeOf(path: string): Promise<number> {
  try {
    await using handle = await open(path);
    const stat = await handle.stat();
    if (!stat.isFile()) throw new OperatorError(`${path} is not a file.`);
    return stat.size;
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(`${path} cannot be read: ${(error as Error).message}.`);
  }
}

// Reading -----------------------------------------------------------------------------------------------

const READERS: Readonly<Record<string, (file: ReadStream) => AsyncIterable<ReadLine[]>>> = {
  '.csv': csvLines,
  '.ndjson': jsonLines,
  '.jsonl': jsonLines,
};

async function* jsonLines(file: ReadStream): AsyncGenerator<ReadLine[]> {
  for await (const lines of linesOf(file, MAX_LINE_BYTES)) yield lines.map(readLine);
}

const REQUIRED = ['order_id', 'amount', 'currency', 'status', 'gateway', 'gateway_payment_id'];

async function* csvLines(file: ReadStream): AsyncGenerator<ReadLine[]> {
  let table: { readonly names: readonly string[]; readonly shape: TableShape } | null = null;
  for await (const { header, records } of csvRecordsOf(textOf(file))) {
    table ??= readHeader(header);
    const { names, shape } = table;
    yield records.map((record) => readRow(names, csvRowOf(record, shape)));
  }
  if (table === null) throw new OperatorError('The file is empty: its first line should name the fields.');
}

/** The bytes of a file that may be text in UTF-8. */
async function* textOf(file: ReadStream): AsyncGenerator<Buffer, void, void> {
  let isFirst = true;
  for await (const chunk of file as AsyncIterable<Buffer>) {
    if (isFirst && /^(?:\xff\xfe|\xfe\xff)/.test(chunk.toString('latin1', 0, 2))) {
      throw new OperatorError('The file is text in UTF-16. Save it as “CSV UTF-8 (Comma delimited)”.');
    }
    isFirst = false;
    yield chunk;
  }
}

function readHeader(record: CsvRecord): { names: readonly string[]; shape: TableShape } {
  if (record.trouble) throw new OperatorError(`The first line cannot be read. ${record.trouble.message}`);
  if (record.cells.some((cell) => cell.includes('\r')))
    throw new OperatorError(
      'The lines of the file end with CR alone. Save it as “CSV UTF-8 (Comma delimited)”.',
    );
  const cells = headerCells(record).map((name) => name.trim());
  const shape = shapeOf(cells);
  const names = cells.slice(0, shape.width);
  const stranger = names.find((name) => !TRANSACTION_FIELDS.has(name));
  if (stranger !== undefined) {
    throw new OperatorError(
      `The first line names ${JSON.stringify(shown(stranger))}, which is no field of a transaction.${unseenSentence(stranger)} ` +
        `Fields, separated by commas, are: ${[...TRANSACTION_FIELDS].join(', ')}.`,
    );
  }
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new OperatorError(`The first line names ${twice} twice.`);
  const missing = REQUIRED.filter((name) => !names.includes(name));
  if (missing.length > 0) throw new OperatorError(`The first line does not name ${missing.join(', ')}.`);
  return { names, shape };
}

/** An empty cell is a field that was not told. */
function readRow(names: readonly string[], row: CsvRow): ReadLine {
  const { line, trouble, cellTroubles } = row;
  const cells = row.cells.map((cell) => cell.trim());
  const broken = trouble ?? cellTroubles[0];
  const refusal: TransactionRefusal | null = broken
    ? {
        code: 'unreadable_line',
        message: broken.message,
        ...(broken.column !== null && names[broken.column] && { field: names[broken.column]! }),
      }
    : doubtOf(names, cells, row);
  if (refusal) return { line, ok: false, refusal };
  const told = names.flatMap((name, at) => (cells[at] === '' ? [] : [[name, cells[at]!] as const]));
  return { line, ok: true, item: Object.fromEntries(told) };
}

const AMOUNTS: ReadonlySet<string> = new Set(['amount', 'surcharge', 'offer_discount']);
/** Fields where a number is as good as any text. */
const isText = (name: string | undefined) =>
  name !== undefined &&
  (/^(?:udf\d+|order_id|gateway_payment_id|payment_method|payment_method_type|gateway_account)$/.test(name) ||
    name.startsWith('customer_'));

/**
 * Why the shape of a row leaves it open what it says: a comma may have split an amount, or moved the cells after it, and an empty
 * cell that was left out makes the count right again.
 */
function doubtOf(
  names: readonly string[],
  cells: readonly string[],
  { present, isShort }: CsvRow,
): TransactionRefusal | null {
  const absent = names.slice(present).find((name) => REQUIRED.includes(name));
  if (absent !== undefined) {
    return {
      code: 'unreadable_line',
      message: `The line has fewer cells than the first line, and ${absent} is missing. A cell that is empty still has its comma.`,
      field: absent,
    };
  }
  const split = names.findIndex(
    (name, at) =>
      AMOUNTS.has(name) &&
      at + 1 < present &&
      (isText(names[at + 1]) ? looksSplit(cells[at]!, cells[at + 1]!) : false),
  );
  const moved = isShort
    ? names.findIndex(
        (name, at) =>
          at > names.indexOf('amount') &&
          at < present &&
          isText(name) &&
          !REQUIRED.includes(name) &&
          isPlainNumber(cells[at]!),
      )
    : -1;
  const at = split === -1 ? moved : split;
  if (at === -1) return null;
  return {
    code: 'unreadable_line',
    message:
      'A comma may have split an amount such as 1,234.50 or 12,50, or moved the cells after it: a number stands where text belongs. ' +
      'Put amounts and texts that hold commas in double quotes, or write the amount with its decimals.',
    field: names[at]!,
    value: shown(split === -1 ? cells[at]! : `${cells[at]},${cells[at + 1]}`),
  };
}

// Showing -----------------------------------------------------------------------------------------------

interface Progress {
  at(bytes: number, counts: Readonly<Record<'recorded' | 'unchanged' | 'refused', number>>): void;
  end(): void;
}

function createProgress(out: NodeJS.WriteStream, totalBytes: number): Progress {
  if (!out.isTTY) return createProgressLines(out, totalBytes);
  const bar = new SingleBar({
    stream: out,
    format:
      '{bar} {percentage}% | {recorded} recorded, {unchanged} known, {refused} refused | {eta_formatted} left',
    hideCursor: true,
  });
  bar.start(totalBytes, 0, { recorded: 0, unchanged: 0, refused: 0 });
  return { at: (bytes, counts) => bar.update(bytes, counts), end: () => bar.stop() };
}

/** For logs: a line at every tenth of the file. */
function createProgressLines(out: NodeJS.WriteStream, totalBytes: number): Progress {
  let tenths = 0;
  return {
    at(bytes, counts) {
      const reached = Math.floor((bytes * 10) / totalBytes);
      if (reached <= tenths || reached >= 10) return;
      tenths = reached;
      out.write(
        `${tenths * 10} %: ${counts.recorded} recorded, ${counts.unchanged} known, ${counts.refused} refused\n`,
      );
    },
    end() {},
  };
}

/** A CSV file that is there only when something was refused. */
function createErrorList(path: string) {
  rmSync(path, { force: true });
  return {
    path,
    add(refused: readonly { readonly line: number; readonly refusal: TransactionRefusal }[]): void {
      if (refused.length === 0) return;
      const header = existsSync(path) ? '' : 'line,field,value,sentence\n';
      appendFileSync(path, header + refused.map(errorRow).join(''));
    },
  };
}

function errorRow({
  line,
  refusal,
}: {
  readonly line: number;
  readonly refusal: TransactionRefusal;
}): string {
  const { field = '', value = '', message, accepted } = refusal;
  const sentence = accepted === undefined ? message : `${message} Accepted: ${accepted}.`;
  return `${[String(line), field, value, sentence].map(csvCell).join(',')}\n`;
}
