import { appendFileSync, createReadStream, existsSync, type ReadStream, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { pipeline } from 'node:stream';
import { SingleBar } from 'cli-progress';
import { CsvError, parse } from 'csv-parse';
import type { Clock } from '../lib/clock.ts';
import { csvCell } from '../lib/csv.ts';
import type { Database } from '../lib/db.ts';
import { linesOf, slicesOf } from '../lib/lines.ts';
import { OperatorError } from '../lib/operator-error.ts';
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
  const name = basename(path);
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
  const parser = parse({ bom: true, info: true, relax_column_count: true, max_record_size: MAX_LINE_BYTES });
  // Errors of either stream are thrown by the loop below.
  pipeline(file, parser, () => {});
  let names: readonly string[] | null = null;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      if (names === null) names = readHeader(record);
      else if (record.some((cell) => cell.trim() !== '')) yield [readRecord(names, record, info.lines)];
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = Number(error['lines']);
    const why = CSV_PROBLEMS[error.code] ?? error.message;
    const message = `${why} Neither this line nor any after it was read.`;
    yield [{ line, ok: false, refusal: { code: 'unreadable_line', message } }];
  }
  if (names === null) throw new OperatorError('The file is empty: its first line should name the fields.');
}

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

const CSV_PROBLEMS: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'A quote is opened and never closed.',
  CSV_INVALID_CLOSING_QUOTE: 'After a closing quote there is more than a comma.',
  INVALID_OPENING_QUOTE: 'A quote stands in the middle of a field.',
  CSV_MAX_RECORD_SIZE: `The line is longer than ${MAX_LINE_BYTES} bytes; perhaps a quote is not closed.`,
};

function readHeader(record: readonly string[]): readonly string[] {
  const names = record.map((name) => name.trim());
  const stranger = names.find((name) => !TRANSACTION_FIELDS.has(name));
  if (stranger !== undefined) {
    throw new OperatorError(
      `The first line names ${JSON.stringify(stranger.slice(0, 100))}, which is no field of a transaction. ` +
        `Fields, separated by commas, are: ${[...TRANSACTION_FIELDS].join(', ')}.`,
    );
  }
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new OperatorError(`The first line names ${twice} twice.`);
  const missing = REQUIRED.filter((name) => !names.includes(name));
  if (missing.length > 0) throw new OperatorError(`The first line does not name ${missing.join(', ')}.`);
  return names;
}

/** An empty cell is a field that was not told. */
function readRecord(names: readonly string[], record: readonly string[], line: number): ReadLine {
  const unreadable = (message: string): ReadLine => ({
    line,
    ok: false,
    refusal: { code: 'unreadable_line', message },
  });
  if (record.length !== names.length) {
    return unreadable(`The line has ${record.length} fields where the first line names ${names.length}.`);
  }
  if (record.some((cell) => cell.includes('\uFFFD'))) return unreadable('The line is not UTF-8.');
  const cells = names.flatMap((name, index) => {
    const cell = record[index]!.trim();
    return cell === '' ? [] : [[name, cell] as const];
  });
  return { line, ok: true, item: Object.fromEntries(cells) };
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
