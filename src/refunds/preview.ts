import type { Capabilities } from '../gateways/gateway.ts';
import { plusMs } from '../lib/clock.ts';
import { parseAmount } from '../lib/money.ts';
import type { Order, Transaction } from '../orders/order.ts';
import {
  DUE_DAYS,
  MAX_REFUNDS_OF_AN_ORDER,
  MAX_TRIES_OF_AN_ORDER,
  READABLE_AMOUNT,
  type RefundRefusal,
} from './record.ts';
import type { Refund } from './refund.ts';
import { STATES } from './states.ts';

/** The facts of an order, as they are read together. */
export interface PreviewFacts {
  readonly order: Order;
  readonly transactions: readonly Transaction[];
  readonly refunds: readonly Refund[];
  readonly canOf: (gateway: string) => Pick<Capabilities, 'partialRefunds' | 'instantRefunds'> | null;
  readonly now: Date;
}

export interface PreviewAsk {
  readonly txnId: string | null;
  /** Decimal text in major units, or `full`. */
  readonly amount: string;
}

/** What recording would say to a refund asked for now, and to which payment it would go. */
export interface Preview {
  /** Null: it would be taken. */
  readonly refusal: RefundRefusal | null;
  readonly transaction: Transaction | null;
  /** What is left of that payment before it. */
  readonly leftMinor: number;
  /** Null where it cannot be read. */
  readonly amountMinor: number | null;
  readonly dueAt: Date | null;
  readonly refundsLeft: number;
  /** The refunds of the same amount in the last day that were not undone, the newest first. */
  readonly lookAlikes: readonly Refund[];
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** From the dashboard, the same amount of an order again within this time needs an explicit yes. */
export const LOOK_ALIKE_WINDOW_MS = DAY_MS;

/**
 * Judges a refund before anybody asks for it, by the rules of `record_refunds` (migrations/verbs): that one decides in
 * the end, under its lock.
 */
export function previewRefund(facts: PreviewFacts, ask: PreviewAsk): Preview {
  const asked = ask.amount === 'full' ? null : parseAmount(ask.amount, facts.order.exponent);
  const askedMinor = asked?.ok ? asked.amountMinor : null;
  const transaction = transactionMeant(facts.transactions, ask.txnId, askedMinor);
  const leftMinor = transaction ? leftOf(transaction) : 0;
  const amountMinor = asked === null ? leftMinor : askedMinor;
  return {
    refusal: refusalOf(),
    transaction,
    leftMinor,
    amountMinor,
    dueAt: transaction && dueAtOf(transaction.paymentMethodType, facts.now),
    refundsLeft: refundsLeftOf(facts.refunds),
    lookAlikes:
      amountMinor === null
        ? []
        : lookAlikesOf(facts.refunds, amountMinor, plusMs(facts.now, -LOOK_ALIKE_WINDOW_MS)),
  };

  function refusalOf(): RefundRefusal | null {
    if (!transaction) return 'order_not_charged';
    if (refundsLeftOf(facts.refunds) === 0) return 'too_many_refunds';
    if (asked && !asked.ok) {
      if (!READABLE_AMOUNT.test(ask.amount)) return 'amount_unreadable';
      return asked.reason === 'too_many_decimals' ? 'amount_too_many_decimals' : 'amount_exceeds_rest';
    }
    if (askedMinor === 0) return 'amount_not_positive';
    if (leftMinor === 0 || (askedMinor ?? leftMinor) > leftMinor) return 'amount_exceeds_rest';
    const partial = (askedMinor ?? leftMinor) < transaction.effectiveMinor;
    return partial && facts.canOf(transaction.gateway)?.partialRefunds === false
      ? 'partial_not_supported'
      : null;
  }
}

/** How many more refunds the order may have: `refunds_that_count` (migrations/verbs), seen from the other side. */
function refundsLeftOf(refunds: readonly Refund[]): number {
  const held = refunds.filter(({ state }) => STATES[state].reserves).length;
  return Math.max(Math.min(MAX_REFUNDS_OF_AN_ORDER - held, MAX_TRIES_OF_AN_ORDER - refunds.length), 0);
}

export function leftOf({ effectiveMinor, reservedMinor }: Transaction): number {
  return effectiveMinor - reservedMinor;
}

/** What refunds under way hold of a payment: reserved, and not yet with the customer. */
export function inFlightOf({ txnId }: Transaction, refunds: readonly Refund[]): number {
  return refunds
    .filter((refund) => refund.txnId === txnId && isUnderWay(refund))
    .reduce((sum, { amountMinor }) => sum + amountMinor, 0);
}

export function isUnderWay({ state }: Refund): boolean {
  return STATES[state].reserves && !STATES[state].final;
}

/** The refunds of that amount since then that hold it or have paid it, the newest first. */
export function lookAlikesOf(refunds: readonly Refund[], amountMinor: number, since: Date): Refund[] {
  return refunds
    .filter((r) => r.amountMinor === amountMinor && STATES[r.state].reserves && r.createdAt > since)
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
}

/** The payment that is named; else the first that the amount fits into, else the first. */
function transactionMeant(
  transactions: readonly Transaction[],
  txnId: string | null,
  amountMinor: number | null,
): Transaction | null {
  const fits = (t: Transaction) => leftOf(t) >= Math.max(amountMinor ?? 1, 1);
  const charged = transactions
    .filter((t) => t.status === 'CHARGED' && (txnId === null || t.txnId === txnId))
    .sort(
      (a, b) =>
        Number(fits(b)) - Number(fits(a)) ||
        (a.chargedAt?.getTime() ?? Number.POSITIVE_INFINITY) -
          (b.chargedAt?.getTime() ?? Number.POSITIVE_INFINITY) ||
        (a.txnId < b.txnId ? -1 : 1),
    );
  return charged[0] ?? null;
}

/** When the customer should have the money, on the full hour: as `record_refunds` writes it. */
function dueAtOf(paymentMethodType: string | null, now: Date): Date {
  const days = DUE_DAYS[paymentMethodType ?? ''] ?? DUE_DAYS['']!;
  return new Date(Math.ceil((now.getTime() + days * DAY_MS) / HOUR_MS) * HOUR_MS);
}
