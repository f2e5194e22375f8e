import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { approvalsQuery } from '../../api/batches.ts';
import { merchantQuery } from '../../api/settings.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Facts, Page } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import { count, KINDS, things, totalsText } from '../batches/words.ts';
import classes from './approvals.module.css';
import { Decide } from './decide.tsx';

/** What waits for a second person. */
export function Approvals() {
  const found = useQuery(approvalsQuery);
  const policy = useQuery(merchantQuery).data?.settings;
  const [decided, setDecided] = useState<readonly Batch[]>([]);
  return (
    <Page
      title="Approvals"
      about="Batches that somebody confirmed and a second person has to approve before anything is sent."
    >
      <div aria-live="polite">
        {decided.map((batch) => (
          <p key={`${batch.batch_id} ${batch.updated_at}`} className={classes.decided}>
            <Link to="/batch/$batchId" params={{ batchId: batch.batch_id }} search={{}}>
              {batch.name}
            </Link>{' '}
            {outcomeOf(batch)}
          </p>
        ))}
      </div>
      {found.isPending && <Loading rows={6} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data?.length === 0 && (
        <Empty title="Nothing waits for approval.">
          <Text size="sm">
            {policy?.batch_approval
              ? 'Each batch comes here once it is confirmed.'
              : 'Batches start without a second person. Your policy can change that, under Settings › Policy.'}
          </Text>
        </Empty>
      )}
      {found.data?.map((batch) => (
        <Waiting
          key={batch.batch_id}
          batch={batch}
          onDecided={(after) => setDecided((before) => [after, ...before])}
        />
      ))}
    </Page>
  );
}

/** What a decision has led to. */
function outcomeOf(batch: Batch): string {
  if (batch.status === 'checked') return 'was sent back. Nothing of it is sent.';
  return batch.status === 'waiting'
    ? 'is approved and starts when its wait is over.'
    : 'is approved and starts.';
}

function Waiting({
  batch,
  onDecided,
}: {
  readonly batch: Batch;
  readonly onDecided: (batch: Batch) => void;
}) {
  const said = batch.confirmation!;
  return (
    <article className={classes.approval} aria-label={batch.name}>
      <h2>
        <Link to="/batch/$batchId" params={{ batchId: batch.batch_id }} search={{}}>
          {batch.name}
        </Link>
      </h2>
      <div className={classes.sides}>
        <Facts
          facts={[
            ['Kind', KINDS[batch.kind].one],
            ['Total', batch.kind === 'refunds' ? totalsText(said.totals) : null],
            ['Asks for', things(batch, said.rows)],
            [
              'Stays out',
              batch.rows.total > said.rows
                ? count(batch.rows.total - said.rows, 'row of the file', 'rows of the file')
                : null,
            ],
            [
              'Uploaded by',
              <>
                {batch.created_by.name}, <Time at={batch.created_at} />
              </>,
            ],
            [
              'Confirmed by',
              <>
                {said.confirmed_by.name}, <Time at={said.confirmed_at} />
              </>,
            ],
            ['Expires', said.approval_expires_at && <Time at={said.approval_expires_at} exact />],
            ['File', batch.file.name],
            ['SHA-256', batch.file.sha256 && <Id value={batch.file.sha256} of="SHA-256 of the file" />],
          ]}
        />
        <Decide batch={batch} onDecided={onDecided} />
      </div>
    </article>
  );
}
