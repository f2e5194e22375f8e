import type { TrailEvent } from '../../audit/events.ts';
import { DAY_MS } from '../../lib/clock.ts';
import { formatAmount } from '../../lib/money.ts';
import type { RefundOfCustomer } from '../../refunds/list.ts';
import { isSent, type Proposal, type Refund } from '../../refunds/refund.ts';
import { STATES } from '../../refunds/states.ts';
import type { Attempt } from '../../refunds/store.ts';
import type { Wait } from '../../refunds/waits.ts';
import type {
  Attempt as AttemptJson,
  RefundEvent as EventJson,
  RefundInList,
  Refund as RefundJson,
} from '../contract/refunds.ts';

/** The refund as /v1 shows it at this moment; `wait`: what holds it up. */
export function refundView(refund: Refund, now: Date, wait: Wait | null): RefundJson {
  const { public: status, final } = STATES[refund.state];
  return {
    refund_id: refund.refundId,
    order_id: refund.orderId,
    txn_id: refund.txnId,
    unique_request_id: refund.uniqueRequestId,
    amount: formatAmount(refund.amountMinor, refund.exponent),
    currency: refund.currency,
    status,
    state: refund.state,
    meaning: meaningOf(refund, wait),
    attention: refund.attention,
    refused_because: refund.refusedBecause,
    waits_for: wait && { ...wait, until: wait.until?.toISOString() ?? null },
    sent_to_gateway: isSent(refund),
    refund_type: refund.refundType,
    reason: refund.reason,
    note: refund.note,
    metadata: { ...refund.metadata },
    initiated_by: refund.initiatedBy,
    door: refund.door,
    batch_id: refund.batchId,
    batch_row: refund.batchRow,
    gateway: refund.gateway,
    gateway_account_id: refund.gatewayAccountId,
    gateway_payment_id: refund.gatewayPaymentId,
    payment_method_type: refund.paymentMethodType,
    gateway_refund_id: refund.gatewayRefundId,
    gateway_reference: refund.gatewayReference,
    gateway_status: refund.gatewayStatus,
    arn: refund.arn,
    error_code: refund.errorCode,
    error_message: refund.errorMessage,
    sends: refund.sends,
    created_at: refund.createdAt.toISOString(),
    updated_at: refund.updatedAt.toISOString(),
    sent_at: refund.sentAt?.toISOString() ?? null,
    succeeded_at: refund.succeededAt?.toISOString() ?? null,
    failed_at: refund.failedAt?.toISOString() ?? null,
    due_at: refund.dueAt.toISOString(),
    next_look_at: refund.nextLookAt?.toISOString() ?? null,
    recheck_at: refund.recheckAt?.toISOString() ?? null,
    settled_by_hand: refund.settledByHand,
    proposal: refund.proposal && proposalView(refund.proposal),
    review_at: refund.reviewAt.toISOString(),
    pending_days: final
      ? null
      : Math.max(0, Math.floor((now.getTime() - refund.createdAt.getTime()) / DAY_MS)),
    overdue: !final && refund.dueAt < now,
  };
}

function proposalView({ user_id: _, email, ...proposal }: Proposal): RefundJson['proposal'] {
  return { ...proposal, proposed_by: email };
}

/** What the state means for the money, unless what is known besides says otherwise. */
function meaningOf({ state, attention }: Refund, wait: Wait | null): string {
  const { public: status, says } = STATES[state];
  if (wait?.code === 'customer') return 'The gateway has accepted it and waits for the customer.';
  return status === 'FAILURE' && attention !== null
    ? 'It counts as not paid here, which is in doubt: see attention. Give the money back in no other way before somebody has looked.'
    : says;
}

export function refundInListView(
  { refund, customerEmail }: RefundOfCustomer,
  now: Date,
  wait: Wait | null,
): RefundInList {
  return { ...refundView(refund, now, wait), customer_email: customerEmail };
}

export function eventView(event: TrailEvent): EventJson {
  const { seq, at, kind, refundId, from, to, cause, evidence, hash } = event;
  return {
    seq,
    at,
    kind,
    refund_id: refundId,
    from,
    to,
    cause: { ...cause },
    evidence: evidence && { ...evidence },
    hash,
  };
}

export function attemptView(attempt: Attempt): AttemptJson {
  return {
    attempt_no: attempt.attemptNo,
    started_at: attempt.startedAt.toISOString(),
    finished_at: attempt.finishedAt?.toISOString() ?? null,
    outcome: attempt.outcome,
    answer: attempt.answer,
  };
}
