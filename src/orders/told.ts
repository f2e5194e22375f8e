import { z } from 'zod';
import { holdsCardNumber, holdsCardNumberWithin } from '../lib/card-number.ts';
import { urlProblem } from '../lib/http.ts';
import { readJson, unstorableAt, WrittenNumber } from '../lib/json.ts';
import { currencyProblem, exponentOf, formatAmount, MAX_AMOUNT_MINOR, parseAmount } from '../lib/money.ts';
import { unseenSentence, withUnseenShown } from '../lib/unseen.ts';
import { ORDER_ID, TRANSACTION_STATUSES } from './order.ts';

/**
 * One payment attempt as a merchant tells it, whichever door it comes through. Amounts are decimal text in major
 * units of the currency; `charged_at` is ISO 8601 with a zone. Everything arrives from strangers and is checked.
 */
export interface TransactionInput extends Readonly<Partial<Record<(typeof UDF_NAMES)[number], string>>> {
  readonly order_id: string;
  readonly amount: string;
  readonly currency: string;
  readonly status: string;
  readonly gateway: string;
  /** Its id or name; without it the merchant's only enabled account of the gateway is meant. */
  readonly gateway_account?: string;
  readonly gateway_payment_id: string;
  readonly payment_method_type?: string;
  readonly payment_method?: string;
  readonly surcharge?: string;
  readonly offer_discount?: string;
  readonly charged_at?: string;
  readonly customer_id?: string;
  readonly customer_email?: string;
  readonly customer_phone?: string;
  /** `webhook_url` in it is where this order's webhooks go too. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** The same, its shapes checked. Null is what was not told. */
export interface ToldTransaction {
  readonly orderId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly status: string;
  readonly gateway: string;
  readonly gatewayAccount: string | null;
  readonly gatewayPaymentId: string;
  readonly paymentMethodType: string | null;
  readonly paymentMethod: string | null;
  readonly surchargeMinor: number | null;
  readonly offerMinor: number | null;
  readonly chargedAt: Date | null;
  readonly customerId: string | null;
  readonly customerEmail: string | null;
  readonly customerPhone: string | null;
  readonly udf: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Why one was not recorded: a stable word, a sentence, and where it applies which field and what it may be. */
export interface TransactionRefusal {
  readonly code:
    | 'unreadable_line'
    | 'not_an_object'
    | 'missing_field'
    | 'unknown_field'
    | 'invalid_value'
    | 'card_number'
    | 'unknown_gateway_account'
    | 'contradiction';
  readonly message: string;
  readonly field?: string;
  readonly value?: string;
  readonly accepted?: string;
}

/** Those that a transaction never leaves: what follows a charge is told by refunds. */
export const FINAL_STATUSES = ['CHARGED', 'VOIDED', 'AUTO_REFUNDED'] as const;

/** How far ahead of ours a gateway's clock may run. */
const CLOCK_SKEW_MS = 86_400_000;
const MAX_METADATA_LENGTH = 16_384;

interface FieldRule {
  readonly pattern: RegExp;
  readonly accepted: string;
  /** Text that people fill as they like, where card numbers turn up. */
  readonly free?: true;
}

const text = (maxLength: number): FieldRule => ({
  pattern: new RegExp(`^[^\\p{Cc}]{1,${maxLength}}$`, 'u'),
  accepted: `text of at most ${maxLength} characters without control characters`,
});
const freeText = (maxLength: number): FieldRule => ({ ...text(maxLength), free: true });
// What an amount or a time may be is judged by its reader.
const AMOUNT: FieldRule = { pattern: /^/, accepted: 'decimal text in major units, such as "12.50"' };
const UDF_NAMES = ['udf1', 'udf2', 'udf3', 'udf4', 'udf5', 'udf6', 'udf7', 'udf8', 'udf9', 'udf10'] as const;

const FIELDS: Readonly<Record<FieldName, FieldRule>> = {
  order_id: { pattern: ORDER_ID, accepted: '1 to 128 visible ASCII characters' },
  amount: AMOUNT,
  currency: { pattern: /^[A-Z]{3}$/, accepted: 'an ISO 4217 code, such as INR' },
  status: {
    pattern: new RegExp(`^(?:${TRANSACTION_STATUSES.join('|')})$`),
    accepted: TRANSACTION_STATUSES.join(', '),
  },
  gateway: {
    pattern: /^[A-Z][A-Z0-9_]{0,63}$/,
    accepted: "the gateway's word in capitals, as GET /v1/gateways lists it",
  },
  gateway_account: text(100),
  gateway_payment_id: { pattern: /^[\x21-\x7e]{1,255}$/, accepted: '1 to 255 visible ASCII characters' },
  payment_method_type: freeText(64),
  payment_method: freeText(64),
  surcharge: AMOUNT,
  offer_discount: AMOUNT,
  charged_at: {
    pattern: /^/,
    accepted: 'a time with its zone, since 1970 and not in the future, such as 2026-03-31T09:30:00Z',
  },
  customer_id: text(128),
  customer_email: freeText(254),
  customer_phone: {
    pattern: /^(?=(?:\D*\d){3,15}\D*$)\+?[0-9() .-]{3,32}$/,
    accepted: 'a phone number of 3 to 15 digits',
  },
  ...(Object.fromEntries(UDF_NAMES.map((name) => [name, freeText(1024)])) as Record<
    (typeof UDF_NAMES)[number],
    FieldRule
  >),
};

type FieldName = Exclude<keyof TransactionInput, 'metadata'>;

export const TRANSACTION_FIELDS: ReadonlySet<string> = new Set([...Object.keys(FIELDS), 'metadata']);

export type ToldReading =
  | { readonly ok: true; readonly told: ToldTransaction }
  | { readonly ok: false; readonly refusal: TransactionRefusal };

/**
 * Reads what a stranger told, names the first thing that cannot be taken and never throws. Amounts may also be
 * numbers as they were written (`readJson`). Null is the same as absent; so is empty text in an optional field
 * that is not an amount or a time.
 */
export function readTold(input: unknown, now: Date): ToldReading {
  try {
    return { ok: true, told: toldOf(input, now) };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal };
    throw error;
  }
}

class Refused extends Error {
  readonly refusal: TransactionRefusal;

  constructor(refusal: TransactionRefusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

function toldOf(input: unknown, now: Date): ToldTransaction {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new Refused({
      code: 'not_an_object',
      message: 'A transaction is a JSON object.',
      accepted: 'one object for each transaction',
    });
  }
  const given = input as Given;
  refuseStrangers(given);
  const orderId = need(given, 'order_id');
  const amount = need(given, 'amount');
  const currency = need(given, 'currency');
  const exponent = exponentOf(currency);
  if (exponent === undefined) throw unknownCurrency(currency);
  return {
    orderId,
    amountMinor: readAmount('amount', amount, currency, exponent),
    currency,
    exponent,
    status: need(given, 'status'),
    gateway: need(given, 'gateway'),
    gatewayAccount: may(given, 'gateway_account'),
    gatewayPaymentId: need(given, 'gateway_payment_id'),
    paymentMethodType: may(given, 'payment_method_type'),
    paymentMethod: may(given, 'payment_method'),
    surchargeMinor: mayAmount(given, 'surcharge', currency, exponent),
    offerMinor: mayAmount(given, 'offer_discount', currency, exponent),
    chargedAt: mayTime(given, 'charged_at', now),
    customerId: may(given, 'customer_id'),
    customerEmail: may(given, 'customer_email'),
    customerPhone: may(given, 'customer_phone'),
    udf: Object.fromEntries(
      UDF_NAMES.flatMap((name) => {
        const value = may(given, name);
        return value === null ? [] : [[name, value]];
      }),
    ),
    metadata: readMetadata(given['metadata'] ?? {}),
  };
}

type Given = Readonly<Record<string, unknown>>;

function refuseStrangers(given: Given): void {
  const stranger = Object.keys(given).find((name) => !TRANSACTION_FIELDS.has(name));
  if (stranger === undefined) return;
  throw new Refused({
    code: 'unknown_field',
    message: `A transaction has no field of this name.${unseenSentence(stranger)}`,
    field: shown(stranger),
    accepted: [...TRANSACTION_FIELDS].join(', '),
  });
}

function need(given: Given, field: FieldName): string {
  const value = given[field] ?? null;
  if (value === null) {
    throw new Refused({
      code: 'missing_field',
      message: `The field ${field} is missing.`,
      field,
      accepted: FIELDS[field].accepted,
    });
  }
  return read(field, value);
}

function may(given: Given, field: FieldName): string | null {
  const value = given[field] ?? null;
  const empty = value === null || (value === '' && FIELDS[field] !== AMOUNT && field !== 'charged_at');
  return empty ? null : read(field, value);
}

function read(field: FieldName, value: unknown): string {
  const rule: FieldRule = FIELDS[field];
  const written = rule === AMOUNT && value instanceof WrittenNumber ? value.text : value;
  if (typeof written !== 'string' || !written.isWellFormed() || !rule.pattern.test(written))
    throw invalid(field, value);
  if (rule.free && holdsCardNumber(written)) throw cardNumber(field);
  return written;
}

function mayAmount(given: Given, field: 'surcharge' | 'offer_discount', currency: string, exponent: number) {
  const written = may(given, field);
  return written === null ? null : readAmount(field, written, currency, exponent);
}

function readAmount(field: FieldName, written: string, currency: string, exponent: number): number {
  const amount = parseAmount(written, exponent);
  if (amount.ok && (amount.amountMinor > 0 || field !== 'amount')) return amount.amountMinor;
  const decimals = exponent === 0 ? 'no decimals' : `at most ${exponent} decimals`;
  const least = field === 'amount' ? 'more than zero' : 'zero or more';
  const most = formatAmount(MAX_AMOUNT_MINOR, exponent);
  throw invalid(field, written, `decimal text with ${decimals} for ${currency}, ${least}, at most ${most}`);
}

function mayTime(given: Given, field: 'charged_at', now: Date): Date | null {
  const written = may(given, field);
  if (written === null) return null;
  if (!ISO_TIME.safeParse(written).success) throw invalid(field, written);
  const time = new Date(written);
  if (time.getTime() < 0 || time.getTime() > now.getTime() + CLOCK_SKEW_MS) throw invalid(field, written);
  return time;
}

const ISO_TIME = z.iso.datetime({ offset: true });

/** An object, or the text of one where a file has only text. */
function readMetadata(value: unknown): Readonly<Record<string, unknown>> {
  const reading =
    typeof value === 'string' ? readJson(value) : { ok: true as const, value: withPlainNumbers(value) };
  const metadata = reading.ok ? reading.value : null;
  const accepted = `a JSON object of at most ${MAX_METADATA_LENGTH} characters`;
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw invalid('metadata', value, accepted);
  }
  const written = JSON.stringify(metadata);
  if (written.length > MAX_METADATA_LENGTH || unstorableAt(metadata) !== null) {
    throw invalid('metadata', value, `${accepted}, without NUL`);
  }
  if (holdsCardNumberWithin(metadata)) throw cardNumber('metadata');
  const webhookUrl = (metadata as Given)['webhook_url'];
  if (webhookUrl !== undefined && !isWebUrl(webhookUrl)) {
    throw invalid('metadata.webhook_url', webhookUrl, 'an http or https address of at most 2048 characters');
  }
  return metadata as Given;
}

function withPlainNumbers(value: unknown): unknown {
  if (value instanceof WrittenNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map(withPlainNumbers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withPlainNumbers(inner)]));
}

function isWebUrl(value: unknown): boolean {
  // Whether it may be called is decided when it is called; here private addresses are as good as others.
  return typeof value === 'string' && value.length <= 2048 && urlProblem(value, true) === null;
}

function invalid(field: string, value: unknown, accepted = FIELDS[field as FieldName].accepted): Refused {
  return new Refused({
    code: 'invalid_value',
    message: `The field ${field} cannot be read.${typeof value === 'string' ? unseenSentence(value) : ''}`,
    field,
    value: shown(value),
    accepted,
  });
}

function unknownCurrency(currency: string): Refused {
  return new Refused({
    ...invalid('currency', currency).refusal,
    message: `${currencyProblem(currency)}.`,
  });
}

function cardNumber(field: string): Refused {
  return new Refused({
    code: 'card_number',
    message: `The field ${field} holds what looks like a card number or its security code; card data is never stored here.`,
    field,
    accepted: 'text without card numbers',
  });
}

/** What was given, short enough to answer with; a card number is not said back. */
export function shown(value: unknown): string {
  const whole =
    typeof value === 'string'
      ? value
      : value instanceof WrittenNumber
        ? value.text
        : (JSON.stringify(value) ?? String(value));
  return holdsCardNumber(whole)
    ? '[card number]'
    : withUnseenShown(whole.slice(0, 100).toWellFormed().replaceAll('\0', '\uFFFD'));
}
