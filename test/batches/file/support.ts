import type { BatchFile, FileRow } from '../../../src/batches/file/file-row.ts';
import { openBatchFile } from '../../../src/batches/file/read-file.ts';

/** Bytes as a stream, cut where told; else in one piece. */
export async function* streamOf(
  bytes: Buffer | string,
  cuts: readonly number[] = [],
): AsyncGenerator<Buffer> {
  const whole = Buffer.from(bytes as string);
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    if (cut <= from || cut >= whole.length) continue;
    yield whole.subarray(from, cut);
    from = cut;
  }
  yield whole.subarray(from);
}

export interface WholeFile {
  readonly file: BatchFile;
  readonly rows: FileRow[];
}

export async function readAll(bytes: Buffer | string, cuts: readonly number[] = []): Promise<WholeFile> {
  const file = await openBatchFile(streamOf(bytes, cuts));
  const rows: FileRow[] = [];
  for await (const list of file.rows()) rows.push(...list);
  return { file, rows };
}

/** Every trouble of every row: its number, its code, its column. */
export function troublesOf(rows: readonly FileRow[]): [number, string, number | null][] {
  return rows.flatMap(({ rowNo, trouble, cellTroubles }) =>
    [...(trouble ? [trouble] : []), ...cellTroubles].map(
      ({ code, column }): [number, string, number | null] => [rowNo, code, column],
    ),
  );
}
