import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { holdsCardNumber, maskCardNumbers, namesSecurityCode } from '../lib/card-number.ts';
import type { Queryable } from '../lib/db.ts';
import { exponentOf, formatAmount } from '../lib/money.ts';
import { UNDONE_STATES } from '../refunds/states.ts';
import { type BatchRecord, bucketOf } from './batch.ts';
import { dealRows } from './check.ts';
import type { BatchDeps } from './deps.ts';
import type { MatchedColumns } from './file/columns.ts';
import { FileProblem } from './file/file-problem.ts';
import type { FileRow } from './file/file-row.ts';
import { readRefundRow, readStatusRow } from './file/read-row.ts';
import { changeBatch, lockBatch, readChunks, recordEvent } from './store.ts';
import { columnsOf, openFileOf, problemOf } from './upload.ts';
import { BATCH_LIMITS } from './words.ts';

/** How many rows go by between two reports of how far the reading has come. */
const REPORT_ROWS = 20_000;

/**
 * Reads the rows of the file that a batch has just taken into the database, all or none: one COPY, in constant memory.
 * A file that turns out to be unreadable in the middle becomes the problem of its batch.
 */
export async function loadRows(deps: BatchDeps, batch: BatchRecord, client: PoolClient): Promise<void> {
  const { db, clock } = deps.engine;
  const correction = batch.fileNo > 1;
  const table = correction ? 'batch_corrections' : 'batch_rows';
  if (correction) {
    await client.query(
      `create temporary table batch_corrections (like batch_rows including defaults including generated, asked_row integer) on commit drop`,
    );
  }
  let rows = 0;
  let reported = 0;
  let masked = 0;
  const onMasked = () => {
    masked++;
  };
  async function* lines(): AsyncGenerator<string> {
    const file = await openFileOf(deps, batch, batch.fileNo, readChunks(db, batch, batch.fileNo));
    const understood = await columnsOf(deps, batch, file.header);
    if (file.header.some(holdsCardNumber)) onMasked();
    const codes = new Set([...file.header.keys()].filter((place) => namesSecurityCode(file.header[place]!)));
    for await (const list of file.rows()) {
      rows += list.length;
      if (rows > BATCH_LIMITS.rows) throw tooManyRows();
      yield list.map((row) => lineOf(batch, { ...understood, codes }, row, onMasked)).join('');
      if (rows - reported < REPORT_ROWS) continue;
      reported = rows;
      if (!correction) await report(deps, batch, rows);
    }
  }
  await client.query('savepoint loading');
  try {
    await pipeline(
      Readable.from(lines(), { objectMode: false }),
      client.query(
        copyFrom(`copy ${table} (${COLUMNS.join(', ')}${correction ? ', asked_row' : ''}) from stdin`),
      ),
    );
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    await client.query('rollback to savepoint loading');
    await refuse(deps, batch, client, error);
    return;
  }
  const merged = correction ? await merge(batch, client) : null;
  if (!correction) await client.query('analyze batch_rows');
  const tx = queryableOf(client);
  await dealRows(tx, batch);
  const locked = await lockBatch(tx, batch);
  if (locked?.status !== 'checking') throw new Error('the batch was withdrawn while its file was read');
  const now = clock.now();
  const dealt = { checked_buckets: 0, next_step_at: now };
  if (masked > 0) await dropBytes(batch, tx);
  if (merged === null) await changeBatch(tx, locked, { rows_total: rows, ...dealt }, now);
  else {
    const event = { at: now, kind: 'rows_replaced', by: null, facts: merged.facts };
    // Each row counts once, as what it is now.
    const rows_made = locked.rowsMade - merged.madeBefore;
    const rows_refused = locked.rowsRefused - merged.refusedBefore;
    await recordEvent(tx, locked, event, { rows_made, rows_refused, ...dealt });
  }
}

/** Whether the rows of the file that the batch has taken are in the database. */
export async function isLoaded(batch: BatchRecord, tx: Queryable): Promise<boolean> {
  const rows = await tx.query(
    batch.fileNo === 1
      ? 'select 1 from batch_rows where batch_id = $1 and file_no = $2 and merchant_id = $3 limit 1'
      : `select 1 from batch_events where batch_id = $1 and (facts ->> 'file_no')::integer = $2 and merchant_id = $3
           and kind = 'rows_replaced' limit 1`,
    [batch.batchId, batch.fileNo, batch.merchantId],
  );
  return rows.length > 0;
}

/** The bytes of a file that holds card numbers are not kept; its rows are, without them. */
async function dropBytes(batch: BatchRecord, tx: Queryable): Promise<void> {
  const key = [batch.merchantId, batch.batchId, batch.fileNo];
  await tx.query('delete from batch_chunks where merchant_id = $1 and batch_id = $2 and file_no = $3', key);
  await tx.query(
    'update batch_files set bytes_dropped = true where merchant_id = $1 and batch_id = $2 and file_no = $3',
    key,
  );
}

/** Seen by everybody at once, while the rows themselves are seen when they are all there. */
async function report(deps: BatchDeps, batch: BatchRecord, rows: number): Promise<void> {
  await deps.engine.db.query(
    `update batches set rows_total = $3, updated_at = $4 where merchant_id = $1 and batch_id = $2 and status = 'checking'`,
    [batch.merchantId, batch.batchId, rows, deps.engine.clock.now()],
  );
}

async function refuse(
  deps: BatchDeps,
  batch: BatchRecord,
  client: PoolClient,
  error: FileProblem,
): Promise<void> {
  const tx = queryableOf(client);
  const locked = await lockBatch(tx, batch);
  if (locked?.status !== 'checking') return;
  const now = deps.engine.clock.now();
  const problem = problemOf(error);
  const first = batch.fileNo === 1;
  const changes = first
    ? { status: 'uploading', problem, rows_total: 0, next_step_at: null }
    : { problem, next_step_at: now };
  await client.query(
    'update batch_files set holds_place = false where merchant_id = $1 and batch_id = $2 and file_no = $3',
    [batch.merchantId, batch.batchId, batch.fileNo],
  );
  const facts = { file_no: batch.fileNo, ...problem };
  await recordEvent(
    tx,
    locked,
    { at: now, kind: first ? 'unreadable' : 'rows_replaced', by: null, facts },
    changes,
  );
}

/** Puts corrected rows in the place of those that they name, where these have come to nothing so far. */
async function merge(
  batch: BatchRecord,
  client: PoolClient,
): Promise<{ facts: Record<string, unknown>; madeBefore: number; refusedBefore: number }> {
  const replaced = COLUMNS.filter((name) => !['merchant_id', 'batch_id', 'row_no', 'bucket'].includes(name));
  const { rows } = await client.query<Record<'replaced' | 'made' | 'refused' | 'known' | 'in_all', number>>(
    `with named as (
       select distinct on (asked_row) c.* from batch_corrections c where asked_row is not null order by asked_row, row_no desc
     ), known as (
       select c.*, r.order_id as old_order_id, r.state as old_state, k.refund_id is not null as had_refund,
              (r.verdict <> 'good' and r.state = 'left' or r.state = 'refused'
               or k.state in (${UNDONE_STATES})) and (k.refund_id is null or
               k.state in (${UNDONE_STATES})) as open
       from named c
       join batch_rows r on r.merchant_id = $1 and r.batch_id = $2 and r.row_no = c.asked_row
       left join refunds k on k.order_id = coalesce(r.found_order_id, r.order_id) and k.merchant_id = r.merchant_id
         and k.unique_request_id = r.unique_request_id and k.batch_id = r.batch_id and k.batch_row = r.row_no
     ), replaced as (
       update batch_rows r set ${replaced.map((name) => `${name} = c.${name}`).join(', ')}, found_order_id = null
       from known c
       where c.open and r.batch_id = $2 and r.row_no = c.asked_row
         and r.merchant_id = $1 and r.order_id = c.old_order_id
       returning 1)
     select (select count(*) from replaced)::int as replaced,
            (select count(*) from known where open and had_refund)::int as made,
            (select count(*) from known where open and old_state = 'refused')::int as refused,
            (select count(*) from known)::int as known, (select count(*) from batch_corrections)::int as in_all`,
    [batch.merchantId, batch.batchId],
  );
  const counts = rows[0]!;
  const facts = {
    file_no: batch.fileNo,
    rows: counts.in_all,
    replaced: counts.replaced,
    done_before: counts.known - counts.replaced,
    unknown: counts.in_all - counts.known,
  };
  return { facts, madeBefore: counts.made, refusedBefore: counts.refused };
}

function tooManyRows(): FileProblem {
  return new FileProblem(
    'too_many_rows',
    'The file has more rows than a batch may have. Split it into several.',
    {
      accepted: `at most ${BATCH_LIMITS.rows} rows`,
    },
  );
}

// Lines of COPY ------------------------------------------------------------------------------------------------

const COLUMNS = [
  'merchant_id',
  'batch_id',
  'row_no',
  'bucket',
  'order_id',
  'line',
  'file_no',
  'round',
  'cells',
  'txn_id',
  'unique_request_id',
  'amount',
  'currency',
  'refund_type',
  'note',
  'customer_email',
  'refund_id',
  'outcome',
  'arn',
  'evidence',
  'readable',
  'verdict',
  'problem',
  'state',
] as const;

function lineOf(
  batch: BatchRecord,
  understood: Understood & { readonly codes: ReadonlySet<number> },
  row: FileRow,
  onMasked: () => void,
): string {
  const { columns, codes } = understood;
  const values = batch.kind === 'refunds' ? refundOf(understood, row) : statusOf(columns, row);
  const { problem } = values;
  return `${[
    batch.merchantId,
    batch.batchId,
    String(row.rowNo),
    String(bucketOf(row.rowNo)),
    values.orderId ?? '',
    String(row.line),
    String(batch.fileNo),
    String(batch.round),
    JSON.stringify(withoutCards({ columns, codes }, row.cells, onMasked)),
    ...values.told,
    problem === null ? 't' : 'f',
    problem === null ? 'good' : 'bad',
    problem === null ? null : JSON.stringify(problem),
    'left',
    ...(batch.fileNo > 1 ? [values.row === null ? null : String(values.row)] : []),
  ]
    .map(escaped)
    .join('\t')}\n`;
}

/** Ids may look like card numbers, and are none. */
const IDS: readonly (string | null | undefined)[] = [
  'order_id',
  'txn_id',
  'unique_request_id',
  'refund_id',
  'arn',
];

/**
 * Card numbers are never stored (invariant 9), not even where they stand in a column that is only given back; nor is what stands
 * in a column of security codes.
 */
function withoutCards(
  { columns, codes }: { readonly columns: MatchedColumns; readonly codes: ReadonlySet<number> },
  cells: readonly string[],
  onMasked: () => void,
): readonly string[] {
  return cells.map((cell, place) => {
    if (!codes.has(place) && (cell.length < 13 || IDS.includes(columns[place]))) return cell;
    const without = codes.has(place) ? cell.replace(/\d/g, 'x') : maskCardNumbers(cell);
    if (without !== cell) onMasked();
    return without;
  });
}

type Understood = Awaited<ReturnType<typeof columnsOf>>;

function refundOf({ columns, minor, numbers, counters }: Understood, row: FileRow) {
  const { fields, problem } = readRefundRow(columns, row, { minor, numbers, counters });
  return {
    orderId: fields.order_id,
    row: fields.row,
    problem,
    told: [
      fields.txn_id,
      fields.unique_request_id,
      minor ? inMajorUnits(fields.amount, fields.currency) : fields.amount,
      fields.currency,
      fields.refund_type,
      fields.note,
      fields.customer_email,
      null,
      null,
      null,
      null,
    ],
  };
}

function statusOf(columns: MatchedColumns, row: FileRow) {
  const { fields, problem } = readStatusRow(columns, row);
  return {
    orderId: fields.order_id,
    row: fields.row,
    problem,
    told: [
      null,
      fields.unique_request_id,
      null,
      null,
      null,
      null,
      null,
      fields.refund_id,
      fields.status && (fields.status === 'SUCCESS' ? 'succeeded' : 'failed'),
      fields.arn,
      fields.evidence,
    ],
  };
}

function inMajorUnits(amount: string | null, currency: string | null): string | null {
  const exponent = currency === null ? undefined : exponentOf(currency);
  if (amount === null || amount === 'full' || exponent === undefined) return amount;
  return formatAmount(BigInt(amount), exponent);
}

function escaped(value: string | null): string {
  if (value === null) return '\\N';
  return UNSAFE.test(value) ? value.replace(/[\\\n\r\t]/g, (sign) => SAFE[sign]!) : value;
}

const UNSAFE = /[\\\n\r\t]/;
const SAFE: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

export function queryableOf(client: PoolClient): Queryable {
  return {
    query: async <Row>(text: string, params: readonly unknown[] = []): Promise<Row[]> =>
      (await client.query(text, params as unknown[])).rows as Row[],
  };
}
