import type { RefundType } from '../gateways/gateway.ts';
import { formatAmount } from '../lib/money.ts';
import type { KnownOrder } from '../refunds/facts.ts';
import { judgeRefund, type RefundRefusal, type Rules, withRefund } from '../refunds/judge.ts';
import type { Finding } from './batch.ts';
import type { Verdict } from './words.ts';

/** A row of a file of refunds, as it is checked. */
export interface RowToJudge {
  readonly rowNo: number;
  readonly line: number;
  /** False: it cannot be understood, whatever the facts are; then `problem` says why. */
  readonly readable: boolean;
  readonly problem: { readonly code: string } | null;
  readonly uniqueRequestId: string;
  /** Decimal text in major units, or `full`. */
  readonly amount: string;
  readonly currency: string | null;
  readonly refundType: RefundType;
  readonly customerEmail: string | null;
  readonly txnId: string | null;
}

/** What the check says of a row. */
export interface JudgedRow {
  readonly rowNo: number;
  readonly verdict: Verdict;
  /** Null where it is good. */
  readonly problem: { readonly code: string } | null;
  /** The order's own spelling. */
  readonly foundOrderId: string | null;
  /** How much `full` is, where it could become more. */
  readonly sendsAmount: string | null;
  /** Which payment it takes, where the row does not say it and the order has several. */
  readonly sendsTxnId: string | null;
  readonly gateway: string | null;
  readonly currency: string | null;
  readonly exponent: number | null;
  /** What it gives back; 0 where it is bad. */
  readonly amountMinor: number;
}

/**
 * Judges rows in the order of their file, each after those before it of the same order: what one takes, the next finds gone.
 * All rows of an order have to be among them. `orders` has the order of each row.
 */
export function judgeRows(
  rows: readonly RowToJudge[],
  orders: readonly (KnownOrder | null)[],
  rules: Rules,
): JudgedRow[] {
  const seen = new Map<KnownOrder, SeenOfOrder>();
  return rows.map((row, n) => {
    const order = row.readable ? orders[n]! : null;
    if (order === null) return withoutOrder(row);
    const of = seen.get(order) ?? { facts: order.facts, lineOfKey: new Map(), lineOfAmount: new Map() };
    seen.set(order, of);
    return judgeRow(row, order, of, rules);
  });
}

/** What the rows of an order that came before have left. */
interface SeenOfOrder {
  facts: KnownOrder['facts'];
  readonly lineOfKey: Map<string, number>;
  readonly lineOfAmount: Map<number, number>;
}

function withoutOrder(row: RowToJudge): JudgedRow {
  return {
    ...NOTHING_TAKEN,
    rowNo: row.rowNo,
    verdict: 'bad',
    problem: row.readable ? { code: 'order_not_found' satisfies RefundRefusal } : row.problem,
    foundOrderId: null,
    gateway: null,
    currency: null,
    exponent: null,
  };
}

function judgeRow(row: RowToJudge, order: KnownOrder, seen: SeenOfOrder, rules: Rules): JudgedRow {
  const { currency, exponent, payments } = seen.facts;
  const verdict = judgeRefund(
    seen.facts,
    // A look-alike is asked about, not refused.
    { ...row, sameAmountWindowMs: 0, expectedRemaining: null },
    rules,
  );
  const { payment } = verdict;
  const sameKey = seen.lineOfKey.get(row.uniqueRequestId);
  if (sameKey === undefined) seen.lineOfKey.set(row.uniqueRequestId, row.line);
  const judged = {
    rowNo: row.rowNo,
    foundOrderId: order.orderId,
    gateway: payment?.gateway ?? null,
    currency,
    exponent,
  };
  const fault = faultOf();
  if (fault !== null || verdict.refusal !== null)
    return { ...judged, ...NOTHING_TAKEN, verdict: 'bad', problem: fault };
  const { amountMinor } = verdict;
  const { txnId, effectiveMinor } = verdict.payment;
  const likeBefore = latestOf(order, amountMinor);
  const likeInFile = seen.lineOfAmount.get(amountMinor);
  if (likeInFile === undefined) seen.lineOfAmount.set(amountMinor, row.line);
  seen.facts = withRefund(seen.facts, { txnId, amountMinor, uniqueRequestId: null, at: rules.now });
  const isUnsure = row.txnId === null && payments.length > 1;
  const isLess = amountMinor < effectiveMinor;
  const problem =
    likeBefore !== null
      ? { code: 'same_amount_before', field: 'amount', at: likeBefore }
      : likeInFile !== undefined
        ? { code: 'same_amount_in_file', field: 'amount', line: likeInFile }
        : null;
  return {
    ...judged,
    verdict: problem === null ? 'good' : 'look_alike',
    problem,
    // What has been promised must not become more, nor another payment's, when other rows are left out or facts change.
    sendsAmount: row.amount === 'full' && (isLess || isUnsure) ? formatAmount(amountMinor, exponent) : null,
    sendsTxnId: isUnsure ? txnId : null,
    amountMinor,
  };

  function faultOf() {
    const { refusal } = verdict;
    if (refusal !== null && BEFORE_THE_FILE.has(refusal)) return { ...rest(), code: refusal };
    if (sameKey !== undefined)
      return { code: 'duplicate_in_file', field: 'unique_request_id', line: sameKey };
    if (row.customerEmail !== null && !isSameEmail(row.customerEmail, order.customerEmail))
      return { ...rest(), code: 'email_mismatch' };
    if (refusal === 'too_old')
      return { code: refusal, at: payment!.chargedAt, days: rules.canOf(payment!.gateway)!.refundableDays };
    return refusal && { ...rest(), code: refusal };
  }

  function rest() {
    return { rest_minor: payment?.leftMinor ?? null, currency, exponent };
  }
}

/** Of what is wrong with a row, these are said before what its file and its order's owner make of it. */
const BEFORE_THE_FILE: ReadonlySet<RefundRefusal> = new Set(['order_not_charged', 'duplicate_request_id']);

const NOTHING_TAKEN = { sendsAmount: null, sendsTxnId: null, amountMinor: 0 } as const;

/** When the last refund of this amount was made, of those that the order had before the file. */
function latestOf({ facts }: KnownOrder, amountMinor: number): Date | null {
  const times = facts.refunds
    .filter((refund) => refund.reserves && refund.amountMinor === amountMinor)
    .map(({ createdAt }) => createdAt);
  return times.length === 0 ? null : times.reduce((a, b) => (a > b ? a : b));
}

function isSameEmail(a: string, b: string | null): boolean {
  return b !== null && a.toLowerCase() === b.toLowerCase();
}

/** What the rows come to, by verdict, reason, gateway and currency. */
export function findingsOf(judged: readonly JudgedRow[]): Finding[] {
  return judged.map(({ verdict, problem, gateway, currency, exponent, amountMinor }) => ({
    verdict,
    code: problem?.code ?? null,
    gateway,
    currency,
    exponent,
    rows: 1,
    amountMinor,
  }));
}
