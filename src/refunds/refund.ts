import type { RefundType, RefusedBecause } from '../gateways/gateway.ts';
import { columnsOf } from '../lib/columns.ts';
import { type RefundState, STATES } from './states.ts';

/** A refund as its row has it. Amounts are minor units; `exponent` is the currency's number of decimals. */
export interface Refund {
  readonly merchantId: string;
  readonly orderId: string;
  readonly refundId: string;
  /** The merchant's key: at most one refund has it within its order (invariant 2). */
  readonly uniqueRequestId: string;
  readonly txnId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly state: RefundState;
  readonly gateway: string;
  readonly gatewayAccountId: string;
  readonly gatewayPaymentId: string;
  readonly paymentMethodType: string | null;
  readonly refundType: RefundType;
  /** The key every send of it carries to the gateway (invariant 3). */
  readonly idempotencyKey: string;
  readonly reason: string | null;
  readonly note: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly initiatedBy: string;
  readonly door: Door;
  readonly batchId: string | null;
  /** Which row of the batch it is. */
  readonly batchRow: number | null;
  readonly lane: Lane;
  readonly sends: number;
  /** How many of the sends got no answer. */
  readonly unanswered: number;
  /** When a send may first have reached the gateway: the key's life runs from here. */
  readonly keyUsedAt: Date | null;
  /** Whose books the first send went to (`GatewayAccountAccess.identity`): no others can prove anything about it. */
  readonly sentTo: string | null;
  /** The gateway's refusal of the last send, while an earlier unanswered one leaves it in doubt. */
  readonly doubtfulRefusal: string | null;
  readonly refusedBecause: RefusedBecause | null;
  readonly looks: number;
  readonly absences: number;
  /** "Not found" counts as an absence only when it was asked for after this. */
  readonly absenceCountsAt: Date | null;
  readonly gatewayRefundId: string | null;
  readonly gatewayReference: string | null;
  readonly gatewayStatus: string | null;
  /** The gateway's own time of the latest news applied. */
  readonly gatewayAt: Date | null;
  readonly arn: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** Why a person is needed, while one is. */
  readonly attention: string | null;
  /** A person's word ended it, and not the gateway's. */
  readonly settledByHand: boolean;
  readonly proposal: Proposal | null;
  /** What the gateway said when two people settled it against that (`gatewaySaysOtherwise`). */
  readonly overruled: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly sentAt: Date | null;
  readonly succeededAt: Date | null;
  readonly failedAt: Date | null;
  readonly dueAt: Date;
  readonly nextLookAt: Date | null;
  /** When the gateway is asked whether its end still holds; null where nobody asks any more. */
  readonly recheckAt: Date | null;
  readonly reviewAt: Date;
  readonly eventSeq: number;
}

/** The columns of a refund as a statement selects them, so that its rows are refunds; `of` is what the row is called there. */
export const refundColumns = columnsOf<Refund>({
  merchantId: true,
  orderId: true,
  refundId: true,
  uniqueRequestId: true,
  txnId: true,
  amountMinor: true,
  currency: true,
  exponent: true,
  state: true,
  gateway: true,
  gatewayAccountId: true,
  gatewayPaymentId: true,
  paymentMethodType: true,
  refundType: true,
  idempotencyKey: true,
  reason: true,
  note: true,
  metadata: true,
  initiatedBy: true,
  door: true,
  batchId: true,
  batchRow: true,
  lane: true,
  sends: true,
  unanswered: true,
  keyUsedAt: true,
  sentTo: true,
  doubtfulRefusal: true,
  refusedBecause: true,
  looks: true,
  absences: true,
  absenceCountsAt: true,
  gatewayRefundId: true,
  gatewayReference: true,
  gatewayStatus: true,
  gatewayAt: true,
  arn: true,
  errorCode: true,
  errorMessage: true,
  attention: true,
  settledByHand: true,
  proposal: true,
  overruled: true,
  createdAt: true,
  updatedAt: true,
  sentAt: true,
  succeededAt: true,
  failedAt: true,
  dueAt: true,
  nextLookAt: true,
  recheckAt: true,
  reviewAt: true,
  eventSeq: true,
});

/** A person's word on a refund against the gateway's, until a second person confirms or withdraws it. Times are ISO 8601. */
export interface Proposal {
  readonly outcome: 'succeeded' | 'failed';
  readonly evidence: string;
  readonly arn: string | null;
  readonly gateway_refund_id: string | null;
  /** What the gateway said when it was asked. */
  readonly gateway_said: string;
  readonly user_id: string;
  readonly email: string;
  readonly at: string;
}

export type Door = 'api' | 'dashboard' | 'batch';

/** Lower lanes go first, so that a batch never delays a single refund. */
export type Lane = 0 | 1 | 2;
export const LANES = { single: 0, followUp: 1, batch: 2 } as const satisfies Record<string, Lane>;

/** Whether its next look asks the gateway; other states wait for a send, its answer, a person or nothing. */
export function isFollowed({ state }: Pick<Refund, 'state'>): boolean {
  return STATES[state].followed;
}

/** The contract's `sent_to_gateway`: false while it waits for its first send or is in it. */
export function isSent(refund: Pick<Refund, 'state' | 'unanswered'>): boolean {
  return STATES[refund.state].sent || refund.unanswered > 0;
}

/** No byte of it can have reached the gateway: not from these books, nor from those that they were restored from. */
export function wasNeverSent(refund: Pick<Refund, 'state' | 'sends' | 'unanswered' | 'keyUsedAt'>): boolean {
  return !isSent(refund) && refund.sends === 0 && refund.keyUsedAt === null;
}
