import { exponentOf, MAX_AMOUNT_MINOR } from '../../lib/money.ts';
import { shown } from '../../lib/shown.ts';
import { isReadableAmount } from '../../refunds/judge.ts';
import type { RowCode } from './row-codes.ts';

export type AmountReading =
  | { readonly ok: true; readonly amount: string | 'full' }
  | { readonly ok: false; readonly code: RowCode; readonly message: string };

/** All of them may be nines. */
const MAX_DIGITS = String(MAX_AMOUNT_MINOR).length;

/**
 * Reads the amount of a row as it stands there, without blanks around it. In major units the result is decimal text
 * that the currency can have; in minor units, digits without leading zeros; or `full`, in any case.
 */
export function readAmount(text: string, currency: string | null, minor: boolean): AmountReading {
  if (text === 'full' || text.toLowerCase() === 'full') return { ok: true, amount: 'full' };
  return minor ? readMinor(text) : readMajor(text, currency);
}

function readMajor(text: string, currency: string | null): AmountReading {
  if (!isReadableAmount(text))
    return /^\d{16,}(\.\d+)?$/.test(text) ? tooLarge(text) : whyUnreadable(text, 'major');
  if (/^[0.]+$/.test(text))
    return bad('zero_amount', `The amount is ${shown(text)}. It must be more than zero.`);
  const exponent = currency === null ? undefined : exponentOf(currency);
  if (exponent === undefined) return { ok: true, amount: text };
  const point = text.indexOf('.');
  const decimals = point === -1 ? 0 : text.length - point - 1;
  if (decimals > exponent) return tooManyDecimals(text, currency!, exponent);
  const whole = (point === -1 ? text : text.slice(0, point)).replace(/^0+/, '');
  return whole.length + exponent > MAX_DIGITS ? tooLarge(text) : { ok: true, amount: text };
}

function readMinor(text: string): AmountReading {
  if (/^\d+\.\d+$/.test(text)) {
    return bad(
      'minor_with_decimals',
      `The amount is ${shown(text)}, but the file says that its amounts are in minor units, such as paise. Write a whole number, such as 49900 for 499.00.`,
    );
  }
  if (!/^\d+$/.test(text)) return whyUnreadable(text, 'minor');
  const digits = text.replace(/^0+/, '');
  if (digits === '') return bad('zero_amount', `The amount is ${shown(text)}. It must be more than zero.`);
  if (digits.length > MAX_DIGITS) return tooLarge(text);
  return { ok: true, amount: digits };
}

function tooManyDecimals(text: string, currency: string, exponent: number): AmountReading {
  return bad(
    'too_many_decimals',
    exponent === 0
      ? `The amount is ${shown(text)}, but ${currency} has no decimals. Write a whole number.`
      : `The amount is ${shown(text)}, but ${currency} has ${exponent} decimals. Write at most ${exponent}, as in 12.${'50'.padEnd(exponent, '0').slice(0, exponent)}.`,
  );
}

const tooLarge = (text: string) =>
  bad('amount_too_large', `The amount ${shown(text)} is larger than any that can be refunded.`);

// Why it cannot be read --------------------------------------------------------------------------------------

const DATE =
  /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/]\d{1,2}(?:[-/]\d{2,4})?|\d{1,2}\.\d{1,2}\.\d{2,4}|\d{1,2}[- ](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:[- ]\d{2,4})?|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]\d{1,4})(?:[ T]\d.*)?$/i;
const SCIENTIFIC = /^[+-]?\d+(?:[.,]\d+)?e[+-]?\d+$/i;
const NEGATIVE = /^(?:[-−–—].*\d.*|\(.*\d.*\)|[\d.,]+-)$/;
// Points, commas, blanks, apostrophes and the thin blanks that programs group digits with.
const GROUPED = /^\d{1,3}(?:[.,'’\u00a0\u2009\u202f ]\d{2,3})*[.,'’\u00a0\u2009\u202f ]\d{3}(?:[.,]\d+)?$/;

function whyUnreadable(text: string, unit: 'major' | 'minor'): AmountReading {
  const seen = shown(text);
  if (text === '')
    return bad(
      'empty_amount',
      'The amount is empty. Write an amount, or “full” for all that is left to refund.',
    );
  if (text.startsWith('=')) {
    return bad(
      'formula',
      `The amount is a formula: “${seen}”. Formulas are not computed here: paste its value in its place.`,
    );
  }
  if (DATE.test(text)) {
    return bad(
      'date_in_cell',
      `The amount is a date: “${seen}”. A spreadsheet may have made it one. Format the column as text, and write the amount again.`,
    );
  }
  if (SCIENTIFIC.test(text)) {
    return bad(
      'scientific_notation',
      `The amount is “${seen}”: a spreadsheet has shortened it. Format the column as a number with all its digits or as text, and write the amount again.`,
    );
  }
  if (NEGATIVE.test(text))
    return bad(
      'negative_amount',
      `The amount “${seen}” is negative. Refunds are written as positive amounts.`,
    );
  if (
    /\p{Sc}/u.test(text) ||
    (/\d/.test(text) && /\p{L}/u.test(text)) ||
    /^\d+(?:\.\d+)?\s*\/-$/.test(text)
  ) {
    return bad(
      'currency_sign',
      `The amount “${seen}” holds a currency or other words. Write digits alone, such as ${EXAMPLE[unit]}; the currency has its own column.`,
    );
  }
  if (GROUPED.test(text)) {
    return bad(
      'grouped_digits',
      `The digits of the amount “${seen}” are grouped. Write ${ungrouped(text, unit)}.`,
    );
  }
  if (/^\d+,\d+$/.test(text)) {
    return bad(
      'decimal_comma',
      `The amount “${seen}” has a comma. Decimals stand after a point: write ${ungrouped(text, unit)}.`,
    );
  }
  return bad(
    'unreadable_amount',
    `The amount “${seen}” cannot be read. Write it in digits 0 to 9, such as ${EXAMPLE[unit]}, or “full” for all that is left to refund.`,
  );
}

const EXAMPLE = { major: '499.00', minor: '49900' };

/** What is probably meant, for the sentence alone: the last sign is the decimal point unless three digits follow it. */
function ungrouped(text: string, unit: 'major' | 'minor'): string {
  const decimals = /[.,](\d{1,2})$/.exec(text);
  const whole = (decimals ? text.slice(0, decimals.index) : text).replace(/\D/g, '');
  if (unit === 'minor') return `the whole number of minor units, such as ${EXAMPLE.minor}`;
  if (decimals) return `${whole}.${decimals[1]}`;
  const signs = text.replace(/\d/g, '');
  // One sign before three digits can be either; so can none be preferred.
  return signs.length === 1 && /[.,]/.test(signs)
    ? `${whole} or ${text.replace(',', '.')}, whichever is meant`
    : whole;
}

function bad(code: RowCode, message: string): AmountReading {
  return { ok: false, code, message };
}
