export const MAX_COLUMNS = 200;

/** Everything that can be wrong with a file as a whole: a stable word for programs, and what it means for people. */
export const FILE_CODES = {
  empty_file: 'The file holds nothing, or blank lines alone.',
  no_rows: 'The file has a line of column names and no row under it.',
  file_too_large: 'The file is larger than 200 MB. Split it.',
  too_many_rows: 'The file has more than 1,000,000 rows. Split it.',
  too_many_columns: 'The file has more than 200 columns.',
  unreadable_header: 'The first line does not name the columns, or has a double quote that is not closed.',
  missing_columns: 'A column that is needed is not there, or has a name that is not known.',
  duplicate_columns:
    'Two columns of the file can be the same column of ours, or it has amounts in two units.',
  bad_mapping: 'A column is to be read from a header that the file does not have, or is no column of ours.',
  not_utf8: 'The file is text in UTF-16, as “Unicode Text” of Excel is.',
  line_ends: 'The lines of the file end with CR alone, as on old Macs.',
  old_excel: 'The file is a workbook of Excel 97 to 2003 (.xls), or one with a password.',
  other_spreadsheet: 'The file is a workbook of another form: .xlsb, OpenDocument, Numbers.',
  not_a_table: 'The file is no table at all: a PDF, a web page, JSON, an archive, a picture.',
  bad_xlsx: 'The workbook is damaged, or holds what no workbook has.',
  several_sheets:
    'More than one sheet of the workbook has the columns of such a file. Say which one is meant.',
  no_such_sheet: 'The workbook has no sheet of that name that can be seen.',
  hidden_columns: 'A column that counts is hidden in the sheet. Nothing is done that nobody saw: show it.',
  merged_cells:
    'Cells of the sheet are merged, so that it is not known which row a value is of. Unmerge them.',
  xlsx_too_large: 'The workbook, or what it unpacks to, is too large. As CSV it may have 200 MB.',
} as const;

export type FileProblemCode = keyof typeof FILE_CODES;

/**
 * Why a file as a whole cannot be read. The message is whole sentences that say what the file is and how to make it
 * right; field, value and accepted name the part of it, where there is one.
 */
export class FileProblem extends Error {
  override readonly name = 'FileProblem';
  readonly code: FileProblemCode;
  readonly field: string | undefined;
  readonly value: string | undefined;
  readonly accepted: string | undefined;
  /** The sheets of a workbook among which somebody has to choose. */
  readonly sheets: readonly string[];

  constructor(
    code: FileProblemCode,
    message: string,
    detail: { field?: string; value?: string; accepted?: string; sheets?: readonly string[] } = {},
  ) {
    super(message);
    this.code = code;
    this.field = detail.field;
    this.value = detail.value;
    this.accepted = detail.accepted;
    this.sheets = detail.sheets ?? [];
  }
}
