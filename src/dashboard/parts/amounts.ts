import { exponentOf, parseAmount } from '../../lib/money.ts';

/**
 * Amounts as people see and type them. Everything goes from text to text: nothing is ever read as a floating point
 * number (invariant 10), and what a page shows, typed into its fields, is the same amount again. A locale that is not
 * given is the person's own.
 */

// Shown ----------------------------------------------------------------------------------------------------

/** "1299.00" as "1,299.00", or as the locale writes it. */
export function groupDigits(amount: string, locale?: string): string {
  const digits = decimalsOf(amount);
  const format = new Intl.NumberFormat(locale, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return format.format(amount as Intl.StringNumericLiteral);
}

/** "INR 1,299.00", for sentences. */
export function moneyText(amount: string, currency: string, locale?: string): string {
  return `${currency}\u00a0${groupDigits(amount, locale)}`;
}

/**
 * A sentence of the server with its amounts as the page shows them: "Only 2614.000 KWD is left" would be read as
 * millions where a point stands between thousands.
 */
export function withAmountsAsShown(sentence: string, locale?: string): string {
  return sentence.replace(
    /(?<![\p{L}\p{N}.,_-])(\d{1,15}(?:\.\d{1,4})?) ([A-Z]{3})(?![\p{L}\p{N}_-])/gu,
    (text, amount: string, currency: string) =>
      exponentOf(currency) === decimalsOf(amount) ? moneyText(amount, currency, locale) : text,
  );
}

export function isZero(amount: string): boolean {
  return /^[0.]+$/.test(amount);
}

/** How much of the whole a part is, from 0 to 1: for drawing only, as it goes through floating point. */
export function shareOf(part: string, whole: string): number {
  return isZero(whole) ? 0 : Math.max(0, Math.min(1, Number(part) / Number(whole)));
}

/** How many decimals a currency has, by an amount of it that the API tells. */
export function decimalsOf(amount: string): number {
  return amount.split('.')[1]?.length ?? 0;
}

// Typed ----------------------------------------------------------------------------------------------------

/** What an amount is read as: whose currency, how many decimals it has, and an amount that shows how to write one. */
export interface AmountField {
  readonly currency: string;
  readonly decimals: number;
  /** Decimal text with all decimals, as the API tells amounts. */
  readonly example: string;
}

export type TypedAmount =
  /** Decimal text with all decimals of the currency. */
  { readonly ok: true; readonly amount: string } | { readonly ok: false; readonly message: string };

/**
 * Reads an amount that a person typed or copied: in the locale's own spelling, or plainly, as "1299" or "1299.5". What
 * the two would read differently is refused, and so is all else; the message says how to write it.
 */
export function readTypedAmount(typed: string, field: AmountField, locale?: string): TypedAmount {
  const text = typed.trim();
  const { currency, decimals } = field;
  const howTo = `Write it like ${either(clearSpellings(field.example, field, locale))}.`;
  const bare = withoutCurrency(plainSigns(text, locale), currency);
  const meant = readingsOf(bare, decimals, locale);
  const amounts = meant.flatMap((reading) => (reading.kind === 'amount' ? [reading.amount] : []));
  if (meant.length > 1) {
    const ways = meant
      .flatMap((reading) => ('amount' in reading ? [reading.amount] : []))
      .map(
        (amount) =>
          `for ${moneyText(amount, currency, locale)} write ${either(clearSpellings(amount, field, locale))}`,
      );
    const cut = amounts.length < meant.length ? ` ${currency} has ${decimalsText(decimals)}.` : '';
    return {
      ok: false,
      message: `“${text}” can be read in two ways: ${ways.join(', ')}.${cut}`,
    };
  }
  const [reading] = meant;
  if (reading?.kind === 'amount') return { ok: true, amount: reading.amount };
  if (reading?.kind === 'too_fine') {
    return {
      ok: false,
      message: `“${text}” has more decimals than ${currency}, which has ${decimalsText(decimals)}; nothing is rounded. ${howTo}`,
    };
  }
  if (reading?.kind === 'too_large')
    return { ok: false, message: `“${text}” is larger than any amount that can be refunded. ${howTo}` };
  return {
    ok: false,
    message: /^[A-Z]{3} ?\S|\S ?[A-Z]{3}$/i.test(bare)
      ? `“${text}” names a currency other than ${currency}, or other words. ${howTo}`
      : `“${text}” cannot be read as an amount. ${howTo}`,
  };
}

/** An amount in its locale's spelling, and plainly where that can be taken for nothing else. */
export function clearSpellings(amount: string, { decimals }: AmountField, locale?: string): string[] {
  return [...new Set([groupDigits(amount, locale), amount])].filter((spelling) => {
    const [only, ...others] = readingsOf(plainSigns(spelling, locale), decimals, locale);
    return others.length === 0 && only?.kind === 'amount' && only.amount === amount;
  });
}

type Reading =
  | { readonly kind: 'amount'; readonly amount: string }
  /** More decimals than the currency has; `amount` is what is left without them. */
  | { readonly kind: 'too_fine'; readonly amount: string }
  | { readonly kind: 'too_large' };

/** What a text may mean; each meaning once. */
function readingsOf(bare: string, decimals: number, locale?: string): Reading[] {
  const { group } = spellingOf(locale);
  const plain = /^\d+(?:\.\d+)?$/.test(bare) ? readingOf(bare, decimals) : null;
  const local = localReading(bare, decimals, locale);
  // In a currency with three decimals, the comma of others' thousands is the decimal sign of many.
  const foreign =
    group === ',' && decimals >= 3 && /^\d{1,3},\d{3}$/.test(bare)
      ? readingOf(bare.replace(',', '.'), decimals)
      : null;
  const found = [local, plain, foreign].filter((reading) => reading !== null);
  const certain = found.some(({ kind }) => kind === 'amount');
  return found.filter(
    (reading, at) =>
      found.findIndex((other) => isSame(other, reading)) === at &&
      // Where a currency has no decimals, a sign before three digits groups them.
      !(certain && reading.kind === 'too_fine' && decimals === 0),
  );
}

function isSame(one: Reading, other: Reading): boolean {
  return (
    one.kind === other.kind &&
    (one.kind === 'too_large' || (other.kind !== 'too_large' && one.amount === other.amount))
  );
}

function readingOf(decimal: string, decimals: number): Reading {
  const [whole = '', fraction = ''] = decimal.split('.');
  const parsed = parseAmount(decimal, decimals);
  if (!parsed.ok && parsed.reason !== 'too_many_decimals') return { kind: 'too_large' };
  const kept = fraction.slice(0, decimals).padEnd(decimals, '0');
  const amount = `${whole.replace(/^0+(?=\d)/, '')}${decimals > 0 ? `.${kept}` : ''}`;
  return { kind: parsed.ok ? 'amount' : 'too_fine', amount };
}

function localReading(bare: string, decimals: number, locale?: string): Reading | null {
  const { group, decimal, grouped } = spellingOf(locale);
  const [whole = '', fraction, ...more] = bare.split(decimal);
  if (more.length > 0 || (fraction !== undefined && !/^\d+$/.test(fraction))) return null;
  const digits = whole.replaceAll(group, '');
  if (!/^\d{1,32}$/.test(digits)) return null;
  // Digits that are grouped otherwise than the locale does it were meant as something else, or mistyped.
  if (whole !== digits && !grouped(digits).includes(whole)) return null;
  return readingOf(fraction === undefined ? digits : `${digits}.${fraction}`, decimals);
}

interface Spelling {
  readonly group: string;
  readonly decimal: string;
  readonly digits: readonly string[];
  /** Whole digits as the locale may group them. */
  readonly grouped: (digits: string) => readonly string[];
}

const spellings = new Map<string | undefined, Spelling>();

function spellingOf(locale: string | undefined): Spelling {
  const known = spellings.get(locale);
  if (known) return known;
  const digits = [...new Intl.NumberFormat(locale, { useGrouping: false }).format(9876543210)].reverse();
  // Some locales group from five digits on; people of these write the sign at four digits as well.
  const formats = (['auto', 'always'] as const).map(
    (useGrouping) => new Intl.NumberFormat(locale, { useGrouping }),
  );
  const parts = new Intl.NumberFormat(locale, {
    useGrouping: 'always',
    minimumFractionDigits: 1,
  }).formatToParts(1234567.5);
  const sign = (type: string) => signsOf(parts.find((part) => part.type === type)?.value ?? '', digits);
  const spelling: Spelling = {
    digits,
    group: sign('group'),
    decimal: sign('decimal'),
    grouped: (whole) => formats.map((format) => signsOf(format.format(BigInt(whole)), digits)),
  };
  spellings.set(locale, spelling);
  return spelling;
}

/** A text in digits 0 to 9, with one kind of blank and of apostrophe, without marks of the direction of writing. */
function plainSigns(text: string, locale: string | undefined): string {
  return signsOf(text, spellingOf(locale).digits).trim();
}

function signsOf(text: string, digits: readonly string[]): string {
  return [...text.replace(/[\u200e\u200f\u061c\u2066-\u2069]/g, '')]
    .map((sign) => {
      const digit = digits.indexOf(sign);
      if (digit !== -1) return String(digit);
      if (/[\u00a0\u2009\u202f]/.test(sign)) return ' ';
      return /['\u2019\u02bc]/.test(sign) ? '\u2019' : sign;
    })
    .join('');
}

/** Without the currency's code before or behind it, as in what the page shows. */
function withoutCurrency(text: string, currency: string): string {
  return text.replace(new RegExp(`^${currency} ?(?=\\d)|(?<=\\d) ?${currency}$`), '');
}

function either(ways: readonly string[]): string {
  return ways.join(' or ');
}

function decimalsText(decimals: number): string {
  return decimals === 0 ? 'no decimals' : `${decimals} decimals`;
}
