import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Figures, FigureTotals } from '../../../api/contract/figures.ts';
import { Money } from '../../parts/money.tsx';
import { durationText } from '../../parts/time.tsx';
import classes from './home.module.css';
import type { Narrowed } from './home.tsx';

interface Props {
  readonly figures: Figures;
  readonly days: number;
  readonly narrowed: Narrowed;
}

/** The figures that matter today, each a way to the refunds behind it. */
export function FigureRow({ figures, days, narrowed }: Props) {
  const { totals, now } = figures;
  const before = figures.before?.totals ?? null;
  const made = { ...narrowed, from: figures.from, to: figures.to };
  const period = days === 1 ? 'today' : `${days} days`;
  return (
    <ul className={classes.row} aria-label="Figures">
      <Figure
        name={`Refunded, ${period}`}
        value={totals.statuses.SUCCESS.toLocaleString()}
        search={{ ...made, status: 'SUCCESS' }}
        amounts={totals.amounts
          .filter(({ succeeded_refunds }) => succeeded_refunds > 0)
          .map(({ currency, succeeded_amount }) => ({ currency, amount: succeeded_amount }))}
        before={before && change(totals.statuses.SUCCESS, before.statuses.SUCCESS)}
      />
      <Figure
        name="In flight now"
        value={sumOf(now.in_flight).toLocaleString()}
        search={{ ...narrowed, status: 'PENDING,MANUAL_REVIEW' }}
        amounts={now.in_flight}
      />
      <Figure
        name="Overdue now"
        value={sumOf(now.overdue).toLocaleString()}
        search={{ ...narrowed, overdue: 'true' }}
        amounts={now.overdue}
        alarming={now.overdue.length > 0}
      />
      <Figure
        name="In review now"
        value={sumOf(now.in_review).toLocaleString()}
        to={Object.keys(narrowed).length === 0 ? '/operations/review' : '/operations/refunds'}
        search={{ ...narrowed, status: 'MANUAL_REVIEW', sort: 'oldest' }}
        amounts={now.in_review}
      />
      <Figure
        name={`Success rate, ${period}`}
        value={percent(totals.success_rate)}
        search={{ ...made, status: 'SUCCESS,FAILURE' }}
        before={before && points(totals, before)}
      />
      <Figure
        name={`Median time, ${period}`}
        value={seconds(totals.time_to_outcome.median_seconds)}
        search={{ ...made, status: 'SUCCESS,FAILURE' }}
        before={before && median(before)}
      >
        {totals.time_to_outcome.p95_seconds !== null &&
          `19 of 20 within ${seconds(totals.time_to_outcome.p95_seconds)}`}
      </Figure>
    </ul>
  );
}

interface FigureProps {
  readonly name: string;
  readonly value: string;
  readonly to?: '/operations/refunds' | '/operations/review';
  readonly search: Readonly<Record<string, string>>;
  readonly amounts?: readonly { readonly currency: string; readonly amount: string }[];
  readonly before?: string | null;
  readonly alarming?: boolean;
  readonly children?: ReactNode;
}

function Figure({
  name,
  value,
  to = '/operations/refunds',
  search,
  amounts = [],
  before,
  alarming = false,
  children,
}: FigureProps) {
  return (
    <li className={classes.figure}>
      <Link to={to} search={search} className={classes.figureLink}>
        <span className={classes.figureName}>{name}</span>
        <span className={classes.figureValue} data-alarming={alarming || undefined}>
          {value}
        </span>
      </Link>
      <div className={classes.more}>
        {amounts.map(({ currency, amount }) => (
          <div key={currency}>
            <Money amount={amount} currency={currency} />
          </div>
        ))}
        {children && <div>{children}</div>}
        {before && <div>{before}</div>}
      </div>
    </li>
  );
}

function sumOf(sums: readonly { readonly refunds: number }[]): number {
  return sums.reduce((all, { refunds }) => all + refunds, 0);
}

const SIGNED = new Intl.NumberFormat(undefined, { signDisplay: 'exceptZero', maximumFractionDigits: 1 });
const NONE_BEFORE = 'before: none';

/** "before: 84 (+12 %)" */
function change(now: number, before: number): string {
  if (before === 0) return NONE_BEFORE;
  const percentage = Math.round(((now - before) / before) * 100);
  return `before: ${before.toLocaleString()} (${SIGNED.format(percentage)} %)`;
}

function points({ success_rate: now }: FigureTotals, { success_rate: before }: FigureTotals): string {
  if (before === null) return NONE_BEFORE;
  if (now === null) return `before: ${percent(before)}`;
  const points = Math.round((now - before) * 1000) / 10;
  return `before: ${percent(before)} (${SIGNED.format(points)} points)`;
}

function median({ time_to_outcome: { median_seconds } }: FigureTotals): string {
  return median_seconds === null ? NONE_BEFORE : `before: ${seconds(median_seconds)}`;
}

function percent(share: number | null): string {
  return share === null ? '—' : `${Math.round(share * 1000) / 10} %`;
}

function seconds(length: number | null): string {
  return length === null ? '—' : durationText(length * 1000);
}
