/** One line of a stream, counted from 1, or why it cannot be read. */
export type Line =
  | { readonly no: number; readonly ok: true; readonly text: string }
  | { readonly no: number; readonly ok: false; readonly why: 'too_long' | 'not_utf8' };

const LF = 0x0a;

/**
 * The lines of a byte stream, as they become complete: one list for each chunk that ends any. Holds no more than
 * a chunk and one line of `maxBytes`, whatever comes. Line ends are LF or CRLF; lines of blanks alone are counted
 * and left out; a byte order mark at the start is not part of the first line.
 */
export async function* linesOf(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line[]> {
  let no = 0;
  let parts: Buffer[] = [];
  let length = 0;

  function keep(part: Buffer): void {
    length += part.length;
    if (length <= maxBytes) parts.push(part);
    else parts = [];
  }
  function end(lines: Line[]): void {
    no++;
    const line = lineOf(no, parts, length > maxBytes);
    if (line !== null) lines.push(line);
    parts = [];
    length = 0;
  }

  for await (const chunk of stream) {
    const lines: Line[] = [];
    let start = 0;
    for (let lf = chunk.indexOf(LF); lf !== -1; lf = chunk.indexOf(LF, start)) {
      keep(chunk.subarray(start, lf));
      end(lines);
      start = lf + 1;
    }
    if (start < chunk.length) keep(chunk.subarray(start));
    if (lines.length > 0) yield lines;
  }
  const last: Line[] = [];
  if (length > 0) end(last);
  if (last.length > 0) yield last;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function lineOf(no: number, parts: readonly Buffer[], tooLong: boolean): Line | null {
  if (tooLong) return { no, ok: false, why: 'too_long' };
  let text: string;
  try {
    text = utf8.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts));
  } catch {
    return { no, ok: false, why: 'not_utf8' };
  }
  if (no === 1 && text.startsWith('\uFEFF')) text = text.slice(1);
  return text.trim() === '' ? null : { no, ok: true, text };
}

/**
 * Regroups lists into lists of at most `length`. With `idleMs`, what is there goes on when nothing more has come
 * for that long; without, only full lists and the last one do.
 */
export async function* slicesOf<Item>(
  lists: AsyncIterable<readonly Item[]>,
  length: number,
  idleMs: number | null = null,
): AsyncGenerator<Item[]> {
  const source = lists[Symbol.asyncIterator]();
  let slice: Item[] = [];
  try {
    while (true) {
      const next = source.next();
      if (idleMs !== null && slice.length > 0 && !(await comesWithin(next, idleMs))) {
        // Whoever takes the slice may take long; an error that comes meanwhile is met by the await below.
        next.catch(() => {});
        yield slice;
        slice = [];
      }
      const { done, value } = await next;
      if (done) break;
      for (const item of value) {
        slice.push(item);
        if (slice.length < length) continue;
        yield slice;
        slice = [];
      }
    }
    if (slice.length > 0) yield slice;
  } finally {
    await source.return?.();
  }
}

async function comesWithin(coming: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([
      coming.then(
        () => true,
        () => true,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
