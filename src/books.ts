import { z } from 'zod';
import type { MarkPlace } from './books-marks.ts';
import { type Clock, plusMs } from './lib/clock.ts';
import { jsonbOf, type Queryable, sqlState } from './lib/db.ts';
import { newId } from './lib/ids.ts';

/**
 * Books that go back in time send again what they have forgotten. They go back by a snapshot, a copy of the data folder,
 * pg_restore, a point-in-time restore, or a standby that lacks the last commits. What shows it: marks outside the database that
 * are ahead of it, and another server or timeline of PostgreSQL than before.
 */
export type Doubt =
  /** Proved: a mark outside knows later books. */
  | { readonly kind: 'went_back'; readonly folder: string; readonly asOf: string | null }
  /** They may lack what was committed last, or lack nothing. */
  | {
      readonly kind: 'other_server' | 'other_timeline';
      readonly was: string;
      readonly is: string;
      readonly asOf: string | null;
    };

const doubtShape: z.ZodType<Doubt> = z.union([
  z.object({ kind: z.literal('went_back'), folder: z.string(), asOf: z.string().nullable() }),
  z.object({
    kind: z.enum(['other_server', 'other_timeline']),
    was: z.string(),
    is: z.string(),
    asOf: z.string().nullable(),
  }),
]);

/** Where the books lie, as PostgreSQL says; null where it does not tell this user. */
export interface ServerIdentity {
  readonly serverId: string | null;
  readonly timeline: number | null;
}

export interface Books extends ServerIdentity {
  readonly booksId: string;
  readonly edition: string;
  readonly editionBegunAt: Date;
  readonly doubt: Doubt | null;
}

export interface SeenMark {
  readonly mark: number;
  readonly at: Date;
}

/** All that a judgement of the books needs. */
export interface SeenBooks {
  readonly books: Books;
  readonly editions: readonly string[];
  /** The inside of the marks that were asked for. */
  readonly marks: ReadonlyMap<string, SeenMark>;
  /** Of all marks; null before the first. */
  readonly latestMarkAt: Date | null;
  readonly server: ServerIdentity;
}

/** A clock may be wrong by some seconds, and a time that is too early is safe. */
const EARLIER_MS = 60_000;

/**
 * Whether the books may have gone back, by what the marks outside know and by where they lie. `losesNothing` says that every
 * commit of the old server is on a standby that takes over: then a later timeline of the same server is as good as before.
 */
export function judgeBooks(
  { books, editions, marks, latestMarkAt, server }: SeenBooks,
  outside: readonly Pick<MarkPlace, 'folder' | 'known'>[],
  { losesNothing }: { readonly losesNothing: boolean },
): Doubt | null {
  for (const { folder, known } of outside) {
    if (!known) continue;
    const inside = marks.get(known.markId);
    const behind = known.edition === books.edition && (inside?.mark ?? -1) < known.mark;
    // Books that went back past the beginning of an edition have forgotten it; a later word about them counts all the same.
    const forgotten = !editions.includes(known.edition) && known.writtenAt >= books.editionBegunAt;
    // Other processes may have raised their marks since the books went back; nobody but this one raises its own.
    if (behind || forgotten) return { kind: 'went_back', folder, asOf: inside ? safeTime(inside.at) : null };
  }
  const asOf = latestMarkAt && safeTime(latestMarkAt);
  if (books.serverId !== null && server.serverId !== null && books.serverId !== server.serverId)
    return { kind: 'other_server', was: books.serverId, is: server.serverId, asOf };
  if (books.timeline === null || server.timeline === null || books.timeline === server.timeline) return null;
  if (losesNothing && server.timeline > books.timeline) return null;
  return { kind: 'other_timeline', was: String(books.timeline), is: String(server.timeline), asOf };
}

function safeTime(at: Date): string {
  return `${plusMs(at, -EARLIER_MS).toISOString().slice(0, 19)}Z`;
}

/** Why nothing is sent, and the way on, in sentences. */
export function doubtSentence(doubt: Doubt): string {
  const restore =
    doubt.asOf === null
      ? 'stop every process, run "refundry restore --as-of TIME" with the time that these books are of (too early is safe, ' +
        'too late is not) and start again'
      : `stop every process, run "refundry restore --as-of ${doubt.asOf}" and start again`;
  if (doubt.kind === 'went_back') {
    return (
      `These books went back in time: the mark in ${doubt.folder} was written by later ones. They do not know what was sent ` +
      `since, so nothing is sent. To go on: ${restore}.`
    );
  }
  const what =
    doubt.kind === 'other_server'
      ? `These books lie on another PostgreSQL server than before (system identifier ${doubt.is}, not ${doubt.was})`
      : `PostgreSQL is on timeline ${doubt.is}, and was on ${doubt.was}: a standby was promoted, or a backup restored`;
  return (
    `${what}. They may not know what was sent last, so nothing is sent. If they surely lack no commit (a planned move, or ` +
    `a synchronous standby): "refundry confirm-books --reason …". Else: ${restore}.`
  );
}

// Statements -------------------------------------------------------------------------------------------

/** The books, made known to themselves by the first that looks. */
export async function readBooks(db: Queryable, clock: Clock): Promise<Books> {
  const known = await selectBooks(db);
  if (known) return known;
  await insertBooks(db, newId(), newId(), clock.now());
  return (await selectBooks(db))!;
}

/** The books as they are now, with the inside of these marks. */
export async function seeBooks(
  db: Queryable,
  clock: Clock,
  markIds: readonly string[],
  askServer: () => Promise<ServerIdentity>,
): Promise<SeenBooks> {
  return {
    books: await readBooks(db, clock),
    ...(await readMarks(db, markIds)),
    server: await askServer(),
  };
}

async function selectBooks(db: Queryable): Promise<Books | null> {
  const [row] = await db.query<Omit<Books, 'doubt'> & { doubt: unknown }>(
    `select b.books_id::text as "booksId", b.edition::text as edition, e.begun_at as "editionBegunAt",
            b.server_id as "serverId", b.timeline, b.doubt
     from books b join books_editions e using (edition)`,
  );
  return row ? { ...row, doubt: row.doubt === null ? null : doubtShape.parse(row.doubt) } : null;
}

async function insertBooks(db: Queryable, booksId: string, edition: string, now: Date): Promise<void> {
  await db.query(
    `with made as (
       insert into books (books_id, edition) values ($1, $2) on conflict do nothing returning edition
     )
     insert into books_editions (edition, begun_at, why) select edition, $3, 'these books were begun' from made`,
    [booksId, edition, now],
  );
}

async function readMarks(
  db: Queryable,
  markIds: readonly string[],
): Promise<Pick<SeenBooks, 'editions' | 'marks' | 'latestMarkAt'>> {
  const [known] = await db.query<Pick<SeenBooks, 'editions' | 'latestMarkAt'>>(
    `select array(select edition::text from books_editions) as editions,
            (select max(at) from books_marks) as "latestMarkAt"`,
  );
  const rows = await db.query<SeenMark & { markId: string }>(
    'select mark_id::text as "markId", mark, at from books_marks where mark_id = any($1::uuid[])',
    [markIds],
  );
  return { ...known!, marks: new Map(rows.map(({ markId, ...seen }) => [markId, seen])) };
}

const UNTOLD_STATES: readonly (string | undefined)[] = [
  '42501', // insufficient_privilege
  '42883', // undefined_function
  '0A000', // feature_not_supported
];
/** object_not_in_prerequisite_state: on a standby, which nothing can be sent from either. */
const NOT_NOW = '55000';

/** Asks the server who it is. Managed ones may not tell everything; what one refuses is null, and not asked again. */
export function createServerQuestion(db: Queryable): () => Promise<ServerIdentity> {
  const untold = new Set<string>();
  async function ask<Value>(statement: string, read: (word: string) => Value): Promise<Value | null> {
    if (untold.has(statement)) return null;
    try {
      const [row] = await db.query<{ word: string | null }>(statement);
      return row?.word == null ? null : read(row.word);
    } catch (error) {
      const state = sqlState(error);
      if (UNTOLD_STATES.includes(state)) untold.add(statement);
      else if (state !== NOT_NOW) throw error;
      return null;
    }
  }
  return async () => ({
    serverId: await ask('select system_identifier::text as word from pg_control_system()', (word) => word),
    // The control file learns of a new timeline at the next checkpoint, which may be minutes later.
    timeline: await ask('select pg_walfile_name(pg_current_wal_flush_lsn()) as word', (word) =>
      Number.parseInt(word.slice(0, 8), 16),
    ),
  });
}

/** Keeps where the books lie, for the next comparison; what the server does not tell stays as it was. */
export async function noteServer(db: Queryable, edition: string, server: ServerIdentity): Promise<void> {
  await db.query(
    `update books set server_id = coalesce($2, server_id), timeline = coalesce($3, timeline)
     where edition = $1 and doubt is null`,
    [edition, server.serverId, server.timeline],
  );
}

/** Stops sending everywhere. A proof takes the place of a mere doubt. */
export async function writeDoubt(db: Queryable, edition: string, doubt: Doubt, now: Date): Promise<void> {
  await db.query(
    `update books set doubt = $2, doubted_at = coalesce(doubted_at, $3)
     where edition = $1 and (doubt is null or doubt ->> 'kind' <> 'went_back')`,
    [edition, jsonbOf(doubt), now],
  );
}

/** A person's word that the books are what they are: a new edition, on whatever server, without doubt. */
export async function beginEdition(db: Queryable, clock: Clock, why: string): Promise<void> {
  await readBooks(db, clock);
  await db.query(
    `with begun as (
       update books set edition = $1, server_id = null, timeline = null, doubt = null, doubted_at = null
       returning edition
     )
     insert into books_editions (edition, begun_at, why) select edition, $2, $3 from begun`,
    [newId(), clock.now(), why],
  );
}

/** One further, and durable when it returns. Begins the row where it is absent. */
export async function raiseMark(db: Queryable, markId: string, now: Date): Promise<number> {
  const [row] = await db.query<{ mark: number }>(
    `insert into books_marks as m (mark_id, mark, at) values ($1, 1, $2)
     on conflict (mark_id) do update set mark = m.mark + 1, at = $2
     returning mark`,
    [markId, now],
  );
  return row!.mark;
}
