/** Numbers that one kind of card has: what they begin with, and how many digits they have. */
export interface CardBrand {
  readonly name: string;
  /** Ranges of equally long beginnings, both ends included. */
  readonly begins: readonly (readonly [from: string, to: string])[];
  readonly lengths: readonly number[];
}

const one = (...begins: string[]) => begins.map((begin) => [begin, begin] as const);
const LONG = [16, 17, 18, 19];

/**
 * The brands, as the schemes publish their ranges. Brand and length count together, so that an IMEI (15 digits, mostly
 * from 35 on) is no JCB card (16 and more) and a bank's twelve-digit reference is no card at all.
 */
export const CARD_BRANDS: readonly CardBrand[] = [
  { name: 'Visa', begins: one('4'), lengths: [13, 16, 19] },
  {
    name: 'Mastercard',
    begins: [
      ['51', '55'],
      ['2221', '2720'],
    ],
    lengths: [16],
  },
  { name: 'American Express', begins: one('34', '37'), lengths: [15] },
  {
    name: 'Diners Club',
    begins: [
      ['300', '305'],
      ['3095', '3095'],
      ['36', '36'],
      ['38', '39'],
    ],
    lengths: [14, ...LONG],
  },
  {
    name: 'Discover',
    begins: [
      ['6011', '6011'],
      ['644', '649'],
      ['65', '65'],
    ],
    lengths: LONG,
  },
  { name: 'JCB', begins: [['3528', '3589']], lengths: LONG },
  { name: 'JCB of old', begins: one('1800', '2131'), lengths: [15] },
  {
    name: 'UnionPay',
    begins: [
      ['62', '62'],
      ['81', '81'],
    ],
    lengths: LONG,
  },
  { name: 'RuPay', begins: one('60', '65', '81', '82', '508', '353', '356'), lengths: [16] },
  {
    name: 'Maestro',
    begins: one('5018', '5020', '5038', '5893', '6304', '6759', '6761', '6762', '6763', '676770', '676774'),
    // It may have twelve as well, but so have the references of banks (RRN).
    lengths: [13, 14, 15, ...LONG],
  },
  // Elo, Hipercard, Verve, Dankort, Meeza, Uzcard and whoever else issues from what ISO 7812 gives to banks.
  {
    name: 'national schemes',
    begins: [
      ['50', '50'],
      ['56', '58'],
      ['6', '6'],
    ],
    lengths: [16],
  },
  {
    name: 'Verve',
    begins: [
      ['506099', '506198'],
      ['507865', '507964'],
      ['650002', '650027'],
    ],
    lengths: LONG,
  },
  { name: 'Mir', begins: [['2200', '2204']], lengths: LONG },
  { name: 'Troy', begins: one('9792'), lengths: [16] },
  { name: 'Uzcard, Humo', begins: one('8600', '9860'), lengths: [16] },
  { name: 'Napas', begins: one('9704'), lengths: [16, 19] },
  { name: 'Belkart', begins: one('9112'), lengths: [16] },
  { name: 'mada', begins: [['968201', '968211']], lengths: [16] },
];

/** Whether a number begins like a brand's and has as many digits. */
export function hasBrand(digits: string): boolean {
  return CARD_BRANDS.some(
    ({ begins, lengths }) =>
      lengths.includes(digits.length) &&
      begins.some(([from, to]) => {
        const begin = digits.slice(0, from.length);
        return begin >= from && begin <= to;
      }),
  );
}
