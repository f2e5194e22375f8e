import { FileProblem } from './file-problem.ts';
import type { BatchFile } from './file-row.ts';

/** Opens a workbook. */
export async function openXlsx(bytes: AsyncGenerator<Buffer, void, void>): Promise<BatchFile> {
  await bytes.return();
  throw new FileProblem(
    'bad_xlsx',
    'The file is a workbook (.xlsx) or another archive. Save it as “CSV UTF-8 (Comma delimited)”.',
    { accepted: 'CSV in UTF-8' },
  );
}
