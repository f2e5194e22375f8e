import type { Cause } from '../audit/events.ts';
import type { RefundType } from '../gateways/gateway.ts';
import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { Door, Refund } from './refund.ts';

/** One asked-for refund, as any door hands it over: shapes are checked, facts are not. */
export interface RefundRequest {
  readonly merchantId: string;
  /** Either names the transaction; with an order id alone, the order's refundable transaction is taken. */
  readonly orderId: string | null;
  readonly txnId: string | null;
  readonly uniqueRequestId: string;
  /** Decimal text in major units, or `full`: all that is left. */
  readonly amount: string | 'full';
  /** Refused unless it is the order's currency; null does not ask. */
  readonly currency: string | null;
  readonly refundType: RefundType;
  readonly reason: string | null;
  readonly note: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly initiatedBy: string;
  readonly door: Door;
  readonly batchId: string | null;
  /** Refuse the same amount of the same order again within this time (contract section 2.4); 0 does not. */
  readonly sameAmountWindowMs: number;
  /** What the asker believes is left to refund, decimal text; a mismatch is refused. Null does not ask. */
  readonly expectedRemaining: string | null;
  readonly cause: Cause;
}

export type RefundRefusal =
  | 'order_not_found'
  | 'order_not_charged'
  | 'duplicate_request_id'
  | 'too_many_refunds'
  | 'amount_unreadable'
  | 'amount_not_positive'
  | 'amount_too_many_decimals'
  | 'currency_mismatch'
  | 'remaining_mismatch'
  | 'same_amount_again'
  | 'amount_exceeds_rest'
  | 'instant_not_supported'
  | 'partial_not_supported';

export type RefundOutcome =
  | { readonly ok: true; readonly refund: Refund }
  | {
      readonly ok: false;
      readonly refusal: RefundRefusal;
      /** The order as we spell it, where it exists. */
      readonly orderId: string | null;
      /** What was left at that moment, decimal text, where the order is charged. */
      readonly remaining: string | null;
      readonly currency: string | null;
    };

export type RecordRefunds = (
  db: Queryable,
  clock: Clock,
  requests: readonly RefundRequest[],
) => Promise<RefundOutcome[]>;
