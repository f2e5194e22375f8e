import { IconCheck, IconClock, IconFlag, IconMinus, IconX } from '@tabler/icons-react';
import type { PublicStatus, RefundState } from '../../api/contract/states.ts';
import classes from './status.module.css';

export const LOOKS = {
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
  const details = [state && DETAILS[state], detail].filter(Boolean).join(', ');
  return <Badge {...LOOKS[status]} detail={details} />;
}

export function statusWord(status: PublicStatus): string {
  return LOOKS[status].word;
}

const SIGNS = {
  good: { colour: classes.green, icon: IconCheck },
  waits: { colour: classes.amber, icon: IconClock },
  bad: { colour: classes.red, icon: IconX },
  off: { colour: classes.quiet, icon: IconMinus },
} as const;

/** How something other than a refund stands: a key, an endpoint, an account, a request. */
export function Sign({
  is,
  word,
  detail,
}: {
  readonly is: keyof typeof SIGNS;
  readonly word: string;
  readonly detail?: string | null;
}) {
  return <Badge {...SIGNS[is]} word={word} detail={detail} />;
}

function Badge({
  word,
  colour,
  icon: Icon,
  detail,
}: {
  readonly word: string;
  readonly colour: string | undefined;
  readonly icon: typeof IconCheck;
  readonly detail?: string | null | undefined;
}) {
  return (
    <span className={`${classes.badge} ${colour}`}>
      <Icon size={13} stroke={2.4} aria-hidden />
      <span className={classes.word}>{word}</span>
      {detail && <span className={classes.detail}>{detail}</span>}
    </span>
  );
}
