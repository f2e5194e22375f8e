import {
  createServerQuestion,
  type Doubt,
  doubtSentence,
  judgeBooks,
  noteServer,
  raiseMark,
  readBooks,
  type SeenBooks,
  seeBooks,
  writeDoubt,
} from './books.ts';
import { type MarkPlace, readMark, writeMark } from './books-marks.ts';
import type { Settings } from './config.ts';
import type { Clock } from './lib/clock.ts';
import type { Queryable } from './lib/db.ts';
import { newId } from './lib/ids.ts';
import type { Logger } from './lib/log.ts';
import { createLoop, type Loop } from './lib/loop.ts';
import { type Restored, readRestored } from './refunds/restored.ts';

export interface BooksWatch {
  readonly loop: Loop;
  /** Whether nothing may be sent; looked at anew where the last look is older than a quarter of a second. */
  inDoubt(): Promise<boolean>;
  /** As it was when last looked at. */
  readonly doubt: () => Doubt | null;
  /** The restores whose watch has not ended, as they were when last looked at. */
  readonly restored: () => Restored | null;
  /** Something was committed that these books must not forget unnoticed. */
  changed(): void;
}

type WatchSettings = Pick<Settings, 'dataDir' | 'witnessDir' | 'synchronousStandby'>;

const LOOK_EVERY_MS = 1_000;
const KNOWN_FOR_MS = 250;
/** Also without a refund: people, keys and settings change too. */
const MARK_AT_LEAST_EVERY_MS = 60_000;

/**
 * Looks every second whether the books went back, and keeps the marks outside the database up with them. Has looked once
 * when it returns.
 */
export async function createBooksWatch(
  db: Queryable,
  clock: Clock,
  log: Logger,
  settings: WatchSettings,
): Promise<BooksWatch> {
  const { booksId } = await readBooks(db, clock);
  const places = markFolders(settings).map((folder) => readMark(folder, booksId));
  const askServer = createServerQuestion(db);
  let doubt: Doubt | null = null;
  let restored: Restored | null = null;
  let isChanged = true;
  let markedAtMs = Number.NEGATIVE_INFINITY;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let looking: Promise<SeenBooks> | undefined;

  for (const { folder, known, problem } of places) {
    if (problem) log.warn({ why: problem }, 'a mark of these books cannot be used');
    else if (!known) log.info({ folder }, 'this folder has no mark of these books yet; it is given one');
  }

  async function look(): Promise<SeenBooks> {
    const seen = await seeBooks(db, clock, idsOf(places), askServer);
    const found = judgeBooks(seen, places, { losesNothing: settings.synchronousStandby });
    const { books, server } = seen;
    if (found && (books.doubt === null || books.doubt.kind !== found.kind))
      await writeDoubt(db, books.edition, found, clock.now());
    else if (!found && books.doubt === null) await takeServer(seen);
    restored = await readRestored(db, clock.now());
    const now = graver(found, books.doubt);
    if (now && doubt?.kind !== now.kind)
      log.error({ ...now, server }, `nothing is sent: ${doubtSentence(now)}`);
    else if (doubt && !now) log.warn('these books are trusted again; sending goes on');
    doubt = now;
    lookedAtMs = performance.now();
    return seen;
  }

  async function takeServer({ books, server }: SeenBooks): Promise<void> {
    if (server.serverId === null && server.timeline === null) return;
    if (server.serverId === books.serverId && server.timeline === books.timeline) return;
    if (books.timeline !== null && server.timeline !== null)
      log.warn(
        { was: books.timeline, is: server.timeline },
        'a standby was promoted; by SYNCHRONOUS_STANDBY it has every commit, and sending goes on',
      );
    await noteServer(db, books.edition, server);
  }

  /** One look at a time, whoever asks. */
  function lookOnce(): Promise<SeenBooks> {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  async function keepMarks(edition: string): Promise<void> {
    isChanged = false;
    markedAtMs = performance.now();
    for (const place of places) {
      // The file is written after the commit, so that it is never ahead of what is on the database's disk.
      const markId = place.known?.markId ?? newId();
      const writtenAt = clock.now();
      const known = { markId, edition, mark: await raiseMark(db, markId, writtenAt), writtenAt };
      try {
        await writeMark(place.folder, booksId, known);
        place.problem = null;
      } catch (error) {
        const why = `${place.folder} cannot hold a mark of these books: ${(error as Error).message}`;
        if (place.problem !== why) log.warn({ why }, 'a mark of these books cannot be used');
        place.problem = why;
      }
      // Remembered all the same: the books may go back under a process that runs.
      place.known = known;
    }
  }

  await lookOnce();
  const loop = createLoop({
    name: 'books',
    log,
    idleMs: LOOK_EVERY_MS,
    async tick() {
      const { books } = await lookOnce();
      const isTime = performance.now() - markedAtMs >= MARK_AT_LEAST_EVERY_MS;
      const isNew = places.some(({ known }) => known?.edition !== books.edition);
      if (doubt === null && (isChanged || isTime || isNew)) await keepMarks(books.edition);
      return false;
    },
  });
  return {
    // What is recorded meanwhile waits for the next look: marks move at most once a second.
    loop: { ...loop, wake: () => undefined },
    async inDoubt() {
      if (performance.now() - lookedAtMs > KNOWN_FOR_MS) await lookOnce();
      return doubt !== null;
    },
    doubt: () => doubt,
    restored: () => restored,
    changed() {
      isChanged = true;
    },
  };
}

/** Where the marks of these settings are kept. */
export function markFolders({ dataDir, witnessDir }: Pick<Settings, 'dataDir' | 'witnessDir'>): string[] {
  return witnessDir === null ? [dataDir] : [dataDir, witnessDir];
}

/** Judges the books by all that can be known of them here and now, and changes nothing but to make them known to themselves. */
export async function judgeBooksNow(
  db: Queryable,
  clock: Clock,
  settings: WatchSettings,
): Promise<{
  readonly seen: SeenBooks;
  readonly places: readonly MarkPlace[];
  readonly doubt: Doubt | null;
}> {
  const { booksId } = await readBooks(db, clock);
  const places = markFolders(settings).map((folder) => readMark(folder, booksId));
  const seen = await seeBooks(db, clock, idsOf(places), createServerQuestion(db));
  const found = judgeBooks(seen, places, { losesNothing: settings.synchronousStandby });
  return { seen, places, doubt: graver(found, seen.books.doubt) };
}

/** Another process may have the proof of what is only a doubt here. */
function graver(found: Doubt | null, written: Doubt | null): Doubt | null {
  return written?.kind === 'went_back' ? written : (found ?? written);
}

function idsOf(places: readonly MarkPlace[]): string[] {
  return places.flatMap(({ known }) => (known ? [known.markId] : []));
}
