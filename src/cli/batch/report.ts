import type { Batch } from '../../api/contract/batches.ts';
import { ALL_WELL, NOT_DONE, SOME_FAILED, WAITS_FOR_PEOPLE } from './status.ts';

/** What a batch has come to, and what to do next, in lines. */
export function reportOf(batch: Batch): string {
  const { batch_id: id, problem } = batch;
  const lines = [`${batch.name}  ${id}`, `${batch.status}: ${batch.meaning}`];
  if (problem) {
    lines.push(`${problem.message}${problem.accepted ? ` Accepted: ${problem.accepted}.` : ''}`);
  }
  lines.push(...rowLines(batch), ...refundLines(batch));
  const next = nextStep(batch);
  if (next) lines.push(next);
  return `${lines.join('\n')}\n`;
}

const count = (n: number) => n.toLocaleString('en');
const rowCount = (n: number) => (n === 1 ? '1 row' : `${n} rows`);
const amounts = (totals: Readonly<Record<string, string>>) =>
  Object.entries(totals).map(([currency, amount]) => `${currency} ${amount}`);

function rowLines({ rows, check, status, confirmation }: Batch): string[] {
  if (rows.total === 0) return [];
  const lines: string[] = [];
  if (check === null) return [`rows     ${count(rows.checked)} of ${count(rows.total)} checked`];
  const verdicts = [
    `${count(rows.good)} good`,
    ...(rows.look_alike ? [`${count(rows.look_alike)} like earlier refunds`] : []),
    ...(rows.bad ? [`${count(rows.bad)} bad`] : []),
  ];
  lines.push(`rows     ${count(rows.total)}: ${verdicts.join(', ')}`);
  for (const { code, rows: n, message } of check.problems.slice(0, 10)) {
    lines.push(`         ${count(n)} × ${code}: ${message}`);
  }
  if (status === 'checked') {
    lines.push(`to send  ${[`${count(check.confirmable_rows)} rows`, ...amounts(check.totals)].join(', ')}`);
  } else if (confirmation) {
    const done = [`${count(rows.made)} done`, `${count(rows.refused)} refused`, `${count(rows.left)} left`];
    lines.push(`sent     ${done.join(', ')}`);
  }
  return lines;
}

function refundLines({ refunds }: Batch): string[] {
  const all = Object.entries(refunds.by_status).filter(([, n]) => n > 0);
  return all.map(([status, n], place) => {
    const sums = refunds.amounts
      .filter((sum) => sum.status === status)
      .map(({ currency, amount }) => `${currency} ${amount}`);
    return `${place === 0 ? 'refunds  ' : '         '}${count(n)} ${status}: ${sums.join(', ')}`;
  });
}

function nextStep(batch: Batch): string | null {
  const { batch_id: id, status, check, problem } = batch;
  if (status === 'checked' && check && check.confirmable_rows > 0) {
    const said =
      batch.kind === 'refunds' ? amounts(check.totals).join(', ') : rowCount(check.confirmable_rows);
    const alike = batch.rows.look_alike > 0 ? ' --look-alikes leave' : '';
    return `Confirm it: refundry batch confirm ${id} "${said}"${alike} --wait`;
  }
  if (status === 'uploading' && problem?.code === 'columns_unmatched') {
    return 'Say which column is which with --columns, such as --columns order_id=Bestellnr, or in the dashboard.';
  }
  if (status === 'uploading' && ['several_sheets', 'no_such_sheet'].includes(problem?.code ?? ''))
    return 'Say which sheet is meant: upload the file again with --sheet "<name>", or choose it in the dashboard.';
  if (status === 'uploading' && problem === null) return `Go on: refundry batch upload <file> --resume ${id}`;
  if (status === 'paused') return `Go on: refundry batch resume ${id} --wait`;
  if (status === 'awaiting_approval') return 'A colleague approves it in the dashboard.';
  if ((status === 'finished' || status === 'checked') && hasFailures(batch)) {
    return `The rows that failed, to be corrected: refundry batch failed ${id} --to failed.csv`;
  }
  return null;
}

const hasFailures = ({ rows, refunds }: Batch) =>
  rows.bad + rows.refused + (refunds.by_status.FAILURE ?? 0) > 0;

/** What a command about this batch ends with. `failed`: whether any row is bad or has failed as it is now. */
export function statusOf(batch: Batch, failed: boolean): number {
  switch (batch.status) {
    case 'uploading':
      return batch.problem === null ? ALL_WELL : NOT_DONE;
    case 'checked':
      return batch.check?.confirmable_rows === 0 ? SOME_FAILED : WAITS_FOR_PEOPLE;
    case 'awaiting_approval':
    case 'paused':
      return WAITS_FOR_PEOPLE;
    case 'cancelled':
      return SOME_FAILED;
    case 'finished':
      if ((batch.refunds.by_status.MANUAL_REVIEW ?? 0) > 0) return WAITS_FOR_PEOPLE;
      return failed ? SOME_FAILED : ALL_WELL;
    default:
      return ALL_WELL;
  }
}
