import type { Queryable } from '../lib/db.ts';
import { capabilitiesByGateway, MAX_REFUNDS_OF_AN_ORDER, MAX_TRIES_OF_AN_ORDER } from '../refunds/record.ts';
import { type BatchRecord, BUCKET_ROWS, bucketOf, type Finding } from './batch.ts';
import type { BatchDeps } from './deps.ts';
import { changeBatch, recordEvent } from './store.ts';
import type { Verdict } from './words.ts';

/** So many are checked in one statement: about 20,000 rows. */
const BUCKETS_AT_ONCE = Math.round(20_000 / BUCKET_ROWS);

/**
 * Checks the next rows of a batch that the transaction has locked, and when the last have been checked, says what was
 * found. Nothing is sent, and nothing held.
 */
export async function checkNextRows(deps: BatchDeps, batch: BatchRecord, tx: Queryable): Promise<void> {
  const now = deps.engine.clock.now();
  const from = batch.checkedBuckets;
  const last = bucketOf(Math.max(1, batch.rowsTotal));
  const to = Math.min(last, from + BUCKETS_AT_ONCE - 1);
  const found = await check(deps, tx, batch, from, to);
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

async function check(
  deps: BatchDeps,
  tx: Queryable,
  batch: BatchRecord,
  from: number,
  to: number,
): Promise<Finding[]> {
  const columns = `verdict, code, gateway, currency, exponent, row_count as rows, amount_minor::bigint as "amountMinor"`;
  return batch.kind === 'refunds'
    ? tx.query<Finding>(`select ${columns} from check_refund_rows($1, $2, $3, $4, $5, $6, $7, $8, $9)`, [
        deps.engine.clock.now(),
        batch.merchantId,
        batch.batchId,
        batch.round,
        from,
        to,
        MAX_REFUNDS_OF_AN_ORDER,
        MAX_TRIES_OF_AN_ORDER,
        JSON.stringify(capabilitiesByGateway(deps.engine.gateways)),
      ])
    : tx.query<Finding>(`select ${columns} from check_status_rows($1, $2, $3, $4, $5)`, [
        batch.merchantId,
        batch.batchId,
        batch.round,
        from,
        to,
      ]);
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
