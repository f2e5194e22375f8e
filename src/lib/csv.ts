/** One row of a CSV file (RFC 4180), each cell quoted; what is not there is an empty cell. */
export function csvRow(cells: readonly (string | number | boolean | null | undefined)[]): string {
  return `${cells.map((cell) => csvCell(cell === null || cell === undefined ? '' : String(cell))).join(',')}\r\n`;
}

/** Quoted, and never a formula to the spreadsheet that opens it: what one begins with gets an apostrophe before it. */
export function csvCell(text: string): string {
  return `"${(BEGINS_A_FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

/** The text that stands behind the apostrophe which a spreadsheet, or `csvCell`, has put before it. */
export function keptText(text: string): string {
  return text.startsWith("'") && BEGINS_A_FORMULA.test(text.slice(1)) ? text.slice(1) : text;
}

/**
 * Signs, also as East Asian editions take them (full-width, small, raised), a tab or a line end (OWASP, “CSV Injection”); and
 * the same after blanks and signs that nobody sees, which some programs take off.
 */
const BEGINS_A_FORMULA =
  /^(?:[\t\r\n]|[\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a\u207b\u207c\u208a\u208b\u208c\u2212])/u;

/** What a spreadsheet needs before a CSV file in UTF-8 to know that it is one. */
export const BYTE_ORDER_MARK = '\uFEFF';
