import type { z } from 'zod';
import { type BatchFileRecord, type BatchRecord, sumOf } from '../../batches/batch.ts';
import { expectedOf } from '../../batches/decide.ts';
import { sentOf } from '../../batches/run.ts';
import { generalSentence, problemOfRow } from '../../batches/sentences.ts';
import { type BatchSum, readBatchSums, readFirstFiles, type ShownRow } from '../../batches/store.ts';
import { BATCH_STATUSES, type RowState } from '../../batches/words.ts';
import type { Queryable } from '../../lib/db.ts';
import { exponentOf, formatAmount } from '../../lib/money.ts';
import { type PublicStatus, type RefundState, STATES } from '../../refunds/states.ts';
import type { batchRowSchema, batchSchema } from '../contract/batches.ts';
import { PUBLIC_STATUSES } from '../contract/refunds.ts';

type BatchView = z.input<typeof batchSchema>;

/** Batches as the API shows them, with what their refunds come to at this moment. */
export async function batchViews(db: Queryable, batches: readonly BatchRecord[]): Promise<BatchView[]> {
  if (batches.length === 0) return [];
  const files = await readFirstFiles(db, batches);
  const sums = await readBatchSums(
    db,
    batches[0]!.merchantId,
    batches.map(({ batchId }) => batchId),
  );
  return batches.map((batch) =>
    batchView(
      batch,
      files.get(batch.batchId)!,
      sums.filter(({ batchId }) => batchId === batch.batchId),
    ),
  );
}

function batchView(batch: BatchRecord, file: BatchFileRecord, sums: readonly BatchSum[]): BatchView {
  const made = batch.rowsMade;
  const ended = batch.status === 'cancelled' || batch.status === 'finished';
  const left = ended ? 0 : batch.rowsConfirmed - batch.rowsTried;
  const sent = batch.kind === 'refunds' ? sentOf(sums) : made;
  // A row that was corrected has had another refund before.
  const unsent = batch.kind === 'refunds' ? total(sums) - sent : 0;
  const rate = batch.status === 'running' && batch.sentAt === null ? batch.pacePerSecond : null;
  const checked = batch.checkedAt !== null && !['uploading', 'checking'].includes(batch.status);
  return {
    batch_id: batch.batchId,
    kind: batch.kind,
    name: batch.name,
    status: batch.status,
    meaning: BATCH_STATUSES[batch.status],
    file: {
      name: file.name,
      format: file.format,
      bytes: file.bytes,
      received_bytes: file.receivedBytes,
      sha256: file.sha256,
      amounts: batch.reading.amounts,
      sheet: file.sheet,
      other_sheets: file.otherSheets.map((sheet) => ({ ...sheet })),
      columns: file.columns.map(({ samples, ...column }) => ({
        ...column,
        ...(samples && { samples: [...samples] }),
      })),
    },
    problem: batch.problem,
    round: batch.round,
    rows: {
      total: batch.rowsTotal,
      checked: batch.status === 'checking' ? batch.rowsChecked : checked ? batch.rowsTotal : 0,
      good: checked ? batch.rowsTotal - batch.rowsBad - batch.rowsLookAlike : 0,
      look_alike: checked ? batch.rowsLookAlike : 0,
      bad: checked ? batch.rowsBad : 0,
      made,
      refused: batch.rowsRefused,
      left,
      not_sent: Math.max(0, batch.rowsTotal - made - batch.rowsRefused - left),
    },
    check: checked ? checkOf(batch) : null,
    confirmation: batch.confirmation && {
      totals: batch.confirmation.totals,
      rows: batch.confirmation.rows,
      look_alikes: batch.confirmation.look_alikes,
      confirmed_by: batch.confirmation.by,
      confirmed_at: batch.confirmation.at,
      approval_expires_at: iso(batch.approvalExpiresAt),
      approved_by: batch.confirmation.approved_by,
      approved_at: batch.confirmation.approved_at,
    },
    starts_at: batch.status === 'waiting' ? iso(batch.startsAt) : null,
    refunds: refundsOf(sums, sent),
    rate_per_second: rate,
    seconds_left: rate ? Math.ceil((left + unsent) / rate) : null,
    created_by: batch.createdBy,
    created_at: batch.createdAt.toISOString(),
    updated_at: batch.updatedAt.toISOString(),
    checked_at: iso(batch.checkedAt),
    started_at: iso(batch.startedAt),
    sent_at: iso(batch.sentAt),
    finished_at: iso(batch.finishedAt),
  };
}

function checkOf(batch: BatchRecord): NonNullable<BatchView['check']> {
  const gateways = new Map<string, { gateway: string; currency: string; rows: number; amount: string }>();
  const sums = new Map<string, { rows: number; minor: number }>();
  const problems = new Map<string, number>();
  for (const finding of batch.findings) {
    if (finding.code !== null) problems.set(finding.code, (problems.get(finding.code) ?? 0) + finding.rows);
    const { verdict, gateway, currency, exponent } = finding;
    if (verdict === 'bad' || gateway === null || currency === null || exponent === null) continue;
    const key = `${gateway} ${currency}`;
    const sum = sums.get(key) ?? { rows: 0, minor: 0 };
    sum.rows += finding.rows;
    sum.minor += finding.amountMinor;
    sums.set(key, sum);
    gateways.set(key, { gateway, currency, rows: sum.rows, amount: formatAmount(sum.minor, exponent) });
  }
  const all = expectedOf(batch.findings, 'leave');
  const lookAlikes = sumOf(batch.findings, ['look_alike']).byCurrency;
  return {
    checked_at: batch.checkedAt!.toISOString(),
    by_gateway: [...gateways.values()],
    totals: all.totals,
    look_alike_totals: Object.fromEntries(
      [...lookAlikes].map(([currency, { minor, exponent }]) => [currency, formatAmount(minor, exponent)]),
    ),
    confirmable_rows: all.rows,
    problems: [...problems]
      .map(([code, rows]) => ({ code, rows, message: generalSentence(code) }))
      .sort((a, b) => b.rows - a.rows),
  };
}

function refundsOf(sums: readonly BatchSum[], sent: number): BatchView['refunds'] {
  const byStatus = Object.fromEntries(PUBLIC_STATUSES.map((status) => [status, 0])) as Record<
    PublicStatus,
    number
  >;
  const byState: Partial<Record<RefundState, number>> = {};
  const amounts = new Map<string, { currency: string; status: PublicStatus; minor: number }>();
  for (const { state, currency, refunds, amountMinor } of sums) {
    const status = STATES[state].public;
    byStatus[status] += refunds;
    byState[state] = (byState[state] ?? 0) + refunds;
    const key = `${currency} ${status}`;
    amounts.set(key, { currency, status, minor: (amounts.get(key)?.minor ?? 0) + amountMinor });
  }
  return {
    by_status: byStatus,
    by_state: byState,
    amounts: [...amounts.values()].map(({ currency, status, minor }) => ({
      currency,
      status,
      amount: formatAmount(minor, exponentOf(currency)!),
    })),
    sent,
  };
}

/** A row as the API shows it. */
export function batchRowView(batch: BatchRecord, row: ShownRow): z.input<typeof batchRowSchema> {
  return {
    row: row.rowNo,
    line: row.line,
    cells: [...row.cells],
    fields: fieldsOf(batch, row),
    verdict: row.verdict,
    state: stateOf(batch, row),
    problem: row.problem && problemOfRow(row, row.problem),
    refund: row.refund && {
      refund_id: row.refund.refundId,
      order_id: row.refund.orderId,
      amount: formatAmount(row.refund.amountMinor, row.refund.exponent),
      currency: row.refund.currency,
      status: STATES[row.refund.state].public,
      state: row.refund.state,
      gateway: row.refund.gateway,
      gateway_refund_id: row.refund.gatewayRefundId,
      arn: row.refund.arn,
      error_code: row.refund.errorCode,
      error_message: row.refund.errorMessage,
    },
  };
}

/** How far a row has come: most of it follows from where its batch is. */
export function stateOf(batch: BatchRecord, row: ShownRow): RowState {
  if (row.state !== 'left') return row.state;
  if (row.refund !== null) return 'made';
  if (row.verdict === 'bad' || batch.status === 'cancelled' || batch.status === 'finished') return 'not_sent';
  if (row.verdict === 'look_alike' && batch.confirmation?.look_alikes === 'leave') return 'not_sent';
  return row.round < batch.round ? 'not_sent' : 'left';
}

function fieldsOf({ kind }: BatchRecord, row: ShownRow): Record<string, string | null> {
  const order = { order_id: row.orderId === '' ? null : row.orderId };
  return kind === 'refunds'
    ? {
        ...order,
        txn_id: row.txnId,
        unique_request_id: row.uniqueRequestId,
        amount: row.amount,
        currency: row.currency,
        refund_type: row.refundType,
        note: row.note,
        customer_email: row.customerEmail,
      }
    : {
        refund_id: row.refundIdAsked,
        ...order,
        unique_request_id: row.uniqueRequestId,
        status: row.outcome && (row.outcome === 'succeeded' ? 'SUCCESS' : 'FAILURE'),
        arn: row.arnTold,
        evidence: row.evidence,
      };
}

const iso = (at: Date | null) => at?.toISOString() ?? null;
const total = (sums: readonly BatchSum[]) => sums.reduce((sum, { refunds }) => sum + refunds, 0);
