import { Button, Text } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import type { Batch } from '../../../api/contract/batches.ts';
import { failedHref, fileHref, resultsHref } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Section } from '../../parts/page.tsx';
import { durationText } from '../../parts/time.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { Corrected } from './check.tsx';
import { COLUMNS_OF, Rows, type RowsTab } from './rows.tsx';
import { Outcomes } from './run.tsx';
import { count, things } from './words.ts';

/** What became of each row, to look at and to take along. */
export function ResultsStep(props: StepProps) {
  const { batch } = props;
  const mayRun = useMay('batches.run');
  const mayExport = useMay('batches.export');
  const failed = failedRows(batch);
  const mayCorrect = mayRun && failed > 0 && batch.sent_at !== null && batch.status !== 'cancelled';
  const download = (href: string, words: string) => (
    <Button variant="default" component="a" href={href} download leftSection={<IconDownload size={15} />}>
      {words}
    </Button>
  );
  return (
    <>
      <Text>{summary(batch)}</Text>
      <Outcomes batch={batch} />
      <div className={`${classes.row} ${classes.spaced}`}>
        {mayExport && download(resultsHref(batch.batch_id), 'Results of all rows')}
        {mayExport && failed > 0 && download(failedHref(batch.batch_id), 'Only the failed rows')}
        {mayExport && download(fileHref(batch.batch_id), 'The file as it came')}
        {!mayExport && (
          <Text size="sm" c="dimmed">
            Downloading rows takes the role Operations. They stand below, page by page.
          </Text>
        )}
        {mayCorrect && <Corrected batch={batch} />}
      </div>
      {mayCorrect && (
        <Text size="sm" c="dimmed" mt="xs">
          Correct the file of failed rows and upload it here: rows that are done are skipped, the corrected
          ones are checked and confirmed like the first.
        </Text>
      )}
      <Section title="Rows">
        <Rows {...props} tabs={tabsOf(batch, failed)} />
      </Section>
    </>
  );
}

function failedRows({ rows, refunds }: Batch): number {
  return rows.bad + rows.refused + refunds.by_status.FAILURE;
}

function summary(batch: Batch): string {
  const { rows, refunds, started_at, finished_at } = batch;
  const took =
    started_at && finished_at
      ? ` in ${durationText(Math.max(1_000, Date.parse(finished_at) - Date.parse(started_at)))}`
      : '';
  const done = batch.kind === 'refunds' ? 'became refunds' : 'were settled';
  const pending = refunds.by_status.PENDING;
  const waits =
    pending > 0
      ? ` ${things(batch, pending)} ${pending === 1 ? 'waits' : 'wait'} for the gateway’s word.`
      : '';
  const cancelled = refunds.by_state.cancelled ?? 0;
  const taken =
    cancelled > 0 ? ` ${cancelled.toLocaleString()} of them were cancelled before they went out.` : '';
  return `${rows.made.toLocaleString()} of ${count(rows.total, 'row')} ${done}${took}.${taken}${waits}`;
}

function tabsOf(batch: Batch, failed: number): RowsTab[] {
  const columns = COLUMNS_OF[batch.kind].results;
  return [
    {
      value: 'all',
      label: 'All',
      count: batch.rows.total,
      filter: {},
      columns,
      empty: 'The file has no rows.',
    },
    {
      value: 'failed',
      label: 'Failed',
      count: failed,
      filter: { failed: 'true' },
      columns,
      empty: 'No row has failed.',
    },
  ];
}
