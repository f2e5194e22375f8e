import type { Cause } from '../audit/events.ts';
import { chooseGatewayAccount, type GatewayAccount, listGatewayAccounts } from '../gateways/accounts.ts';
import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { readJson } from '../lib/json.ts';
import type { Line } from '../lib/lines.ts';
import { formatAmount } from '../lib/money.ts';
import { FINAL_STATUSES, readTold, shown, type ToldTransaction, type TransactionRefusal } from './told.ts';

export type TransactionOutcome =
  | {
      /** `unchanged`: all of it was known before, and nothing was written. */
      readonly outcome: 'recorded' | 'unchanged';
      readonly orderId: string;
      /** `<merchant>-<order>-<n>`, the n-th payment attempt of the order. */
      readonly txnId: string;
    }
  | { readonly outcome: 'refused'; readonly refusal: TransactionRefusal };

/** How many a caller with a long list should hand over at a time: each list is one commit. */
export const SLICE_LENGTH = 500;

/**
 * Records payment attempts as a merchant tells them (`TransactionInput`, unchecked), making the orders that are
 * new: one statement and one commit for the list, an outcome for each in the list's order. Telling the same again
 * changes nothing; what contradicts what is known is refused by the name of the field, and a refusal never touches
 * its neighbours. An attempt is known by its order and the gateway's payment id. Once an order is CHARGED by one
 * payment no other payment of it is taken, and one payment is never taken for two orders of an account.
 */
export async function recordTransactions(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  items: readonly unknown[],
  cause: Cause | ((index: number) => Cause),
): Promise<TransactionOutcome[]> {
  if (items.length === 0) return [];
  const now = clock.now();
  const accounts = await listGatewayAccounts(db, merchantId);
  const readings = items.map((item) => readTold(item, now));
  const matched = readings.map((reading) => (reading.ok ? matchAccount(reading.told, accounts) : reading));
  const causeOf = typeof cause === 'function' ? cause : () => cause;
  const rows = await writeRounds(
    db,
    now,
    merchantId,
    roundsOf(matched.flatMap((match, index) => (match.ok ? [rowOf(match, index, causeOf(index))] : []))),
  );
  const verdicts = new Map(rows.map((row) => [row.idx, row]));
  return matched.map((match, index) => {
    if (!match.ok) return { outcome: 'refused', refusal: match.refusal };
    return outcomeOf(verdicts.get(index)!, match, items[index], accounts);
  });
}

/** A line of a long list, read or not. */
export type ReadLine =
  | { readonly line: number; readonly ok: true; readonly item: unknown }
  | { readonly line: number; readonly ok: false; readonly refusal: TransactionRefusal };

/** Lines longer than this are refused unread. */
export const MAX_LINE_BYTES = 65_536;

/** Reads a line of JSON. */
export function readLine(line: Line): ReadLine {
  const unreadable = (message: string): ReadLine => ({
    line: line.no,
    ok: false,
    refusal: { code: 'unreadable_line', message },
  });
  if (!line.ok) {
    return unreadable(
      line.why === 'too_long' ? `The line is longer than ${MAX_LINE_BYTES} bytes.` : 'The line is not UTF-8.',
    );
  }
  const reading = readJson(line.text, 'written');
  if (!reading.ok) return unreadable(`The line cannot be read as JSON: ${reading.why}.`);
  return { line: line.no, ok: true, item: reading.value };
}

/** As `recordTransactions`; a line that could not be read is answered with why. */
export async function recordLines(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  lines: readonly ReadLine[],
  causeOf: (line: number) => Cause,
): Promise<TransactionOutcome[]> {
  const readable = lines.filter((line) => line.ok);
  const outcomes = await recordTransactions(
    db,
    clock,
    merchantId,
    readable.map(({ item }) => item),
    (index) => causeOf(readable[index]!.line),
  );
  let next = 0;
  return lines.map((line) => (line.ok ? outcomes[next++]! : { outcome: 'refused', refusal: line.refusal }));
}

interface Matched {
  readonly ok: true;
  readonly told: ToldTransaction;
  /** Null where the gateway's word alone does not tell; a known transaction then keeps its own. */
  readonly gatewayAccountId: string | null;
}

function matchAccount(
  told: ToldTransaction,
  accounts: readonly GatewayAccount[],
): Matched | { readonly ok: false; readonly refusal: TransactionRefusal } {
  const account = chooseGatewayAccount(accounts, told.gateway, told.gatewayAccount);
  if (typeof account !== 'string') return { ok: true, told, gatewayAccountId: account.gatewayAccountId };
  if (told.gatewayAccount === null) return { ok: true, told, gatewayAccountId: null };
  return { ok: false, refusal: unknownAccount(told, accounts) };
}

function unknownAccount(told: ToldTransaction, accounts: readonly GatewayAccount[]): TransactionRefusal {
  const names = accounts.filter(({ gateway }) => gateway === told.gateway).map(({ name }) => name);
  return {
    code: 'unknown_gateway_account',
    message:
      names.length === 0
        ? `There is no account of the gateway ${told.gateway}.`
        : told.gatewayAccount === null
          ? `Which account of ${told.gateway} took the payment has to be said.`
          : `${told.gateway} has no account of this id or name.`,
    field: names.length === 0 ? 'gateway' : 'gateway_account',
    value: names.length === 0 ? told.gateway : shown(told.gatewayAccount ?? ''),
    accepted: listed(names.length === 0 ? [...new Set(accounts.map(({ gateway }) => gateway))] : names),
  };
}

const MOST_LISTED = 20;

/** Each line of a stream may be refused with this: it has to stay short. */
function listed(words: readonly string[]): string {
  const more = words.length > MOST_LISTED ? [`and ${words.length - MOST_LISTED} more`] : [];
  return [...words.slice(0, MOST_LISTED), ...more].join(', ') || 'none yet';
}

type ItemRow = ReturnType<typeof rowOf>;

/** The names are those of the type told_transaction. */
function rowOf({ told, gatewayAccountId }: Matched, idx: number, cause: Cause) {
  return {
    idx,
    order_id: told.orderId,
    order_uuid: newId(),
    txn_uuid: newId(),
    amount_minor: told.amountMinor,
    currency: told.currency,
    exponent: told.exponent,
    status: told.status,
    gateway: told.gateway,
    gateway_account_id: gatewayAccountId,
    account_told: told.gatewayAccount !== null,
    gateway_payment_id: told.gatewayPaymentId,
    payment_method_type: told.paymentMethodType,
    payment_method: told.paymentMethod,
    surcharge_minor: told.surchargeMinor,
    offer_minor: told.offerMinor,
    charged_at: told.chargedAt,
    customer_id: told.customerId,
    customer_email: told.customerEmail,
    customer_phone: told.customerPhone,
    details: told.udf,
    metadata: told.metadata,
    cause,
  };
}

/**
 * Items that share an order or a payment go into different rounds, in the list's order, so that each is judged by
 * what the ones before it did.
 */
function roundsOf(rows: readonly ItemRow[]): ItemRow[][] {
  const rounds: ItemRow[][] = [];
  const lastRound = new Map<string, number>();
  for (const row of rows) {
    const keys = [
      `order ${row.order_id.toLowerCase()}`,
      `payment ${row.gateway_account_id} ${row.gateway_payment_id}`,
    ];
    const round = Math.max(...keys.map((key) => (lastRound.get(key) ?? -1) + 1));
    for (const key of keys) lastRound.set(key, round);
    rounds[round] ??= [];
    rounds[round].push(row);
  }
  return rounds;
}

interface Verdict {
  readonly idx: number;
  readonly outcome: string;
  readonly order_id: string | null;
  readonly txn_id: string | null;
  /** What is known of the contradicted thing; amounts in minor units. */
  readonly known: string | null;
}

async function writeRounds(
  db: Queryable,
  now: Date,
  merchantId: string,
  rounds: readonly (readonly ItemRow[])[],
): Promise<Verdict[]> {
  if (rounds.length === 0) return [];
  return db.query<Verdict>('select * from record_transactions($1, $2, $3, $4)', [
    now,
    merchantId,
    FINAL_STATUSES,
    JSON.stringify(rounds),
  ]);
}

function outcomeOf(
  verdict: Verdict,
  { told }: Matched,
  item: unknown,
  accounts: readonly GatewayAccount[],
): TransactionOutcome {
  if (verdict.outcome === 'recorded' || verdict.outcome === 'unchanged') {
    return { outcome: verdict.outcome, orderId: verdict.order_id!, txnId: verdict.txn_id! };
  }
  if (verdict.outcome === 'account_untold')
    return { outcome: 'refused', refusal: unknownAccount(told, accounts) };
  const { field, message, accepted } = contradictionOf(verdict, told, accounts);
  const value = (item as Readonly<Record<string, unknown>>)[field] ?? '';
  return {
    outcome: 'refused',
    refusal: { code: 'contradiction', message, field, value: shown(value), accepted },
  };
}

function contradictionOf(
  verdict: Verdict,
  told: ToldTransaction,
  accounts: readonly GatewayAccount[],
): { field: string; message: string; accepted: string } {
  const known = verdict.known ?? '';
  switch (verdict.outcome) {
    case 'order_id':
      return {
        field: 'order_id',
        message:
          'An order of this id is there with other capital letters; order ids differ by more than case.',
        accepted: known,
      };
    case 'amount':
    case 'surcharge':
    case 'offer_discount':
      return {
        field: verdict.outcome,
        message: `The ${verdict.outcome} of order ${told.orderId} is known to be another.`,
        accepted: formatAmount(Number(known), told.exponent),
      };
    case 'gateway_account': {
      const name = accounts.find(({ gatewayAccountId }) => gatewayAccountId === known)?.name;
      return {
        field: 'gateway_account',
        message: `The payment ${told.gatewayPaymentId} is known to be of another account.`,
        accepted: name ?? known,
      };
    }
    case 'status':
      return {
        field: 'status',
        message: `The payment ${told.gatewayPaymentId} is ${known} and stays so; money goes back by a refund.`,
        accepted: known,
      };
    case 'charged_by_other_payment':
      return {
        field: 'gateway_payment_id',
        message: `Order ${told.orderId} is charged by another payment already.`,
        accepted: known,
      };
    case 'payment_of_other_order':
      return {
        field: 'gateway_payment_id',
        message: `The payment is known to be of another order, ${known}.`,
        accepted: 'a payment that no other order has',
      };
    case 'effective_amount':
      return {
        field: 'offer_discount',
        message: `Amount, surcharge and offer leave ${known.startsWith('-') || known === '0' ? 'nothing' : 'too much'} that was paid.`,
        accepted: 'an offer below amount and surcharge together',
      };
    default:
      return {
        field: verdict.outcome,
        message: `The ${verdict.outcome} of order ${told.orderId} is known to be another.`,
        accepted: known,
      };
  }
}
