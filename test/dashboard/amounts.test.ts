import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AmountField,
  clearSpellings,
  groupDigits,
  moneyText,
  readTypedAmount,
  withAmountsAsShown,
} from '../../src/dashboard/parts/amounts.ts';
import { formatAmount, MAX_AMOUNT_MINOR } from '../../src/lib/money.ts';

const LOCALES = [
  ...['en-IN', 'en-US', 'de-DE', 'de-CH', 'de-AT', 'fr-FR', 'fr-CH', 'it-IT', 'es-ES', 'pt-PT', 'pt-BR'],
  ...['pl-PL', 'sv-SE', 'nb-NO', 'da-DK', 'nl-NL', 'cs-CZ', 'ru-RU', 'tr-TR', 'hi-IN', 'mr-IN', 'bn-BD'],
  ...['hi-IN-u-nu-deva', 'ar-EG', 'ar-MA', 'fa-IR', 'ur-PK', 'he-IL', 'my-MM', 'ccp-BD', 'ja-JP', 'zh-CN'],
] as const;
const CURRENCIES = [
  ['JPY', 0],
  ['EUR', 2],
  ['INR', 2],
  ['KWD', 3],
  ['CLF', 4],
] as const;

const fieldOf = (
  currency: string,
  decimals: number,
  example = formatAmount(129_900, decimals),
): AmountField => ({
  currency,
  decimals,
  example,
});

const anyLocale = fc.constantFrom(...LOCALES);
const anyCurrency = fc.constantFrom(...CURRENCIES);
const anyMinor = fc.oneof(
  fc.integer({ min: 0, max: 5_000_000 }),
  fc.integer({ min: 0, max: MAX_AMOUNT_MINOR }),
);

describe('what a page shows, typed into a field', () => {
  test('is the same amount, in every locale and currency', () => {
    fc.assert(
      fc.property(anyLocale, anyCurrency, anyMinor, (locale, [currency, decimals], minor) => {
        const amount = formatAmount(minor, decimals);
        const read = (typed: string) => readTypedAmount(typed, fieldOf(currency, decimals), locale);
        for (const typed of [groupDigits(amount, locale), moneyText(amount, currency, locale)]) {
          expect(read(typed)).toEqual({ ok: true, amount });
          expect(read(` ${typed.replace(/[\u00a0\u202f]/g, ' ')} `)).toEqual({ ok: true, amount });
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('is the same amount in the page of any other locale, or is refused, but never another amount', () => {
    fc.assert(
      fc.property(
        anyLocale,
        anyLocale,
        anyCurrency,
        anyMinor,
        (shownIn, typedIn, [currency, decimals], minor) => {
          const amount = formatAmount(minor, decimals);
          const read = readTypedAmount(groupDigits(amount, shownIn), fieldOf(currency, decimals), typedIn);
          if (read.ok) expect(read.amount).toBe(amount);
        },
      ),
      { numRuns: 5_000 },
    );
  });

  test('is the same amount typed plainly, or is refused as another possible one, but never another amount', () => {
    fc.assert(
      fc.property(anyLocale, anyCurrency, anyMinor, (locale, [currency, decimals], minor) => {
        const amount = formatAmount(minor, decimals);
        const read = readTypedAmount(amount, fieldOf(currency, decimals), locale);
        if (read.ok) expect(read.amount).toBe(amount);
        else expect(read.message).toContain('can be read in two ways');
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('a refusal', () => {
  const anyTyped = fc
    .array(fc.constantFrom(...'0123456789.,’\u202f\u00a0 ٫٬٣४'), { minLength: 1, maxLength: 12 })
    .map((signs) => signs.join(''));

  test('names only spellings that are then taken for just what it says', () => {
    fc.assert(
      fc.property(anyLocale, anyCurrency, anyTyped, (locale, [currency, decimals], typed) => {
        const field = fieldOf(currency, decimals);
        const read = readTypedAmount(typed, field, locale);
        if (read.ok) return;
        const offered = [
          ...read.message.matchAll(
            /(?:for ([A-Z]{3}\u00a0.+?) )?[wW]rite (?:it like )?(.+?)(?=, for |\.$|\. [A-Z])/g,
          ),
        ];
        expect(offered.length, read.message).toBeGreaterThan(0);
        for (const [, meant, ways] of offered) {
          for (const way of ways!.split(' or ')) {
            const again = readTypedAmount(way, field, locale);
            expect(again.ok, `${way} in: ${read.message}`).toBe(true);
            if (again.ok)
              expect(moneyText(again.amount, currency, locale)).toBe(
                meant ?? moneyText(field.example, currency, locale),
              );
          }
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('leaves a way to write every amount', () => {
    fc.assert(
      fc.property(anyLocale, anyCurrency, anyMinor, (locale, [currency, decimals], minor) => {
        const amount = formatAmount(minor, decimals);
        expect(clearSpellings(amount, fieldOf(currency, decimals), locale)).toContain(
          groupDigits(amount, locale),
        );
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('read exactly', () => {
  const NARROW = '\u202f';
  test.each<[typed: string, locale: string, currency: string, decimals: number, amount: string]>([
    ['12,50', 'de-DE', 'EUR', 2, '12.50'],
    ['12.50', 'de-DE', 'EUR', 2, '12.50'],
    ['12.5', 'de-DE', 'EUR', 2, '12.50'],
    ['1.234,5', 'de-DE', 'EUR', 2, '1234.50'],
    ['1234,50', 'de-DE', 'EUR', 2, '1234.50'],
    ['EUR 9.999,00', 'de-DE', 'EUR', 2, '9999.00'],
    ['9.999,00 EUR', 'de-DE', 'EUR', 2, '9999.00'],
    ['2,614', 'de-DE', 'KWD', 3, '2.614'],
    ['2.614,000', 'de-DE', 'KWD', 3, '2614.000'],
    ['1.234', 'de-DE', 'JPY', 0, '1234'],
    ['1.234.567', 'de-DE', 'EUR', 2, '1234567.00'],
    ['0.500', 'de-DE', 'KWD', 3, '0.500'],
    ['1,23,456.78', 'en-IN', 'INR', 2, '123456.78'],
    ['1,000', 'en-IN', 'INR', 2, '1000.00'],
    ['1000', 'en-IN', 'INR', 2, '1000.00'],
    ['007', 'en-IN', 'INR', 2, '7.00'],
    [`1${NARROW}234,50`, 'fr-FR', 'EUR', 2, '1234.50'],
    ['1 234,50', 'fr-FR', 'EUR', 2, '1234.50'],
    ["1'234.50", 'de-CH', 'CHF', 2, '1234.50'],
    ['1’234.50', 'de-CH', 'CHF', 2, '1234.50'],
    ['١٬٢٣٤٫٥٠', 'ar-EG', 'EGP', 2, '1234.50'],
    ['1234.50', 'ar-EG', 'EGP', 2, '1234.50'],
    ['१,२३४.५०', 'hi-IN-u-nu-deva', 'INR', 2, '1234.50'],
    ['1.234,50', 'es-ES', 'EUR', 2, '1234.50'],
    ['12.345,50', 'es-ES', 'EUR', 2, '12345.50'],
  ])('%s in %s, %s with %s decimals: %s', (typed, locale, currency, decimals, amount) => {
    expect(readTypedAmount(typed, fieldOf(currency, decimals), locale)).toEqual({ ok: true, amount });
  });
});

describe('refused, with the way to write it', () => {
  test.each<[typed: string, locale: string, field: AmountField, message: string]>([
    [
      '2.614',
      'de-DE',
      fieldOf('KWD', 3, '2614.000'),
      '“2.614” can be read in two ways: for KWD 2.614,000 write 2.614,000 or 2614.000, for KWD 2,614 write 2,614.',
    ],
    [
      '1.234',
      'de-DE',
      fieldOf('EUR', 2, '9999.00'),
      '“1.234” can be read in two ways: for EUR 1.234,00 write 1.234,00 or 1234.00, for EUR 1,23 write 1,23 or 1.23. EUR has 2 decimals.',
    ],
    [
      '2,614',
      'en-US',
      fieldOf('KWD', 3, '2614.000'),
      '“2,614” can be read in two ways: for KWD 2,614.000 write 2,614.000 or 2614.000, for KWD 2.614 write 2.614.',
    ],
    [
      '12,50',
      'en-IN',
      fieldOf('INR', 2, '123456.00'),
      '“12,50” cannot be read as an amount. Write it like 1,23,456.00 or 123456.00.',
    ],
    [
      '1.2345',
      'de-DE',
      fieldOf('EUR', 2, '9999.00'),
      '“1.2345” has more decimals than EUR, which has 2 decimals; nothing is rounded. Write it like 9.999,00 or 9999.00.',
    ],
    [
      '12.5',
      'ja-JP',
      fieldOf('JPY', 0, '1299'),
      '“12.5” has more decimals than JPY, which has no decimals; nothing is rounded. Write it like 1,299 or 1299.',
    ],
    [
      'USD 12.00',
      'en-US',
      fieldOf('EUR', 2, '9999.00'),
      '“USD 12.00” names a currency other than EUR, or other words. Write it like 9,999.00 or 9999.00.',
    ],
    [
      '12.34.56',
      'de-DE',
      fieldOf('KWD', 3, '614.000'),
      '“12.34.56” cannot be read as an amount. Write it like 614,000.',
    ],
    [
      '99999999999999999999',
      'en-US',
      fieldOf('EUR', 2, '9999.00'),
      '“99999999999999999999” is larger than any amount that can be refunded. Write it like 9,999.00 or 9999.00.',
    ],
  ])('%s in %s', (typed, locale, field, message) => {
    const read = readTypedAmount(typed, field, locale);
    const seen = read.ok ? read.amount : read.message.replaceAll('\u00a0', ' ');
    expect(seen).toBe(message);
  });

  test.each([
    '-5',
    '1e3',
    '1_000',
    '0x10',
    '',
    ' ',
    '1,2,3',
    '12 50',
    '+12',
    '½',
    '١٢٫٥',
    'full',
    '12.',
    '.5',
  ])('%j in en-US', (typed) => {
    expect(readTypedAmount(typed, fieldOf('EUR', 2), 'en-US').ok).toBe(false);
  });
});

describe('a sentence of the server', () => {
  test.each([
    ['Only 2614.000 KWD of the order is left.', 'de-DE', 'Only KWD 2.614,000 of the order is left.'],
    ['50.00 INR + 1234567.00 INR', 'en-IN', 'INR 50.00 + INR 12,34,567.00'],
    ['re_1 is of 100.00 USD, not 100.00 INR.', 'fr-FR', 're_1 is of USD 100,00, not INR 100,00.'],
    ['The refund of A-1 ABC-2, 12.50.1 EUR', 'de-DE', 'The refund of A-1 ABC-2, 12.50.1 EUR'],
    ['HTTP 404 NOT found', 'de-DE', 'HTTP 404 NOT found'],
    ['version 2.5 EUR of 3 JPY', 'de-DE', 'version 2.5 EUR of JPY 3'],
  ])('%s in %s', (sentence, locale, shown) => {
    expect(withAmountsAsShown(sentence, locale).replaceAll('\u00a0', ' ')).toBe(shown);
  });
});
