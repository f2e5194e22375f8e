/** The conditions of a query that is put together, their values apart from the text. */
export interface Where {
  readonly params: unknown[];
  /** Its place in the text. */
  value(value: unknown): string;
  and(condition: string): void;
  /** All conditions, joined. */
  text(): string;
}

export function createWhere(): Where {
  const params: unknown[] = [];
  const conditions: string[] = [];
  return {
    params,
    value(value) {
      params.push(value);
      return `$${params.length}`;
    },
    and: (condition) => void conditions.push(condition),
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
