import { REFUND_TYPES } from '../../api/contract/refunds.ts';
import { holdsCardNumber } from '../../lib/card-number.ts';
import { keptText } from '../../lib/csv.ts';
import { currencyProblem, exponentOf } from '../../lib/money.ts';
import { shown } from '../../lib/shown.ts';
import { isPlainNumber, looksSplit } from '../../lib/table-shape.ts';
import { unseenIn, unseenSentence } from '../../lib/unseen.ts';
import { ORDER_ID } from '../../orders/order.ts';
import { COLUMNS_OF, type ColumnName, type MatchedColumns } from './columns.ts';
import type { FileRow } from './file-row.ts';
import { readAmount } from './read-amount.ts';
import type { RowCode } from './row-codes.ts';

/** What is wrong with a row: a stable word, our column where there is one, and sentences for people. */
export interface RowProblem {
  readonly code: RowCode;
  readonly field: ColumnName | null;
  readonly message: string;
}

/** A row as it was understood. A field is null where its cell is empty, its column absent, or its text not acceptable. */
export interface RowReading<Fields> {
  readonly fields: Fields;
  /** The first thing that is wrong. Null: by itself the row is good, and every field is as it will be handed on. */
  readonly problem: RowProblem | null;
}

export interface RefundFields {
  readonly order_id: string | null;
  readonly txn_id: string | null;
  readonly unique_request_id: string | null;
  /** `full`; or decimal text in major units; or, of a file in minor units, digits of minor units. */
  readonly amount: string | null;
  readonly currency: string | null;
  readonly refund_type: (typeof REFUND_TYPES)[number] | null;
  readonly note: string | null;
  readonly customer_email: string | null;
  /** The row of the batch that this one corrects. */
  readonly row: number | null;
}

export interface StatusFields {
  /** In lower case. */
  readonly refund_id: string | null;
  readonly order_id: string | null;
  readonly unique_request_id: string | null;
  readonly status: 'SUCCESS' | 'FAILURE' | null;
  readonly arn: string | null;
  readonly evidence: string | null;
  readonly row: number | null;
}

/**
 * Checks one row of a file of refunds by itself, without the database: the rules of the door for single refunds, and
 * what only files can get wrong. `minor`: amounts are in minor units, by the header or because the uploader said so;
 * `numbers`: where columns that are not ours hold numbers, by their names.
 */
export function readRefundRow(
  columns: MatchedColumns,
  row: FileRow,
  { minor, numbers = NO_PLACES }: { readonly minor: boolean; readonly numbers?: ReadonlySet<number> },
): RowReading<RefundFields> {
  const reader = new Reader(columns, row);
  noteShortRow(reader, columns, row, NEEDED.refunds);
  const orderId = reader.word('order_id', ORDER_ID, 'bad_order_id', orderIdWords);
  const uniqueRequestId = reader.word(
    'unique_request_id',
    UNIQUE_REQUEST_ID,
    'bad_unique_request_id',
    uniqueRequestIdWords,
  );
  const txnId = reader.word('txn_id', TXN_ID, 'bad_txn_id', txnIdWords);
  if (!reader.filled('order_id') && !reader.filled('txn_id'))
    reader.note('missing_value', reader.has('order_id') ? 'order_id' : 'txn_id', 'The order id is empty.');
  if (!reader.filled('unique_request_id')) {
    reader.note(
      'missing_value',
      'unique_request_id',
      'The unique_request_id is empty. It keeps a refund from being made twice: give each refund of an order its own.',
    );
  }
  const currency = readCurrency(reader);
  const amount = readAmountOf(reader, currency, minor);
  noteSplitAmount(reader, columns, row, currency, numbers);
  const refundType = reader.choice('refund_type', REFUND_TYPES, 'bad_refund_type', 'refund type');
  const email = reader.word('customer_email', EMAIL, 'bad_email', emailWords);
  const note = reader.freeText('note', 1, 2_000);
  const correctedRow = reader.rowNumber();
  return {
    fields: {
      order_id: orderId,
      txn_id: txnId,
      unique_request_id: uniqueRequestId,
      amount,
      currency,
      refund_type: refundType,
      note,
      customer_email: email,
      row: correctedRow,
    },
    problem: reader.problem,
  };
}

/** Checks one row of a file of status updates by itself, by the rules for a single resolution. */
export function readStatusRow(columns: MatchedColumns, row: FileRow): RowReading<StatusFields> {
  const reader = new Reader(columns, row);
  noteShortRow(reader, columns, row, NEEDED.status_updates);
  const refundId = reader.word('refund_id', UUID, 'bad_refund_id', refundIdWords)?.toLowerCase() ?? null;
  const orderId = reader.word('order_id', ORDER_ID, 'bad_order_id', orderIdWords);
  const uniqueRequestId = reader.word(
    'unique_request_id',
    UNIQUE_REQUEST_ID,
    'bad_unique_request_id',
    uniqueRequestIdWords,
  );
  if (!reader.filled('refund_id') && !(reader.filled('order_id') && reader.filled('unique_request_id'))) {
    const field = ID_COLUMNS.find((name) => reader.has(name) && !reader.filled(name)) ?? 'refund_id';
    reader.note(
      'missing_value',
      field,
      'The row does not say which refund is meant. Write its refund_id, or its order_id and its unique_request_id.',
    );
  }
  const status = readStatus(reader);
  const arn = reader.word('arn', ARN, 'bad_arn', arnWords);
  if (!reader.filled('evidence'))
    reader.note(
      'missing_value',
      'evidence',
      'The evidence is empty. Write what shows it: where you looked, what it said, who told you.',
    );
  const evidence = reader.freeText('evidence', 10, 4_000);
  const correctedRow = reader.rowNumber();
  return {
    fields: {
      refund_id: refundId,
      order_id: orderId,
      unique_request_id: uniqueRequestId,
      status,
      arn,
      evidence,
      row: correctedRow,
    },
    problem: reader.problem,
  };
}

// Rules ----------------------------------------------------------------------------------------------------

// The same as the schemas of single refunds and resolutions have; a test holds them together.
const UNIQUE_REQUEST_ID = /^[A-Za-z0-9_.:-]{1,255}$/;
const ARN = /^[A-Za-z0-9]{6,40}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
const TXN_ID = /^\P{Cc}{1,256}$/u;
// No more than a slip: whether an address exists is not known by its looks.
const EMAIL = /^(?=.{3,254}$)[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u;
const ID_COLUMNS = ['refund_id', 'order_id', 'unique_request_id'] as const;

const orderIdWords = 'An order id is 1 to 128 visible ASCII characters without blanks.';
const uniqueRequestIdWords = 'It is 1 to 255 letters, digits, _ . : or -.';
const txnIdWords = 'A transaction id is 1 to 256 characters.';
const refundIdWords = 'It is our id of the refund, such as 01932c5e-8f2a-7c3e-9b1d-2a4f6c8e0b1d.';
const arnWords = 'An ARN is 6 to 40 letters and digits.';
const emailWords = 'An address looks like asha@example.com.';

const STATUSES: Readonly<Record<string, 'SUCCESS' | 'FAILURE'>> = {
  success: 'SUCCESS',
  succeeded: 'SUCCESS',
  successful: 'SUCCESS',
  processed: 'SUCCESS',
  completed: 'SUCCESS',
  refunded: 'SUCCESS',
  paid: 'SUCCESS',
  failure: 'FAILURE',
  failed: 'FAILURE',
  fail: 'FAILURE',
  unsuccessful: 'FAILURE',
  rejected: 'FAILURE',
  declined: 'FAILURE',
};

function readStatus(reader: Reader): 'SUCCESS' | 'FAILURE' | null {
  const text = reader.text('status');
  if (text === '') {
    reader.note('missing_value', 'status', 'The status is empty. Write SUCCESS or FAILURE.');
    return null;
  }
  const status = Object.hasOwn(STATUSES, text.toLowerCase()) ? STATUSES[text.toLowerCase()]! : null;
  if (status === null) {
    reader.note(
      'bad_status',
      'status',
      `The status is “${shown(text)}”. Write SUCCESS where the customer has the money, FAILURE where it is certain that he will not get it; leave out what is not certain.${unseenSentence(text)}`,
    );
  }
  return reader.troubled('status') ? null : status;
}

function readCurrency(reader: Reader): string | null {
  const text = reader.text('currency');
  if (text === '') {
    reader.note(
      'missing_value',
      'currency',
      'The currency is empty. Write the code of the order’s currency, such as INR.',
    );
    return null;
  }
  if (/^[A-Z]{3}$/.test(text) && exponentOf(text) !== undefined)
    return reader.troubled('currency') ? null : text;
  const upper = text.toUpperCase();
  const way = exponentOf(upper) !== undefined ? `Write ${upper}.` : `${currencyProblem(upper)}.`;
  reader.note('bad_currency', 'currency', `The currency is “${shown(text)}”. ${way}${unseenSentence(text)}`);
  return null;
}

function readAmountOf(reader: Reader, currency: string | null, minor: boolean): string | null {
  const column = reader.has('amount_minor') ? 'amount_minor' : 'amount';
  const reading = readAmount(keptText(reader.text(column)), currency, minor);
  if (reading.ok) return reader.troubled(column) ? null : reading.amount;
  reader.note(reading.code, column, reading.message + unseenSentence(reader.text(column)));
  return null;
}

// The shape of the row ---------------------------------------------------------------------------------------

const NO_PLACES: ReadonlySet<number> = new Set();

/** What a row cannot do without, so that it is never what a spreadsheet has left out as empty. */
const NEEDED = {
  refunds: new Set<ColumnName>(['amount', 'amount_minor', ...requiredOf('refunds')]),
  status_updates: new Set<ColumnName>(requiredOf('status_updates')),
} as const;

function requiredOf(kind: keyof typeof COLUMNS_OF): ColumnName[] {
  return COLUMNS_OF[kind].filter(({ required }) => required).map(({ name }) => name);
}

/**
 * Cells that are missing at the end are empty ones where nothing speaks against it: spreadsheets leave them out, by blocks of
 * rows. What is needed speaks against it, and a number that may be the rest of an amount, or has been moved by one.
 */
function noteShortRow(
  reader: Reader,
  columns: MatchedColumns,
  { cells, present, isShort }: FileRow,
  needed: ReadonlySet<ColumnName>,
): void {
  if (!isShort) return;
  const absent = columns.slice(present).find((name) => name !== null && needed.has(name)) ?? null;
  const text = (at: number) => cells[at]?.trim() ?? '';
  const amount = columns.findIndex(isAmount);
  // What moves an amount moves the currency as well, and that is seen, unless the currency stands further left.
  const mayHaveMoved =
    amount > columns.indexOf('currency') &&
    cells.slice(amount + 1, present).some((cell) => isPlainNumber(cell.trim()));
  const before = columns[present - 2] ?? null;
  const mayBeSplit =
    (before === null || before === 'note' || isAmount(before)) &&
    looksSplit(text(present - 2), text(present - 1));
  if (absent === null && !mayHaveMoved && !mayBeSplit) return;
  const why =
    absent === null
      ? 'Its last cells may be parts of one amount, such as 1,234.50.'
      : `${absent} is missing.`;
  reader.note(
    'too_few_cells',
    absent,
    `The row has fewer cells than the header. ${why} A cell that is empty still has its separator. Excel leaves out ` +
      'empty cells at the end of rows, each time it saves: fill the last column of this row, if with one word, or delete the ' +
      'empty columns at the right.',
  );
}

const isAmount = (name: ColumnName | null) => name === 'amount' || name === 'amount_minor';

/** Columns in which a number is as good as any text. */
const TAKES_NUMBERS: ReadonlySet<ColumnName> = new Set(['note', 'order_id', 'unique_request_id', 'txn_id']);

/**
 * A comma splits an amount that is not in quotes, or moves the cells after it, and where a cell was left out as well, the count
 * is right again. So a whole amount with a number beside it, where text or an id belongs, is asked about.
 */
function noteSplitAmount(
  reader: Reader,
  columns: MatchedColumns,
  { cells }: FileRow,
  currency: string | null,
  numbers: ReadonlySet<number>,
): void {
  const place = columns.findIndex(isAmount);
  const right = place + 1;
  const name = columns[right];
  // Other columns of ours refuse a number by themselves.
  if (name === undefined || (name === null ? numbers.has(right) : !TAKES_NUMBERS.has(name))) return;
  const text = (at: number) => cells[at]?.trim() ?? '';
  const amount = text(place);
  const beside = text(right);
  const left = columns[place - 1] === null ? text(place - 1) : '';
  const isTail = /^\d{1,3}$/.test(left) && /^\d{3}(?:\.\d+)?$/.test(amount) && isPlainNumber(beside);
  if (!looksSplit(amount, beside) && !isTail) return;
  const decimals = columns[place] === 'amount' && currency !== null ? (exponentOf(currency) ?? 0) : 0;
  const exact =
    decimals > 0 && /^\d+$/.test(amount)
      ? `the amount with its decimals, ${amount}.${'0'.repeat(decimals)}, or `
      : '';
  reader.note(
    'split_amount',
    columns[place]!,
    `The amount is “${shown(amount)}”, and beside it, where text or an id belongs, stands “${shown(beside)}”: a comma may have split an amount ` +
      'such as 1,234.50 or 12,50, or moved the cells, and then another amount is meant. Write amounts as 1234.50, and ' +
      `texts that hold commas in double quotes. If ${shown(amount)} is right, write ${exact}letters before “${shown(beside)}”.`,
  );
}

// Cells ----------------------------------------------------------------------------------------------------

type Places = Readonly<Partial<Record<ColumnName, number>>>;

/** Where each of our columns stands in the file; worked out once for all rows. */
const known = new WeakMap<MatchedColumns, Places>();

function placesIn(columns: MatchedColumns): Places {
  let places = known.get(columns);
  if (!places) {
    places = Object.fromEntries(columns.flatMap((name, place) => (name === null ? [] : [[name, place]])));
    known.set(columns, places);
  }
  return places;
}

/** Columns of people's words, where a date is as good as any text and signs at the beginning mean nothing. */
const FREE_TEXT: ReadonlySet<ColumnName> = new Set(['note', 'evidence']);

const FORMULA = /^[=+@-]/;
const SHORTENED = /^[+-]?\d(?:[.,]\d+)?e[+-]\d{2,3}$/i;

/** Counted as the schemas of the API count: a character outside the first plane is one. */
function lengthOf(text: string): number {
  return /[\ud800-\udfff]/.test(text) ? [...text].length : text.length;
}

class Reader {
  problem: RowProblem | null = null;
  readonly #cells: readonly string[];
  readonly #places: Places;
  readonly #row: FileRow;

  constructor(columns: MatchedColumns, row: FileRow) {
    this.#row = row;
    this.#cells = row.cells;
    this.#places = placesIn(columns);
    if (row.trouble !== null) {
      const { code, column, message } = row.trouble;
      this.note(code, column === null ? null : (columns[column] ?? null), message);
    }
    for (const { code, column, message } of row.cellTroubles) {
      const name = columns[column!] ?? null;
      if (name === null || (code === 'date_in_cell' && FREE_TEXT.has(name))) continue;
      this.note(code, name, message);
    }
  }

  /** The first problem is the one that is told. */
  note(code: RowCode, field: ColumnName | null, message: string): void {
    this.problem ??= { code, field, message };
  }

  has(name: ColumnName): boolean {
    return this.#places[name] !== undefined;
  }

  /** The cell without blanks around it; empty where there is no such column. */
  text(name: ColumnName): string {
    const place = this.#places[name];
    return place === undefined ? '' : this.#cells[place]!.trim();
  }

  filled(name: ColumnName): boolean {
    return this.text(name) !== '';
  }

  troubled(name: ColumnName): boolean {
    const { trouble, cellTroubles } = this.#row;
    if (trouble !== null) return true;
    if (cellTroubles.length === 0) return false;
    const place = this.#places[name];
    return cellTroubles.some(({ column }) => column === place);
  }

  /** An id or another word without free choice of letters. */
  word(name: ColumnName, rule: RegExp, code: RowCode, accepted: string): string | null {
    let text = this.text(name);
    if (text === '' || this.troubled(name)) return null;
    const kept = keptText(text);
    if (kept !== text) text = kept.trim();
    else if (FORMULA.test(text)) {
      this.note(
        'formula',
        name,
        `The ${name} begins like a formula: “${shown(text)}”. Paste the value in its place. If it really begins so, write an apostrophe (') before it.`,
      );
      return null;
    }
    if (SHORTENED.test(text)) {
      this.note(
        'scientific_notation',
        name,
        `The ${name} is “${shown(text)}”: a spreadsheet has shortened a long number, and its digits are lost. Format the column as text, and fill in the value again.`,
      );
      return null;
    }
    // A sign that nobody sees makes another id of it.
    if (rule.test(text) && unseenIn(text) === null) return text;
    this.note(code, name, `The ${name} is “${shown(text)}”. ${accepted}${unseenSentence(text)}`);
    return null;
  }

  choice<Word extends string>(
    name: ColumnName,
    words: readonly Word[],
    code: RowCode,
    called: string,
  ): Word | null {
    const text = this.text(name);
    if (text === '' || this.troubled(name)) return null;
    if ((words as readonly string[]).includes(text)) return text as Word;
    this.note(
      code,
      name,
      `The ${called} is “${shown(text)}”. It can be ${words.join(', ')}, or empty.${unseenSentence(text)}`,
    );
    return null;
  }

  freeText(name: ColumnName, least: number, most: number): string | null {
    let text = this.text(name);
    if (text === '' || this.#badFreeText(name)) return null;
    const kept = keptText(text);
    if (kept !== text) text = kept.trim();
    else if (text.startsWith('=')) {
      this.note(
        'formula',
        name,
        `The ${name} is a formula: “${shown(text)}”. Paste its value in its place. If it really begins so, write an apostrophe (') before it.`,
      );
      return null;
    }
    const length = lengthOf(text);
    if (length > most) {
      this.note('too_long', name, `The ${name} has ${length} characters. At most ${most} are kept.`);
      return null;
    }
    if (length < least) {
      this.note(
        'too_short',
        name,
        `The ${name} is “${shown(text)}”. It needs at least ${least} characters, so that who reads it in years understands it.`,
      );
      return null;
    }
    if (holdsCardNumber(text)) {
      this.note(
        'card_number',
        name,
        `The ${name} holds what looks like a card number or its security code. Take it out: card data is never stored here.`,
      );
      return null;
    }
    return text;
  }

  #badFreeText(name: ColumnName): boolean {
    const place = this.#places[name];
    const { trouble, cellTroubles } = this.#row;
    return (
      trouble !== null || cellTroubles.some(({ code, column }) => column === place && code !== 'date_in_cell')
    );
  }

  rowNumber(): number | null {
    const text = this.text('row');
    if (text === '' || this.troubled('row')) return null;
    if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
    this.note(
      'bad_row_number',
      'row',
      `The row to correct is “${shown(text)}”. Leave the number as it stands in the file of failed rows.${unseenSentence(text)}`,
    );
    return null;
  }
}
