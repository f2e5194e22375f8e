/** One row of a CSV file (RFC 4180), each cell quoted; what is not there is an empty cell. */
export function csvRow(cells: readonly (string | number | boolean | null | undefined)[]): string {
  return `${cells.map((cell) => csvCell(cell === null || cell === undefined ? '' : String(cell))).join(',')}\r\n`;
}

/** Quoted, and never a formula to the spreadsheet that opens it: what one begins with gets an apostrophe before it. */
export function csvCell(text: string): string {
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}
