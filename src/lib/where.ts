/** The conditions of a query that is put together, their values apart from the text. */
export interface Where {
  readonly params: unknown[];
  /** Its place in the text. */
  value(value: unknown): string;
  and(condition: string): void;
  /** Adds a condition on a value, given its place in the text, unless the value is undefined. */
  when(condition: (place: string) => string, value: unknown): void;
  /** All conditions, joined. */
  text(): string;
}

export function createWhere(): Where {
  const params: unknown[] = [];
  const conditions: string[] = [];
  const place = (value: unknown) => {
    params.push(value);
    return `$${params.length}`;
  };
  return {
    params,
    value: place,
    and: (condition) => void conditions.push(condition),
    when: (condition, value) => void (value === undefined || conditions.push(condition(place(value)))),
    text: () => conditions.join(' and '),
  };
}

/** Where texts that begin so, in ASCII, lie between: the first and the end, which is not included. */
export function prefixRange(prefix: string): readonly [from: string, before: string] {
  return [prefix, prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)];
}

/**
 * One sorted walk for each combination of the values that columns may have, merged: an index that has such a column before
 * the order of the list serves each of them, however the values are spread over time. Beyond some combinations, one walk.
 */
export function lanesOf(
  where: Where,
  columns: readonly { readonly column: string; readonly values: readonly string[] | undefined }[],
): { readonly from: string; readonly conditions: string[] } {
  const asked = columns.flatMap(({ column, values }) => (values ? [{ column, values }] : []));
  const combinations = asked.reduce((product, { values }) => product * Math.max(1, values.length), 1);
  const conditions: string[] = [];
  let from = '';
  for (const [n, { column, values }] of asked.entries()) {
    if (values.length === 1) conditions.push(`${column} = ${where.value(values[0])}`);
    else if (combinations > MOST_LANES) conditions.push(`${column} = any(${where.value(values)}::text[])`);
    else {
      from += `unnest(${where.value(values)}::text[]) lane${n}(word) cross join `;
      conditions.push(`${column} = lane${n}.word`);
    }
  }
  return { from, conditions };
}

const MOST_LANES = 60;

/** How many rows of a list are looked through for a beginning, before all rows that begin so are collected. */
const NEARBY_ROWS = 2_000;

/**
 * A page of the rows that are called something: each way to be called so finds its own first rows by its own index. What
 * begins so may be nearly all or nearly nothing, so it is looked for among the first rows of the list, and only if these do
 * not fill the page, all that begin so are collected and sorted.
 */
export function pageOfNamed(page: {
  readonly table: string;
  /** By which all conditions call the table. */
  readonly as: string;
  /** With the merchant, the key of a row. */
  readonly id: string;
  readonly ofMerchant: string;
  /** Where in the order of the list the page lies: what an index has. */
  readonly within: string;
  /** All conditions but the names. */
  readonly asked: string;
  /** Of a row that begins so: told from the row, and by an index. */
  readonly begins: { readonly row: string; readonly index: string } | undefined;
  /** Of a row that is called so: each has an index. */
  readonly is: readonly string[];
  readonly column: string;
  readonly order: string;
  readonly limit: string;
}): string {
  const { table, as, id, ofMerchant, within, asked, begins, is, column, order, limit } = page;
  const sorted = `order by ${order} limit ${limit}`;
  const arms = is.map(
    (named) => `(select ${as}.${id} from ${table} ${as} where ${asked} and ${named} ${sorted})`,
  );
  if (begins) {
    arms.push(
      'select id from nearby',
      // Without the "offset 0" the planner would rather walk the whole list, in the hope of finding enough of them soon.
      `(select ${as}.${id} from (
          select ${as}.${id}, ${column} from ${table} ${as}
          where ${asked} and ${begins.index} and (select count(*) from nearby) < ${limit} offset 0) ${as} ${sorted})`,
    );
  }
  const nearby = begins
    ? `with nearby as materialized (
         select ${as}.${id} as id from (
           select * from ${table} ${as} where ${within} order by ${order} limit ${NEARBY_ROWS}) ${as}
         where ${asked} and ${begins.row} ${sorted})`
    : '';
  return `${nearby} select ${as}.* from ${table} ${as}
    where ${ofMerchant} and ${as}.${id} = any(array(${arms.join(' union all ')})) ${sorted}`;
}
