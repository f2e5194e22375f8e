/** How a number of a workbook is to be read, by the format of its cell. */
export type NumberFormat =
  | { readonly kind: 'plain' }
  | { readonly kind: 'date' }
  | { readonly kind: 'percent' }
  /** Shows nothing, or another number than the one that is stored. */
  | { readonly kind: 'unseen' }
  /** Shown with leading zeros, up to so many digits: an id that is stored as a number. */
  | { readonly kind: 'zeros'; readonly digits: number };

export const PLAIN: NumberFormat = { kind: 'plain' };

/** What spreadsheets keep of a number. */
const EXACT_DIGITS = 15;

/** Formats that every workbook has without saying so (ECMA-376 part 1, 18.8.30); the others are plain. */
const BUILT_IN_DATES = new Set([14, 15, 16, 17, 18, 19, 20, 21, 22, 45, 46, 47]);

export function builtInFormat(id: number): NumberFormat {
  // 27 to 36 and 50 to 58 are dates in East Asian editions.
  if (BUILT_IN_DATES.has(id) || (id >= 27 && id <= 36) || (id >= 50 && id <= 58)) return { kind: 'date' };
  return id === 9 || id === 10 ? { kind: 'percent' } : PLAIN;
}

export function formatOf(code: string): NumberFormat {
  if (/^;[; ]*$/.test(code)) return { kind: 'unseen' };
  if (/^0{2,32}$/.test(code)) return { kind: 'zeros', digits: code.length };
  // What is shown as it stands tells nothing: quoted words, escaped signs, fillers, colours and locales.
  const bare = code
    .replace(/"[^"]*"?/g, '')
    .replace(/[\\_*]./g, '')
    .replace(/\[(?!h+\]|m+\]|s+\])[^\]]*\]?/gi, '');
  if (/^general$/i.test(bare.trim())) return PLAIN;
  // A comma after the last digit shows thousands.
  if (/[0#?],+(?![0#?,])/.test(bare)) return { kind: 'unseen' };
  if (/[ymdhs]/i.test(bare.replace(/general/gi, '').replace(/[eE][+-]/g, ''))) return { kind: 'date' };
  return bare.includes('%') ? { kind: 'percent' } : PLAIN;
}

export type NumberReading =
  | { readonly ok: true; readonly text: string; readonly what: 'number' | 'date' | 'rounded' }
  | { readonly ok: false };

/**
 * A stored number as exact decimal text: never through a float. Programs store 1.1 as 1.1000000000000001, so what is beyond
 * 15 digits is rounded off; a whole number with more digits is `rounded`: the program that wrote it has lost some.
 */
export function readNumber(stored: string, format: NumberFormat, since1904: boolean): NumberReading {
  const parts = /^\s*([+-]?)(\d{0,400})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,3}))?\s*$/.exec(stored);
  if (!parts || `${parts[2]}${parts[3] ?? ''}` === '') return { ok: false };
  if (format.kind === 'date') return { ok: true, text: dateText(Number(stored), since1904), what: 'date' };

  const shift = format.kind === 'percent' ? 2 : 0;
  const written = parts[2]! + (parts[3] ?? '');
  const digits = written.replace(/^0+/, '');
  // Where the point stands, counted from the first digit that is not zero.
  const point = parts[2]!.length - (written.length - digits.length) + Number(parts[4] ?? 0) + shift;
  const [exact, carried] = rounded(digits);
  const text = decimal(exact, point + carried);
  const sign = parts[1] === '-' && text !== '0' ? '-' : '';
  const whole = format.kind === 'zeros' && /^\d+$/.test(text) ? text.padStart(format.digits, '0') : text;
  return {
    ok: true,
    text: sign + whole + (format.kind === 'percent' ? '%' : ''),
    what: text.replace(/\..*$/, '').length > EXACT_DIGITS ? 'rounded' : 'number',
  };
}

/** At most 15 digits, rounded half up, without zeros at the end; and 1 if that made the number a digit longer. */
function rounded(digits: string): [string, 0 | 1] {
  const cut = digits.slice(0, EXACT_DIGITS);
  const up = digits.length > EXACT_DIGITS && digits[EXACT_DIGITS]! >= '5';
  const kept = up ? String(BigInt(cut) + 1n) : cut;
  return [kept.replace(/0+$/, ''), kept.length > cut.length ? 1 : 0];
}

function decimal(digits: string, point: number): string {
  if (digits === '') return '0';
  if (point <= 0) return `0.${'0'.repeat(-point)}${digits}`;
  if (point >= digits.length) return digits + '0'.repeat(point - digits.length);
  return `${digits.slice(0, point)}.${digits.slice(point)}`;
}

const DAY_MS = 86_400_000;

/** Dates are days since the end of 1899, where 1900 counts as a leap year, or since 1904; the fraction is the time. */
function dateText(days: number, since1904: boolean): string {
  const from = since1904 ? Date.UTC(1904, 0, 1) : Date.UTC(1899, 11, days < 60 ? 31 : 30);
  const date = new Date(Math.round((from + days * DAY_MS) / 1000) * 1000);
  if (Number.isNaN(date.getTime())) return String(days);
  const iso = date.toISOString();
  return Number.isInteger(days) ? iso.slice(0, 10) : `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}
