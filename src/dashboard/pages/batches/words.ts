import type { Batch, BatchKind, BatchRow, BatchStatus } from '../../../api/contract/batches.ts';
import { isZero, moneyText } from '../../parts/amounts.ts';

export const KINDS: Readonly<
  Record<
    BatchKind,
    { title: string; one: string; create: string; to: '/batch/refunds' | '/batch/status-updates' }
  >
> = {
  refunds: {
    title: 'Batch refunds',
    one: 'Batch refund',
    create: 'Create batch refund',
    to: '/batch/refunds',
  },
  status_updates: {
    title: 'Batch status updates',
    one: 'Batch status update',
    create: 'Create batch status update',
    to: '/batch/status-updates',
  },
};

/** Where a batch is, in a word or two, and how that looks. */
export const STATUSES: Readonly<Record<BatchStatus, { word: string; is: 'good' | 'waits' | 'bad' | 'off' }>> =
  {
    uploading: { word: 'Uploading', is: 'waits' },
    checking: { word: 'Checking', is: 'waits' },
    checked: { word: 'To be confirmed', is: 'waits' },
    awaiting_approval: { word: 'Awaiting approval', is: 'waits' },
    waiting: { word: 'About to start', is: 'waits' },
    running: { word: 'Running', is: 'waits' },
    paused: { word: 'Paused', is: 'off' },
    finished: { word: 'Finished', is: 'good' },
    cancelled: { word: 'Cancelled', is: 'off' },
  };

export const ROW_STATES: Readonly<Record<BatchRow['state'], string>> = {
  left: 'to be sent',
  made: 'done',
  refused: 'refused',
  not_sent: 'not sent',
};

/** "1 row", "12,000 rows". */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

/** "3 refunds" or "3 status updates": what the rows of a batch ask for. */
export function things(batch: Pick<Batch, 'kind'>, number: number): string {
  return batch.kind === 'refunds' ? count(number, 'refund') : count(number, 'status update');
}

/** Totals in an order that does not change from one look to the next. */
export function byCurrency(totals: Readonly<Record<string, string>>): [currency: string, amount: string][] {
  return Object.entries(totals).sort(([one], [other]) => (one < other ? -1 : 1));
}

/** "INR 1,200.00 and USD 4.00"; the amounts of several currencies are never added. */
export function totalsText(totals: Readonly<Record<string, string>>): string {
  const parts = byCurrency(totals).map(([currency, amount]) => moneyText(amount, currency));
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/** Two tables of totals as one, exactly: digits are added as whole numbers. */
export function totalsTogether(
  some: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): Record<string, string> {
  const together: Record<string, string> = { ...some };
  for (const [currency, amount] of Object.entries(others)) {
    together[currency] = together[currency] === undefined ? amount : sum(together[currency], amount);
  }
  return Object.fromEntries(Object.entries(together).filter(([, amount]) => !isZero(amount)));
}

/** Of two decimal texts of one currency, which have the same number of decimals. */
function sum(one: string, other: string): string {
  const decimals = one.split('.')[1]?.length ?? 0;
  const digits = (BigInt(one.replace('.', '')) + BigInt(other.replace('.', '')))
    .toString()
    .padStart(decimals + 1, '0');
  return decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** "8.2 MB" */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;
  return `${(bytes / 1_000_000).toFixed(bytes < 100_000_000 ? 1 : 0)} MB`;
}

/** Rows of this round that look like refunds made before; those of earlier rounds are decided. */
export function lookAlikesOf(batch: Batch): number {
  if (!batch.check || batch.kind !== 'refunds') return 0;
  const inAll = batch.check.by_gateway.reduce((sum, { rows }) => sum + rows, 0);
  return Math.max(0, inAll - batch.check.confirmable_rows);
}

/** What of a batch's rows has been answered, and how many there are to answer. */
export function progressOf(batch: Batch): { readonly done: number; readonly of: number } {
  const { made, refused, left } = batch.rows;
  const sent = batch.kind === 'refunds' ? Math.min(batch.refunds.sent, made) : made;
  return { done: sent + refused, of: made + refused + left };
}

// The steps ------------------------------------------------------------------------------------------------

export const STEPS = ['upload', 'columns', 'check', 'confirm', 'run', 'results'] as const;
export type StepName = (typeof STEPS)[number];

export const STEP_WORDS: Readonly<Record<StepName, string>> = {
  upload: 'Upload',
  columns: 'Columns',
  check: 'Check',
  confirm: 'Confirm',
  run: 'Run',
  results: 'Results',
};

/** Where whoever comes to the batch belongs. */
export function stepOf(batch: Batch): StepName {
  switch (batch.status) {
    case 'uploading':
      return batch.problem?.code === 'columns_unmatched' ? 'columns' : 'upload';
    case 'checking':
    case 'checked':
      return 'check';
    case 'awaiting_approval':
      return 'confirm';
    case 'waiting':
    case 'paused':
      return 'run';
    case 'running':
      // Some outcomes take days; what is known by then is what people come for.
      return batch.sent_at === null ? 'run' : 'results';
    case 'finished':
      return 'results';
    case 'cancelled':
      return batch.check ? 'results' : 'upload';
  }
}

/** The steps that can be looked at. */
export function stepsOpen(batch: Batch): readonly StepName[] {
  const here = stepOf(batch);
  const began = batch.started_at !== null;
  const open: Readonly<Record<StepName, boolean>> = {
    upload: here === 'upload',
    columns: here === 'columns',
    check: batch.check !== null || batch.status === 'checking',
    confirm: batch.check !== null && (batch.status === 'checked' || batch.confirmation !== null),
    run: began || here === 'run',
    results: began || here === 'results',
  };
  return STEPS.filter((step) => open[step]);
}
