import { Text } from '@mantine/core';
import { IconPoint } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { RefundEvent } from '../../api/contract/refunds.ts';
import { STATES } from '../../api/contract/states.ts';
import { withAmountsAsShown } from './amounts.ts';
import { Fold } from './fold.tsx';
import { Id } from './id.tsx';
import { Json } from './json.tsx';
import { LOOKS } from './status.tsx';
import { durationText, Time } from './time.tsx';
import classes from './timeline.module.css';
import { causeText, eventTitle, evidenceName, isRefundState, statementIn } from './trail-words.ts';

interface Props {
  /** Oldest first. */
  readonly events: readonly RefundEvent[];
  /** All of them are of one refund, so that it need not be named. */
  readonly ofOneRefund?: boolean;
  /** `AheadStep`s. */
  readonly children?: ReactNode;
}

/** What happened, from above to below: each change with its cause, its time and what was said. */
export function Timeline({ events, ofOneRefund = false, children }: Props) {
  return (
    <ol className={classes.timeline} aria-label="Timeline">
      {events.map((event, at) => (
        <Step
          key={event.seq}
          event={event}
          before={events[at - 1]}
          refundId={ofOneRefund ? null : event.refund_id}
        />
      ))}
      {children}
    </ol>
  );
}

interface StepProps {
  readonly event: RefundEvent;
  readonly before: RefundEvent | undefined;
  readonly refundId: string | null;
}

function Step({ event, before, refundId }: StepProps) {
  const moved = isRefundState(event.to) && event.to !== event.from ? STATES[event.to] : null;
  const sign = moved ? LOOKS[moved.public] : null;
  const Icon = sign?.icon ?? IconPoint;
  const statement = statementIn(event);
  const sinceMs = before ? Date.parse(event.at) - Date.parse(before.at) : 0;
  return (
    <li className={classes.step}>
      <span className={`${classes.sign} ${sign?.colour ?? ''}`} aria-hidden>
        <Icon size={sign ? 13 : 11} stroke={2.4} />
      </span>
      <div className={classes.words}>
        <div className={classes.title}>{eventTitle(event)}</div>
        <div className={classes.about}>
          <Time at={event.at} exact />
          {sinceMs >= 1_000 && <span> ({durationText(sinceMs)} later)</span>} · {causeText(event.cause)}
        </div>
        {refundId && (
          <div className={classes.about}>
            <Link to="/operations/refunds/$refundId" params={{ refundId }} search={{}}>
              Refund
            </Link>{' '}
            <Id value={refundId} of="refund id" />
          </div>
        )}
        {moved && <div className={classes.means}>{moved.says}</div>}
        {statement && <blockquote className={classes.statement}>{withAmountsAsShown(statement)}</blockquote>}
        {event.evidence && Object.keys(event.evidence).length > 0 && (
          <Fold summary={evidenceName(event)}>
            <Json value={event.evidence} of={evidenceName(event).toLowerCase()} />
          </Fold>
        )}
      </div>
    </li>
  );
}

interface AheadProps {
  readonly title: ReactNode;
  readonly children?: ReactNode;
}

/** Something that has not happened yet. */
export function AheadStep({ title, children }: AheadProps) {
  return (
    <li className={classes.step} data-ahead>
      <span className={classes.sign} aria-hidden />
      <div className={classes.words}>
        <div className={classes.title}>{title}</div>
        {children && (
          <Text component="div" className={classes.about}>
            {children}
          </Text>
        )}
      </div>
    </li>
  );
}
