import { ApiError } from '../errors.ts';

export { createdRange, moment, nextCursor, pageFields } from '../contract/pages.ts';

/** Where a page ended: a number that the list is sorted by, and the id that tells apart what has the same. */
export interface Position {
  readonly at: number;
  readonly id: string;
}

/** The page out of one row more than it holds, and the cursor of the next. */
export function pageOf<Row>(
  rows: readonly Row[],
  limit: number,
  sort: string,
  positionOf: (row: Row) => Position,
): { readonly page: Row[]; readonly next_cursor: string | null } {
  const page = rows.slice(0, limit);
  return { page, next_cursor: rows.length > limit ? cursorOf(sort, positionOf(page.at(-1)!)) : null };
}

/** Opaque to callers. */
function cursorOf(sort: string, { at, id }: Position): string {
  return Buffer.from(`${sort} ${at} ${id}`).toString('base64url');
}

/** Throws ApiError for what no page of the list, sorted so, has given. */
export function positionOf(cursor: string, sort: string, isId: (text: string) => boolean): Position {
  const [, sorted, at, id] =
    /^(\w+) (\d{1,15}) (.+)$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  const isTime = !sort.startsWith('amount');
  if (at !== undefined && id !== undefined && sorted === sort && isId(id) && !(isTime && at.length > 13)) {
    return { at: Number(at), id };
  }
  throw new ApiError(400, 'invalid_cursor', 'The cursor is not one that a page of this list gave.', {
    field: 'cursor',
    accepted: 'next_cursor of the page before, with the same sort and filters',
  });
}
