import type { Queryable } from '../lib/db.ts';
import type { BatchFileRecord, BatchRecord } from './batch.ts';
import type { ShownRow } from './store.ts';

/** Brings the cells of any row into the columns of the batch's first file. */
export interface Alignment {
  /** The first file's columns. */
  readonly columns: BatchFileRecord['columns'];
  readonly cellsOf: (row: Pick<ShownRow, 'fileNo' | 'cells'>) => readonly string[];
}

/**
 * Reads the columns of a batch's files: a row that was corrected comes from a later file, whose columns may be others or
 * stand elsewhere. Columns are the same when they have the same name, or else when they are the same to us.
 */
export async function readAlignment(db: Queryable, batch: BatchRecord): Promise<Alignment> {
  const files = await db.query<Pick<BatchFileRecord, 'fileNo' | 'columns'>>(
    `select file_no as "fileNo", columns from batch_files
     where merchant_id = $1 and batch_id = $2 and sha256 is not null order by file_no`,
    [batch.merchantId, batch.batchId],
  );
  const columns = files[0]?.columns ?? [];
  const places = new Map(files.slice(1).map((file) => [file.fileNo, placesIn(columns, file.columns)]));
  return {
    columns,
    cellsOf({ fileNo, cells }) {
      const moved = places.get(fileNo);
      return moved
        ? moved.map((place) => (place === null ? '' : (cells[place] ?? '')))
        : padded(cells, columns.length);
    },
  };
}

/** Where each of the columns stands among others. */
function placesIn(
  columns: BatchFileRecord['columns'],
  others: BatchFileRecord['columns'],
): readonly (number | null)[] {
  const free = new Set(others.keys());
  const take = (matches: (place: number) => boolean) => {
    const place = [...free].find(matches);
    if (place !== undefined) free.delete(place);
    return place ?? null;
  };
  const byName = columns.map(({ header }) => take((place) => others[place]!.header === header));
  return byName.map((found, n) => {
    const { field } = columns[n]!;
    // What numbers the rows of one file says nothing of those of another.
    if (found !== null || field === null || field === 'row') return found;
    return take((place) => others[place]!.field === field);
  });
}

const padded = (cells: readonly string[], length: number) =>
  cells.length >= length ? cells : [...cells, ...Array<string>(length - cells.length).fill('')];
