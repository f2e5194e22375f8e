/** What the header of a table says of all its rows. */
export interface TableShape {
  /** How many columns it names. */
  readonly width: number;
  /** How many cells without a name stand after them: separators that a spreadsheet has put there. */
  readonly surplus: number;
}

/** Reads the shape off the header's cells, blanks around them taken off. */
export function shapeOf(header: readonly string[]): TableShape {
  let width = header.length;
  while (width > 1 && header[width - 1] === '') width--;
  return { width, surplus: header.length - width };
}

export interface Fitted {
  /** As many as the header names, or more where there are too many. */
  readonly cells: string[];
  /** How many of those that the header names are really there. */
  readonly present: number;
  /** Whether it has fewer cells than the header. */
  readonly isShort: boolean;
  readonly tooMany: boolean;
}

const MOST_CELLS = 200;

/**
 * The cells of a row in the shape of its table. Each row has as many cells as the header (RFC 4180), so one too many is the
 * only trace of a separator that was not quoted, also where it is empty; those that are missing at the end are filled up.
 */
export function fitted(cells: string[], { width, surplus }: TableShape): Fitted {
  if (cells.length === width && surplus === 0)
    return { cells, present: width, isShort: false, tooMany: false };
  const beyond = cells.slice(width);
  const tooMany =
    beyond.length > 0 && (beyond.length !== surplus || beyond.some((cell) => cell.trim() !== ''));
  const kept = tooMany ? cells.slice(0, MOST_CELLS) : cells.slice(0, width);
  while (kept.length < width) kept.push('');
  const isShort = cells.length < width + surplus;
  return { cells: kept, present: Math.min(cells.length, width), isShort, tooMany };
}

const WHOLE = /^\d{1,15}$/;
const REST = /^(?:\d{1,3}|\d{1,15}[.,]\d{1,4})$/;

/**
 * Whether two cells that stand side by side read like one amount that its own comma has split: 1 and 234.50, 12 and 50.
 * An amount that is written with its decimals has not been split.
 */
export function looksSplit(left: string, right: string): boolean {
  return WHOLE.test(left) && REST.test(right);
}

/** Digits alone, as an amount may be. */
export const isPlainNumber = (text: string) => /^\d{1,15}(?:[.,]\d{1,4})?$/.test(text);
