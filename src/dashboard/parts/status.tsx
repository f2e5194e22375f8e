import { IconCheck, IconClock, IconFlag, IconX } from '@tabler/icons-react';
import type { PublicStatus, RefundState } from '../../api/contract/states.ts';
import classes from './status.module.css';

const LOOKS = {
  PENDING: { word: 'Pending', colour: classes.amber, icon: IconClock },
  SUCCESS: { word: 'Success', colour: classes.green, icon: IconCheck },
  FAILURE: { word: 'Failure', colour: classes.red, icon: IconX },
  MANUAL_REVIEW: { word: 'Manual review', colour: classes.violet, icon: IconFlag },
} as const satisfies Record<PublicStatus, unknown>;

/** What a state adds to its public status; null where the status says it all. */
const DETAILS: Readonly<Record<RefundState, string | null>> = {
  awaiting_approval: 'awaiting approval',
  queued: 'queued',
  sending: 'sending',
  unknown: 'no answer yet',
  waiting_for_funds: 'waiting for funds',
  submitted: 'with the gateway',
  manual_review: null,
  succeeded: null,
  failed: null,
  cancelled: 'cancelled',
  reversed: 'taken back',
};

interface Props {
  readonly status: PublicStatus;
  readonly state?: RefundState;
  /** Beside the state's own detail: "3 d", "overdue", "ARN known". */
  readonly detail?: string | null;
}

/** A refund's status, never by colour alone: icon, word, and what is known beyond. */
export function StatusBadge({ status, state, detail }: Props) {
  const { word, colour, icon: Icon } = LOOKS[status];
  const details = [state && DETAILS[state], detail].filter(Boolean).join(', ');
  return (
    <span className={`${classes.badge} ${colour}`}>
      <Icon size={13} stroke={2.4} aria-hidden />
      <span className={classes.word}>{word}</span>
      {details && <span className={classes.detail}>{details}</span>}
    </span>
  );
}

export function statusWord(status: PublicStatus): string {
  return LOOKS[status].word;
}
