import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { batchQuery } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import { BatchActions } from './actions.tsx';
import classes from './batches.module.css';
import { CheckStep } from './check.tsx';
import { ColumnsStep } from './columns.tsx';
import { ConfirmStep } from './confirm.tsx';
import { ResultsStep } from './results.tsx';
import { RunStep } from './run.tsx';
import { BatchSign } from './sign.tsx';
import { Steps } from './steps.tsx';
import { BatchTrail } from './trail.tsx';
import { UploadStep } from './upload.tsx';
import { bytesText, KINDS, STEP_WORDS, STEPS, type StepName, stepOf, stepsOpen } from './words.ts';

/** What every step of a batch is given. */
export interface StepProps {
  readonly batch: Batch;
  /** What the address says of the rows that are shown. */
  readonly rows: string | undefined;
  readonly cursor: string | undefined;
  readonly onRows: (rows: string | undefined, cursor?: string) => void;
  /** To another step; without one, to where the batch is. */
  readonly onStep: (step?: StepName) => void;
}

const PANELS: Readonly<Record<StepName, (props: StepProps) => ReactNode>> = {
  upload: UploadStep,
  columns: ColumnsStep,
  check: CheckStep,
  confirm: ConfirmStep,
  run: RunStep,
  results: ResultsStep,
};

/** A batch, at the step where it is, or at the one that the address names. */
export function BatchPage() {
  const { batchId } = useParams({ from: '/signed-in/batch/$batchId' });
  const found = useQuery(batchQuery(batchId));
  if (found.data) return <Shown key={batchId} batch={found.data} />;
  return (
    <Page title="Batch">
      {found.isError ? <Failed error={found.error} onRetry={() => void found.refetch()} /> : <Loading />}
    </Page>
  );
}

function Shown({ batch }: { readonly batch: Batch }) {
  const search = useSearch({ from: '/signed-in/batch/$batchId' });
  const navigate = useNavigate({ from: '/batch/$batchId' });
  const mayRun = useMay('batches.run');
  const here = stepOf(batch);
  const open = stepsOpen(batch);
  const asked = STEPS.find((step) => step === search.step);
  const step = asked && open.includes(asked) ? asked : here;
  const Step = PANELS[step];
  const panel = useRef<HTMLElement>(null);
  const before = useRef(step);
  useEffect(() => {
    // What had the focus belonged to the step before and is gone.
    if (before.current !== step && document.activeElement === document.body)
      panel.current?.focus({ preventScroll: true });
    before.current = step;
  }, [step]);

  return (
    <Page
      title={batch.name}
      about={
        <span className={classes.about}>
          <BatchSign batch={batch} />
          <Link to={KINDS[batch.kind].to}>{KINDS[batch.kind].one}</Link>
          <span>
            {batch.file.name}
            {batch.file.bytes !== null && `, ${bytesText(batch.file.bytes)}`}
          </span>
          <span>
            {batch.created_by.name}, <Time at={batch.created_at} />
          </span>
          <Id value={batch.batch_id} of="batch id" />
        </span>
      }
      actions={<BatchActions batch={batch} />}
    >
      <Steps here={here} shown={step} open={open} batchId={batch.batch_id} />
      {!mayRun && (
        <Text size="sm" c="dimmed" mb="sm">
          You may look and follow. Uploading, confirming and stopping a batch take the role Operations.
        </Text>
      )}
      <section ref={panel} tabIndex={-1} aria-label={STEP_WORDS[step]} className={classes.panel}>
        <Step
          batch={batch}
          rows={search.rows}
          cursor={search.cursor}
          onRows={(rows, cursor) =>
            void navigate({ search: { ...search, rows, cursor }, replace: cursor === undefined })
          }
          onStep={(to) => void navigate({ search: to === undefined ? {} : { step: to } })}
        />
      </section>
      <Section title="Trail">
        <BatchTrail batch={batch} />
      </Section>
    </Page>
  );
}
