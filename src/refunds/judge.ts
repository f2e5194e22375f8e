import type { Capabilities, RefundType } from '../gateways/gateway.ts';
import { DAY_MS, plusMs } from '../lib/clock.ts';
import { MAX_AMOUNT_MINOR, parseAmount } from '../lib/money.ts';

/**
 * The one judge: whether a refund may be made of an order, of which payment, and if not, why. Pure, over facts that its
 * caller has read; what is recorded in the end was judged under the order's lock. The schema's own constraints stand
 * behind it.
 */

/** A payment that is CHARGED, as far as a refund of it is judged. */
export interface RefundablePayment {
  readonly txnId: string;
  readonly gateway: string;
  /** What the customer really paid. */
  readonly effectiveMinor: number;
  /** What is left of that, refunds under way counted. */
  readonly leftMinor: number;
  readonly chargedAt: Date | null;
}

/** A refund that was asked for before, whatever became of it. */
export interface EarlierRefund {
  /** Null for one that shall not be taken for the same request. */
  readonly uniqueRequestId: string | null;
  readonly amountMinor: number;
  /** It holds its amount or has paid it. */
  readonly reserves: boolean;
  readonly createdAt: Date;
}

export interface OrderFacts<Payment extends RefundablePayment = RefundablePayment> {
  readonly currency: string;
  readonly exponent: number;
  readonly payments: readonly Payment[];
  readonly refunds: readonly EarlierRefund[];
}

/** What is asked for, as far as facts are needed to judge it. */
export interface AskedRefund {
  /** The payment; null takes the first that so much is left of. */
  readonly txnId: string | null;
  /** Null where none is told yet. */
  readonly uniqueRequestId: string | null;
  /** Decimal text in major units, or `full`: all that is left. */
  readonly amount: string | 'full';
  /** Refused unless it is the order's currency; null does not ask. */
  readonly currency: string | null;
  readonly refundType: RefundType;
  /** Refuse the same amount of the same order again within this time (contract section 2.4); 0 does not. */
  readonly sameAmountWindowMs: number;
  /** What the asker believes is left to refund, decimal text; a mismatch is refused. Null does not ask. */
  readonly expectedRemaining: string | null;
}

export interface Rules {
  readonly now: Date;
  /** Null where this program has no connector for the gateway. */
  readonly canOf: (
    gateway: string,
  ) => Pick<Capabilities, 'partialRefunds' | 'instantRefunds' | 'refundableDays'> | null;
}

export type RefundRefusal =
  | 'amount_unreadable'
  | 'order_not_found'
  | 'order_not_charged'
  | 'duplicate_request_id'
  | 'too_many_refunds'
  | 'currency_mismatch'
  | 'amount_too_many_decimals'
  | 'remaining_mismatch'
  | 'amount_not_positive'
  | 'same_amount_again'
  | 'amount_exceeds_rest'
  | 'instant_not_supported'
  | 'partial_not_supported'
  | 'too_old';

export type Verdict<Payment extends RefundablePayment = RefundablePayment> =
  | { readonly refusal: null; readonly payment: Payment; readonly amountMinor: number }
  | {
      readonly refusal: RefundRefusal;
      /** Where there is one that could have been meant. */
      readonly payment: Payment | null;
      /** Where it can be read, and is an amount that can have been paid. */
      readonly amountMinor: number | null;
    };

/**
 * The contract's limit of refunds on one order (contract section 2.4, request.exceeded). Refunds that failed, were cancelled or
 * taken back do not count: gateway accounts with a wrong key must not close an order for good.
 */
export const MAX_REFUNDS_OF_AN_ORDER = 25;
/** All that an order's refunds may be, those that came to nothing included. */
export const MAX_TRIES_OF_AN_ORDER = 200;

/** More than anything can have been paid. */
const TOO_LARGE = MAX_AMOUNT_MINOR + 1;
// Fifteen digits before the point are more than any allowed amount; no currency has more than four decimals.
const READABLE_AMOUNT = /^\d{1,15}(?:\.\d{1,10})?$/;

export function isReadableAmount(amount: string): boolean {
  return amount === 'full' || READABLE_AMOUNT.test(amount);
}

export function judgeRefund<Payment extends RefundablePayment>(
  facts: OrderFacts<Payment>,
  asked: AskedRefund,
  rules: Rules,
): Verdict<Payment> {
  const askedMinor = minorOf(asked.amount, facts.exponent);
  const payment = paymentMeant(facts.payments, asked.txnId, askedMinor);
  const amountMinor = asked.amount === 'full' ? (payment?.leftMinor ?? null) : askedMinor;
  const refusal = refusalOf(facts, asked, rules, payment, amountMinor);
  return refusal === null
    ? { refusal, payment: payment!, amountMinor: amountMinor! }
    : { refusal, payment, amountMinor: amountMinor === TOO_LARGE ? null : amountMinor };
}

function refusalOf(
  facts: OrderFacts,
  asked: AskedRefund,
  { now, canOf }: Rules,
  payment: RefundablePayment | null,
  amountMinor: number | null,
): RefundRefusal | null {
  if (!isReadableAmount(asked.amount)) return 'amount_unreadable';
  if (payment === null) return 'order_not_charged';
  const { uniqueRequestId } = asked;
  if (uniqueRequestId !== null && facts.refunds.some((r) => r.uniqueRequestId === uniqueRequestId))
    return 'duplicate_request_id';
  if (refundsLeft(facts.refunds) === 0) return 'too_many_refunds';
  if (asked.currency !== null && asked.currency !== facts.currency) return 'currency_mismatch';
  if (amountMinor === null) return 'amount_too_many_decimals';
  const { leftMinor } = payment;
  if (asked.expectedRemaining !== null && !isAmount(asked.expectedRemaining, leftMinor, facts.exponent))
    return 'remaining_mismatch';
  if (asked.amount !== 'full' && amountMinor === 0) return 'amount_not_positive';
  // A refund made by a clock that is ahead of ours lies within every window, one of no length excepted.
  const since = plusMs(now, -asked.sameAmountWindowMs);
  if (asked.sameAmountWindowMs > 0 && sameAmountSince(facts.refunds, amountMinor, since).length > 0)
    return 'same_amount_again';
  if (leftMinor === 0 || amountMinor > leftMinor) return 'amount_exceeds_rest';
  const can = canOf(payment.gateway);
  if (asked.refundType === 'INSTANT' && !can?.instantRefunds) return 'instant_not_supported';
  if (amountMinor < payment.effectiveMinor && can?.partialRefunds === false) return 'partial_not_supported';
  if (isTooOld(payment, can?.refundableDays, now)) return 'too_old';
  return null;
}

/** The facts once an accepted refund has been recorded. */
export function withRefund<Payment extends RefundablePayment>(
  facts: OrderFacts<Payment>,
  refund: {
    readonly txnId: string;
    readonly amountMinor: number;
    readonly uniqueRequestId: string | null;
    readonly at: Date;
  },
): OrderFacts<Payment> {
  const { amountMinor, uniqueRequestId, at } = refund;
  return {
    ...facts,
    payments: facts.payments.map((payment) =>
      payment.txnId === refund.txnId ? { ...payment, leftMinor: payment.leftMinor - amountMinor } : payment,
    ),
    refunds: [...facts.refunds, { uniqueRequestId, amountMinor, reserves: true, createdAt: at }],
  };
}

/** How many more refunds the order may have. */
export function refundsLeft(refunds: readonly Pick<EarlierRefund, 'reserves'>[]): number {
  const held = refunds.filter(({ reserves }) => reserves).length;
  return Math.max(Math.min(MAX_REFUNDS_OF_AN_ORDER - held, MAX_TRIES_OF_AN_ORDER - refunds.length), 0);
}

/** The refunds of that amount since then that hold it or have paid it. */
export function sameAmountSince<Earlier extends Omit<EarlierRefund, 'uniqueRequestId'>>(
  refunds: readonly Earlier[],
  amountMinor: number,
  since: Date,
): Earlier[] {
  return refunds.filter((r) => r.amountMinor === amountMinor && r.reserves && r.createdAt > since);
}

/** The payment that is named; else the first that so much is left of, else the first. */
function paymentMeant<Payment extends RefundablePayment>(
  payments: readonly Payment[],
  txnId: string | null,
  amountMinor: number | null,
): Payment | null {
  const fits = ({ leftMinor }: Payment) => leftMinor >= Math.max(amountMinor ?? 1, 1);
  const [first] = payments
    .filter((payment) => txnId === null || payment.txnId === txnId)
    .sort(
      (a, b) =>
        Number(fits(b)) - Number(fits(a)) || chargedAtOf(a) - chargedAtOf(b) || (a.txnId < b.txnId ? -1 : 1),
    );
  return first ?? null;
}

function chargedAtOf({ chargedAt }: RefundablePayment): number {
  return chargedAt?.getTime() ?? Number.POSITIVE_INFINITY;
}

function isTooOld({ chargedAt }: RefundablePayment, days: number | undefined, now: Date): boolean {
  return days !== undefined && chargedAt !== null && chargedAt < plusMs(now, -days * DAY_MS);
}

/** Whether the text says this amount, with however many zeros at its end. */
function isAmount(text: string, amountMinor: number, exponent: number): boolean {
  return minorOf(text.replace(/\.(\d*?)0*$/, '.$1').replace(/\.$/, ''), exponent) === amountMinor;
}

/** Null for `full` and where it has more decimals than the currency; what no order can be of is more than any. */
function minorOf(amount: string | 'full', exponent: number): number | null {
  if (amount === 'full') return null;
  const parsed = parseAmount(amount, exponent);
  if (parsed.ok) return parsed.amountMinor;
  return parsed.reason === 'too_large' ? TOO_LARGE : null;
}
