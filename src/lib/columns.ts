/**
 * For rows that are records as they come: a function that lists the columns of a row as a statement selects them, each under
 * the name that it has in the record (`merchant_id as "merchantId"`). `keys` names all of them, which its type makes sure of.
 */
export function columnsOf<Row>(keys: Readonly<Record<keyof Row, true>>): (of: string) => string {
  const names = Object.keys(keys).map((key) => [columnOf(key), key] as const);
  const texts = new Map<string, string>();
  return (of) => {
    const text = texts.get(of) ?? names.map(([column, key]) => `${of}.${column} as "${key}"`).join(', ');
    texts.set(of, text);
    return text;
  };
}

function columnOf(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
