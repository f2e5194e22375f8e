import { columnsOf } from '../lib/columns.ts';
import type { OtherSheet } from './file/file-row.ts';
import type { BatchKind, BatchStatus, Verdict } from './words.ts';

/** A person or an API key, as the trail of a batch names who did something. */
export interface Actor {
  readonly kind: 'user' | 'key';
  readonly id: string;
  /** A person's e-mail address, or the name of the key. */
  readonly name: string;
}

/** How the files of a batch are read. */
export interface Reading {
  /** The unit of amounts where the file does not say it. */
  readonly amounts: 'major' | 'minor';
  /** Whether a file is taken whose very bytes were uploaded before. */
  readonly sameFile: 'refuse' | 'allow';
  /** Our columns, with the header that each has in the file, where that is another name. */
  readonly columns: Readonly<Record<string, string>>;
  /** Which sheet of a workbook is meant; absent where nobody has said. */
  readonly sheet?: string;
}

/** Why a file cannot be read as it is. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly field?: string;
  readonly value?: string;
  readonly accepted?: string;
  readonly batch_id?: string;
}

/** Rows of one verdict, and what they come to. */
export interface Finding {
  readonly verdict: Verdict;
  /** Why they are not good; null where they are. */
  readonly code: string | null;
  /** These three are null where no payment was found. */
  readonly gateway: string | null;
  readonly currency: string | null;
  readonly exponent: number | null;
  readonly rows: number;
  readonly amountMinor: number;
}

/** What was confirmed, and by whom. Kept as it stands in the database. */
export interface Confirmation {
  /** Decimal text by currency; of status updates, what the refunds come to. */
  readonly totals: Readonly<Record<string, string>>;
  readonly rows: number;
  /** Null where no row looks like another refund. */
  readonly look_alikes: 'send' | 'leave' | null;
  readonly by: Actor;
  readonly at: string;
  readonly approved_by: Actor | null;
  readonly approved_at: string | null;
}

/** A batch as its row has it. */
export interface BatchRecord {
  readonly merchantId: string;
  readonly batchId: string;
  readonly kind: BatchKind;
  readonly name: string;
  readonly status: BatchStatus;
  readonly problem: Problem | null;
  readonly reading: Reading;
  readonly fileNo: number;
  readonly round: number;
  readonly rowsTotal: number;
  readonly rowsChecked: number;
  readonly rowsBad: number;
  readonly rowsLookAlike: number;
  readonly checkedBuckets: number;
  readonly findings: readonly Finding[];
  readonly confirmation: Confirmation | null;
  readonly rowsConfirmed: number;
  readonly rowsTried: number;
  readonly triedRow: number;
  readonly rowsMade: number;
  readonly rowsRefused: number;
  readonly approvalExpiresAt: Date | null;
  readonly startsAt: Date | null;
  readonly paceAt: Date | null;
  readonly paceSent: number;
  readonly pacePerSecond: number | null;
  readonly createdBy: Actor;
  readonly eventSeq: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly checkedAt: Date | null;
  readonly startedAt: Date | null;
  readonly sentAt: Date | null;
  readonly finishedAt: Date | null;
  readonly nextStepAt: Date | null;
}

/** The columns of a batch as a statement selects them, so that its rows are batches; `of` is what the row is called there. */
export const batchColumns = columnsOf<BatchRecord>({
  merchantId: true,
  batchId: true,
  kind: true,
  name: true,
  status: true,
  problem: true,
  reading: true,
  fileNo: true,
  round: true,
  rowsTotal: true,
  rowsChecked: true,
  rowsBad: true,
  rowsLookAlike: true,
  checkedBuckets: true,
  findings: true,
  confirmation: true,
  rowsConfirmed: true,
  rowsTried: true,
  triedRow: true,
  rowsMade: true,
  rowsRefused: true,
  approvalExpiresAt: true,
  startsAt: true,
  paceAt: true,
  paceSent: true,
  pacePerSecond: true,
  createdBy: true,
  eventSeq: true,
  createdAt: true,
  updatedAt: true,
  checkedAt: true,
  startedAt: true,
  sentAt: true,
  finishedAt: true,
  nextStepAt: true,
});

export interface BatchFileRecord {
  readonly fileNo: number;
  readonly name: string;
  /** Null while nobody has said. */
  readonly bytes: number | null;
  readonly receivedBytes: number;
  /** Null until all bytes are here. */
  readonly sha256: string | null;
  readonly format: 'csv' | 'xlsx' | null;
  /** Its bytes held card numbers, and were not kept. */
  readonly bytesDropped: boolean;
  /** Of a workbook, the sheet that was read. */
  readonly sheet: string | null;
  readonly otherSheets: readonly OtherSheet[];
  readonly columns: readonly {
    readonly header: string;
    readonly field: string | null;
    /** What its first rows hold, where somebody has to say what it is. */
    readonly samples?: readonly string[];
  }[];
}

/** How many rows of a file, as they follow each other, are a bucket, but for those that belong to an order further up. */
export const BUCKET_ROWS = 4_000;

/** Where a row stands that has no other of its order above it. */
export function bucketOf(rowNo: number): number {
  return Math.floor((rowNo - 1) / BUCKET_ROWS);
}

/** Which rows are sent, by what was said of those that look like other refunds. */
export function verdictsToSend(lookAlikes: Confirmation['look_alikes']): readonly Verdict[] {
  return lookAlikes === 'send' ? ['good', 'look_alike'] : ['good'];
}

/** What has been found, added up by currency: what rows of these verdicts come to, and how many they are. */
export function sumOf(
  findings: readonly Finding[],
  verdicts: readonly Verdict[],
): { readonly rows: number; readonly byCurrency: ReadonlyMap<string, { minor: number; exponent: number }> } {
  const byCurrency = new Map<string, { minor: number; exponent: number }>();
  let rows = 0;
  for (const finding of findings) {
    if (!verdicts.includes(finding.verdict)) continue;
    rows += finding.rows;
    if (finding.currency === null || finding.exponent === null) continue;
    const sum = byCurrency.get(finding.currency) ?? { minor: 0, exponent: finding.exponent };
    sum.minor += finding.amountMinor;
    byCurrency.set(finding.currency, sum);
  }
  return { rows, byCurrency };
}
