export const MAX_COLUMNS = 200;
/** What a spreadsheet's cell can hold (Excel's own limit). */
export const MAX_CELL_LENGTH = 32_767;
/** One row with all its cells. */
export const MAX_RECORD_BYTES = 256 * 1024;

export type FileProblemCode =
  | 'empty_file'
  | 'no_rows'
  | 'file_too_large'
  | 'too_many_rows'
  | 'too_many_columns'
  | 'unreadable_header'
  | 'missing_columns'
  | 'duplicate_columns'
  | 'bad_mapping'
  | 'not_utf8'
  | 'line_ends'
  | 'old_excel'
  | 'other_spreadsheet'
  | 'not_a_table'
  | 'bad_xlsx'
  | 'xlsx_too_large';

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

  constructor(
    code: FileProblemCode,
    message: string,
    detail: { field?: string; value?: string; accepted?: string } = {},
  ) {
    super(message);
    this.code = code;
    this.field = detail.field;
    this.value = detail.value;
    this.accepted = detail.accepted;
  }
}
