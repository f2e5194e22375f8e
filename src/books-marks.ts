import * as fs from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** How far these books had come when this was written, as a file outside the database says. */
export interface Mark {
  readonly markId: string;
  /** Of the books, when this was written. */
  readonly edition: string;
  /** Never higher than the row of `books_marks` that it belongs to has durably been. */
  readonly mark: number;
  readonly writtenAt: Date;
}

const markShape = z.object({
  books_id: z.uuid(),
  mark_id: z.uuid(),
  edition: z.uuid(),
  mark: z.int().min(0),
  written_at: z.iso.datetime(),
});

/** The file of one folder, and what this process knows of it. */
export interface MarkPlace {
  readonly folder: string;
  /** Null where there was no file when it was looked for: then these books are new to this folder. */
  known: Mark | null;
  /** Why the file could not be read or written; null while all is well. */
  problem: string | null;
}

/** What the folder remembers of these books. A file that cannot be read is a problem of its place, and counts as none. */
export function readMark(folder: string, booksId: string): MarkPlace {
  const path = fileOf(folder, booksId);
  try {
    if (!fs.existsSync(path)) return { folder, known: null, problem: null };
    const parsed = markShape.safeParse(JSON.parse(fs.readFileSync(path, 'utf8')));
    if (!parsed.success || parsed.data.books_id !== booksId)
      return { folder, known: null, problem: `${path} does not hold a mark of these books` };
    const { mark_id: markId, edition, mark, written_at } = parsed.data;
    return { folder, known: { markId, edition, mark, writtenAt: new Date(written_at) }, problem: null };
  } catch (error) {
    return { folder, known: null, problem: `${path} cannot be read: ${(error as Error).message}` };
  }
}

/** Whole and on the disk when it returns, or as it was before. Makes the folder where it is absent. */
export async function writeMark(folder: string, booksId: string, mark: Mark): Promise<void> {
  const path = fileOf(folder, booksId);
  // Another process with the same folder may write at the same moment.
  const staging = `${path}.new-${process.pid}`;
  const text = JSON.stringify({
    books_id: booksId,
    mark_id: mark.markId,
    edition: mark.edition,
    mark: mark.mark,
    written_at: mark.writtenAt.toISOString(),
  });
  fs.mkdirSync(folder, { recursive: true });
  try {
    const file = await open(staging, 'w', 0o600);
    try {
      await file.writeFile(`${text}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staging, path);
  } catch (error) {
    await rm(staging, { force: true }).catch(() => undefined);
    throw error;
  }
  const directory = await open(folder);
  await directory.sync().finally(() => directory.close());
}

function fileOf(folder: string, booksId: string): string {
  return join(folder, `books-${booksId}.json`);
}
