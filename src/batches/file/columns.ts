import { shown } from '../../lib/shown.ts';
import type { BatchKind } from '../words.ts';
import { FileProblem } from './file-problem.ts';

export type RefundColumn =
  | 'order_id'
  | 'txn_id'
  | 'unique_request_id'
  | 'amount'
  | 'amount_minor'
  | 'currency'
  | 'note'
  | 'refund_type'
  | 'customer_email'
  | 'row';
export type StatusColumn =
  | 'refund_id'
  | 'order_id'
  | 'unique_request_id'
  | 'status'
  | 'arn'
  | 'evidence'
  | 'row';
export type ColumnName = RefundColumn | StatusColumn;

/** A column that a file may have. */
export interface ColumnSpec {
  readonly name: ColumnName;
  /** Whether a file must have it, or one of the sets of columns in `ONE_OF`. */
  readonly required: boolean;
  /** Other names that are understood, compared like all names: without case and signs. */
  readonly aliases: readonly string[];
  /** What stands in its cells, for people. */
  readonly about: string;
}

const ORDER_ID_NAMES = [
  'orderid',
  'order no',
  'order number',
  'order',
  'merchant order id',
  'order reference',
];
const REQUEST_ID_NAMES = [
  'unique request id',
  'request id',
  'refund request id',
  'refund reference',
  'refund ref',
];
const ROW: ColumnSpec = {
  name: 'row',
  required: false,
  aliases: ['line', 'row no', 'row number', 'line no', 'line number'],
  about:
    'Only in a file of corrected rows: which row of the batch this one corrects. The file of failed rows has it.',
};

/** The columns of both kinds of files, in the order in which samples and pages list them. */
export const COLUMNS_OF: Readonly<Record<BatchKind, readonly ColumnSpec[]>> = {
  refunds: [
    {
      name: 'order_id',
      required: false,
      aliases: ORDER_ID_NAMES,
      about: 'Your id of the order. It may be empty where `txn_id` is filled.',
    },
    {
      name: 'unique_request_id',
      required: true,
      aliases: [...REQUEST_ID_NAMES, 'refund id', 'idempotency key'],
      about:
        'Your key of the refund: 1 to 255 letters, digits, _ . : or -. An order has at most one refund with it, so that nothing is refunded twice when a file is sent again.',
    },
    {
      name: 'amount',
      required: false,
      aliases: ['refund amount', 'amount to refund', 'amt', 'refund value'],
      about: 'In major units with a point, such as 499.00; or `full`: all that is left. Never empty.',
    },
    {
      name: 'amount_minor',
      required: false,
      aliases: [
        'minor amount',
        'amount in minor units',
        'amount in paise',
        'amount paise',
        'amount in cents',
        'amount cents',
        'refund amount minor',
        'refund amount in paise',
      ],
      about: 'In place of `amount`: a whole number of minor units, such as 49900 paise; or `full`.',
    },
    {
      name: 'currency',
      required: true,
      aliases: ['ccy', 'currency code', 'refund currency', 'order currency'],
      about: "The order's currency as an ISO 4217 code, such as INR.",
    },
    {
      name: 'note',
      required: false,
      aliases: ['notes', 'comment', 'comments', 'remark', 'remarks', 'memo'],
      about: 'A note to yourselves, up to 2000 characters. It may be empty.',
    },
    {
      name: 'txn_id',
      required: false,
      aliases: ['transaction id', 'txn', 'txn no', 'txn number', 'transaction no', 'transaction number'],
      about: 'Your id of the payment, where an order has several or its id is not at hand.',
    },
    {
      name: 'refund_type',
      required: false,
      aliases: ['type', 'refund speed'],
      about: 'STANDARD (when empty), INSTANT, INSTANT_WITH_FALLBACK or GATEWAY.',
    },
    {
      name: 'customer_email',
      required: false,
      aliases: [
        'email',
        'e-mail',
        'email address',
        'customer e-mail address',
        'customer email id',
        'email id',
      ],
      about: "The customer's address, for you to compare. It may be empty.",
    },
    ROW,
  ],
  status_updates: [
    {
      name: 'refund_id',
      required: false,
      aliases: ['refundry id', 'refundry refund id', 'refund'],
      about: 'Our id of the refund. It may be empty where `order_id` and `unique_request_id` are filled.',
    },
    { name: 'order_id', required: false, aliases: ORDER_ID_NAMES, about: 'Your id of the order.' },
    {
      name: 'unique_request_id',
      required: false,
      aliases: REQUEST_ID_NAMES,
      about: 'Your key of the refund.',
    },
    {
      name: 'status',
      required: true,
      aliases: ['refund status', 'outcome', 'result', 'final status'],
      about: 'SUCCESS or FAILURE: what became of the refund.',
    },
    {
      name: 'arn',
      required: false,
      aliases: ['rrn', 'utr', 'bank reference', 'bank reference number', 'acquirer reference number'],
      about: "The bank's reference, 6 to 40 letters and digits. It may be empty.",
    },
    {
      name: 'evidence',
      required: true,
      aliases: ['proof', 'reason', 'note', 'notes', 'remark', 'remarks'],
      about: 'What shows it, for who reads it in years: 10 to 4000 characters.',
    },
    ROW,
  ],
};

/** Of each list, a file must have all columns of at least one set. */
export const ONE_OF: Readonly<Record<BatchKind, readonly (readonly (readonly ColumnName[])[])[]>> = {
  refunds: [
    [['order_id'], ['txn_id']],
    [['amount'], ['amount_minor']],
  ],
  status_updates: [[['refund_id'], ['order_id', 'unique_request_id']]],
};

/**
 * Where a file has a column of our very name, another under an alias is left alone: a file with `unique_request_id` may have
 * a `refund_id` of somebody else's. Not so with what decides which order is meant and how much: there nothing is chosen.
 */
const NEVER_CHOSEN: ReadonlySet<ColumnName> = new Set([
  'order_id',
  'txn_id',
  'amount',
  'amount_minor',
  'currency',
  'status',
]);

/** What each column of a file is to us; null for those that are only kept and given back. */
export type MatchedColumns = readonly (ColumnName | null)[];

export type ColumnMatch =
  | {
      readonly ok: true;
      readonly columns: MatchedColumns;
      /** Where columns that are not ours hold numbers, by their names. */
      readonly numbers: ReadonlySet<number>;
      /** Whether the file says by its header that its amounts are in minor units. */
      readonly minor: boolean;
    }
  /** With what was found all the same. */
  | { readonly ok: false; readonly problem: FileProblem; readonly columns: MatchedColumns };

/**
 * Finds our columns in a file's header. `mapping` names the file's header for columns of ours and goes before names
 * and aliases. A header that matches nothing is no error as long as nothing is missing.
 */
export function matchColumns(
  kind: BatchKind,
  header: readonly string[],
  mapping: Readonly<Record<string, string>>,
): ColumnMatch {
  const specs = COLUMNS_OF[kind];
  const columns: (ColumnName | null)[] = header.map(() => null);
  const mapped = new Set<ColumnName>();

  for (const [name, wanted] of Object.entries(mapping)) {
    const spec = specs.find((one) => one.name === name);
    if (!spec) return failed(noSuchColumn(name, specs));
    const places = placesOf(header, wanted);
    if (places.length === 0) return failed(noSuchHeader(spec.name, wanted, header));
    if (places.length > 1) return failed(twice(spec.name, places, header));
    const taken = columns[places[0]!];
    if (taken) return failed(mappedTwice(wanted, taken, spec.name));
    columns[places[0]!] = spec.name;
    mapped.add(spec.name);
  }

  const named = new Set(header.map(bare));
  for (const [place, text] of header.entries()) {
    const name = NAMES[kind].get(bare(text)) ?? null;
    if (columns[place] !== null || name === null || mapped.has(name)) continue;
    const alias = bare(text) !== bare(name);
    if (!(alias && named.has(bare(name)) && !NEVER_CHOSEN.has(name))) columns[place] = name;
  }

  for (const { name } of specs) {
    const places = [...columns.keys()].filter((place) => columns[place] === name);
    if (places.length > 1) return failed(twice(name, places, header));
  }
  if (columns.includes('amount') && columns.includes('amount_minor'))
    return failed(twoUnits(columns, header));

  const missing = missingOf(kind, columns);
  if (missing.length > 0) return failed(missingColumns(kind, missing, columns, header), columns);
  const numbers = new Set(
    [...header.keys()].filter((place) => columns[place] === null && isOfNumbers(header[place]!)),
  );
  return { ok: true, columns, numbers, minor: columns.includes('amount_minor') };
}

/** Words in the names of columns that hold numbers of their own: beside an amount they are no part of it. */
const NUMBERS = new Set(
  `amount amt total sum subtotal fee fees tax taxes vat gst price cost rate net gross balance paid value discount percent
   qty quantity count items units points number num no nr id ids code zip pin postal phone mobile year month day date
   time age store shop branch row line version betrag menge anzahl nummer preis summe steuer`.split(/\s+/),
);

function isOfNumbers(name: string): boolean {
  const words = name
    .replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}]+/u);
  return name.includes('%') || words.some((word) => NUMBERS.has(word));
}

/** A name without what people write differently: case, blanks, underscores, hyphens and other signs. */
function bare(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '');
}

const NAMES: Readonly<Record<BatchKind, ReadonlyMap<string, ColumnName>>> = {
  refunds: namesOf(COLUMNS_OF.refunds),
  status_updates: namesOf(COLUMNS_OF.status_updates),
};

function namesOf(specs: readonly ColumnSpec[]): ReadonlyMap<string, ColumnName> {
  return new Map(
    specs.flatMap(({ name, aliases }) => [name, ...aliases].map((text) => [bare(text), name] as const)),
  );
}

/** Where a header stands: by its very text, or else as names are compared. */
function placesOf(header: readonly string[], wanted: string): number[] {
  const all = [...header.keys()];
  const exact = all.filter((place) => header[place] === wanted.trim());
  if (exact.length > 0) return exact;
  return bare(wanted) === '' ? [] : all.filter((place) => bare(header[place]!) === bare(wanted));
}

/** What is not there, each as people would say it: "order_id or txn_id". */
function missingOf(kind: BatchKind, columns: MatchedColumns): { words: string; names: ColumnName[] }[] {
  const single = COLUMNS_OF[kind]
    .filter(({ name, required }) => required && !columns.includes(name))
    .map(({ name }) => ({ words: name, names: [name] }));
  const sets = ONE_OF[kind]
    .filter((list) => !list.some((set) => set.every((name) => columns.includes(name))))
    .map((list) => ({
      words: list.map((set) => set.join(' with ')).join(' or '),
      names: list.flat(),
    }));
  return [...sets, ...single];
}

function missingColumns(
  kind: BatchKind,
  missing: readonly { words: string; names: ColumnName[] }[],
  columns: MatchedColumns,
  header: readonly string[],
): FileProblem {
  const unknown = header.filter((text, place) => columns[place] === null && text !== '');
  const specs = COLUMNS_OF[kind];
  const accepted = missing
    .flatMap(({ names }) => names)
    .map((name) => [name, ...specs.find((spec) => spec.name === name)!.aliases.slice(0, 4)].join(', '))
    .join('; ');
  return new FileProblem(
    'missing_columns',
    `The file has no column ${missing.map(({ words }) => words).join(', nor ')}. ${
      unknown.length === 0
        ? `Its first line has to name its columns, but says ${listed(header)}.`
        : `Its columns ${listed(unknown)} are not known: say which of them is meant, or rename it.`
    }`,
    { field: missing.map(({ words }) => words).join(', '), value: shown(header.join(', ')), accepted },
  );
}

function twice(name: ColumnName, places: readonly number[], header: readonly string[]): FileProblem {
  const texts = places.map((place) => header[place]!);
  return new FileProblem(
    'duplicate_columns',
    `Several columns can be ${name}: ${listed(texts)} (columns ${places.map((place) => place + 1).join(', ')}). Keep one of them, or say which one is meant.`,
    { field: name, value: shown(texts.join(', ')), accepted: 'one column' },
  );
}

function twoUnits(columns: MatchedColumns, header: readonly string[]): FileProblem {
  const texts = header.filter((_, place) => columns[place] === 'amount' || columns[place] === 'amount_minor');
  return new FileProblem(
    'duplicate_columns',
    `The file has amounts in major units and in minor units: ${listed(texts)}. Keep one of the two columns.`,
    { field: 'amount', value: shown(texts.join(', ')), accepted: 'amount or amount_minor' },
  );
}

function mappedTwice(header: string, one: ColumnName, other: ColumnName): FileProblem {
  return new FileProblem(
    'bad_mapping',
    `The column ${listed([header])} is named for ${one} and for ${other}. It can be one of them.`,
    { field: other, value: shown(header), accepted: 'another column of the file' },
  );
}

function noSuchColumn(name: string, specs: readonly ColumnSpec[]): FileProblem {
  const accepted = specs.map((spec) => spec.name).join(', ');
  return new FileProblem('bad_mapping', `There is no column ${listed([name])} here. There are ${accepted}.`, {
    field: shown(name),
    accepted,
  });
}

function noSuchHeader(name: ColumnName, wanted: string, header: readonly string[]): FileProblem {
  return new FileProblem(
    'bad_mapping',
    `${name} is to be read from a column ${listed([wanted])}, but the file has none. It has ${listed(header)}.`,
    { field: name, value: shown(wanted), accepted: shown(header.join(', ')) },
  );
}

function listed(texts: readonly string[]): string {
  const first = texts.slice(0, 12).map((text) => `“${shown(text)}”`);
  return first.join(', ') + (texts.length > 12 ? ` and ${texts.length - 12} more` : '');
}

const failed = (problem: FileProblem, columns: MatchedColumns = []) => ({
  ok: false as const,
  problem,
  columns,
});
