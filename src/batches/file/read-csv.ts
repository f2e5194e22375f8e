import { type CsvRecords, csvRecordsOf, csvRowOf, headerCells } from '../../lib/csv-records.ts';
import { shapeOf, type TableShape } from '../../lib/table-shape.ts';
import { BATCH_LIMITS } from '../words.ts';
import { FileProblem, MAX_COLUMNS } from './file-problem.ts';
import {
  type BatchFile,
  type FileRow,
  headerOf,
  noHeader,
  noRows,
  ROWS_AT_ONCE,
  tooManyColumns,
  tooManyRows,
} from './file-row.ts';

/**
 * Opens a CSV file: cells between `,` `;` or tabs (found by the header, or told by Excel's first line `sep=;`), in double
 * quotes where need be, line ends LF or CRLF, UTF-8 with or without a byte order mark. Closes the stream when done.
 */
export async function openCsv(bytes: AsyncGenerator<Buffer, void, void>): Promise<BatchFile> {
  const records = csvRecordsOf(bytes);
  const first = await records.next();
  if (first.done) throw noHeader('it holds nothing but blank lines');
  const { separator, header: head } = first.value;
  if (head.cells.some((cell) => cell.includes('\r'))) {
    throw new FileProblem(
      'line_ends',
      'The lines of the file end with CR alone, as on old Macs. Save it as “CSV UTF-8 (Comma delimited)”.',
      { accepted: 'lines that end with LF or CRLF' },
    );
  }
  if (head.trouble) throw noHeader(lowerFirst(head.trouble.message));
  const named = headerOf(headerCells(head));
  const shape = shapeOf(named);
  const header = named.slice(0, shape.width);
  if (header.length > MAX_COLUMNS) throw tooManyColumns();
  const close = async () => void (await records.return());
  return {
    format: 'csv',
    separator,
    header,
    sheet: null,
    otherSheets: [],
    hiddenColumns: new Set(),
    rows: () => rowsOf(first.value, records, shape),
    close,
  };
}

async function* rowsOf(
  first: CsvRecords,
  rest: AsyncGenerator<CsvRecords, void, void>,
  shape: TableShape,
): AsyncGenerator<readonly FileRow[]> {
  let rowNo = 0;
  try {
    for (let batch: CsvRecords | undefined = first; batch; batch = (await rest.next()).value ?? undefined) {
      for (let start = 0; start < batch.records.length; start += ROWS_AT_ONCE) {
        const rows: FileRow[] = [];
        for (const record of batch.records.slice(start, start + ROWS_AT_ONCE)) {
          rowNo++;
          if (rowNo > BATCH_LIMITS.rows) throw tooManyRows();
          rows.push({ rowNo, ...csvRowOf(record, shape) });
        }
        yield rows;
      }
    }
    if (rowNo === 0) throw noRows();
  } finally {
    await rest.return();
  }
}

const lowerFirst = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);
