import { z } from 'zod';
import type { TrailEvent } from '../../audit/events.ts';
import { formatAmount } from '../../lib/money.ts';
import { isSent, type Refund } from '../../refunds/refund.ts';
import { type PublicStatus, type RefundState, STATE_NAMES, STATES } from '../../refunds/states.ts';
import type { Attempt } from '../../refunds/store.ts';

export const PUBLIC_STATUSES = [
  'PENDING',
  'SUCCESS',
  'FAILURE',
  'MANUAL_REVIEW',
] as const satisfies readonly PublicStatus[];
const STATE_WORDS = STATE_NAMES as [RefundState, ...RefundState[]];

const time = z.string().meta({ description: 'ISO 8601, UTC.', examples: ['2026-03-31T09:30:00.000Z'] });

export const refundObject = z
  .object({
    refund_id: z.uuid(),
    order_id: z.string(),
    txn_id: z.string(),
    unique_request_id: z.string(),
    amount: z
      .string()
      .meta({ description: 'In major units, with all decimals of the currency.', examples: ['499.00'] }),
    currency: z.string().meta({ examples: ['INR'] }),
    status: z.enum(PUBLIC_STATUSES),
    state: z.enum(STATE_WORDS).describe('Where exactly it is; several states share one status.'),
    meaning: z.string().describe('What the state means for the money.'),
    attention: z.string().nullable().describe('Why a person is needed; null while none is.'),
    sent_to_gateway: z.boolean().describe('False while it waits for its first send or is in it.'),
    refund_type: z.enum(['STANDARD', 'INSTANT', 'INSTANT_WITH_FALLBACK', 'GATEWAY']),
    reason: z.string().nullable(),
    note: z.string().nullable(),
    metadata: z.record(z.string(), z.unknown()),
    initiated_by: z.string(),
    door: z.enum(['api', 'dashboard', 'batch']).describe('Where it came in.'),
    batch_id: z.string().nullable(),
    gateway: z.string(),
    gateway_account_id: z.string(),
    gateway_payment_id: z.string(),
    gateway_refund_id: z.string().nullable(),
    gateway_reference: z.string().nullable(),
    gateway_status: z.string().nullable().describe("The gateway's own word."),
    arn: z.string().nullable().describe("The bank's reference that a customer can ask for: ARN, RRN or UTR."),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
    sends: z.int().describe('How often it was sent, always under one key.'),
    created_at: time,
    updated_at: time,
    sent_at: time.nullable(),
    succeeded_at: time.nullable(),
    failed_at: time.nullable(),
    due_at: time.describe('When the customer should have the money.'),
    next_look_at: time.nullable().describe('When it is looked at next; null once it is final.'),
    review_at: time.describe('When it goes to manual review if nothing is known by then.'),
  })
  .meta({ id: 'Refund', description: 'The refund as it is now.' });

export function refundView(refund: Refund): z.infer<typeof refundObject> {
  const { public: status, says } = STATES[refund.state];
  return {
    refund_id: refund.refundId,
    order_id: refund.orderId,
    txn_id: refund.txnId,
    unique_request_id: refund.uniqueRequestId,
    amount: formatAmount(refund.amountMinor, refund.exponent),
    currency: refund.currency,
    status,
    state: refund.state,
    meaning: says,
    attention: refund.attention,
    sent_to_gateway: isSent(refund),
    refund_type: refund.refundType,
    reason: refund.reason,
    note: refund.note,
    metadata: { ...refund.metadata },
    initiated_by: refund.initiatedBy,
    door: refund.door,
    batch_id: refund.batchId,
    gateway: refund.gateway,
    gateway_account_id: refund.gatewayAccountId,
    gateway_payment_id: refund.gatewayPaymentId,
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
    review_at: refund.reviewAt.toISOString(),
  };
}

export const eventObject = z
  .object({
    seq: z.int().describe('Counts the events of the order, its refunds included.'),
    at: time,
    kind: z.string(),
    refund_id: z.string().nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
    cause: z.record(z.string(), z.unknown()).describe('Who or what made the change.'),
    evidence: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('What was said, scrubbed of card and bank data.'),
    hash: z.string().describe('SHA-256 over the hash of the event before it and this one.'),
  })
  .meta({ id: 'Event', description: 'One change, and what caused it.' });

export function eventView(event: TrailEvent): z.infer<typeof eventObject> {
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

export const attemptObject = z
  .object({
    attempt_no: z.int(),
    started_at: time,
    finished_at: time.nullable(),
    outcome: z.string().nullable().describe('Null while no answer has come.'),
    answer: z.unknown().describe('What the gateway answered, scrubbed of card and bank data.'),
  })
  .meta({ id: 'Attempt', description: 'One call to the gateway for a refund.' });

export function attemptView(attempt: Attempt): z.infer<typeof attemptObject> {
  return {
    attempt_no: attempt.attemptNo,
    started_at: attempt.startedAt.toISOString(),
    finished_at: attempt.finishedAt?.toISOString() ?? null,
    outcome: attempt.outcome,
    answer: attempt.answer,
  };
}
