import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { Batch, BatchEvent } from '../../../api/contract/batches.ts';
import { batchEventsQuery } from '../../api/batches.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Time } from '../../parts/time.tsx';
import classes from './batches.module.css';
import { count, totalsText } from './words.ts';

/** Who did what to the batch, the latest first. */
export function BatchTrail({ batch }: { readonly batch: Batch }) {
  const found = useQuery(batchEventsQuery(batch));
  if (found.isPending) return <Loading rows={3} />;
  if (found.isError) return <Failed error={found.error} onRetry={() => void found.refetch()} />;
  return (
    <ol className={classes.trail} aria-label="Trail">
      {found.data.toReversed().map((event) => (
        <li key={`${event.at} ${event.kind}`}>
          <Time at={event.at} exact />
          <span>{titleOf(event)}</span>
          <Text span size="sm" c="dimmed">
            {event.by ? (event.by.kind === 'key' ? `API key “${event.by.name}”` : event.by.name) : 'Refundry'}
          </Text>
        </li>
      ))}
    </ol>
  );
}

const TITLES: Readonly<Record<string, string>> = {
  begun: 'Upload began',
  unreadable: 'The file could not be read to its end',
  uploaded: 'The file was taken',
  corrected: 'A corrected file was taken',
  checked: 'Every row was checked',
  check_asked: 'Checked again',
  confirmed: 'Confirmed',
  approved: 'Approved',
  rejected: 'Sent back',
  approval_expired: 'The time to approve ran out',
  started: 'Started',
  paused: 'Paused',
  resumed: 'Resumed',
  cancelled: 'Cancelled',
  sent: 'The last row had gone out',
  finished: 'Finished: every row has been answered',
};

function titleOf({ kind, facts }: BatchEvent): string {
  const title = TITLES[kind] ?? kind.replaceAll('_', ' ');
  if (kind === 'rows_replaced') return replacedWords(facts);
  if (kind === 'confirmed' || kind === 'approved') return `${title}: ${agreedWords(facts)}`;
  const reason = facts['reason'] ?? facts['message'];
  return typeof reason === 'string' ? `${title}: ${reason}` : title;
}

/** What a file of corrections came to: some of its rows may name none, or one that is done. */
function replacedWords({ message, replaced, done_before, unknown }: BatchEvent['facts']): string {
  if (typeof message === 'string') return `The corrected file could not be read to its end: ${message}`;
  const left = [
    Number(done_before) > 0 && `${count(Number(done_before), 'row')} skipped, being good or done`,
    Number(unknown) > 0 && `${count(Number(unknown), 'row')} skipped, naming no row of the batch`,
  ].filter(Boolean);
  return [`${count(Number(replaced), 'row')} corrected`, ...left].join('; ');
}

/** What was said yes to. */
function agreedWords({ rows, totals }: BatchEvent['facts']): string {
  const money = totalsText((totals ?? {}) as Readonly<Record<string, string>>);
  return [count(Number(rows), 'row'), money].filter(Boolean).join(', ');
}
