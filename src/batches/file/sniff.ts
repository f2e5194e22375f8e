import { FileProblem } from './file-problem.ts';

/** How much of a file's beginning is looked at to tell what it is. */
export const SNIFF_BYTES = 8_192;

const SAVE_AS =
  'In Excel, choose Save As › “CSV UTF-8 (Comma delimited)” or “Excel Workbook (.xlsx)”; elsewhere, export as CSV in UTF-8.';

/**
 * Tells by its first bytes, never by its name, what a file is. A `zip` may be a workbook; what surely is neither CSV
 * nor a workbook is thrown as a FileProblem that says what it is.
 */
export function sniff(head: Buffer): 'csv' | 'zip' {
  if (head.length === 0) throw empty();
  const begins = (...bytes: number[]) => bytes.every((byte, place) => head[place] === byte);

  if (begins(0x50, 0x4b, 0x03, 0x04)) return 'zip';
  if (begins(0x50, 0x4b, 0x05, 0x06)) throw notATable('an empty ZIP archive');
  if (begins(0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1)) {
    throw new FileProblem(
      'old_excel',
      `The file is a workbook of Excel 97 to 2003 (.xls), or one that is protected with a password. Open it, take the password off where there is one, and save it anew. ${SAVE_AS}`,
      { accepted: 'CSV in UTF-8, or XLSX without a password' },
    );
  }
  const other = SIGNATURES.find(([bytes]) => begins(...bytes));
  if (other) throw notATable(other[1]);
  const utf16 = utf16Of(head);
  if (utf16) {
    throw new FileProblem(
      'not_utf8',
      `The file is text in ${utf16} (Excel calls it “Unicode Text”), not in UTF-8. ${SAVE_AS}`,
      { accepted: 'CSV in UTF-8, or XLSX' },
    );
  }
  const start = head
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart();
  if (start === '' && head.length < SNIFF_BYTES) throw empty();
  if (/^<(?:!doctype\s+html|html|head|body|table|meta|style|div)\b/i.test(start))
    throw notATable('a web page (HTML), even if its name says otherwise');
  if (/^<(?:\?xml|[a-z][\w:-]*[\s>])/i.test(start)) throw notATable('an XML document');
  if (/^\{\s*(?:"|\})/.test(start) || /^\[\s*[{[]/.test(start)) throw notATable('JSON');
  if (/^\{\\rtf/.test(start)) throw notATable('a text document (RTF)');
  if (controlsOf(head) * 20 > head.length) throw notATable('not text');
  return 'csv';
}

/** What was opened as a ZIP archive and is no workbook. `names` are the parts in it. */
export function otherArchive(names: readonly string[]): FileProblem {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  const spreadsheet = has(/^xl\/workbook\.bin$/i)
    ? 'a binary workbook of Excel (.xlsb)'
    : has(/^Index\/.*\.iwa$|^Index\.zip$/)
      ? 'a spreadsheet of Apple Numbers'
      : has(/^content\.xml$/) && has(/^mimetype$/)
        ? 'an OpenDocument file (such as .ods of LibreOffice)'
        : null;
  if (spreadsheet) {
    return new FileProblem(
      'other_spreadsheet',
      `The file is ${spreadsheet}, which is not read here. ${SAVE_AS}`,
      {
        accepted: 'CSV in UTF-8, or XLSX',
      },
    );
  }
  if (has(/^word\//)) return notATable('a text document (Word)');
  if (has(/^ppt\//)) return notATable('a presentation (PowerPoint)');
  return notATable('a ZIP archive and not a workbook: unpack it, and upload the table in it');
}

function empty(): FileProblem {
  return new FileProblem('empty_file', 'The file is empty. Its first line has to name its columns.', {
    accepted: 'a line of column names and at least one row',
  });
}

function notATable(what: string): FileProblem {
  return new FileProblem('not_a_table', `The file is ${what}. ${SAVE_AS}`, {
    accepted: 'CSV in UTF-8, or XLSX',
  });
}

const ascii = (text: string) => [...Buffer.from(text, 'latin1')];
const SIGNATURES: readonly (readonly [readonly number[], string])[] = [
  [ascii('%PDF-'), 'a PDF, from which no rows can be read for certain'],
  [[0x1f, 0x8b], 'compressed (gzip): unpack it first'],
  [ascii('BZh'), 'compressed (bzip2): unpack it first'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'compressed (xz): unpack it first'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed (zstd): unpack it first'],
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], 'a 7-Zip archive: unpack it first'],
  [ascii('Rar!'), 'a RAR archive: unpack it first'],
  [[0x89, 0x50, 0x4e, 0x47], 'a picture'],
  [[0xff, 0xd8, 0xff], 'a picture'],
  [ascii('GIF8'), 'a picture'],
  [ascii('PAR1'), 'a Parquet file'],
  [ascii('SQLite format 3'), 'a database'],
];

/** UTF-16 by its byte order mark, or by what text in it looks like: every other byte is zero. */
function utf16Of(head: Buffer): string | null {
  if (head[0] === 0xff && head[1] === 0xfe) return head[2] === 0 && head[3] === 0 ? 'UTF-32' : 'UTF-16';
  if (head[0] === 0xfe && head[1] === 0xff) return 'UTF-16';
  const zeros = [0, 0];
  for (const [place, byte] of head.entries()) if (byte === 0) zeros[place % 2]!++;
  const most = Math.max(...zeros);
  const least = Math.min(...zeros);
  return most * 4 > head.length && least * 10 < most ? 'UTF-16' : null;
}

function controlsOf(head: Buffer): number {
  let controls = 0;
  for (const byte of head) if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) controls++;
  return controls;
}
