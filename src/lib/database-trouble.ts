import { SilentDatabase, sqlState } from './db.ts';

/** What keeps the database from doing its work, where that is no fault of the statement. */
export type DatabaseTrouble = 'unreachable' | 'silent' | 'no_connection' | 'read_only' | 'full' | 'slow';

/** Each as a sentence for a caller: what it is, and that nothing was recorded, where that is certain. */
export const TROUBLES: Readonly<Record<DatabaseTrouble, string>> = {
  unreachable: 'The database cannot be reached. Try again in a moment.',
  silent:
    'The database does not answer, and may or may not have recorded this. Ask again with the same request id.',
  no_connection: 'The database gives no more connections at the moment. Try again.',
  read_only: 'The database takes no changes at the moment. Nothing was recorded; try again.',
  full: "The database's disk is full or broken. Nothing was recorded; try again later.",
  slow: 'The database took too long. Nothing was recorded; try again.',
};

const NO_CONNECTION =
  /ECONN|ENOTFOUND|EAI_AGAIN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|Connection terminated|is not queryable/;
const NO_FREE_CONNECTION = /timeout exceeded when trying to connect/;
/** PostgreSQL's codes; a server that starts, stops or has crashed is away for a moment. */
const BY_STATE: readonly (readonly [RegExp, DatabaseTrouble])[] = [
  [/^(08|57P0)/, 'unreachable'],
  [/^53300/, 'no_connection'],
  [/^(53|58)/, 'full'],
  [/^25006/, 'read_only'],
  [/^57014/, 'slow'],
];

/** What an error of the database says about the database, or null where the statement itself was wrong. */
export function troubleOf(error: unknown): DatabaseTrouble | null {
  const state = sqlState(error);
  if (state !== undefined) return BY_STATE.find(([states]) => states.test(state))?.[1] ?? null;
  if (error instanceof SilentDatabase) return 'silent';
  if (!(error instanceof Error)) return null;
  const text = `${(error as NodeJS.ErrnoException).code} ${error.message}`;
  if (NO_FREE_CONNECTION.test(text)) return 'no_connection';
  return NO_CONNECTION.test(text) ? 'unreachable' : null;
}
