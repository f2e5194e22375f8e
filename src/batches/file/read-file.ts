import { BATCH_LIMITS } from '../words.ts';
import { FileProblem } from './file-problem.ts';
import type { BatchFile, SheetChoice } from './file-row.ts';
import { openCsv } from './read-csv.ts';
import { openXlsx } from './read-xlsx.ts';
import { SNIFF_BYTES, sniff } from './sniff.ts';

export { FileProblem } from './file-problem.ts';
export type { BatchFile, FileRow, FileTrouble } from './file-row.ts';

/**
 * Opens a batch file, CSV or XLSX by its content, and reads its header. Throws a FileProblem for what cannot be read;
 * the stream is closed then, and when the rows have been read or left. A CSV file is read in constant memory.
 */
export async function openBatchFile(
  bytes: AsyncIterable<Buffer>,
  choice: SheetChoice = ANY_SHEET,
): Promise<BatchFile> {
  const source = limited(bytes);
  try {
    const parts: Buffer[] = [];
    let length = 0;
    while (length < SNIFF_BYTES) {
      const { done, value } = await source.next();
      if (done) break;
      parts.push(value);
      length += value.length;
    }
    const head = Buffer.concat(parts);
    const format = sniff(head.subarray(0, SNIFF_BYTES));
    const whole = startingWith(head, source);
    return await (format === 'zip' ? openXlsx(whole, choice) : openCsv(whole));
  } catch (error) {
    await source.return();
    throw error;
  }
}

const ANY_SHEET: SheetChoice = { sheet: null, fits: () => false };

async function* limited(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > BATCH_LIMITS.bytes) {
      throw new FileProblem(
        'file_too_large',
        `The file is larger than ${BATCH_LIMITS.bytes / 1_000_000} MB. Split it into several files.`,
        { accepted: `at most ${BATCH_LIMITS.bytes} bytes` },
      );
    }
    yield chunk;
  }
}

async function* startingWith(
  head: Buffer,
  rest: AsyncGenerator<Buffer, void, void>,
): AsyncGenerator<Buffer, void, void> {
  try {
    if (head.length > 0) yield head;
    for await (const chunk of rest) yield chunk;
  } finally {
    await rest.return();
  }
}
