import { DAY_MS, plusMs } from '../lib/clock.ts';
import type { Order, Transaction } from '../orders/order.ts';
import { judgeRefund, type RefundRefusal, type Rules, refundsLeft, sameAmountSince } from './judge.ts';
import { dueAtOf } from './record.ts';
import type { Refund } from './refund.ts';
import { STATES } from './states.ts';

/** The facts of an order, as they are read together. */
export interface PreviewFacts extends Rules {
  readonly order: Order;
  readonly transactions: readonly Transaction[];
  readonly refunds: readonly Refund[];
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

/** From the dashboard, the same amount of an order again within this time needs an explicit yes. */
export const LOOK_ALIKE_WINDOW_MS = DAY_MS;

/** What the judge says before anybody asks: of a look-alike it only tells, since a yes to it may follow. */
export function previewRefund(facts: PreviewFacts, ask: PreviewAsk): Preview {
  const { order, now } = facts;
  const earlier = facts.refunds.map(asEarlier);
  const verdict = judgeRefund(
    {
      currency: order.currency,
      exponent: order.exponent,
      payments: facts.transactions
        .filter(({ status }) => status === 'CHARGED')
        .map((transaction) => ({ ...transaction, leftMinor: leftOf(transaction), transaction })),
      refunds: earlier,
    },
    {
      ...ask,
      uniqueRequestId: null,
      currency: null,
      refundType: 'STANDARD',
      sameAmountWindowMs: 0,
      expectedRemaining: null,
    },
    facts,
  );
  const { refusal, payment, amountMinor } = verdict;
  return {
    refusal,
    transaction: payment?.transaction ?? null,
    leftMinor: payment?.leftMinor ?? 0,
    amountMinor,
    dueAt: payment && dueAtOf(payment.paymentMethodType, now),
    refundsLeft: refundsLeft(earlier),
    lookAlikes:
      amountMinor === null
        ? []
        : lookAlikesOf(facts.refunds, amountMinor, plusMs(now, -LOOK_ALIKE_WINDOW_MS)),
  };
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
  return sameAmountSince(refunds.map(asEarlier), amountMinor, since).sort(
    (a, b) => b.createdAt.getTime() - a.createdAt.getTime(),
  );
}

function asEarlier(refund: Refund) {
  return { ...refund, reserves: STATES[refund.state].reserves };
}
