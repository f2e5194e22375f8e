import { ApiError } from '../errors.ts';

export { createdRange, moment, nextCursor, pageFields } from '../contract/pages.ts';

/** Where a page ended: what was made at one moment is told apart by its id. */
export interface Position {
  readonly createdAt: Date;
  readonly id: string;
}

/** The page out of one row more than it holds, and the cursor of the next. */
export function pageOf<Row>(
  rows: readonly Row[],
  limit: number,
  positionOf: (row: Row) => Position,
): { readonly page: Row[]; readonly next_cursor: string | null } {
  const page = rows.slice(0, limit);
  return { page, next_cursor: rows.length > limit ? cursorOf(positionOf(page.at(-1)!)) : null };
}

/** Opaque to callers. */
function cursorOf({ createdAt, id }: Position): string {
  return Buffer.from(`${createdAt.getTime()} ${id}`).toString('base64url');
}

/** Throws ApiError for what no page of the list has given. */
export function positionOf(cursor: string, isId: (text: string) => boolean): Position {
  const [, ms, id] = /^(\d{1,13}) (.+)$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  if (ms !== undefined && id !== undefined && isId(id)) return { createdAt: new Date(Number(ms)), id };
  throw new ApiError(400, 'invalid_cursor', 'The cursor is not one that a page of this list gave.', {
    field: 'cursor',
    accepted: 'next_cursor of the page before',
  });
}
