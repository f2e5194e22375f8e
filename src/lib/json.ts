/** A number as it was written, so that an amount is judged by its digits and never through a float. */
export class WrittenNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type JsonReading =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly why: string };

const DEEPEST = 32;
/** Reading takes a few microseconds for each, and nobody else is answered meanwhile. */
const MOST_ENTRIES = 10_000;

/**
 * Reads JSON that a stranger sent. Beyond what JSON itself forbids, it refuses what two readers could understand
 * differently or what is only ever sent to do harm: a name given twice in one object, `__proto__`, nesting
 * deeper than 32, and more than 10,000 names and list entries. With `numbers: 'written'` every number comes as a WrittenNumber.
 */
export function readJson(text: string, numbers: 'numeric' | 'written' = 'numeric'): JsonReading {
  const written = outlineOf(text);
  if (written.depth > DEEPEST) return { ok: false, why: `it is nested deeper than ${DEEPEST} levels` };
  if (written.entries > MOST_ENTRIES) {
    return { ok: false, why: `it holds more than ${MOST_ENTRIES} names and list entries` };
  }
  let kept = 0;
  let poisoned = false;
  // The source text is given to revivers since ECMAScript 2026; the compiler's library does not know it yet.
  const reviver = (_name: string, value: unknown, context?: { source?: string }): unknown => {
    if (typeof value === 'number' && numbers === 'written') return new WrittenNumber(context!.source!);
    if (
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof WrittenNumber)
    ) {
      const names = Object.keys(value);
      kept += names.length;
      poisoned ||= names.includes('__proto__');
    }
    return value;
  };
  let value: unknown;
  try {
    value = JSON.parse(text, reviver);
  } catch (error) {
    return { ok: false, why: withoutSource(error) };
  }
  if (poisoned) return { ok: false, why: 'the name "__proto__" is not allowed' };
  if (kept !== written.names) return { ok: false, why: 'a name is given twice in one object' };
  return { ok: true, value };
}

/** What is wrong, without the piece of the text that JavaScript quotes: it may be a password. */
function withoutSource(error: unknown): string {
  const said = /^(?:Unexpected token '.{1,2}'|[^"]* at position \d+|Unexpected end of JSON input)/s;
  return said.exec((error as Error).message)?.[0] ?? 'it is not JSON';
}

/**
 * Counts the names that were written, what stands in objects and lists, and how deep brackets go; right for every text
 * that is JSON, but that an object or list counts as one entry more than it has if it is empty. Looks at each
 * character once, whatever the text: a regular expression would start anew at every quote of one that never ends.
 */
function outlineOf(text: string): { names: number; entries: number; depth: number } {
  let names = 0;
  let entries = 0;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '"':
        at = endOfString(text, at);
        if (isFollowedByColon(text, at)) names++;
        break;
      case ',':
        entries++;
        break;
      case '[':
      case '{':
        entries++;
        deepest = Math.max(deepest, ++depth);
        break;
      case ']':
      case '}':
        depth--;
    }
  }
  return { names, entries, depth: deepest };
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

function isFollowedByColon(text: string, at: number): boolean {
  const colon = /\s*:/y;
  colon.lastIndex = at + 1;
  return colon.test(text);
}

/**
 * Where in a value there is text that PostgreSQL cannot hold: a NUL, or half of a surrogate pair. The answer is
 * a path such as `metadata.note` (empty for the value itself), or null where all is well.
 */
export function unstorableAt(value: unknown, path = ''): string | null {
  if (typeof value === 'string') return storable(value) ? null : path;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return null;
  for (const [name, inner] of Object.entries(value)) {
    const innerPath = path === '' ? name : `${path}.${name}`;
    const found = storable(name) ? unstorableAt(inner, innerPath) : innerPath;
    if (found !== null) return found;
  }
  return null;
}

function storable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
