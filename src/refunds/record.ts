import type { Cause } from '../audit/events.ts';
import { DAY_MS, HOUR_MS, plusMs } from '../lib/clock.ts';
import { jsonbOf, type Queryable, textOf } from '../lib/db.ts';
import { grouped } from '../lib/grouped.ts';
import { newId, shortOf } from '../lib/ids.ts';
import { formatAmount } from '../lib/money.ts';
import type { EngineDeps } from './engine.ts';
import { type ChargedPayment, type KnownOrder, readOrders } from './facts.ts';
import { type AskedRefund, isReadableAmount, judgeRefund, type RefundRefusal, withRefund } from './judge.ts';
import { MIN_UNSENT_MS } from './outcome.ts';
import { type Door, LANES, type Refund, refundColumns } from './refund.ts';

/** One asked-for refund, as any door hands it over: shapes are checked, facts are not. */
export interface RefundRequest extends AskedRefund {
  readonly merchantId: string;
  /** The order; null where `txnId` names a payment of it. */
  readonly orderId: string | null;
  readonly uniqueRequestId: string;
  readonly reason: string | null;
  readonly note: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly initiatedBy: string;
  readonly door: Door;
  readonly batchId: string | null;
  /** Which row of the batch it is; null without a batch. */
  readonly batchRow: number | null;
  readonly cause: Cause;
}

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
 * Days until the customer should have the money, by the contract's payment method types; '' for all others. The
 * longer end of what gateways publish: cards 5 to 10, net banking 2 to 10, wallets 0 to 3, UPI 2 to 7.
 */
const DUE_DAYS: Readonly<Record<string, number>> = { CARD: 10, NB: 10, WALLET: 3, UPI: 7, '': 10 };

/** When the customer should have the money, on the full hour. */
export function dueAtOf(paymentMethodType: string | null, now: Date): Date {
  const days = DUE_DAYS[paymentMethodType ?? ''] ?? DUE_DAYS['']!;
  return new Date(Math.ceil((now.getTime() + days * DAY_MS) / HOUR_MS) * HOUR_MS);
}

/**
 * The one door for refunds: records what can be recorded in one transaction, and answers each request in its place. A
 * refusal never touches its neighbours. When this returns, what it calls recorded is on the disk (invariant 4), and the
 * worker has been told.
 */
export async function recordRefunds(
  deps: RecordDeps,
  requests: readonly RefundRequest[],
): Promise<RefundOutcome[]> {
  if (!requests.some(isReadable)) return requests.map(() => UNREADABLE);
  const outcomes = await deps.db.transaction((tx) => recordRefundsWithin(tx, deps, requests));
  if (outcomes.some((outcome) => outcome.ok)) deps.wake();
  return outcomes;
}

/**
 * The same door for one. Requests that arrive together share statements and a commit; one that comes alone waits for
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

type RecordDeps = Pick<EngineDeps, 'db' | 'clock' | 'gateways' | 'manualReviewAfterMs' | 'wake'>;

const MOST_AT_ONCE = 200;
const doors = new WeakMap<RecordDeps, (request: RefundRequest) => Promise<RefundOutcome>>();

/**
 * The same in the caller's transaction, which tells the worker after its end. The orders are locked first, in one order;
 * each request is judged by what those before it did.
 */
export async function recordRefundsWithin(
  tx: Queryable,
  deps: Pick<RecordDeps, 'clock' | 'gateways' | 'manualReviewAfterMs'>,
  requests: readonly RefundRequest[],
): Promise<RefundOutcome[]> {
  const now = deps.clock.now();
  const rules = { now, canOf: (gateway: string) => deps.gateways.get(gateway)?.capabilities ?? null };
  const reviewAt = plusMs(now, Math.max(deps.manualReviewAfterMs, MIN_UNSENT_MS));
  const orders = await readOrders(tx, requests, { lock: true });
  const outcomes: RefundOutcome[] = requests.map(() => UNREADABLE);
  const accepted: Accepted[] = [];
  for (const [n, request] of requests.entries()) {
    const order = orders[n];
    if (!isReadable(request)) continue;
    if (!order) {
      outcomes[n] = { ok: false, refusal: 'order_not_found', orderId: null, remaining: null, currency: null };
      continue;
    }
    const verdict = judgeRefund(order.facts, request, rules);
    if (verdict.refusal === null) {
      accepted.push(acceptedOf(n, request, order, verdict));
      const { txnId } = verdict.payment;
      order.facts = withRefund(order.facts, {
        ...verdict,
        txnId,
        uniqueRequestId: request.uniqueRequestId,
        at: now,
      });
    } else outcomes[n] = refusedOf(order, verdict);
  }
  for (const round of roundsOf(accepted)) {
    for (const refund of await insertRefunds(tx, round, now, reviewAt)) {
      outcomes[round.find(({ refundId }) => refundId === refund.refundId)!.n] = { ok: true, refund };
    }
  }
  return outcomes;
}

function isReadable({ amount }: RefundRequest): boolean {
  return isReadableAmount(amount);
}

const UNREADABLE: RefundOutcome = {
  ok: false,
  refusal: 'amount_unreadable',
  orderId: null,
  remaining: null,
  currency: null,
};

interface Accepted {
  readonly n: number;
  readonly refundId: string;
  readonly request: RefundRequest;
  readonly order: KnownOrder;
  readonly payment: ChargedPayment;
  readonly amountMinor: number;
}

function acceptedOf(
  n: number,
  request: RefundRequest,
  order: KnownOrder,
  { payment, amountMinor }: { readonly payment: ChargedPayment; readonly amountMinor: number },
): Accepted {
  return { n, refundId: newId(), request, order, payment, amountMinor };
}

function refusedOf(
  { orderId, facts: { currency, exponent } }: KnownOrder,
  { refusal, payment }: { readonly refusal: RefundRefusal; readonly payment: ChargedPayment | null },
): RefundOutcome {
  const remaining = payment && formatAmount(payment.leftMinor, exponent);
  return { ok: false, refusal, orderId, remaining, currency };
}

/** Each event of an order carries the hash of the one before it, so refunds of one order are written one after the other. */
function roundsOf(accepted: readonly Accepted[]): Accepted[][] {
  const rounds: Accepted[][] = [];
  const places = new Map<KnownOrder, number>();
  for (const refund of accepted) {
    const place = places.get(refund.order) ?? 0;
    places.set(refund.order, place + 1);
    rounds[place] ??= [];
    rounds[place].push(refund);
  }
  return rounds;
}

// Statements -------------------------------------------------------------------------------------------

/**
 * Writes refunds of different orders, each with its event, and its notification (invariant 6). A constraint that refuses one
 * refuses all.
 */
async function insertRefunds(
  tx: Queryable,
  accepted: readonly Accepted[],
  now: Date,
  reviewAt: Date,
): Promise<Refund[]> {
  return tx.query<Refund>(INSERT_REFUNDS, [
    now,
    reviewAt,
    ...Object.values(COLUMNS).map(([, of]) => accepted.map((one) => of(one, now))),
  ]);
}

/** What a refund is recorded with: each column's type, and its value. */
const COLUMNS: Readonly<
  Record<string, readonly [type: string, of: (accepted: Accepted, now: Date) => unknown]>
> = {
  merchant_id: ['text', ({ order }) => order.merchantId],
  order_id: ['text', ({ order }) => order.orderId],
  refund_id: ['uuid', ({ refundId }) => refundId],
  unique_request_id: ['text', ({ request }) => request.uniqueRequestId],
  txn_id: ['text', ({ payment }) => payment.txnId],
  amount_minor: ['bigint', ({ amountMinor }) => amountMinor],
  currency: ['text', ({ order }) => order.facts.currency],
  exponent: ['smallint', ({ order }) => order.facts.exponent],
  gateway: ['text', ({ payment }) => payment.gateway],
  gateway_account_id: ['text', ({ payment }) => payment.gatewayAccountId],
  gateway_payment_id: ['text', ({ payment }) => payment.gatewayPaymentId],
  payment_method_type: ['text', ({ payment }) => payment.paymentMethodType],
  refund_type: ['text', ({ request }) => request.refundType],
  idempotency_key: ['text', ({ refundId }) => shortOf(refundId)],
  reason: ['text', ({ request }) => request.reason && textOf(request.reason)],
  note: ['text', ({ request }) => request.note && textOf(request.note)],
  metadata: ['jsonb', ({ request }) => jsonbOf(request.metadata)],
  initiated_by: ['text', ({ request }) => textOf(request.initiatedBy)],
  door: ['text', ({ request }) => request.door],
  batch_id: ['uuid', ({ request }) => request.batchId],
  batch_row: ['int', ({ request }) => request.batchRow],
  lane: ['smallint', ({ request }) => (request.batchId === null ? LANES.single : LANES.batch)],
  due_at: ['timestamptz', ({ payment }, now) => dueAtOf(payment.paymentMethodType, now)],
  cause: ['jsonb', ({ request }) => jsonbOf(request.cause)],
  evidence: ['jsonb', (accepted) => jsonbOf(evidenceOf(accepted))],
};

const REFUND_COLUMNS = Object.keys(COLUMNS).filter((name) => name !== 'cause' && name !== 'evidence');

const INSERT_REFUNDS = `with item as materialized (
       select * from unnest(${Object.values(COLUMNS).map(([type], n) => `$${n + 3}::${type}[]`)}) as i(${Object.keys(COLUMNS)})
     ), chained as (
       select i.*, o.event_seq + 1 as new_seq, o.event_hash as head, event_body(
                i.merchant_id, i.order_id, o.event_seq + 1, $1, 'refund.recorded', i.refund_id, null, 'queued',
                i.cause, i.evidence) as body
       from item i join orders o on o.merchant_id = i.merchant_id and o.order_id = i.order_id
     ), hashed as (
       select c.*, event_hash(c.head, c.body) as new_hash from chained c
     ), inserted as (
       insert into refunds (${REFUND_COLUMNS}, state, created_at, updated_at, next_look_at, review_at, event_seq)
       select ${REFUND_COLUMNS.map((name) => `h.${name}`)}, 'queued', $1, $1, $1, $2, h.new_seq from hashed h
       returning *
     ), heads as (
       update orders o set event_seq = h.new_seq, event_hash = h.new_hash, updated_at = $1
       from hashed h where o.merchant_id = h.merchant_id and o.order_id = h.order_id
     ), logged as (
       insert into events (merchant_id, order_id, seq, at, body, hash)
       select h.merchant_id, h.order_id, h.new_seq, $1, h.body, h.new_hash from hashed h
     ), told as (
       insert into notifications (merchant_id, order_id, notification_id, event_name, refund_id, event_seq, bulk,
                                  created_at, spread_at)
       select h.merchant_id, h.order_id, gen_random_uuid(), 'REFUND_INITIATED', h.refund_id, h.new_seq,
              h.batch_id is not null, $1, $1 from hashed h
     )
     select ${refundColumns('r')} from inserted r`;

function evidenceOf({ request, payment, amountMinor, order }: Accepted) {
  return {
    unique_request_id: request.uniqueRequestId,
    txn_id: payment.txnId,
    amount_minor: amountMinor,
    currency: order.facts.currency,
    full: request.amount === 'full',
    door: request.door,
    batch_id: request.batchId,
    batch_row: request.batchRow,
  };
}
