import { jsonbOf, type Queryable } from '../lib/db.ts';
import { readOrders } from '../refunds/facts.ts';
import { type BatchRecord, BUCKET_ROWS, bucketOf, type Finding } from './batch.ts';
import type { BatchDeps } from './deps.ts';
import { findingsOf, type JudgedRow, judgeRows, type RowToJudge } from './judge-rows.ts';
import { changeBatch, recordEvent } from './store.ts';
import type { Verdict } from './words.ts';

/** So many are checked in one step: their rows stand in memory, some thousands for each. */
const BUCKETS_AT_ONCE = 1;

/**
 * Checks the next rows of a batch that the transaction has locked, and when the last have been checked, says what was
 * found. Nothing is sent, and nothing held.
 */
export async function checkNextRows(deps: BatchDeps, batch: BatchRecord, tx: Queryable): Promise<void> {
  const now = deps.engine.clock.now();
  const from = batch.checkedBuckets;
  const last = bucketOf(Math.max(1, batch.rowsTotal));
  const to = Math.min(last, from + BUCKETS_AT_ONCE - 1);
  const found =
    batch.kind === 'refunds'
      ? await checkRefundRows(deps, tx, batch, from, to)
      : await checkStatusRows(tx, batch, from, to);
  const findings = merged(batch.findings, found);
  const rowsChecked = batch.rowsChecked + found.reduce((sum, { rows }) => sum + rows, 0);
  const progress = { findings, rows_checked: rowsChecked, checked_buckets: to + 1 };
  if (to < last) {
    await changeBatch(tx, batch, { ...progress, next_step_at: now }, now);
    return;
  }
  const counts = await countTroubled(tx, batch);
  const event = {
    at: now,
    kind: 'checked',
    by: null,
    facts: { round: batch.round, rows: rowsChecked, ...counts },
  };
  await recordEvent(tx, batch, event, {
    ...progress,
    status: 'checked',
    rows_bad: counts.bad,
    rows_look_alike: counts.look_alike,
    checked_at: now,
    next_step_at: null,
  });
}

/** Checks the rows of some buckets against the orders as they are now, and writes down what has changed. */
async function checkRefundRows(
  { engine }: BatchDeps,
  tx: Queryable,
  batch: BatchRecord,
  from: number,
  to: number,
): Promise<Finding[]> {
  await holdToIndexes(tx);
  const rows = await readRows(tx, batch, from, to);
  const orders = await readOrders(
    tx,
    rows.map(({ foundOrderId, orderId, readable }) => ({
      merchantId: batch.merchantId,
      orderId: readable ? (foundOrderId ?? orderId) : null,
      txnId: null,
    })),
    { lock: false },
  );
  const judged = judgeRows(rows, orders, {
    now: engine.clock.now(),
    canOf: (gateway) => engine.gateways.get(gateway)?.capabilities ?? null,
  });
  await writeVerdicts(
    tx,
    batch,
    judged.flatMap((verdict, n) =>
      isNews(rows[n]!, verdict) ? [{ ...verdict, orderId: rows[n]!.orderId }] : [],
    ),
  );
  return findingsOf(judged);
}

interface CheckedRow
  extends RowToJudge,
    Pick<JudgedRow, 'foundOrderId' | 'sendsAmount' | 'sendsTxnId' | 'verdict'> {
  /** As the file has it; empty where it names none. */
  readonly orderId: string;
}

/** Whether the row does not say so already; of what nobody can read, reading has said all there is. */
function isNews(row: CheckedRow, { verdict, ...judged }: JudgedRow): boolean {
  if (!row.readable) return false;
  return (
    verdict !== 'good' ||
    row.verdict !== 'good' ||
    row.foundOrderId !== otherSpelling(judged.foundOrderId, row) ||
    row.sendsAmount !== judged.sendsAmount ||
    row.sendsTxnId !== judged.sendsTxnId
  );
}

function otherSpelling(foundOrderId: string | null, { orderId }: Pick<CheckedRow, 'orderId'>): string | null {
  return foundOrderId === orderId ? null : foundOrderId;
}

/** A plan that reads whole tables would do so for every step. */
async function holdToIndexes(tx: Queryable): Promise<void> {
  await tx.query(
    `select set_config(name, 'off', true)
     from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) as name`,
  );
}

async function readRows(tx: Queryable, batch: BatchRecord, from: number, to: number): Promise<CheckedRow[]> {
  return tx.query<CheckedRow>(
    `select row_no as "rowNo", line, readable, problem, verdict, order_id as "orderId",
            found_order_id as "foundOrderId", sends_amount as "sendsAmount", sends_txn_id as "sendsTxnId",
            unique_request_id as "uniqueRequestId", amount, currency, refund_type as "refundType",
            customer_email as "customerEmail", txn_id as "txnId"
     from batch_rows
     where merchant_id = $1 and batch_id = $2 and bucket between $3 and $4 and round = $5 order by row_no`,
    [batch.merchantId, batch.batchId, from, to, batch.round],
  );
}

async function writeVerdicts(
  tx: Queryable,
  batch: BatchRecord,
  rows: readonly (JudgedRow & Pick<CheckedRow, 'orderId'>)[],
): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(
    `update batch_rows b set verdict = j.verdict, problem = j.problem, found_order_id = j.found_order_id,
            sends_amount = j.sends_amount, sends_txn_id = j.sends_txn_id
     from unnest($3::int[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::text[])
       as j(row_no, order_id, verdict, problem, found_order_id, sends_amount, sends_txn_id)
     where b.merchant_id = $1 and b.batch_id = $2 and b.row_no = j.row_no and b.order_id = j.order_id`,
    [
      batch.merchantId,
      batch.batchId,
      rows.map(({ rowNo }) => rowNo),
      rows.map(({ orderId }) => orderId),
      rows.map(({ verdict }) => verdict),
      rows.map(({ problem }) => problem && jsonbOf(problem)),
      rows.map((row) => otherSpelling(row.foundOrderId, row)),
      rows.map(({ sendsAmount }) => sendsAmount),
      rows.map(({ sendsTxnId }) => sendsTxnId),
    ],
  );
}

/** The same for rows that tell what became of refunds in manual review. */
async function checkStatusRows(
  tx: Queryable,
  batch: BatchRecord,
  from: number,
  to: number,
): Promise<Finding[]> {
  return tx.query<Finding>(
    `select verdict, code, gateway, currency, exponent, row_count as rows, amount_minor::bigint as "amountMinor"
     from check_status_rows($1, $2, $3, $4, $5)`,
    [batch.merchantId, batch.batchId, batch.round, from, to],
  );
}

/** More rows of one order are not weighed against each other: an order has far fewer refunds. */
const MOST_ROWS_OF_AN_ORDER = 1_000;

/**
 * Deals the rows of a round into buckets that can be checked each by itself: all rows of an order into that of its first one.
 * Most orders have one row, and stay where they are.
 */
export async function dealRows(tx: Queryable, batch: BatchRecord): Promise<void> {
  const key = [batch.merchantId, batch.batchId, batch.round];
  const ofRound = 'r.merchant_id = $1 and r.batch_id = $2 and r.round = $3';
  const isRefunds = batch.kind === 'refunds';
  if (isRefunds) {
    // Rows that name their payment only are weighed with the other rows of its order.
    await tx.query(
      `update batch_rows r set found_order_id = (
         select t.order_id from transactions t where t.merchant_id = r.merchant_id and t.txn_id = r.txn_id limit 1)
       where ${ofRound} and r.order_id = '' and r.txn_id is not null`,
      key,
    );
  }
  const named = isRefunds
    ? `lower(coalesce(r.found_order_id, r.order_id))`
    : `coalesce(r.refund_id, r.order_id || ' ' || r.unique_request_id)`;
  const [most] = await tx.query<{ rows: number }>(
    `with groups as (
       select ${named} as name, count(*) as rows, (min(r.row_no) - 1) / ${BUCKET_ROWS} as bucket
       from batch_rows r where ${ofRound} and ${named} <> ''
       group by 1 having count(*) > 1
     ), dealt as (
       update batch_rows r set bucket = g.bucket
       from groups g where ${ofRound} and ${named} = g.name and r.bucket <> g.bucket
     )
     select coalesce(max(rows), 0) as rows from groups`,
    key,
  );
  if (!isRefunds || most!.rows <= MOST_ROWS_OF_AN_ORDER) return;
  await tx.query(
    `update batch_rows r set readable = false, verdict = 'bad', problem = '{"code": "too_many_refunds"}'
     from (select r.row_no, row_number() over (partition by ${named} order by r.row_no) as place
           from batch_rows r where ${ofRound} and r.readable and ${named} <> '') p
     where ${ofRound} and r.row_no = p.row_no and p.place > ${MOST_ROWS_OF_AN_ORDER}`,
    key,
  );
}

async function countTroubled(
  tx: Queryable,
  batch: BatchRecord,
): Promise<{ readonly bad: number; readonly look_alike: number }> {
  const rows = await tx.query<{ verdict: Verdict; n: number }>(
    `select verdict, count(*) as n from batch_rows
     where merchant_id = $1 and batch_id = $2 and verdict <> 'good' and state = 'left' group by 1`,
    [batch.merchantId, batch.batchId],
  );
  const of = (verdict: Verdict) => rows.find((row) => row.verdict === verdict)?.n ?? 0;
  return { bad: of('bad'), look_alike: of('look_alike') };
}

function merged(before: readonly Finding[], found: readonly Finding[]): Finding[] {
  const sums = new Map<string, Finding>();
  for (const finding of [...before, ...found]) {
    const key = JSON.stringify([finding.verdict, finding.code, finding.gateway, finding.currency]);
    const sum = sums.get(key);
    sums.set(key, {
      ...finding,
      rows: finding.rows + (sum?.rows ?? 0),
      amountMinor: finding.amountMinor + (sum?.amountMinor ?? 0),
    });
  }
  return [...sums.values()];
}
