import { createHash } from 'node:crypto';
import { maskCardNumbers } from '../lib/card-number.ts';
import { sqlState } from '../lib/db.ts';
import { shown } from '../lib/shown.ts';
import type { Actor, BatchFileRecord, BatchRecord, Problem, Reading } from './batch.ts';
import type { BatchDeps } from './deps.ts';
import { type ColumnMatch, type MatchedColumns, matchColumns } from './file/columns.ts';
import { FileProblem } from './file/file-problem.ts';
import type { BatchFile, FileRow, OtherSheet } from './file/file-row.ts';
import { openBatchFile } from './file/read-file.ts';
import {
  appendChunk,
  changeBatch,
  changeFile,
  findSameFile,
  holdFile,
  insertBatch,
  insertFile,
  lockBatch,
  readBatch,
  readChunks,
  readColumnNames,
  readFile,
  recordEvent,
  saveColumnNames,
} from './store.ts';
import { BATCH_LIMITS, type BatchKind } from './words.ts';

export type UploadRefusal =
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** The batch takes no file now. */
  | { readonly ok: false; readonly refusal: 'wrong_status'; readonly batch: BatchRecord }
  /** The part does not begin where the file ends. */
  | { readonly ok: false; readonly refusal: 'wrong_offset'; readonly receivedBytes: number }
  | { readonly ok: false; readonly refusal: 'too_large' }
  /** There are no bytes, or not as many as were promised. */
  | { readonly ok: false; readonly refusal: 'incomplete'; readonly receivedBytes: number }
  /** A file of corrected rows that cannot be read. Nothing was changed. */
  | { readonly ok: false; readonly refusal: 'unreadable'; readonly problem: Problem };

export type UploadOutcome = { readonly ok: true; readonly batch: BatchRecord } | UploadRefusal;

/** Pieces in which a file is kept: each is written, and so is safe, before the next is taken. */
const PIECE_BYTES = 1_000_000;

/** Begins a batch whose file is still to come. */
export async function beginBatch(
  deps: BatchDeps,
  asked: {
    readonly merchantId: string;
    readonly kind: BatchKind;
    readonly name: string;
    readonly fileName: string;
    /** Null where nobody knows before its end. */
    readonly bytes: number | null;
    readonly reading: Reading;
    readonly by: Actor;
  },
): Promise<BatchRecord> {
  const { db, clock } = deps.engine;
  const now = clock.now();
  return db.transaction(async (tx) => {
    const batch = await insertBatch(tx, { ...asked, createdBy: asked.by, now });
    await insertFile(tx, batch, { name: asked.fileName, bytes: asked.bytes, now });
    return recordEvent(tx, batch, {
      at: now,
      kind: 'begun',
      by: asked.by,
      facts: { file: asked.fileName, bytes: asked.bytes },
    });
  });
}

/**
 * Begins to take a file of corrected rows. A batch takes one once its check is over and before it is confirmed, and
 * again once all its rows are out.
 */
export async function beginCorrection(
  deps: BatchDeps,
  key: { readonly merchantId: string; readonly batchId: string },
  asked: { readonly fileName: string; readonly by: Actor },
): Promise<UploadOutcome> {
  const { db, clock } = deps.engine;
  const now = clock.now();
  return db.transaction(async (tx) => {
    const batch = await lockBatch(tx, key);
    if (!batch) return { ok: false, refusal: 'not_found' };
    if (!mayBeCorrected(batch)) return { ok: false, refusal: 'wrong_status', batch };
    const fileNo = await insertFile(tx, batch, { name: asked.fileName, bytes: null, now });
    return { ok: true, batch: { ...batch, fileNo } };
  });
}

function mayBeCorrected(batch: BatchRecord): boolean {
  return (
    batch.status === 'checked' || (batch.sentAt !== null && ['running', 'finished'].includes(batch.status))
  );
}

/**
 * Adds bytes to the file of a batch from `atByte` on, in pieces that are safe as they come: where the sender is cut off,
 * it asks how many bytes are there and goes on from these. Says how many are there now.
 */
export async function addBytes(
  deps: BatchDeps,
  batch: BatchRecord,
  file: { readonly fileNo: number; readonly bytes: number | null },
  atByte: number,
  parts: AsyncIterable<Buffer>,
): Promise<{ readonly ok: true; readonly receivedBytes: number } | UploadRefusal> {
  const { db } = deps.engine;
  const most = file.bytes ?? BATCH_LIMITS.bytes;
  let at = atByte;
  let held: Buffer[] = [];
  let heldBytes = 0;
  const keep = async (): Promise<boolean> => {
    if (heldBytes === 0) return true;
    const kept = await appendChunk(db, batch, file.fileNo, at, Buffer.concat(held));
    at += heldBytes;
    held = [];
    heldBytes = 0;
    return kept;
  };
  const elsewhere = async (): Promise<UploadRefusal> => {
    const { receivedBytes } = await readFile(db, batch, file.fileNo);
    return { ok: false, refusal: 'wrong_offset', receivedBytes };
  };
  try {
    for await (const part of parts) {
      if (at + heldBytes + part.length > most) return { ok: false, refusal: 'too_large' };
      held.push(part);
      heldBytes += part.length;
      if (heldBytes >= PIECE_BYTES && !(await keep())) return elsewhere();
    }
  } catch (error) {
    // What came before the connection broke is worth keeping.
    await keep();
    throw error;
  }
  if (!(await keep())) return elsewhere();
  return { ok: true, receivedBytes: at };
}

/**
 * Takes the file of a batch once all its bytes are here: looks at what it is and at its header, refuses it where it cannot
 * be read or has been uploaded before, and else has its rows read and checked. What stands in the way is kept as the
 * problem of the batch, which stays `uploading`.
 */
export async function takeFile(
  deps: BatchDeps,
  batch: BatchRecord,
  fileNo: number,
  by: Actor,
): Promise<UploadOutcome> {
  const { db, clock } = deps.engine;
  const file = await readFile(db, batch, fileNo);
  if (file.receivedBytes === 0 || (file.bytes !== null && file.receivedBytes < file.bytes)) {
    return { ok: false, refusal: 'incomplete', receivedBytes: file.receivedBytes };
  }
  const sha256 = file.sha256 ?? (await hashOf(deps, batch, fileNo));
  const look = await lookInto(deps, batch, fileNo);
  const correction = fileNo > 1;
  if (correction && look.problem) return { ok: false, refusal: 'unreadable', problem: look.problem };
  // Rows that were corrected before are skipped one by one.
  const same = correction ? null : await sameFileOf(deps, batch, sha256);
  try {
    const outcome = await db.transaction(async (tx): Promise<UploadOutcome | null> => {
      const now = clock.now();
      const locked = await lockBatch(tx, batch);
      if (!locked || !(correction ? mayBeCorrected(locked) : locked.status === 'uploading')) {
        return locked
          ? { ok: false, refusal: 'wrong_status', batch: locked }
          : { ok: false, refusal: 'not_found' };
      }
      // What was looked at must be what is taken.
      const sameReading = JSON.stringify(locked.reading) === JSON.stringify(batch.reading);
      if (!sameReading || !(await holdFile(tx, batch, fileNo, file.receivedBytes))) return null;
      const problem = look.problem ?? same;
      await changeFile(tx, batch, fileNo, {
        bytes: file.receivedBytes,
        sha256,
        format: look.format,
        sheet: look.sheet,
        other_sheets: look.otherSheets,
        columns: look.columns,
        holds_place: problem === null && !correction && batch.reading.sameFile === 'refuse',
      });
      if (problem !== null) {
        return { ok: true, batch: await changeBatch(tx, locked, { problem }, now) };
      }
      const facts = {
        file: file.name,
        bytes: file.receivedBytes,
        sha256,
        ...(look.sheet !== null && { sheet: look.sheet, other_sheets: look.otherSheets }),
        columns: look.columns,
      };
      const again = correction && locked.status !== 'checked';
      const changes = {
        status: 'checking',
        problem: null,
        file_no: fileNo,
        round: locked.round + (again ? 1 : 0),
        ...NOTHING_CHECKED,
        ...(again && NOTHING_CONFIRMED),
        next_step_at: now,
      };
      const event = { at: now, kind: correction ? 'corrected' : 'uploaded', by, facts };
      return { ok: true, batch: await recordEvent(tx, locked, event, changes) };
    });
    if (outcome !== null) return outcome;
  } catch (error) {
    // Somebody took the same file at the same moment.
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
  } finally {
    deps.wake();
  }
  const changed = await readBatch(db, batch);
  return changed ? takeFile(deps, changed, fileNo, by) : { ok: false, refusal: 'not_found' };
}

const UNIQUE_VIOLATION = '23505';

export const NOTHING_CHECKED = { rows_checked: 0, checked_buckets: -1, findings: [] } as const;
const NOTHING_CONFIRMED = {
  confirmation: null,
  rows_confirmed: 0,
  rows_tried: 0,
  tried_row: 0,
  pace_at: null,
  pace_sent: 0,
  pace_per_second: null,
  sent_at: null,
  finished_at: null,
  starts_at: null,
} as const;

/** Reads the file of a batch again, with other columns, another unit, or leave to be the same as an earlier one. */
export async function readAnew(
  deps: BatchDeps,
  key: { readonly merchantId: string; readonly batchId: string },
  asked: Partial<Reading> & { readonly saveColumns: boolean },
  by: Actor,
): Promise<UploadOutcome> {
  const { db, clock } = deps.engine;
  const { saveColumns, ...changed } = asked;
  const begun = await db.transaction(async (tx): Promise<UploadOutcome> => {
    const batch = await lockBatch(tx, key);
    if (!batch) return { ok: false, refusal: 'not_found' };
    if (batch.status !== 'uploading') return { ok: false, refusal: 'wrong_status', batch };
    const reading = { ...batch.reading, ...changed };
    return { ok: true, batch: await changeBatch(tx, batch, { reading }, clock.now()) };
  });
  if (!begun.ok) return begun;
  const file = await readFile(db, begun.batch, 1);
  if (file.sha256 === null) return begun;
  const outcome = await takeFile(deps, begun.batch, 1, by);
  // Names that fit no file would stand in the way of all later ones.
  if (saveColumns && outcome.ok && outcome.batch.problem === null) {
    const { merchantId, kind, reading } = outcome.batch;
    await saveColumnNames(db, merchantId, kind, reading.columns);
  }
  return outcome;
}

/** What is our word for each column of the file: by what was said of this file, else of all files, else by its header. */
export async function columnsOf(
  deps: BatchDeps,
  batch: BatchRecord,
  header: readonly string[],
): Promise<Pick<Extract<ColumnMatch, { ok: true }>, 'columns' | 'numbers' | 'minor'>> {
  const match = await matchOf(deps, batch, header);
  if (!match.ok) throw match.problem;
  return { ...match, minor: match.minor || batch.reading.amounts === 'minor' };
}

async function matchOf(deps: BatchDeps, batch: BatchRecord, header: readonly string[]): Promise<ColumnMatch> {
  return (await matcherOf(deps, batch))(header);
}

async function matcherOf(
  deps: BatchDeps,
  batch: BatchRecord,
): Promise<(header: readonly string[]) => ColumnMatch> {
  const saved = await readColumnNames(deps.engine.db, batch.merchantId, batch.kind);
  return (header) => {
    const known = header.flatMap((name) => (saved.has(name) ? [[saved.get(name)!, name] as const] : []));
    return matchColumns(batch.kind, header, { ...Object.fromEntries(known), ...batch.reading.columns });
  };
}

/** Opens a file of a batch: of a workbook the sheet that was named, or that alone has the columns. */
export async function openFileOf(
  deps: BatchDeps,
  batch: BatchRecord,
  fileNo: number,
  chunks: AsyncIterable<Buffer>,
): Promise<BatchFile> {
  const match = await matcherOf(deps, batch);
  return openBatchFile(chunks, {
    // What was said is said of the first file.
    sheet: fileNo === 1 ? (batch.reading.sheet ?? null) : null,
    fits: (header) => match(header).ok,
  });
}

interface Look {
  readonly format: BatchFile['format'] | null;
  readonly sheet: string | null;
  readonly otherSheets: readonly OtherSheet[];
  readonly columns: BatchFileRecord['columns'];
  readonly problem: Problem | null;
}

function sheetsOf({ sheet, otherSheets }: BatchFile): Pick<Look, 'sheet' | 'otherSheets'> {
  return {
    sheet: sheet && maskCardNumbers(sheet),
    otherSheets: otherSheets.map(({ name, hidden }) => ({ name: maskCardNumbers(name), hidden })),
  };
}

/** Where nothing was chosen, the sheets are those that the problem names. */
function sheetsToChoose({ sheets }: FileProblem): Pick<Look, 'sheet' | 'otherSheets'> {
  return { sheet: null, otherSheets: sheets.map((name) => ({ name: maskCardNumbers(name), hidden: false })) };
}

/** Nothing is done that nobody saw: a column of ours has to be seen. */
function hiddenProblem({ header, hiddenColumns }: BatchFile, columns: MatchedColumns): FileProblem | null {
  const place = columns.findIndex((name, at) => name !== null && hiddenColumns.has(at));
  if (place === -1) return null;
  return new FileProblem(
    'hidden_columns',
    `The column “${shown(header[place]!)}” is hidden in the sheet. Nothing is done that nobody saw: show the column, or delete it.`,
    { field: columns[place]!, value: shown(header[place]!), accepted: 'a sheet whose columns can be seen' },
  );
}

/** The header is enough to know whether the rows can be read. */
async function lookInto(deps: BatchDeps, batch: BatchRecord, fileNo: number): Promise<Look> {
  let file: BatchFile | null = null;
  const chunks = readChunks(deps.engine.db, batch, fileNo);
  try {
    file = await openFileOf(deps, batch, fileNo, chunks);
    const match = await matchOf(deps, batch, file.header);
    const { format, header } = file;
    const sheets = sheetsOf(file);
    if (match.ok) {
      const hidden = hiddenProblem(file, match.columns);
      return {
        format,
        ...sheets,
        columns: named(header, match.columns),
        problem: hidden && problemOf(hidden),
      };
    }
    const columns = sampled(named(header, match.columns), await firstRows(file));
    return { format, ...sheets, columns, problem: problemOf(match.problem) };
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    return {
      format: file?.format ?? null,
      ...(file ? sheetsOf(file) : sheetsToChoose(error)),
      columns: file ? named(file.header, []) : [],
      problem: problemOf(error),
    };
  } finally {
    await chunks.return(undefined);
  }
}

const SAMPLE_ROWS = 3;

/** What helps somebody to tell which column is which; nothing where the rows cannot be read. */
async function firstRows(file: BatchFile): Promise<readonly FileRow[]> {
  try {
    for await (const rows of file.rows()) return rows.slice(0, SAMPLE_ROWS);
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
  }
  return [];
}

function sampled(columns: BatchFileRecord['columns'], rows: readonly FileRow[]): BatchFileRecord['columns'] {
  return columns.map((column, place) => ({
    ...column,
    samples: rows.map(({ cells }) => shown(cells[place] ?? '')),
  }));
}

function named(header: readonly string[], columns: MatchedColumns): BatchFileRecord['columns'] {
  return header.map((name, place) => ({ header: maskCardNumbers(name), field: columns[place] ?? null }));
}

/** What people can mend by saying which column is which has one code. */
const OF_COLUMNS: readonly string[] = ['missing_columns', 'duplicate_columns', 'bad_mapping'];

export function problemOf(error: FileProblem): Problem {
  return {
    code: OF_COLUMNS.includes(error.code) ? 'columns_unmatched' : error.code,
    message: error.message,
    ...(error.field !== undefined && { field: error.field }),
    ...(error.value !== undefined && { value: error.value }),
    ...(error.accepted !== undefined && { accepted: error.accepted }),
  };
}

async function sameFileOf(deps: BatchDeps, batch: BatchRecord, sha256: string): Promise<Problem | null> {
  if (batch.reading.sameFile === 'allow') return null;
  const same = await findSameFile(deps.engine.db, batch, sha256);
  if (!same) return null;
  return {
    code: 'same_file',
    message:
      `This very file was uploaded before, on ${same.createdAt.toISOString().slice(0, 16).replace('T', ' at ')} UTC, ` +
      `as the batch "${same.name}". Nothing was taken from it a second time.`,
    field: 'same_file',
    accepted: 'allow, where it is meant',
    batch_id: same.batchId,
  };
}

async function hashOf(deps: BatchDeps, batch: BatchRecord, fileNo: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readChunks(deps.engine.db, batch, fileNo)) hash.update(chunk);
  return hash.digest('hex');
}

/** A batch as it is now, or why nothing can be added to its file. */
export async function uploadingBatch(
  deps: BatchDeps,
  key: { readonly merchantId: string; readonly batchId: string },
): Promise<UploadOutcome> {
  const batch = await readBatch(deps.engine.db, key);
  if (!batch) return { ok: false, refusal: 'not_found' };
  return batch.status === 'uploading' ? { ok: true, batch } : { ok: false, refusal: 'wrong_status', batch };
}
