import { amountText } from '../lib/money.ts';
import { STATES } from '../refunds/states.ts';
import { ROW_CODES, type RowCode } from './file/row-codes.ts';
import type { ShownRow } from './store.ts';

/** What is wrong with a row, as it is shown: a stable word, our column, and what to do about it. */
export interface ShownProblem {
  readonly code: string;
  readonly field: string | null;
  readonly message: string;
}

type Row = Pick<
  ShownRow,
  'orderId' | 'txnId' | 'uniqueRequestId' | 'amount' | 'currency' | 'refundType' | 'customerEmail'
>;

/** What stands in the database of a problem: its code, and what the sentence tells. */
interface Stored {
  readonly code: string;
  readonly field?: string | null;
  readonly message?: string;
  readonly line?: number;
  readonly at?: string;
  readonly days?: number;
  readonly rest_minor?: number | null;
  readonly exponent?: number | null;
  /** Decimal text, where a refund was tried and refused. */
  readonly rest?: string | null;
  readonly currency?: string | null;
  readonly state?: string | null;
  /** What the gateway said against a row. */
  readonly said?: string;
}

interface Words {
  readonly field: string | null;
  /** In general, for a count of such rows. */
  readonly general: string;
  readonly says: (row: Row, stored: Stored) => string;
}

/** The problem of a row in words; what the reading of the file has found has its words already. */
export function problemOfRow(row: Row, stored: Readonly<Record<string, unknown>>): ShownProblem {
  const { code, field = null, message, ...facts } = stored as unknown as Stored;
  if (message !== undefined) return { code, field, message };
  const words = WORDS[code];
  if (!words) return { code, field, message: 'This row cannot be sent as it is.' };
  return { code, field: words.field, message: words.says(row, { code, ...facts }) };
}

/** What such rows have in common. */
export function generalSentence(code: string): string {
  return WORDS[code]?.general ?? ROW_CODES[code as RowCode] ?? 'The row cannot be sent as it is.';
}

const orderOf = (row: Row) =>
  row.orderId === '' ? `the payment ${row.txnId ?? '(none)'}` : `the order ${row.orderId}`;

function restOf(stored: Stored): string {
  if (stored.rest != null) return `${stored.rest} ${stored.currency}`;
  if (stored.rest_minor == null || stored.exponent == null) return 'less';
  return amountText(Math.max(0, stored.rest_minor), stored.exponent, String(stored.currency));
}

const WORDS: Readonly<Record<string, Words>> = {
  order_not_found: {
    field: 'order_id',
    general: 'There is no such order.',
    says: (row) =>
      `There is no such order: ${orderOf(row)} is not known here. Check the id, or record the payment first.`,
  },
  order_not_charged: {
    field: 'order_id',
    general: 'The order has no charged payment, so there is nothing to give back.',
    says: (row) =>
      row.txnId === null
        ? `Nothing was paid that could be given back: ${orderOf(row)} has no charged payment.`
        : `Nothing was paid that could be given back: the order has no charged payment ${row.txnId}.`,
  },
  duplicate_request_id: {
    field: 'unique_request_id',
    general: 'The order already has a refund with this unique_request_id.',
    says: (row) =>
      `The order already has a refund with the unique_request_id ${row.uniqueRequestId}; no second one is made. ` +
      'Give a new id if a further refund is meant.',
  },
  duplicate_in_file: {
    field: 'unique_request_id',
    general: 'An earlier row of the file is the same refund.',
    says: (_, { line }) =>
      `Line ${line} of the file names the same refund; only that one is taken. Give a new unique_request_id if a further refund is meant.`,
  },
  too_many_refunds: {
    field: 'order_id',
    general: 'The order has as many refunds as one order may have.',
    says: (row) => `With this row, ${orderOf(row)} would have more refunds than one order may have (25).`,
  },
  currency_mismatch: {
    field: 'currency',
    general: 'The order was paid in another currency.',
    says: (row, { currency }) =>
      `The order was paid in ${currency}, not in ${row.currency}. Give the amount in ${currency}.`,
  },
  email_mismatch: {
    field: 'customer_email',
    general: 'The order belongs to another customer.',
    says: (row) =>
      `The order's customer is not ${row.customerEmail}. Check whether the order id is the right one.`,
  },
  amount_unreadable: {
    field: 'amount',
    general: 'The amount cannot be read.',
    says: (row) => `The amount "${row.amount}" cannot be read. Write it like 499.00, or full.`,
  },
  amount_not_positive: {
    field: 'amount',
    general: 'The amount is zero.',
    says: () => 'The amount is zero. Write how much to give back, or full.',
  },
  amount_too_many_decimals: {
    field: 'amount',
    general: 'The amount has more decimals than its currency.',
    says: (row, { currency }) =>
      `${row.amount} has more decimals than ${currency ?? row.currency} has; nothing is rounded. Write the exact amount.`,
  },
  amount_exceeds_rest: {
    field: 'amount',
    general: 'More is asked for than is left to refund.',
    says: (row, stored) =>
      `${row.amount === 'full' ? 'Nothing is' : `${row.amount} ${row.currency} is more than what is`} left to refund: ` +
      `${restOf(stored)}, after what was refunded before and the rows above of the same order.`,
  },
  instant_not_supported: {
    field: 'refund_type',
    general: 'The gateway makes no instant refunds.',
    says: () => 'The gateway of this payment makes no instant refunds. Write STANDARD.',
  },
  partial_not_supported: {
    field: 'amount',
    general: 'The gateway gives back only the whole payment.',
    says: () => 'The gateway of this payment gives back the whole amount or nothing. Write full.',
  },
  too_old: {
    field: 'order_id',
    general: 'The payment is older than its gateway refunds.',
    says: (_, { at, days }) =>
      at === undefined
        ? 'The payment is older by now than its gateway refunds. Give the money back another way.'
        : `The payment was made on ${String(at).slice(0, 10)}; its gateway refunds payments for ${days} days only. ` +
          'Give the money back another way.',
  },
  same_amount_before: {
    field: 'amount',
    general: 'The same amount of the order was refunded before.',
    says: (row, { at }) =>
      `The same amount of ${orderOf(row)} was refunded on ${String(at).slice(0, 10)} already. It is sent only if you say that a second refund is meant.`,
  },
  same_amount_in_file: {
    field: 'amount',
    general: 'Another row of the file refunds the same amount of the same order.',
    says: (_, { line }) =>
      `Line ${line} of the file refunds the same amount of the same order. It is sent only if you say that both are meant.`,
  },
  refund_not_found: {
    field: 'refund_id',
    general: 'There is no such refund.',
    says: () => 'There is no such refund. Check refund_id, or order_id with unique_request_id.',
  },
  not_in_review: {
    field: 'refund_id',
    general: 'The refund does not wait for a person.',
    says: (_, { state }) =>
      `The refund is ${STATES[state as keyof typeof STATES]?.public ?? 'settled'}, not in manual review: there is nothing to settle.`,
  },
  gateway_says_otherwise: {
    field: 'outcome',
    general: 'The gateway says otherwise.',
    says: (_, { said }) =>
      `The gateway was asked, and ${said}. Look there again; if it is wrong, settle the refund on its page, with a second person.`,
  },
};
