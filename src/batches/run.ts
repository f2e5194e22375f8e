import type { Cause } from '../audit/events.ts';
import { readRefusedAlike, takeAllowance } from '../gateways/health.ts';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { cancelRefund } from '../refunds/cancel.ts';
import { type RefundOutcome, type RefundRequest, recordRefundsWithin } from '../refunds/record.ts';
import { resolveRefund } from '../refunds/resolve.ts';
import { STATES } from '../refunds/states.ts';
import { readRefund, readRefundEvents } from '../refunds/store.ts';
import { type BatchRecord, type Confirmation, verdictsToSend } from './batch.ts';
import { pauseBySystem } from './decide.ts';
import type { BatchDeps } from './deps.ts';
import { type BatchSum, changeBatch, readBatchSums, recordEvent } from './store.ts';

/** Rows that become refunds in one statement: few enough that a single refund of the same order does not wait long. */
const SLICE = 250;
/**
 * How many refunds of a batch may wait to be sent by one gateway. They are made only little faster than they are sent, so
 * that pausing and cancelling is a matter of rows that are still rows.
 */
const RUN_AHEAD = 1_000;
/** Each asks its gateway first, while the batch is locked. */
const SETTLED_AT_ONCE = 10;
const SOON_MS = 300;
const WATCH_MS = 1_000;
/** A batch whose refunds are all out is looked at the more rarely the longer it waits for their outcomes. */
const FOLLOW = { leastMs: 5_000, mostMs: 5 * 60_000, shareOfWait: 1 / 60 };
const PACE_MS = 4_000;
const BUSY_MOST_MS = 60_000;

/** Other than above, for those who measure or prove. */
export interface RunOptions {
  readonly runAhead?: number;
  readonly slice?: number;
  readonly followMostMs?: number;
}

/** The next rows of a running batch that the transaction has locked: they become refunds, or are refused, together. */
export async function runNextRows(
  deps: BatchDeps,
  batch: BatchRecord,
  tx: Queryable,
  options: RunOptions = {},
): Promise<void> {
  const now = deps.engine.clock.now();
  if (batch.kind === 'refunds' && batch.sentAt === null && (await pauseIfRefusedAlike(deps, batch, tx, now)))
    return;
  if (batch.rowsTried >= batch.rowsConfirmed) return follow(deps, batch, tx, now, options);
  if (batch.kind === 'status_updates') return settleNext(deps, await begun(tx, batch, now), tx, now);

  const sums = await readBatchSums(tx, batch.merchantId, [batch.batchId]);
  if (isAhead(batch, sums, options.runAhead ?? RUN_AHEAD)) {
    await changeBatch(tx, batch, { ...paceOf(batch, sums, now), next_step_at: plusMs(now, SOON_MS) }, now);
    return;
  }
  const started = await begun(tx, batch, now);
  const slice = options.slice ?? SLICE;
  const rows = await nextRows(tx, batch, slice);
  const outcomes = await recordRefundsWithin(
    tx,
    deps.engine,
    rows.map((row) => requestOf(batch, row)),
  );
  const refused = rows.flatMap((row, n) => {
    const outcome = outcomes[n]!;
    return outcome.ok ? [] : [{ ...row, problem: problemOf(outcome) }];
  });
  if (refused.length > 0) await markRows(tx, batch, 'refused', refused);
  await advance(tx, started, rows, {
    made: rows.length - refused.length,
    refused: refused.length,
    ended: rows.length < slice,
    changes: paceOf(batch, sums, now),
    now,
  });
}

/**
 * A million rows with one mistake are not to be refused one by one: where the gateway refuses refund after refund for one
 * and the same reason, the batch pauses and says why. Who resumes it lets it try once more.
 */
async function pauseIfRefusedAlike(
  deps: BatchDeps,
  batch: BatchRecord,
  tx: Queryable,
  now: Date,
): Promise<boolean> {
  const refused = await readRefusedAlike(tx, batch.merchantId);
  if (refused.length === 0) return false;
  const since = await lastBegun(tx, batch);
  for (const { gatewayAccountId, why, at } of refused) {
    if (at >= since && (await hasUnsent(tx, batch, gatewayAccountId))) {
      await pauseBySystem(tx, batch, why, now);
      deps.engine.log.warn(
        { merchant_id: batch.merchantId, batch_id: batch.batchId, why },
        'a batch was paused: its refunds are refused alike',
      );
      return true;
    }
  }
  return false;
}

/** When it was last started or resumed. */
async function lastBegun(tx: Queryable, batch: BatchRecord): Promise<Date> {
  const [row] = await tx.query<{ at: Date | null }>(
    `select max(at) as at from batch_events
     where merchant_id = $1 and batch_id = $2 and kind in ('started', 'resumed')`,
    [batch.merchantId, batch.batchId],
  );
  return row?.at ?? new Date(0);
}

async function hasUnsent(tx: Queryable, batch: BatchRecord, gatewayAccountId: string): Promise<boolean> {
  const rows = await tx.query(
    `select 1 from refunds
     where merchant_id = $1 and batch_id = $2 and state = 'queued' and gateway_account_id = $3 limit 1`,
    [batch.merchantId, batch.batchId, gatewayAccountId],
  );
  return rows.length > 0;
}

interface RowToSend {
  readonly row_no: number;
  readonly order_id: string;
  readonly found_order_id: string | null;
  readonly txn_id: string | null;
  readonly unique_request_id: string;
  readonly amount: string;
  readonly currency: string;
  readonly refund_type: RefundRequest['refundType'] | null;
  readonly note: string | null;
  readonly refund_id: string | null;
  readonly outcome: 'succeeded' | 'failed';
  readonly arn: string | null;
  readonly evidence: string;
}

async function nextRows(tx: Queryable, batch: BatchRecord, limit: number): Promise<RowToSend[]> {
  return tx.query<RowToSend>(
    `select row_no, order_id, found_order_id, coalesce(txn_id, sends_txn_id) as txn_id, unique_request_id,
            coalesce(sends_amount, amount) as amount, currency, refund_type, note, refund_id, outcome, arn, evidence
     from batch_rows
     where merchant_id = $1 and batch_id = $2 and row_no > $3
       and round = $4 and verdict = any($5::text[]) and state = 'left'
     order by row_no limit $6`,
    [
      batch.merchantId,
      batch.batchId,
      batch.triedRow,
      batch.round,
      verdictsToSend(batch.confirmation!.look_alikes),
      limit,
    ],
  );
}

function requestOf(batch: BatchRecord, row: RowToSend): RefundRequest {
  const { by } = batch.confirmation!;
  return {
    merchantId: batch.merchantId,
    orderId: row.found_order_id ?? (row.order_id === '' ? null : row.order_id),
    txnId: row.txn_id,
    uniqueRequestId: row.unique_request_id,
    amount: row.amount,
    currency: row.currency,
    refundType: row.refund_type ?? 'STANDARD',
    reason: null,
    note: row.note,
    metadata: {},
    initiatedBy: by.kind === 'user' ? by.name : 'API',
    door: 'batch',
    batchId: batch.batchId,
    batchRow: row.row_no,
    // The check has asked about look-alikes, and somebody has answered.
    sameAmountWindowMs: 0,
    expectedRemaining: null,
    cause: causeOf(batch, row),
  };
}

function causeOf(batch: BatchRecord, row: { readonly row_no: number }): Cause {
  const { by, approved_by }: Confirmation = batch.confirmation!;
  return {
    by: 'batch',
    batch_id: batch.batchId,
    row: row.row_no,
    confirmed_by: by.name,
    approved_by: approved_by?.name ?? null,
  };
}

function problemOf(outcome: Extract<RefundOutcome, { ok: false }>) {
  return { code: outcome.refusal, rest: outcome.remaining, currency: outcome.currency };
}

/** With the first row of a round, it says that it has started. */
async function begun(tx: Queryable, batch: BatchRecord, now: Date): Promise<BatchRecord> {
  if (batch.triedRow > 0) return batch;
  const facts = { round: batch.round, rows: batch.rowsConfirmed };
  return recordEvent(
    tx,
    batch,
    { at: now, kind: 'started', by: null, facts },
    { started_at: batch.startedAt ?? now },
  );
}

async function advance(
  tx: Queryable,
  batch: BatchRecord,
  rows: readonly RowToSend[],
  step: {
    readonly made: number;
    readonly refused: number;
    readonly ended: boolean;
    readonly changes: Readonly<Record<string, unknown>>;
    readonly now: Date;
    /** When the next rows are taken; at once where absent. */
    readonly nextAt?: Date;
  },
): Promise<void> {
  const last = rows.at(-1);
  await changeBatch(
    tx,
    batch,
    {
      ...step.changes,
      ...(last && { tried_row: last.row_no }),
      rows_tried: step.ended
        ? batch.rowsConfirmed
        : Math.min(batch.rowsTried + rows.length, batch.rowsConfirmed - 1),
      rows_made: batch.rowsMade + step.made,
      rows_refused: batch.rowsRefused + step.refused,
      next_step_at: step.nextAt ?? step.now,
    },
    step.now,
  );
}

async function markRows(
  tx: Queryable,
  batch: BatchRecord,
  state: 'made' | 'refused',
  rows: readonly {
    readonly row_no: number;
    readonly order_id: string;
    readonly refund_id: string | null;
    readonly problem?: object;
  }[],
): Promise<void> {
  await tx.query(
    `update batch_rows r set state = $3, problem = coalesce(m.problem, r.problem), refund_id = coalesce(m.refund_id, r.refund_id)
     from jsonb_to_recordset($4) m(row_no integer, order_id text, refund_id text, problem jsonb)
     where r.merchant_id = $1 and r.batch_id = $2 and r.row_no = m.row_no and r.order_id = m.order_id`,
    [
      batch.merchantId,
      batch.batchId,
      state,
      JSON.stringify(
        rows.map(({ row_no, order_id, refund_id, problem }) => ({
          row_no,
          order_id,
          refund_id,
          problem,
        })),
      ),
    ],
  );
}

// Pace ---------------------------------------------------------------------------------------------------------

const UNSENT: readonly string[] = ['awaiting_approval', 'queued', 'sending'];

/** Refunds of the batch that have gone out, or came to their end without. */
export function sentOf(sums: readonly BatchSum[]): number {
  return sums.reduce((sum, { state, refunds }) => sum + (UNSENT.includes(state) ? 0 : refunds), 0);
}

function unsentOf(sums: readonly BatchSum[]): number {
  return sums.reduce((sum, { state, refunds }) => sum + (UNSENT.includes(state) ? refunds : 0), 0);
}

/** Whether each gateway that has rows left has enough to do: one that stands still never holds up the others. */
function isAhead(batch: BatchRecord, sums: readonly BatchSum[], runAhead: number): boolean {
  const toMake = new Map<string, number>();
  const sent = verdictsToSend(batch.confirmation!.look_alikes);
  for (const { verdict, gateway, rows } of batch.findings) {
    if (sent.includes(verdict) && gateway !== null) toMake.set(gateway, (toMake.get(gateway) ?? 0) + rows);
  }
  const gateways = [...toMake].map(([gateway, rows]) => {
    const ofGateway = sums.filter((sum) => sum.gateway === gateway);
    const made = ofGateway.reduce((sum, { refunds }) => sum + refunds, 0);
    return { waiting: unsentOf(ofGateway), hasRowsLeft: batch.round > 1 || made < rows };
  });
  const withRowsLeft = gateways.filter(({ hasRowsLeft }) => hasRowsLeft);
  return withRowsLeft.length > 0 && withRowsLeft.every(({ waiting }) => waiting >= runAhead);
}

function paceOf(batch: BatchRecord, sums: readonly BatchSum[], now: Date) {
  const sent = sentOf(sums);
  if (batch.paceAt === null) return { pace_at: now, pace_sent: sent };
  const elapsedMs = now.getTime() - batch.paceAt.getTime();
  if (elapsedMs < PACE_MS) return {};
  return {
    pace_at: now,
    pace_sent: sent,
    pace_per_second: Math.max(0, ((sent - batch.paceSent) * 1000) / elapsedMs),
  };
}

// After the last row -------------------------------------------------------------------------------------------

/** All rows have been tried: waits until they are out, and then until each has its outcome. */
async function follow(
  deps: BatchDeps,
  batch: BatchRecord,
  tx: Queryable,
  now: Date,
  options: RunOptions,
): Promise<void> {
  const sums = batch.kind === 'refunds' ? await readBatchSums(tx, batch.merchantId, [batch.batchId]) : [];
  const allSent = unsentOf(sums) === 0;
  const pending = sums.some(({ state }) => STATES[state].public === 'PENDING');
  const sentAt = batch.sentAt ?? (allSent ? now : null);
  if (!allSent || pending) {
    const mostMs = options.followMostMs ?? FOLLOW.mostMs;
    const next = plusMs(now, allSent ? followMs(now.getTime() - sentAt!.getTime(), mostMs) : WATCH_MS);
    await changeBatch(tx, batch, { ...paceOf(batch, sums, now), sent_at: sentAt, next_step_at: next }, now);
    return;
  }
  const facts = { rows_made: batch.rowsMade, rows_refused: batch.rowsRefused, states: byState(sums) };
  await recordEvent(
    tx,
    batch,
    { at: now, kind: 'finished', by: null, facts },
    { status: 'finished', sent_at: sentAt, finished_at: now, next_step_at: null, pace_per_second: null },
  );
  deps.engine.log.info(
    { merchant_id: batch.merchantId, batch_id: batch.batchId, ...facts },
    'a batch is finished',
  );
}

function followMs(waitedMs: number, mostMs: number): number {
  return Math.min(Math.max(waitedMs * FOLLOW.shareOfWait, FOLLOW.leastMs), mostMs);
}

function byState(sums: readonly BatchSum[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state, refunds } of sums) counts[state] = (counts[state] ?? 0) + refunds;
  return counts;
}

/** Takes back the refunds of a cancelled batch that have not gone out. */
export async function cancelUnsent(deps: BatchDeps, batch: BatchRecord, tx: Queryable): Promise<void> {
  const { engine } = deps;
  const queued = await tx.query<Unsent>(
    `select refund_id, gateway_account_id, sends from refunds
     where merchant_id = $1 and state = 'queued' and batch_id = $2 order by created_at desc limit $3`,
    [batch.merchantId, batch.batchId, RUN_AHEAD],
  );
  const unsent = await withinAllowance(deps, queued);
  const cause: Cause = { by: 'worker', why: 'The batch was cancelled.' };
  const reason = 'The batch was cancelled before it was sent.';
  const cancelled = await Promise.all(
    unsent.map(({ refund_id }) => cancelRefund(engine, batch.merchantId, refund_id, { reason, cause })),
  );
  const now = engine.clock.now();
  const left = unsentOf(await readBatchSums(engine.db, batch.merchantId, [batch.batchId]));
  const next = left === 0 ? null : plusMs(now, cancelled.some(({ ok }) => ok) ? SOON_MS : FOLLOW.leastMs);
  await changeBatch(tx, batch, { next_step_at: next, ...(left === 0 && { sent_at: now }) }, now);
}

interface Unsent {
  readonly refund_id: string;
  readonly gateway_account_id: string;
  readonly sends: number;
}

/** Without those that would have to be asked about (they were sent, and sent back) beyond what their accounts allow now. */
async function withinAllowance({ engine }: BatchDeps, unsent: readonly Unsent[]): Promise<Unsent[]> {
  const toAsk = new Map<string, number>();
  for (const { gateway_account_id: account, sends } of unsent)
    if (sends > 0) toAsk.set(account, (toAsk.get(account) ?? 0) + 1);
  const granted = await takeAllowance(engine.db, engine.clock, toAsk);
  return unsent.filter(({ gateway_account_id: account, sends }) => {
    if (sends === 0) return true;
    const left = granted.get(account) ?? 0;
    granted.set(account, left - 1);
    return left > 0;
  });
}

// Status updates -----------------------------------------------------------------------------------------------

/** Settles the next refunds by the words of the file. What a crash left undone is done again and comes to the same. */
async function settleNext(deps: BatchDeps, batch: BatchRecord, tx: Queryable, now: Date): Promise<void> {
  const asked = await nextRows(tx, batch, SETTLED_AT_ONCE);
  const answers = await Promise.all(
    asked.map(async (row) => ({ ...row, ...(await settleRow(deps, batch, row)) })),
  );
  // From the first row on of which the gateway will only say later, all wait for that: they are taken in their order.
  const busyAt = answers.findIndex(({ askLaterMs }) => askLaterMs !== undefined);
  const settled = busyAt === -1 ? answers : answers.slice(0, busyAt);
  const rows = busyAt === -1 ? asked : asked.slice(0, busyAt);
  const waitMs = busyAt === -1 ? 0 : Math.min(Math.max(answers[busyAt]!.askLaterMs!, WATCH_MS), BUSY_MOST_MS);
  const made = settled.filter(({ problem }) => problem === undefined);
  const refused = settled.filter(({ problem }) => problem !== undefined);
  if (made.length > 0) await markRows(tx, batch, 'made', made);
  if (refused.length > 0) await markRows(tx, batch, 'refused', refused);
  await advance(tx, batch, rows, {
    made: made.length,
    refused: refused.length,
    ended: busyAt === -1 && rows.length < SETTLED_AT_ONCE,
    changes: {},
    now,
    nextAt: plusMs(now, waitMs),
  });
}

async function settleRow(
  deps: BatchDeps,
  batch: BatchRecord,
  row: RowToSend,
): Promise<{
  readonly refund_id: string | null;
  readonly problem?: object;
  /** The gateway has no time to say what it knows; nothing was settled. */
  readonly askLaterMs?: number;
}> {
  const { engine } = deps;
  const refundId = row.refund_id ?? (await findRefund(deps, batch, row));
  if (refundId === null) return { refund_id: null, problem: { code: 'refund_not_found' } };
  if (!(await mayBeAsked(deps, batch, refundId))) return { refund_id: refundId, askLaterMs: WATCH_MS };
  const resolved = await resolveRefund(engine, batch.merchantId, refundId, {
    outcome: row.outcome,
    evidence: row.evidence,
    arn: row.arn,
    gatewayRefundId: null,
    cause: causeOf(batch, row),
  });
  if (resolved.ok || (await wasOurs(deps, batch, row, refundId))) return { refund_id: refundId };
  if (resolved.refusal === 'gateway_busy') return { refund_id: refundId, askLaterMs: resolved.retryAfterMs };
  if (resolved.refusal === 'gateway_says_otherwise')
    return { refund_id: refundId, problem: { code: 'gateway_says_otherwise', said: resolved.gatewaySaid } };
  return resolved.refusal === 'not_found'
    ? { refund_id: refundId, problem: { code: 'refund_not_found' } }
    : { refund_id: refundId, problem: { code: 'not_in_review', state: resolved.refund.state } };
}

/** Whether the refund's account allows one more call just now. */
async function mayBeAsked({ engine }: BatchDeps, batch: BatchRecord, refundId: string): Promise<boolean> {
  const refund = await readRefund(engine.db, batch.merchantId, refundId);
  if (refund === null) return true;
  const granted = await takeAllowance(engine.db, engine.clock, new Map([[refund.gatewayAccountId, 1]]));
  return granted.get(refund.gatewayAccountId) !== 0;
}

async function findRefund(deps: BatchDeps, batch: BatchRecord, row: RowToSend): Promise<string | null> {
  const [found] = await deps.engine.db.query<{ refund_id: string }>(
    'select refund_id from refunds where order_id = $1 and merchant_id = $2 and unique_request_id = $3',
    [row.found_order_id ?? row.order_id, batch.merchantId, row.unique_request_id],
  );
  return found?.refund_id ?? null;
}

/** Whether it was this very row that settled the refund, before a crash. */
async function wasOurs(
  deps: BatchDeps,
  batch: BatchRecord,
  row: RowToSend,
  refundId: string,
): Promise<boolean> {
  const refund = await readRefund(deps.engine.db, batch.merchantId, refundId);
  if (!refund) return false;
  const events = await readRefundEvents(deps.engine.db, refund);
  return events.some(
    ({ cause }) => cause.by === 'batch' && cause.batch_id === batch.batchId && cause.row === row.row_no,
  );
}
