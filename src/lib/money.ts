import * as currencies from 'dinero.js/currencies';

/**
 * Money is integers: minor units beside an ISO 4217 currency and its number of decimals (invariant 10).
 * Fifteen digits are allowed, so that every amount is exact as a JavaScript number and in a JSON document.
 */
export const MAX_AMOUNT_MINOR = 999_999_999_999_999;

const exponents = new Map<string, number>(
  Object.values(currencies).map((currency) => [
    currency.code,
    // Ariary and ouguiya divide by five; ISO 4217's table still gives them two decimals.
    currency.base === 10 ? currency.exponent : 2,
  ]),
);

/** The number of decimals ISO 4217 gives a currency (JPY 0, KWD 3), or undefined for a code it does not have. */
export function exponentOf(currency: string): number | undefined {
  return exponents.get(currency);
}

/** ISO 4217's codes for what nobody pays with: nothing at all, tests, metals, bond units, units of account. */
const NOT_MONEY = new Set('XXX XTS XAU XAG XPD XPT XBA XBB XBC XBD XDR XSU XUA'.split(' '));

/** Why a text that `exponentOf` does not know is no currency here: a sentence without its full stop. */
export function currencyProblem(currency: string): string {
  return NOT_MONEY.has(currency)
    ? `${currency} is no currency that can be refunded`
    : 'The currency must be an ISO 4217 code such as INR';
}

export type ParsedAmount =
  | { readonly ok: true; readonly amountMinor: number }
  | { readonly ok: false; readonly reason: 'unreadable' | 'too_many_decimals' | 'too_large' };

const PLAIN_DECIMAL = /^(\d{1,32})(?:\.(\d{1,32}))?$/;

/**
 * Reads an amount in major units from decimal text ("12", "12.5", "12.50") without floating point. Signs,
 * exponents, grouping, blanks and more decimals than the currency has are refused, even when they are zeros.
 */
export function parseAmount(text: string, exponent: number): ParsedAmount {
  const parts = text.length <= 65 ? PLAIN_DECIMAL.exec(text) : null;
  if (!parts)
    return { ok: false, reason: /^\d{1,}(\.\d+)?$/.test(text.slice(0, 100)) ? 'too_large' : 'unreadable' };
  const decimals = parts[2] ?? '';
  if (decimals.length > exponent) return { ok: false, reason: 'too_many_decimals' };
  const minor = BigInt(parts[1] + decimals.padEnd(exponent, '0'));
  if (minor > BigInt(MAX_AMOUNT_MINOR)) return { ok: false, reason: 'too_large' };
  return { ok: true, amountMinor: Number(minor) };
}

/** Decimal text in major units with all of the currency's decimals: 1250, 2 → "12.50". */
export function formatAmount(amountMinor: number | bigint, exponent: number): string {
  const sign = amountMinor < 0 ? '-' : '';
  const digits = String(amountMinor)
    .replace('-', '')
    .padStart(exponent + 1, '0');
  if (exponent === 0) return sign + digits;
  return `${sign}${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
}

/** An amount as sentences for people name it, in major units and with its currency: 1250, 2, "USD" → "12.50 USD". */
export function amountText(amountMinor: number | bigint, exponent: number, currency: string): string {
  return `${formatAmount(amountMinor, exponent)} ${currency}`;
}

/** The same amount as the JSON number that the contract's objects carry; exact for all allowed amounts. */
export function amountNumber(amountMinor: number, exponent: number): number {
  return Number(formatAmount(amountMinor, exponent));
}
