import { Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Batch } from '../../../api/contract/batches.ts';
import type { PublicStatus } from '../../../api/contract/states.ts';
import { isZero } from '../../parts/amounts.ts';
import { Money } from '../../parts/money.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Section } from '../../parts/page.tsx';
import { LOOKS } from '../../parts/status.tsx';
import { durationText, Time, useNow } from '../../parts/time.tsx';
import { Bar } from './bar.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { count, progressOf, things } from './words.ts';

/** Its rows on their way. */
export function RunStep({ batch }: StepProps) {
  return (
    <>
      {batch.status === 'waiting' ? <Waiting batch={batch} /> : <Going batch={batch} />}
      <Outcomes batch={batch} />
    </>
  );
}

function Waiting({ batch }: { readonly batch: Batch }) {
  const nowMs = useNow(1_000);
  const leftMs = batch.starts_at ? Math.max(0, Date.parse(batch.starts_at) - nowMs) : 0;
  return (
    <Notice
      tone="plain"
      title={leftMs > 0 ? `Starts by itself in ${countdown(leftMs)}` : 'Starts in a moment'}
    >
      <Text size="sm">
        {batch.starts_at && (
          <>
            At <Time at={batch.starts_at} exact />.{' '}
          </>
        )}
        Until then nothing is sent, and the batch can be cancelled as a whole.
      </Text>
    </Notice>
  );
}

/** "1 h 9 min 58 s": somebody may be watching it. */
function countdown(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  const parts = [
    [Math.floor(seconds / 3_600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  return parts
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(' ');
}

function Going({ batch }: { readonly batch: Batch }) {
  const { done, of } = progressOf(batch);
  const { rate_per_second: rate, seconds_left: left } = batch;
  const verb = batch.kind === 'refunds' ? 'sent' : 'settled';
  return (
    <>
      <Bar name={`Rows ${verb}`} done={done} of={of} still={batch.status !== 'running'}>
        <b>{done.toLocaleString()}</b> of {count(of, 'row')} {verb}
        {batch.status === 'running' && rate !== null && ` · ${rateText(rate)}`}
        {batch.status === 'running' && left !== null && ` · ${durationText(left * 1_000)} left`}
      </Bar>
      <Text size="sm" mt="xs" aria-live="polite">
        {saysOf(batch)}
      </Text>
    </>
  );
}

function saysOf(batch: Batch): string {
  const pending = batch.refunds.by_status.PENDING;
  switch (batch.status) {
    case 'paused':
      return 'Paused: nothing more goes out. What was sent is followed to its outcome. Resume, or cancel the rest.';
    case 'cancelled':
      return `Cancelled: nothing more goes out.${pending > 0 ? ` ${things(batch, pending)} are still followed to their outcome.` : ''}`;
    case 'finished':
      return 'Every row has been answered.';
    default:
      return batch.sent_at === null
        ? 'You may leave this page: it goes on, and so do your single refunds, which are never held up by it.'
        : `All rows have gone out. ${things(batch, pending)} ${pending === 1 ? 'waits' : 'wait'} for the gateway’s word.`;
  }
}

function rateText(perSecond: number): string {
  return perSecond >= 10
    ? `${Math.round(perSecond).toLocaleString()} rows/s`
    : perSecond >= 1
      ? `${perSecond.toFixed(1)} rows/s`
      : `${Math.max(1, Math.round(perSecond * 60))} rows/min`;
}

const ORDER: readonly PublicStatus[] = ['SUCCESS', 'PENDING', 'MANUAL_REVIEW', 'FAILURE'];

/** What has become of its refunds, in numbers and in money; each number is a way to its refunds. */
export function Outcomes({ batch }: { readonly batch: Batch }) {
  const { rows, refunds } = batch;
  const currencies = [...new Set(refunds.amounts.map(({ currency }) => currency))].sort();
  const amountOf = (status: PublicStatus, currency: string) =>
    refunds.amounts.find((one) => one.status === status && one.currency === currency)?.amount;
  return (
    <>
      <ul className={classes.outcomes} aria-label="Rows by outcome">
        {batch.kind === 'refunds' ? (
          ORDER.map((status) => {
            const { word, icon: Icon, colour } = LOOKS[status];
            const number = refunds.by_status[status];
            return (
              <li key={status}>
                <Link
                  to="/operations/refunds"
                  search={{ batch_id: batch.batch_id, status }}
                  className={classes.outcome}
                  data-none={number === 0 || undefined}
                >
                  <span className={`${classes.outcomeSign} ${colour ?? ''}`} aria-hidden>
                    <Icon size={13} stroke={2.4} />
                  </span>
                  <span className={classes.outcomeNumber}>{number.toLocaleString()}</span>
                  <span className={classes.outcomeWord}>{word}</span>
                </Link>
              </li>
            );
          })
        ) : (
          <Plain number={rows.made} word="settled" />
        )}
        <Plain number={rows.refused} word="refused when tried" />
        <Plain number={rows.left} word="to go" />
        <Plain number={rows.not_sent} word="not sent" />
      </ul>
      {currencies.length > 0 && (
        <Section title="Value">
          <div className={classes.scroll}>
            <table className={classes.small} aria-label="Value by currency and status">
              <thead>
                <tr>
                  <th scope="col">Currency</th>
                  {ORDER.map((status) => (
                    <th scope="col" key={status} data-align="right">
                      {LOOKS[status].word}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {currencies.map((currency) => (
                  <tr key={currency}>
                    <th scope="row">{currency}</th>
                    {ORDER.map((status) => {
                      const amount = amountOf(status, currency);
                      return (
                        <td key={status} data-align="right">
                          {amount === undefined || isZero(amount) ? (
                            <span className={classes.quiet}>—</span>
                          ) : (
                            <Money amount={amount} currency={currency} />
                          )}
                        </td>
                      );
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Section>
      )}
    </>
  );
}

function Plain({ number, word }: { readonly number: number; readonly word: string }) {
  return (
    <li>
      <span className={classes.outcome} data-none={number === 0 || undefined}>
        <span className={classes.outcomeNumber}>{number.toLocaleString()}</span>
        <span className={classes.outcomeWord}>{word}</span>
      </span>
    </li>
  );
}
