import { IconCheck } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import classes from './batches.module.css';
import { STEP_WORDS, STEPS, type StepName } from './words.ts';

interface Props {
  /** Where the batch is. */
  readonly here: StepName;
  /** What is looked at, where that is another step. */
  readonly shown?: StepName;
  readonly open: readonly StepName[];
  readonly batchId?: string;
}

/** The way of a batch from its file to its results; each step that can be looked at is a link. */
export function Steps({ here, shown = here, open, batchId }: Props) {
  // Only few files have columns that nobody knows.
  const steps = STEPS.filter((step) => step !== 'columns' || here === 'columns');
  const at = steps.indexOf(here);
  return (
    <nav aria-label="Steps" className={classes.steps}>
      <ol>
        {steps.map((step, index) => {
          const done = index < at;
          const face = (
            <>
              <span className={classes.stepSign} aria-hidden>
                {done ? <IconCheck size={13} stroke={2.6} /> : index + 1}
              </span>
              <span className={classes.stepWord}>{STEP_WORDS[step]}</span>
              {done && <span className={classes.spoken}>, done</span>}
            </>
          );
          const looks = {
            className: classes.step,
            'data-done': done || undefined,
            'data-here': step === here || undefined,
            'data-shown': step === shown || undefined,
          };
          return (
            <li key={step}>
              {batchId !== undefined && open.includes(step) ? (
                <Link
                  to="/batch/$batchId"
                  params={{ batchId }}
                  search={step === here ? {} : { step }}
                  {...looks}
                  aria-current={step === shown ? 'step' : undefined}
                >
                  {face}
                </Link>
              ) : (
                <span {...looks} aria-current={step === shown ? 'step' : undefined}>
                  {face}
                </span>
              )}
            </li>
          );
        })}
      </ol>
    </nav>
  );
}
