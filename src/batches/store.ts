import type { Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { createWhere } from '../lib/where.ts';
import { type RefundState, UNDONE_STATES } from '../refunds/states.ts';
import { notifyBatch } from '../webhooks/store.ts';
import { type Actor, type BatchFileRecord, type BatchRecord, batchColumns, type Reading } from './batch.ts';
import type { BatchKind, RowState, Verdict } from './words.ts';

/** The statements on batches and their files; those on rows stand with the verbs that need them. */

type Key = Pick<BatchRecord, 'merchantId' | 'batchId'>;

// Batches ------------------------------------------------------------------------------------------------

export async function insertBatch(
  tx: Queryable,
  batch: {
    readonly merchantId: string;
    readonly kind: BatchKind;
    readonly name: string;
    readonly reading: Reading;
    readonly createdBy: Actor;
    readonly now: Date;
  },
): Promise<BatchRecord> {
  const [row] = await tx.query<BatchRecord>(
    `insert into batches as b (merchant_id, batch_id, kind, name, status, reading, created_by, created_at, updated_at)
     values ($1, $2, $3, $4, 'uploading', $5, $6, $7, $7) returning ${batchColumns('b')}`,
    [
      batch.merchantId,
      newId(),
      batch.kind,
      batch.name,
      JSON.stringify(batch.reading),
      JSON.stringify(batch.createdBy),
      batch.now,
    ],
  );
  return row!;
}

/** The batch, or null: another merchant's is as absent as one that never was (invariant 8). */
export async function readBatch(db: Queryable, key: Key): Promise<BatchRecord | null> {
  const rows = await db.query<BatchRecord>(
    `select ${batchColumns('b')} from batches b where b.merchant_id = $1 and b.batch_id = $2`,
    [key.merchantId, key.batchId],
  );
  return rows[0] ?? null;
}

/** The same, held for the rest of the transaction: nobody else changes it meanwhile. */
export async function lockBatch(tx: Queryable, key: Key): Promise<BatchRecord | null> {
  const rows = await tx.query<BatchRecord>(
    `select ${batchColumns('b')} from batches b where b.merchant_id = $1 and b.batch_id = $2 for no key update`,
    [key.merchantId, key.batchId],
  );
  return rows[0] ?? null;
}

export interface BatchFilter {
  readonly merchantId: string;
  readonly kind?: BatchKind | undefined;
  readonly statuses?: readonly string[] | undefined;
  /** What a name contains, without regard to case, or a whole id. */
  readonly search?: string | undefined;
  readonly createdFrom?: Date | undefined;
  /** Not included. */
  readonly createdBefore?: Date | undefined;
  readonly after?: { readonly at: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first, by keyset. */
export async function listBatches(db: Queryable, filter: BatchFilter): Promise<BatchRecord[]> {
  const where = createWhere();
  where.and(`merchant_id = ${where.value(filter.merchantId)}`);
  where.when((kind) => `kind = ${kind}`, filter.kind);
  where.when((statuses) => `status = any(${statuses}::text[])`, filter.statuses);
  where.when(
    (text) => `(position(lower(${text}) in lower(name)) > 0 or batch_id::text = lower(${text}))`,
    filter.search,
  );
  where.when((from) => `created_at >= ${from}`, filter.createdFrom);
  where.when((before) => `created_at < ${before}`, filter.createdBefore);
  if (filter.after) {
    const at = where.value(new Date(filter.after.at));
    where.and(`(created_at, batch_id) < (${at}::timestamptz, ${where.value(filter.after.id)}::uuid)`);
  }
  return db.query<BatchRecord>(
    `select ${batchColumns('b')} from batches b where ${where.text()} order by created_at desc, batch_id desc
     limit ${where.value(filter.limit)}`,
    where.params,
  );
}

/** What may change of a batch, by the names of its columns. */
export type BatchChanges = Readonly<Record<string, unknown>>;

/** Writes what has changed of a batch that the transaction has locked. */
export async function changeBatch(
  tx: Queryable,
  key: Key,
  changes: BatchChanges,
  now: Date,
): Promise<BatchRecord> {
  const names = Object.keys(changes);
  const sets = names.map((name, n) => `${name} = $${n + 4}`).join(', ');
  const [row] = await tx.query<BatchRecord>(
    `update batches b set updated_at = $3${sets && `, ${sets}`} where b.merchant_id = $1 and b.batch_id = $2
     returning ${batchColumns('b')}`,
    [key.merchantId, key.batchId, now, ...names.map((name) => written(changes[name]))],
  );
  return row!;
}

const written = (value: unknown) =>
  value !== null && typeof value === 'object' && !(value instanceof Date) ? JSON.stringify(value) : value;

/** The batches whose refunds must not be sent now: paused, or cancelled with refunds that are still to be taken back. */
export async function readStoppedBatches(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ batch_id: string }>(
    `select batch_id from batches where status = 'paused'
     union all select batch_id from batches where next_step_at is not null and status = 'cancelled'`,
  );
  return rows.map((row) => row.batch_id);
}

// What was done to them ------------------------------------------------------------------------------------

export interface BatchEvent {
  readonly at: Date;
  readonly kind: string;
  readonly by: Actor | null;
  readonly facts: Readonly<Record<string, unknown>>;
}

const TOLD = { checked: 'BATCH_CHECKED', started: 'BATCH_STARTED', finished: 'BATCH_FINISHED' } as const;

/**
 * Writes one more event of a batch that the transaction has locked, with the change that it is about and, where
 * merchants are told of it, the notification.
 */
export async function recordEvent(
  tx: Queryable,
  batch: BatchRecord,
  event: BatchEvent,
  changes: BatchChanges = {},
): Promise<BatchRecord> {
  const changed = await changeBatch(tx, batch, { ...changes, event_seq: batch.eventSeq + 1 }, event.at);
  await tx.query(
    'insert into batch_events (merchant_id, batch_id, seq, at, kind, by, facts) values ($1, $2, $3, $4, $5, $6, $7)',
    [
      batch.merchantId,
      batch.batchId,
      changed.eventSeq,
      event.at,
      event.kind,
      event.by && JSON.stringify(event.by),
      JSON.stringify(event.facts),
    ],
  );
  const eventName = TOLD[event.kind as keyof typeof TOLD];
  if (eventName) {
    const { merchantId, batchId } = batch;
    await notifyBatch(tx, { merchantId, batchId, eventName, eventSeq: changed.eventSeq, now: event.at });
  }
  return changed;
}

/** Oldest first. */
export async function readBatchEvents(db: Queryable, key: Key): Promise<BatchEvent[]> {
  return db.query<BatchEvent>(
    'select at, kind, by, facts from batch_events where merchant_id = $1 and batch_id = $2 order by seq',
    [key.merchantId, key.batchId],
  );
}

// Files ----------------------------------------------------------------------------------------------------

/** One more file of a batch that the transaction has made or locked; gives its number, from 1. */
export async function insertFile(
  tx: Queryable,
  key: Key,
  file: { readonly name: string; readonly bytes: number | null; readonly now: Date },
): Promise<number> {
  // A file of corrections that could not be read has its number all the same.
  const [row] = await tx.query<{ file_no: number }>(
    `insert into batch_files (merchant_id, batch_id, file_no, name, bytes, created_at)
     select $1, $2, coalesce(max(file_no), 0) + 1, $3, $4, $5 from batch_files where merchant_id = $1 and batch_id = $2
     returning file_no`,
    [key.merchantId, key.batchId, file.name, file.bytes, file.now],
  );
  return row!.file_no;
}

const FILE = `file_no as "fileNo", name, bytes, received_bytes as "receivedBytes", sha256, format, columns,
  bytes_dropped as "bytesDropped", sheet, other_sheets as "otherSheets"`;

/** Holds a file that has so many bytes for the rest of the transaction; false where it has others by now. */
export async function holdFile(
  tx: Queryable,
  key: Key,
  fileNo: number,
  receivedBytes: number,
): Promise<boolean> {
  const rows = await tx.query(
    `select 1 from batch_files where merchant_id = $1 and batch_id = $2 and file_no = $3 and received_bytes = $4
     for no key update`,
    [key.merchantId, key.batchId, fileNo, receivedBytes],
  );
  return rows.length === 1;
}

export async function readFile(db: Queryable, key: Key, fileNo: number): Promise<BatchFileRecord> {
  const [row] = await db.query<BatchFileRecord>(
    `select ${FILE} from batch_files where merchant_id = $1 and batch_id = $2 and file_no = $3`,
    [key.merchantId, key.batchId, fileNo],
  );
  if (!row) throw new Error(`batch ${key.batchId} has no file ${fileNo}`);
  return row;
}

/** Of each of the batches, its first file, but with the hash of the one that was taken last. */
export async function readFirstFiles(
  db: Queryable,
  batches: readonly BatchRecord[],
): Promise<ReadonlyMap<string, BatchFileRecord>> {
  const rows = await db.query<BatchFileRecord & { batch_id: string; taken_sha256: string | null }>(
    `select f.batch_id, ${FILE},
            (select l.sha256 from batch_files l
             where l.merchant_id = f.merchant_id and l.batch_id = f.batch_id and l.file_no = k.taken) as taken_sha256
     from batch_files f join unnest($1::text[], $2::uuid[], $3::integer[]) k(m, b, taken) on f.merchant_id = k.m and f.batch_id = k.b
     where file_no = 1`,
    [batches.map((b) => b.merchantId), batches.map((b) => b.batchId), batches.map((b) => b.fileNo)],
  );
  return new Map(
    rows.map(({ batch_id, taken_sha256, ...file }) => [batch_id, { ...file, sha256: taken_sha256 }]),
  );
}

/**
 * Adds the next piece of a file that begins at `atByte`, or answers false, adding nothing, where the file does not end
 * there (any more).
 */
export async function appendChunk(
  db: Queryable,
  key: Key,
  fileNo: number,
  atByte: number,
  bytes: Buffer,
): Promise<boolean> {
  const rows = await db.query(
    `with grown as (
       update batch_files set received_bytes = received_bytes + $6
       where merchant_id = $1 and batch_id = $2 and file_no = $3 and received_bytes = $4 and sha256 is null
       returning 1)
     insert into batch_chunks (merchant_id, batch_id, file_no, at_byte, bytes)
     select $1, $2, $3, $4, $5 from grown returning 1`,
    [key.merchantId, key.batchId, fileNo, atByte, bytes, bytes.length],
  );
  return rows.length === 1;
}

/** The bytes of a file as they came, in pieces. */
export async function* readChunks(db: Queryable, key: Key, fileNo: number): AsyncGenerator<Buffer> {
  let atByte = -1;
  for (;;) {
    const [chunk] = await db.query<{ at_byte: number; bytes: Buffer }>(
      `select at_byte, bytes from batch_chunks
       where merchant_id = $1 and batch_id = $2 and file_no = $3 and at_byte > $4 order by at_byte limit 1`,
      [key.merchantId, key.batchId, fileNo, atByte],
    );
    if (!chunk) return;
    yield chunk.bytes;
    atByte = chunk.at_byte;
  }
}

/** Writes what has been learnt of a file. */
export async function changeFile(
  tx: Queryable,
  key: Key,
  fileNo: number,
  changes: Readonly<Record<string, unknown>>,
): Promise<void> {
  const names = Object.keys(changes);
  await tx.query(
    `update batch_files set ${names.map((name, n) => `${name} = $${n + 4}`).join(', ')}
     where merchant_id = $1 and batch_id = $2 and file_no = $3`,
    [key.merchantId, key.batchId, fileNo, ...names.map((name) => written(changes[name]))],
  );
}

/** Another batch of this very file that was not cancelled before its first row went out, the newest. */
export async function findSameFile(
  db: Queryable,
  key: Key,
  sha256: string,
): Promise<{ readonly batchId: string; readonly name: string; readonly createdAt: Date } | null> {
  const rows = await db.query<{ batchId: string; name: string; createdAt: Date }>(
    `select b.batch_id as "batchId", b.name, b.created_at as "createdAt"
     from batch_files f join batches b using (merchant_id, batch_id)
     where f.merchant_id = $1 and f.sha256 = $2 and f.batch_id <> $3
       and (f.holds_place or b.status not in ('uploading', 'cancelled') or b.rows_tried > 0 or b.rows_made > 0)
     order by b.created_at desc limit 1`,
    [key.merchantId, sha256, key.batchId],
  );
  return rows[0] ?? null;
}

/** A cancelled batch's files may be uploaded again. */
export async function releaseFiles(tx: Queryable, key: Key): Promise<void> {
  await tx.query(
    'update batch_files set holds_place = false where merchant_id = $1 and batch_id = $2 and holds_place',
    [key.merchantId, key.batchId],
  );
}

// Names of columns ------------------------------------------------------------------------------------------

/** By header as it stands in files: what it is to us. */
export async function readColumnNames(
  db: Queryable,
  merchantId: string,
  kind: BatchKind,
): Promise<ReadonlyMap<string, string>> {
  const rows = await db.query<{ header: string; field: string }>(
    'select header, field from batch_column_names where merchant_id = $1 and kind = $2',
    [merchantId, kind],
  );
  return new Map(rows.map((row) => [row.header, row.field]));
}

export async function saveColumnNames(
  tx: Queryable,
  merchantId: string,
  kind: BatchKind,
  columns: Readonly<Record<string, string>>,
): Promise<void> {
  await tx.query(
    `insert into batch_column_names (merchant_id, kind, field, header)
     select $1, $2, field, header from unnest($3::text[], $4::text[]) c(field, header)
     on conflict (merchant_id, kind, header) do update set field = excluded.field`,
    [merchantId, kind, Object.keys(columns), Object.values(columns)],
  );
}

// What their refunds add up to --------------------------------------------------------------------------------

export interface BatchSum {
  readonly batchId: string;
  readonly state: RefundState;
  readonly gateway: string;
  readonly currency: string;
  readonly refunds: number;
  readonly amountMinor: number;
}

/** By state, gateway and currency: kept sums, never a walk over the refunds. */
export async function readBatchSums(
  db: Queryable,
  merchantId: string,
  batchIds: readonly string[],
): Promise<BatchSum[]> {
  return db.query<BatchSum>(
    `select batch_id as "batchId", state, gateway, currency, sum(refunds)::bigint as refunds,
            sum(amount_minor)::bigint as "amountMinor"
     from (select batch_id, state, gateway, currency, refunds, amount_minor from batch_figures
           where merchant_id = $1 and batch_id = any($2::uuid[])
           union all
           select batch_id, state, gateway, currency, refunds, amount_minor from figure_changes
           where merchant_id = $1 and batch_id = any($2::uuid[])) s
     group by 1, 2, 3, 4 having sum(refunds) <> 0`,
    [merchantId, batchIds],
  );
}

// Rows as people see them -------------------------------------------------------------------------------------

/** A row with the refund that it has become. */
export interface ShownRow {
  readonly rowNo: number;
  readonly line: number;
  readonly fileNo: number;
  readonly round: number;
  readonly cells: readonly string[];
  readonly orderId: string;
  readonly txnId: string | null;
  readonly uniqueRequestId: string | null;
  readonly amount: string | null;
  readonly currency: string | null;
  readonly refundType: string | null;
  readonly note: string | null;
  readonly customerEmail: string | null;
  readonly refundIdAsked: string | null;
  readonly outcome: string | null;
  readonly arnTold: string | null;
  readonly evidence: string | null;
  readonly verdict: Verdict;
  readonly problem: Readonly<Record<string, unknown>> | null;
  readonly state: Exclude<RowState, 'not_sent'>;
  readonly refund: {
    readonly refundId: string;
    readonly orderId: string;
    readonly amountMinor: number;
    readonly currency: string;
    readonly exponent: number;
    readonly state: RefundState;
    readonly gateway: string;
    readonly gatewayRefundId: string | null;
    readonly arn: string | null;
    readonly errorCode: string | null;
    readonly errorMessage: string | null;
  } | null;
}

/** Rows in the order of the file, from after `afterRow`. `failed`: bad, refused, or with a refund that came to nothing. */
export async function listRows(
  db: Queryable,
  batch: BatchRecord,
  filter: {
    readonly verdicts?: readonly string[] | undefined;
    readonly failed?: boolean;
    readonly afterRow: number;
    readonly limit: number;
  },
): Promise<ShownRow[]> {
  const where = createWhere();
  const ofBatch = `r.merchant_id = ${where.value(batch.merchantId)} and r.batch_id = ${where.value(batch.batchId)}`;
  where.and(`${ofBatch} and r.row_no > ${where.value(filter.afterRow)}`);
  if (filter.verdicts && !filter.verdicts.includes('good')) where.and(`r.verdict <> 'good'`);
  where.when((verdicts) => `r.verdict = any(${verdicts}::text[])`, filter.verdicts);
  if (filter.failed) {
    // Both walk an index that holds only such rows: a million good ones between them cost nothing.
    const limit = where.value(filter.limit);
    const after = where.value(filter.afterRow);
    where.and(`r.row_no = any(array(
      (select r.row_no from batch_rows r
       where ${ofBatch} and r.row_no > ${after} and (r.verdict <> 'good' or r.state = 'refused')
         and (r.verdict = 'bad' or r.state = 'refused') order by r.row_no limit ${limit})
      union
      (select f.batch_row from refunds f
       where f.merchant_id = ${where.value(batch.merchantId)} and f.batch_id = ${where.value(batch.batchId)}
         and f.batch_row > ${after} and f.state in (${UNDONE_STATES})
         -- A row that was corrected since has another refund, or none yet.
         and exists (select 1 from batch_rows n where n.batch_id = f.batch_id and n.row_no = f.batch_row
                       and n.merchant_id = f.merchant_id and n.unique_request_id = f.unique_request_id)
       order by f.batch_row limit ${limit})))`);
  }
  const refund =
    batch.kind === 'refunds'
      ? `k.order_id = coalesce(r.found_order_id, r.order_id) and k.merchant_id = r.merchant_id
         and k.unique_request_id = r.unique_request_id and k.batch_id = r.batch_id and k.batch_row = r.row_no`
      : `r.state = 'made' and k.merchant_id = r.merchant_id and k.refund_id = r.refund_id::uuid`;
  const rows = await db.query<Omit<ShownRow, 'refund'> & { refund: ShownRow['refund'] }>(
    `select r.row_no as "rowNo", r.line, r.file_no as "fileNo", r.round, r.cells, r.order_id as "orderId", r.txn_id as "txnId",
            r.unique_request_id as "uniqueRequestId", r.amount, r.currency, r.refund_type as "refundType", r.note,
            r.customer_email as "customerEmail", r.refund_id as "refundIdAsked", r.outcome, r.arn as "arnTold", r.evidence,
            r.verdict, r.problem, r.state,
            case when k.refund_id is not null then jsonb_build_object(
              'refundId', k.refund_id, 'orderId', k.order_id, 'amountMinor', k.amount_minor, 'currency', k.currency,
              'exponent', k.exponent, 'state', k.state, 'gateway', k.gateway, 'gatewayRefundId', k.gateway_refund_id,
              'arn', k.arn, 'errorCode', k.error_code, 'errorMessage', k.error_message) end as refund
     from batch_rows r left join refunds k on ${refund}
     where ${where.text()}
     order by r.row_no limit ${where.value(filter.limit)}`,
    where.params,
  );
  return rows;
}
