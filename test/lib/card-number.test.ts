import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CARD_BRANDS } from '../../src/lib/card-brands.ts';
import {
  holdsCardNumber,
  holdsCardNumberWithin,
  maskCardNumbers,
  replaceCardNumbers,
} from '../../src/lib/card-number.ts';
import { WrittenNumber } from '../../src/lib/json.ts';

/** Test cards as Stripe, Adyen, PayPal, Braintree, Worldline and the schemes publish them. */
const PUBLISHED =
  `4242424242424242 4000056655665556 5555555555554444 2223003122003222 5200828282828210 5105105105105100
  378282246310005 371449635398431 6011111111111117 6011000990139424 6011981111111113 3056930009020004 36227206271667
  6555900000604105 3566002020360505 6200000000000005 6200000000000047 6205500000000000004 4000000000000002
  4000002500003155 4111111111111111 4988438843884305 4166676667666746 4646464646464644 4000620000000007
  4871049999999910 5500000000000004 2222400010000008 2222400030000004 5555444433331111 2222410740360010
  5577000055770004 6771798021000008 370000000000002 36006666333344 6445644564456445
  3569990010095841 6243030000000001 8171999927660000 5066991111111118 6062828888666688
  4012888888881881 4222222222222 30569309025904 38520000023237 3530111333300000 6759649826438453 6304000000000000
  5019717010103742 2200000000000004 9792030000000000 6074849900004936 2201382000000013`.split(/\s+/);

const spellings: Readonly<Record<string, string>> = {
  alone: '4111111111111111',
  'in fours': '4111 1111 1111 1111',
  'with its code': '4111 1111 1111 1111 123',
  'with its code of four': '4111-1111-1111-1111-1234',
  'with its expiry': '4111 1111 1111 1111 12/27',
  'with expiry and code': '4111111111111111 1227 123',
  'with expiry and code glued': '41111111111111111227123',
  'with its code glued': '4111111111111111123',
  'expiry glued': '41111111111111111227',
  'among other numbers': 'card 4111 1111 1111 1111 2 items returned',
  'after other numbers': 'qty 2 4111 1111 1111 1111',
  'after a date': '2026-12-01 4111 1111 1111 1111',
  'two signs': '4111-1111 / 1111 1111',
  'no-break spaces': '4111\u00a01111\u00a01111\u00a01111',
  'narrow spaces': '4111\u202f1111\u20091111\u20071111',
  'an en dash, a minus, an em dash': '4111\u20131111\u22121111\u20141111',
  'non-breaking hyphens': '4111\u20111111\u20111111\u20111111',
  dots: '4111.1111.1111.1111',
  'middle dots': '4111·1111·1111·1111',
  slashes: '4111/1111/1111/1111',
  backslashes: '4111\\1111\\1111\\1111',
  underscores: '4111_1111_1111_1111',
  commas: '4111,1111,1111,1111',
  asterisks: '4111*1111*1111*1111',
  bars: '4111|1111|1111|1111',
  tabs: '4111\t1111\t1111\t1111',
  'line ends': '4111\r\n1111\r\n1111\r\n1111',
  'line ends as JSON writes them': '4111\\n1111\\n1111\\n1111',
  'as an address of the web has them': 'pan=4111%201111%201111%201111&x=1',
  'plus signs of a form': '4111+1111+1111+1111',
  'as HTML': '4111&nbsp;1111&nbsp;1111<br>1111',
  'zero width spaces': '4111\u200b1111\u200b1111\u200b1111',
  'soft hyphens within': '41\u00ad11111111\u00ad111111',
  'direction marks': '\u200e4111\u200f1111 1111\u202c1111',
  'a mark between all digits': [...'4111111111111111'].join('\u2060'),
  'full-width': '４１１１　１１１１　１１１１　１１１１',
  'Arabic digits': '٤١١١ ١١١١ ١١١١ ١١١١',
  Devanagari: '४१११ ११११ ११११ ११११',
  mathematical: '𝟒𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏',
  'in circles': '④①①①①①①①①①①①①①①①',
  keycaps: [...'4111111111111111'].map((digit) => `${digit}\ufe0f\u20e3`).join(''),
  'digit by digit': '4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1',
  'in pairs': '41 11 11 11 11 11 11 11',
  'in eights': '41111111 11111111',
  'four and twelve': '4111-111111111111',
  'six and ten': '411111 1111111111',
  Amex: '3782 822463 10005',
  'Amex with its code': '3782-822463-10005 1234',
  'Amex in fives': '37828 22463 10005',
  Diners: '3056 930902 5904',
  nineteen: '6205 5000 0000 0000 004',
  'glued to a word': 'card4111111111111111',
  'glued before a word': '4111111111111111paid',
  'after a name': 'PAN:4111111111111111',
  'after an underscore': 'pan_4111111111111111_x',
  quoted: '"4111111111111111"',
  'as a spreadsheet writes it': '4111111111111111.00',
  'track 1': '%B4111111111111111^ASHA RAO^2712101?',
  'track 2': ';4111111111111111=27121010000000000000?',
  'track 2 of no brand we know': ';123456789012345=2712101?',
  'a code alone': 'the cvv is: 123',
  'a code by another name': 'CVC2: 0423',
  'groups of a longer run': '0001 4111 1111 1111 1111 2222',
};

const others: Readonly<Record<string, string>> = {
  IMEI: '356938035643809',
  'IMEI from 86': '862195041234563',
  'IMEI from 01': '012345678901237',
  'IMEI in its groups': '35-693803-564380-9',
  'IMEISV in its groups': '35-693803-564380-09',
  ICCID: '8991101200003204510',
  'ICCID in fours': '8991 1012 0000 3204 510',
  'ICCID with an operator that looks like a card': '8944 5011 1111 1111 110',
  'ICCID of 20': '89014103211118510720',
  ARN: '74332745678901234567890',
  'ARN from 2 on': '24692164105100012345678',
  RRN: '412345678901',
  'RRN that begins like Maestro': '501812345678',
  UTR: 'SBIN422123456789',
  'UTR of RTGS': 'HDFCR52026120112345678',
  'EAN-13': '4006381333931',
  'EAN-13 that has both check digits': '4000000000037',
  'GTIN-14': '10614141000415',
  ISBN: '978-3-16-148410-0',
  milliseconds: '1796121599000',
  microseconds: '1796121599000123',
  'a time in digits': '20261201123456',
  'a time, day first': '30012026123456',
  'a time as it is written': '2026-12-01 12:34:56.789',
  'a phone number': '+49 1512 3456789',
  'a phone number in one piece': '+4915123456789',
  'two phone numbers': '+4915123456789, +4915123456781',
  'two numbers of India': '62345 67890, 62345 67891',
  Aadhaar: '4444 1234 5678',
  UUID: '01932c5e-8f2a-7c3e-9b1d-2a4f6c8e0b1d',
  'UUID that is nearly all digits': '41111111-1111-4111-8111-111111111111',
  'a hash': 'a4111111111111111b55550123456789abcdef01',
  IBAN: 'DE89 3704 0044 0532 0130 00',
  'IBAN of France': 'FR1420041010050500013M02606',
  'a parcel': '9400 1000 0000 0000 0000 00',
  'a parcel of UPS': '1Z999AA10123456784',
  'an order': '4512345678',
  'an order of Amazon': '402-1234567-1234567',
  'an order with a year': 'ORD-2026-0000412345',
  'an invoice': 'INV-2026/12/00041',
  amounts: '4500.00, 1200.00 and 3400.00',
  'a grouped amount': '4,111,111,111,111.11',
  'a fraction': 'latitude 41.40338, longitude 2.17403',
  'the last four': 'card ending in 1111, expiry 12/27',
  masked: '4111 11xx xxxx 1111',
  'masked with stars': '411111******1111',
  'no check digit': '4111 1111 1111 1112',
  'fifteen digits from 4 on': '411111111111111',
  'words with a code': 'CVV did not match, 3 tries',
  'a code with its amount': 'cvv 123.45',
  'a letter in the place of a zero': '4OOO OOOO OOOO OOO2',
};

describe('card numbers', () => {
  test.each(PUBLISHED)('%s, which a gateway publishes for tests, is one in every spelling', (number) => {
    for (const spelling of [
      number,
      number.match(/.{1,4}/g)!.join(' '),
      `card ${number}, thanks`,
      `no.${number}`,
    ]) {
      expect([spelling, holdsCardNumber(spelling)]).toEqual([spelling, true]);
      expect(maskCardNumbers(spelling).match(/\d/g)).toEqual([...number.slice(-4)]);
    }
  });

  test.each(Object.entries(spellings))('%s', (_, text) => {
    expect(holdsCardNumber(text)).toBe(true);
    expect(holdsCardNumber(`Note of Asha: ${text} and so on.`)).toBe(true);
    expect(holdsCardNumber(maskCardNumbers(text))).toBe(false);
    const digitsLeft = maskCardNumbers(text).normalize('NFKC').match(/\d/g) ?? [];
    expect(digitsLeft.length).toBeLessThanOrEqual(13);
    expect(replaceCardNumbers(`<${text}>`, 'hidden').normalize('NFKC')).not.toContain('1111');
  });

  test.each(Object.entries(others))('no card: %s', (_, text) => {
    expect(holdsCardNumber(text)).toBe(false);
    expect(maskCardNumbers(text)).toBe(text);
    expect(replaceCardNumbers(text, 'hidden')).toBe(text);
  });

  test('a mask leaves the last four, and nothing of the code or the expiry', () => {
    expect(maskCardNumbers('paid by 4111 1111 1111 1111 123 12/27, thanks')).toBe(
      'paid by xxxx xxxx xxxx 1111 xxx xx/xx, thanks',
    );
    expect(maskCardNumbers('4111111111111111123')).toBe('xxxxxxxxxxxx1111xxx');
    expect(maskCardNumbers('CVV 123; 3782-822463-10005')).toBe('CVV xxx; xxxx-xxxxxx-x0005');
    expect(maskCardNumbers('A 4242424242424242 B 5555555555554444')).toBe(
      'A xxxxxxxxxxxx4242 B xxxxxxxxxxxx4444',
    );
  });

  test('within JSON: texts, whole numbers, names, lists of groups; fractions are none', () => {
    const number = 4111111111111111;
    for (const value of [
      number,
      { deep: [{ card: String(number) }] },
      { [String(number)]: true },
      ['4111', '1111', '1111', '1111'],
      { pan: new WrittenNumber('4.111111111111111e15') },
      { note: '4111\n1111\n1111\n1111' },
    ])
      expect(holdsCardNumberWithin(value)).toBe(true);
    expect(
      holdsCardNumberWithin({ share: 0.4111111111111111, imei: '356938035643809', n: [1, 2, null] }),
    ).toBe(false);
  });

  test('any number of any brand, grouped and followed as people do, is found and masked', () => {
    const anyCard = fc
      .constantFrom(...CARD_BRANDS)
      .chain((brand) => fc.tuple(fc.constantFrom(...brand.begins), fc.constantFrom(...brand.lengths)))
      .chain(([[from, to], length]) =>
        fc
          .tuple(fc.integer({ min: Number(from), max: Number(to) }), fc.stringMatching(/^[0-9]{19}$/))
          .map(([begin, rest]) =>
            withCheckDigit((String(begin).padStart(from.length, '0') + rest).slice(0, length - 1)),
          ),
      )
      .filter((number) => number.length !== 13 && !/^30(?:0[1-9]|1[0-2])20/.test(number));
    const sign = fc.constantFrom(' ', '-', '.', '/', '_', '\u00a0', '\u2013', '\u200b', ' - ', '\n');
    fc.assert(
      fc.property(
        anyCard,
        sign,
        fc.constantFrom('', ' 123', ' 12/27', ' 1227 123', ' x', ' 7 pieces'),
        (number, between, after) => {
          const text = `for ${number.match(/.{1,4}/g)!.join(between)}${after}`;
          expect(holdsCardNumber(text)).toBe(true);
          expect(holdsCardNumber(maskCardNumbers(text))).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('texts without end are looked at once', () => {
    for (const piece of [
      '4',
      '4 ',
      '41 ',
      '4111 ',
      '4111\u200b',
      '٤',
      ';4',
      '%B4',
      'cvv ',
      '&',
      '%',
      'a4-',
      'DE89 ',
    ]) {
      const text = piece.repeat(Math.ceil(200_000 / piece.length));
      expect(typeof holdsCardNumber(text)).toBe('boolean');
    }
  });
});

function withCheckDigit(start: string): string {
  const sum = [...start].reverse().reduce((total, digit, place) => {
    const value = Number(digit) * (place % 2 === 0 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return `${start}${(10 - (sum % 10)) % 10}`;
}
