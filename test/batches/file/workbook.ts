import { strToU8, zipSync } from 'fflate';

const REL = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
export const NAMES = ['order_id', 'unique_request_id', 'amount', 'currency'];
export const cell = (text: string, style = 0) => `<c t="inlineStr" s="${style}"><is><t>${text}</t></is></c>`;
/** A row of texts. */
export const line = (cells: readonly string[], attributes = '') =>
  `<row ${attributes}>${cells.map((text) => cell(text)).join('')}</row>`;
/** A header and one refund, of the order of that name. */
export const table = (name: string) => line(NAMES) + line([name, `${name}-r1`, '10.00', 'INR']);

export interface SheetParts {
  readonly name: string;
  readonly state?: 'hidden' | 'veryHidden';
  readonly rows: string;
  readonly before?: string;
  readonly after?: string;
}

/** The smallest workbook with these sheets. */
export function workbook(sheets: readonly SheetParts[], styles = ''): Buffer {
  const parts: Record<string, string> = {
    '[Content_Types].xml': '<Types/>',
    '_rels/.rels': `<Relationships><Relationship Id="r" Type="${REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
    'xl/workbook.xml': `<workbook xmlns:r="${REL}"><sheets>${sheets
      .map(
        ({ name, state }, at) =>
          `<sheet name="${name}" ${state ? `state="${state}"` : ''} sheetId="${at + 1}" r:id="s${at}"/>`,
      )
      .join('')}</sheets></workbook>`,
    'xl/_rels/workbook.xml.rels': `<Relationships>${sheets
      .map((_, at) => `<Relationship Id="s${at}" Type="${REL}/worksheet" Target="worksheets/s${at}.xml"/>`)
      .join('')}<Relationship Id="st" Type="${REL}/styles" Target="styles.xml"/></Relationships>`,
    'xl/styles.xml': `<styleSheet>${styles}</styleSheet>`,
  };
  for (const [at, { rows, before = '', after = '' }] of sheets.entries())
    parts[`xl/worksheets/s${at}.xml`] =
      `<worksheet>${before}<sheetData>${rows}</sheetData>${after}</worksheet>`;
  return Buffer.from(
    zipSync(Object.fromEntries(Object.entries(parts).map(([name, text]) => [name, strToU8(text)]))),
  );
}
