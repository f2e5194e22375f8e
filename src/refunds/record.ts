import type { Cause } from '../audit/events.ts';
import type { RefundType } from '../gateways/gateway.ts';
import type { GatewayRegistry } from '../gateways/registry.ts';
import { plusMs } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import { grouped } from '../lib/grouped.ts';
import { newId, shortOf } from '../lib/ids.ts';
import { formatAmount } from '../lib/money.ts';
import type { EngineDeps } from './engine.ts';
import { MIN_UNSENT_MS } from './outcome.ts';
import { type Door, LANES, type Refund } from './refund.ts';
import { type RefundRow, refundOf } from './store.ts';

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
  /** Which row of the batch it is; null without a batch. */
  readonly batchRow: number | null;
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

/**
 * The contract's limit of refunds on one order (contract section 2.4, request.exceeded). Refunds that failed, were cancelled or
 * taken back do not count: gateway accounts with a wrong key must not close an order for good.
 */
export const MAX_REFUNDS_OF_AN_ORDER = 25;
/** All that an order's refunds may be, those that came to nothing included. */
export const MAX_TRIES_OF_AN_ORDER = 200;

/**
 * Days until the customer should have the money, by the contract's payment method types; '' for all others. The
 * longer end of what gateways publish: cards 5 to 10, net banking 2 to 10, wallets 0 to 3, UPI 2 to 7.
 */
export const DUE_DAYS: Readonly<Record<string, number>> = { CARD: 10, NB: 10, WALLET: 3, UPI: 7, '': 10 };

/**
 * The one door for refunds: records what can be recorded, in one statement and one commit, and answers each
 * request in its place. A refusal never touches its neighbours. When this returns, what it calls recorded is on
 * the disk (invariant 4), and the worker has been told.
 */
export async function recordRefunds(
  deps: RecordDeps,
  requests: readonly RefundRequest[],
): Promise<RefundOutcome[]> {
  const items = requests
    .map(itemOf)
    .filter((item) => item.amount === null || READABLE_AMOUNT.test(item.amount));
  if (items.length === 0) return requests.map(() => UNREADABLE);
  const indexOf = new Map(items.map((item) => [item.refund_id, item.idx]));
  const outcomes: RefundOutcome[] = requests.map(() => UNREADABLE);
  for (const row of await record(deps, items)) {
    const outcome = outcomeOf(row);
    outcomes[outcome.ok ? indexOf.get(outcome.refund.refundId)! : row.idx!] = outcome;
  }
  if (outcomes.some((outcome) => outcome.ok)) deps.wake();
  return outcomes;
}

/**
 * The same door for one. Requests that arrive together share a statement and a commit; one that comes alone waits for
 * nobody, and a refusal of one never touches its neighbours.
 */
export function recordRefund(deps: RecordDeps, request: RefundRequest): Promise<RefundOutcome> {
  let door = doors.get(deps);
  if (!door) {
    door = grouped(MOST_AT_ONCE, (requests: RefundRequest[]) => recordRefunds(deps, requests));
    doors.set(deps, door);
  }
  return door(request);
}

type RecordDeps = Pick<EngineDeps, 'clock' | 'gateways' | 'manualReviewAfterMs' | 'wake'> & {
  readonly db: Queryable;
};

const MOST_AT_ONCE = 200;
const doors = new WeakMap<RecordDeps, (request: RefundRequest) => Promise<RefundOutcome>>();

// Fifteen digits before the point are more than any allowed amount; no currency has more than four decimals.
export const READABLE_AMOUNT = /^\d{1,15}(?:\.\d{1,10})?$/;
const UNREADABLE: RefundOutcome = {
  ok: false,
  refusal: 'amount_unreadable',
  orderId: null,
  remaining: null,
  currency: null,
};

async function record(deps: RecordDeps, items: readonly object[]): Promise<RecordRow[]> {
  const now = deps.clock.now();
  return deps.db.query<RecordRow>(
    `select r.idx, r.outcome, r.order_id as found_order_id, r.remaining_minor as rest_minor,
            r.currency as found_currency, r.exponent as found_exponent, (r.refund).*
     from record_refunds($1, $2, $3, $4, $5, $6, $7) r`,
    [
      now,
      plusMs(now, Math.max(deps.manualReviewAfterMs, MIN_UNSENT_MS)),
      MAX_REFUNDS_OF_AN_ORDER,
      MAX_TRIES_OF_AN_ORDER,
      JSON.stringify(capabilitiesByGateway(deps.gateways)),
      JSON.stringify(DUE_DAYS),
      jsonbOf(items),
    ],
  );
}

/** What the database has to know of gateways to judge a refund. */
export function capabilitiesByGateway(gateways: GatewayRegistry) {
  return Object.fromEntries(
    [...gateways].map(([name, { capabilities }]) => [
      name,
      {
        partial: capabilities.partialRefunds,
        instant: capabilities.instantRefunds,
        days: capabilities.refundableDays ?? null,
      },
    ]),
  );
}

function itemOf(request: RefundRequest, idx: number) {
  const refundId = newId();
  return {
    idx,
    merchant_id: request.merchantId,
    order_id: request.orderId,
    txn_id: request.txnId,
    refund_id: refundId,
    unique_request_id: request.uniqueRequestId,
    amount: request.amount === 'full' ? null : request.amount,
    currency: request.currency,
    refund_type: request.refundType,
    reason: request.reason,
    note: request.note,
    metadata: request.metadata,
    initiated_by: request.initiatedBy,
    door: request.door,
    batch_id: request.batchId,
    batch_row: request.batchRow,
    lane: request.batchId === null ? LANES.single : LANES.batch,
    idempotency_key: shortOf(refundId),
    // A refund made by a clock that is ahead of ours lies within every window, one of no length included.
    window_ms: request.sameAmountWindowMs === 0 ? null : request.sameAmountWindowMs,
    expected_remaining: request.expectedRemaining,
    cause: request.cause,
  };
}

/** An accepted row is known by its refund id, a refused one by its place in the list. */
type RecordRow = RefundRow & {
  idx: number | null;
  outcome: 'accepted' | RefundRefusal;
  found_order_id: string | null;
  rest_minor: number | null;
  found_currency: string | null;
  found_exponent: number | null;
};

function outcomeOf(row: RecordRow): RefundOutcome {
  const { idx: _, outcome, found_order_id, rest_minor, found_currency, found_exponent, ...refund } = row;
  if (outcome === 'accepted') return { ok: true, refund: refundOf(refund) };
  return {
    ok: false,
    refusal: outcome,
    orderId: found_order_id,
    remaining:
      rest_minor === null || found_exponent === null ? null : formatAmount(rest_minor, found_exponent),
    currency: found_currency,
  };
}
