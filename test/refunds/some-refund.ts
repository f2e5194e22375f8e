import type { Capabilities, RefundNews } from '../../src/gateways/gateway.ts';
import type { Circumstances, Decision, LookLater } from '../../src/refunds/outcome.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import { type RefundState, STATES } from '../../src/refunds/states.ts';

/** What the pure rules are tried on: a refund of 10.00 INR, its gateway, and a moment. */
export const T0 = new Date('2026-03-01T10:00:00.000Z');
export const later = (ms: number) => new Date(T0.getTime() + ms);
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
export const BOOKS = 'acct_1 live';

export const capabilities: Capabilities = {
  partialRefunds: true,
  instantRefunds: false,
  keyLifeMs: 24 * HOUR,
  absenceProof: { answers: 2, spacingMs: 60_000 },
  pollDelaysMs: [1_000, 10_000],
  recheckDelaysMs: [24 * HOUR, 48 * HOUR],
  lookDelaysMs: [500, 5_000],
  resendDelaysMs: [2_000, 20_000],
  maxSends: 3,
  webhookProof: 'signed',
  maxConcurrent: 10,
  maxPerSecond: 10,
};
export const at = (now: Date = T0, changes: Partial<Capabilities> = {}): Circumstances => ({
  now,
  capabilities: { ...capabilities, ...changes },
  manualReviewAfterMs: 240 * HOUR,
  jitter: 0,
});

export function refund(state: RefundState, changes: Partial<Refund> = {}): Refund {
  const final = STATES[state].final;
  return {
    merchantId: 'acme',
    orderId: 'O1',
    refundId: '0190a0a0-0000-7000-8000-000000000001',
    uniqueRequestId: 'k1',
    txnId: 'acme-O1-1',
    amountMinor: 1_000,
    currency: 'INR',
    exponent: 2,
    state,
    gateway: 'MODEL',
    gatewayAccountId: 'ga_1',
    gatewayPaymentId: 'pay_1',
    paymentMethodType: 'CARD',
    refundType: 'STANDARD',
    idempotencyKey: 'ABCDEFGHIJKLMNOPQRSTUV',
    reason: null,
    note: null,
    metadata: {},
    initiatedBy: 'API',
    door: 'api',
    batchId: null,
    batchRow: null,
    lane: 0,
    sends: state === 'queued' ? 0 : 1,
    unanswered: 0,
    keyUsedAt: state === 'queued' ? null : T0,
    sentTo: state === 'queued' ? null : BOOKS,
    doubtfulRefusal: null,
    refusedBecause: null,
    looks: 0,
    absences: 0,
    absenceCountsAt: null,
    gatewayRefundId: null,
    gatewayReference: null,
    gatewayStatus: null,
    gatewayAt: null,
    arn: null,
    errorCode: null,
    errorMessage: null,
    attention: null,
    settledByHand: false,
    proposal: null,
    overruled: null,
    createdAt: T0,
    updatedAt: T0,
    sentAt: null,
    succeededAt: null,
    failedAt: null,
    dueAt: later(240 * HOUR),
    nextLookAt: final ? null : T0,
    recheckAt: null,
    reviewAt: later(240 * HOUR),
    eventSeq: 1,
    ...changes,
  };
}

export function news(status: RefundNews['status'], changes: Partial<RefundNews> = {}): RefundNews {
  return {
    status,
    gatewayRefundId: 'rf_1',
    gatewayReference: null,
    rawStatus: status,
    errorCode: null,
    errorMessage: null,
    arn: null,
    at: null,
    evidence: { said: status },
    ...changes,
  };
}

export const moved = (decision: Decision | LookLater): Decision => {
  if ('lookLater' in decision) throw new Error('expected a change');
  return decision;
};
