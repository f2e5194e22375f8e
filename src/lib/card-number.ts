import { hasBrand } from './card-brands.ts';
import { WrittenNumber } from './json.ts';
import { isUnseen } from './unseen.ts';

/**
 * Finds card data in texts that people fill as they like: card numbers, the tracks of magnetic stripes, security codes.
 * A card number is known by its brand and its length together and by its check digit (Luhn), in every spelling in which
 * people write one: in one piece or in groups, whatever stands between these, in the digits of any script. One in ten
 * other numbers that begin like a brand's and are as long passes for one: nobody can tell these apart.
 */
export function holdsCardNumber(text: string): boolean {
  return cardDataIn(text).length > 0;
}

/** The same for a value as JSON has it: its texts, its whole numbers and its names. */
export function holdsCardNumberWithin(value: unknown): boolean {
  if (typeof value === 'string') return holdsCardNumber(value);
  if (typeof value === 'number') return isWholeCard(value);
  if (value instanceof WrittenNumber) return isWholeCard(Number(value.text));
  if (Array.isArray(value)) {
    // Each group may stand in an entry of its own.
    const flat = value.every((entry) => typeof entry === 'string' || typeof entry === 'number');
    return value.some(holdsCardNumberWithin) || (flat && holdsCardNumber(value.join(' ')));
  }
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, inner]) => holdsCardNumber(name) || holdsCardNumberWithin(inner));
}

/** Fractions are measures and amounts, whatever their digits are. */
const isWholeCard = (number: number) => Number.isInteger(number) && holdsCardNumber(String(BigInt(number)));

/**
 * The text with an x in the place of each digit of card data. Of a card number the last four digits stay, as they do on
 * receipts; of the digits that follow it, which may be its expiry or its security code, none does.
 */
export function maskCardNumbers(text: string): string {
  let masked = '';
  let from = 0;
  for (const { hide } of cardDataIn(text)) {
    for (const [at, end] of hide) {
      masked += `${text.slice(from, at)}x`;
      from = end;
    }
  }
  return masked + text.slice(from);
}

/** The text with a word in the place of card data and of what stands between its digits. */
export function replaceCardNumbers(text: string, word: string): string {
  let clean = '';
  let from = 0;
  for (const { span } of cardDataIn(text)) {
    clean += text.slice(from, span[0]) + word;
    from = span[1];
  }
  return clean + text.slice(from);
}

/** Where a digit stands in a text. */
type Place = readonly [at: number, end: number];

interface CardData {
  /** From its first digit to its last. */
  readonly span: Place;
  /** The digits that nobody may see, as they follow each other. */
  readonly hide: readonly Place[];
}

function cardDataIn(text: string): readonly CardData[] {
  if (!mayHold(text)) return NONE;
  const found = [TRACKS, SECURITY_CODES].flatMap((rule) =>
    [...text.matchAll(rule)].map(({ 0: { length }, index }): CardData => {
      const span = [index, index + length] as const;
      return { span, hide: digitsOf(text, ...span) };
    }),
  );
  const told = found.toSorted(inOrder);
  let next = 0;
  const isHarmless = createHarmless(text);
  for (const run of runsOf(text)) {
    const card = cardOf(run, isHarmless);
    if (card === null) continue;
    while (next < told.length && told[next]!.span[1] <= card.span[0]) next++;
    if (next === told.length || told[next]!.span[0] >= card.span[1]) found.push(card);
  }
  return found.sort(inOrder);
}

const inOrder = (one: CardData, other: CardData) => one.span[0] - other.span[0];
const NONE: readonly CardData[] = [];
const LEAST_DIGITS = 13;
const MOST_DIGITS = 19;

/** Track 1 and 2 (ISO 7813), whatever number they begin with. */
const TRACKS = /%?B\d{12,19}\^[^^?]{2,26}\^\d{4,40}|;\d{12,19}=\d{4,40}/g;
const SECURITY_CODES =
  /\b(?:cvc|cvv|cvn|cav)2?(?:[ -]?(?:code|no|number|is))?[\s:=#.-]{0,3}\d{3,4}(?![\d.,/-]?\d)/gi;

/** Most texts are told apart by this at once. */
function mayHold(text: string): boolean {
  let digits = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    // What is not ASCII may be a digit of another script.
    if ((code >= 0x30 && code <= 0x39) || code > 0x7f) digits++;
  }
  return digits >= LEAST_DIGITS || (digits >= 3 && /c[va][cvn]/i.test(text));
}

function digitsOf(text: string, from: number, to: number): Place[] {
  const places: Place[] = [];
  for (let at = from; at < to; at++) if (/[0-9]/.test(text[at]!)) places.push([at, at + 1]);
  return places;
}

// Digits that may belong together --------------------------------------------------------------------------

interface Group {
  /** Which of the run's digits is its first. */
  readonly from: number;
  length: number;
  /** After a plus, as phone numbers stand. */
  readonly plus: boolean;
}

/** Digits with nothing between them but what people put between the groups of a number. */
interface Run {
  digits: string;
  readonly places: Place[];
  readonly groups: Group[];
}

/** How many signs may stand between two groups. */
const MOST_SIGNS = 5;
const BETWEEN = /[\s\p{Cc}\p{Pd}\u2212.,\u00b7\u2022\u2027\u30fb/\\_|:;*+'\u2018\u2019~\u2044\u2215]/u;
/** Blanks and hyphens as other languages of the web write them. */
const WRITTEN_BLANK =
  /%(?:20|2d|09|0a|0d)|&(?:nbsp|shy|ndash|mdash|#160|#xa0|#45);|\\[nrt]|<\/?[a-z]{1,8}\s?\/?>/iy;

function* runsOf(text: string): Generator<Run> {
  let run: Run | null = null;
  let signs = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at)!;
    const end = at + (code > 0xffff ? 2 : 1);
    const digit = code < 0x80 ? (code >= 0x30 && code <= 0x39 ? text[at]! : null) : otherDigit(code);
    if (digit !== null) {
      run ??= { digits: '', places: [], groups: [] };
      const group = run.groups.at(-1);
      if (signs === 0 && group) group.length++;
      else run.groups.push({ from: run.digits.length, length: 1, plus: text[at - 1] === '+' });
      run.digits += digit;
      run.places.push([at, end]);
      signs = 0;
      at = end;
      continue;
    }
    at = end;
    if (run === null || (code >= 0x80 && isUnseen(code))) continue;
    WRITTEN_BLANK.lastIndex = end - 1;
    const written = code < 0x80 && '%&\\<'.includes(text[end - 1]!) ? WRITTEN_BLANK.exec(text) : null;
    if (written) at = WRITTEN_BLANK.lastIndex;
    signs++;
    if ((written || BETWEEN.test(String.fromCodePoint(code))) && signs <= MOST_SIGNS) continue;
    yield run;
    run = null;
    signs = 0;
  }
  if (run !== null) yield run;
}

const otherDigits = new Map<number, string | null>();

/** A digit of another script, full-width, in a circle or raised; null for what is none. */
function otherDigit(code: number): string | null {
  let digit = otherDigits.get(code);
  if (digit === undefined) {
    const sign = String.fromCodePoint(code);
    const plain = sign.normalize('NFKC');
    digit = /^[0-9]$/.test(plain) ? plain : /^\p{Nd}$/u.test(sign) ? digitOfScript(code) : null;
    // Texts hold few different signs; a text that holds all of them shall not fill the memory.
    if (otherDigits.size < 4_000) otherDigits.set(code, digit);
  }
  return digit;
}

/** The digits of a script stand side by side in Unicode, from its zero on. */
function digitOfScript(code: number): string {
  let before = 0;
  while (before < 10 && /^\p{Nd}$/u.test(String.fromCodePoint(code - before - 1))) before++;
  return String(before % 10);
}

// Card numbers among them ------------------------------------------------------------------------------------

/** The first card of a run; what follows it there belongs to it. */
function cardOf(run: Run, isHarmless: (from: number, to: number) => boolean): CardData | null {
  const { digits, groups, places } = run;
  if (digits.length < LEAST_DIGITS || isLabelOfParcelOrSim(run)) return null;
  for (let first = 0; first < groups.length; first++) {
    const { from, plus } = groups[first]!;
    const shape: number[] = [];
    for (let last = first; last < groups.length; last++) {
      const to = groups[last]!.from + groups[last]!.length;
      shape.push(groups[last]!.length);
      if (to - from > MOST_DIGITS && last > first) break;
      if (to - from < LEAST_DIGITS) continue;
      if (plus && to - from <= MOST_DIGITS_OF_A_PHONE) continue;
      const number = digits.slice(from, to);
      const length =
        last === first ? cardInOnePiece(number) : isCardInGroups(number, run, first, shape) ? to - from : 0;
      if (length === 0 || isHarmless(places[from]![0], places[to - 1]![1])) continue;
      const card = places.slice(from);
      return {
        span: [card[0]![0], card.at(-1)![1]],
        hide: card.filter((_, place) => place < length - 4 || place >= length),
      };
    }
  }
  return null;
}

const MOST_DIGITS_OF_A_PHONE = 15;

/** How many of the digits are the card's; 0 where they are none. After them may stand its expiry and its code. */
function cardInOnePiece(digits: string): number {
  if (isCard(digits) && !isArticleNumber(digits) && !isTime(digits)) return digits.length;
  if (/^[27]\d{22}$/.test(digits)) return 0;
  return (
    GLUED.find(([length, rest]) => rest.test(digits.slice(length)) && isCard(digits.slice(0, length)))?.[0] ??
    0
  );
}

/**
 * What is glued to a number without a sign: its code, or month and year with or without the code. A number of 23 digits
 * from 2 or 7 on is the reference of an acquirer (ARN).
 */
const GLUED: readonly (readonly [number, RegExp])[] = [
  [16, /^(?:\d{3}|(?:0[1-9]|1[0-2])[2-4]\d(?:\d{3,4})?)$/],
  [15, /^(?:\d{4}|(?:0[1-9]|1[0-2])[2-4]\d\d{4})$/],
];

const isCard = (digits: string) =>
  digits.length >= LEAST_DIGITS && digits.length <= MOST_DIGITS && hasBrand(digits) && passesLuhn(digits);

function isCardInGroups(digits: string, run: Run, first: number, shape: readonly number[]): boolean {
  return digits.length >= LEAST_DIGITS && isGroupedAsCardsAre(run, first, shape) && isCard(digits);
}

/**
 * Cards are printed in groups of four, or of four, six and five, and typed in others that are even, or all alike. Digits,
 * pairs and groups of three count only where nothing alike stands before them: they are the beginning of a list.
 */
function isGroupedAsCardsAre(run: Run, first: number, shape: readonly number[]): boolean {
  const last = shape.at(-1)!;
  const others = shape.slice(0, -1);
  const size = others[0]!;
  const alike = others.every((length) => length === size) && last <= size;
  if (alike && (size > 3 || first === 0 || run.groups[first - 1]!.length !== size)) return true;
  return shape.length <= 5 && others.every((length) => length >= 4 && length % 2 === 0);
}

/** Whether the last digit is the check digit of those before it. */
function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = digits.charCodeAt(digits.length - 1 - place) - 0x30;
    const doubled = place % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

// Numbers that are none ------------------------------------------------------------------------------------------

/** Cards of 13 digits are no longer issued; articles (EAN) that begin with 4 are in every shop. */
function isArticleNumber(digits: string): boolean {
  if (digits.length !== 13) return false;
  let sum = 0;
  for (let place = 0; place < 13; place++)
    sum += (digits.charCodeAt(place) - 0x30) * (place % 2 === 0 ? 1 : 3);
  return sum % 10 === 0;
}

/** Day, month, year and the time to the second: 30 01 2026 12 34 56. */
const isTime = (digits: string) =>
  /^30(?:0[1-9]|1[0-2])20[0-4]\d(?:[01]\d|2[0-3])[0-5]\d[0-5]\d$/.test(digits);

/** SIM cards (ICCID, from 89 on) and parcels (from 91 to 95, 22 digits) have their numbers printed in groups of four. */
const isLabelOfParcelOrSim = ({ digits, groups }: Run) =>
  groups.length > 1 &&
  groups.slice(0, -1).every(({ length }) => length === 4) &&
  (/^89\d{17,18}$/.test(digits) || /^9[1-5]\d{20}$/.test(digits));

const UUID = /(?<![0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-z])/gi;
const HASH =
  /(?<![0-9a-z])(?=[0-9]*[a-f])(?:[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-z])/gi;
const IBAN = /(?<![0-9a-z])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![0-9a-z])/gi;

/** Whether digits belong to something that has a form of its own. Looked for once, where there is something to ask. */
function createHarmless(text: string): (from: number, to: number) => boolean {
  let spans: readonly Place[] | null = null;
  return (from, to) => {
    spans ??= [UUID, HASH, IBAN].flatMap((rule) =>
      [...text.matchAll(rule)].flatMap(({ 0: match, index }): Place[] =>
        rule === IBAN && !isIban(match) ? [] : [[index, index + match.length]],
      ),
    );
    return spans.some(([begin, end]) => begin <= from && to <= end);
  };
}

/** By its check digits (ISO 13616). */
function isIban(text: string): boolean {
  const compact = text.replaceAll(' ', '').toUpperCase();
  const moved = compact.slice(4) + compact.slice(0, 4);
  return (
    compact.length >= 15 &&
    BigInt(moved.replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55))) % 97n === 1n
  );
}
