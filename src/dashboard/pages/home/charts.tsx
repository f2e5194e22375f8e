import '@mantine/charts/styles.css';
import { BarChart } from '@mantine/charts';
import { Link } from '@tanstack/react-router';
import type { Figures } from '../../../api/contract/figures.ts';
import { dayAfter } from '../../parts/ranges.ts';
import { statusWord } from '../../parts/status.tsx';
import { durationText } from '../../parts/time.tsx';
import classes from './home.module.css';
import type { Narrowed } from './home.tsx';
import { Chart, type Numbers, type RefundSearch } from './numbers.tsx';

interface Props {
  readonly figures: Figures;
  readonly narrowed: Narrowed;
}

/** How refunds went in the chosen days. */
export default function Charts(props: Props) {
  return (
    <div className={classes.charts}>
      <div className={classes.whole}>
        <PerDay {...props} />
      </div>
      <PendingByAge {...props} />
      <Failures {...props} />
      <div className={classes.whole}>
        <TimeToOutcome {...props} />
      </div>
    </div>
  );
}

const STILL = { isAnimationActive: false } as const;

function Legend({ of }: { readonly of: readonly (readonly [name: string, colour: string])[] }) {
  return (
    <ul className={classes.legend} aria-label="Colours">
      {of.map(([name, colour]) => (
        <li key={name}>
          <Swatch colour={colour} /> {name}
        </li>
      ))}
    </ul>
  );
}

function Swatch({ colour }: { readonly colour: string }) {
  return <span className={classes.swatch} style={{ background: colour }} aria-hidden />;
}

// Refunds per day ------------------------------------------------------------------------------------------

const STATUSES = ['SUCCESS', 'PENDING', 'MANUAL_REVIEW', 'FAILURE'] as const;
const COLOURS = {
  SUCCESS: 'var(--bar-green)',
  PENDING: 'var(--bar-amber)',
  MANUAL_REVIEW: 'var(--bar-violet)',
  FAILURE: 'var(--bar-red)',
} as const;

function PerDay({ figures, narrowed }: Props) {
  const days = daysOf(figures);
  const numbers: Numbers = {
    columns: ['Day', ...STATUSES.map(statusWord)],
    rows:
      figures.per_day.length === 0
        ? []
        : days.map(({ day, counts }) => ({
            cells: [day, ...STATUSES.map((status) => counts[status])],
            search: { ...narrowed, from: day, to: day },
          })),
  };
  return (
    <Chart
      title="Refunds per day by status"
      about={<Legend of={STATUSES.map((status) => [statusWord(status), COLOURS[status]])} />}
      numbers={numbers}
      file="refunds-per-day"
    >
      <BarChart
        h={230}
        data={days.map(({ day, counts }) => ({ day: shortDay(day), ...counts }))}
        dataKey="day"
        type="stacked"
        series={STATUSES.map((name) => ({ name, label: statusWord(name), color: COLOURS[name] }))}
        tickLine="none"
        maxBarWidth={38}
        barProps={STILL}
        yAxisProps={{ allowDecimals: false, width: 44 }}
        valueFormatter={(value) => value.toLocaleString()}
      />
    </Chart>
  );
}

/** Every day of the period, those without refunds too. */
function daysOf({ from, to, per_day }: Figures) {
  const days = [];
  for (let day = from; day <= to; day = dayAfter(day)) {
    const counts = { SUCCESS: 0, PENDING: 0, MANUAL_REVIEW: 0, FAILURE: 0 };
    for (const row of per_day) if (row.day === day) counts[row.status] += row.refunds;
    days.push({ day, counts });
  }
  return days;
}

/** "23 Nov" */
function shortDay(day: string): string {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'short',
    timeZone: 'UTC',
  });
}

// Pending by age and gateway -------------------------------------------------------------------------------

type AgeCell = Figures['now']['pending_by_age'][number];

function PendingByAge({ figures, narrowed }: Props) {
  const cells = figures.now.pending_by_age;
  const gateways = [...new Set(cells.map(({ gateway }) => gateway))];
  const ages = agesOf(cells);
  const cellOf = (gateway: string, age: string) =>
    cells.find((cell) => cell.gateway === gateway && ageText(cell) === age);
  const most = Math.max(1, ...cells.map(({ refunds }) => refunds));
  const anyPending = cells.some(({ refunds }) => refunds > 0);
  const numbers: Numbers = {
    columns: ['Gateway', ...ages],
    rows: anyPending
      ? gateways.map((gateway) => ({
          cells: [gateway, ...ages.map((age) => cellOf(gateway, age)?.refunds ?? 0)],
          search: { ...narrowed, gateway, status: 'PENDING,MANUAL_REVIEW' },
        }))
      : [],
  };
  return (
    <Chart
      title="Pending by age and gateway"
      about="All that are not final at this moment, by how long ago they were made."
      numbers={numbers}
      file="pending-by-age"
    >
      <div className={classes.scroll}>
        <table className={classes.heat} aria-label="Pending by age and gateway">
          <thead>
            <tr>
              <td />
              {ages.map((age) => (
                <th key={age} scope="col">
                  {age}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {gateways.map((gateway) => (
              <tr key={gateway}>
                <th scope="row">{gateway}</th>
                {ages.map((age) => {
                  const cell = cellOf(gateway, age);
                  return (
                    <td
                      key={age}
                      style={{ '--heat': `${((cell?.refunds ?? 0) / most) * 45}%` } as React.CSSProperties}
                    >
                      {cell && cell.refunds > 0 ? (
                        <Link
                          to="/operations/refunds"
                          search={searchOf(cell, narrowed)}
                          className={classes.cell}
                        >
                          {cell.refunds.toLocaleString()}
                        </Link>
                      ) : (
                        <span className={classes.none}>0</span>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Chart>
  );
}

function searchOf({ gateway, created_from, created_before }: AgeCell, narrowed: Narrowed): RefundSearch {
  return {
    ...narrowed,
    gateway,
    status: 'PENDING,MANUAL_REVIEW',
    from: created_from ?? undefined,
    to: created_before ?? undefined,
  };
}

type Age = Pick<AgeCell, 'days_from' | 'days_before'>;

/** All ages from the youngest to the oldest, those between that nothing has too. */
function agesOf(cells: readonly AgeCell[]): string[] {
  const sorted = cells.toSorted((one, other) => one.days_from - other.days_from);
  const ages: Age[] = [];
  for (const { days_from, days_before } of sorted) {
    const reached = ages.at(-1) ? (ages.at(-1)!.days_before ?? Number.POSITIVE_INFINITY) : 0;
    if (days_from > reached) ages.push({ days_from: reached, days_before: days_from });
    if (days_from >= reached) ages.push({ days_from, days_before });
  }
  return ages.map(ageText);
}

function ageText({ days_from, days_before }: Age): string {
  if (days_before === null) return `${days_from} d +`;
  return days_from === 0 ? `< ${days_before} d` : `${days_from}–${days_before} d`;
}

// Failures by reason ---------------------------------------------------------------------------------------

function Failures({ figures, narrowed }: Props) {
  const most = Math.max(1, ...figures.failures.map(({ refunds }) => refunds));
  const search = { ...narrowed, status: 'FAILURE', from: figures.from, to: figures.to };
  const named = figures.failures.map(({ error_code, gateway, refunds }) => ({
    reason: error_code ?? 'no reason given',
    gateway,
    refunds,
  }));
  const numbers: Numbers = {
    columns: ['Reason', 'Gateway', 'Refunds'],
    rows: named.map(({ reason, gateway, refunds }) => ({
      cells: [reason, gateway, refunds],
      search: { ...search, gateway },
    })),
  };
  return (
    <Chart title="Failures by reason" numbers={numbers} file="failures-by-reason">
      <ul className={classes.bars}>
        {named.map(({ reason, gateway, refunds }) => (
          <li key={`${reason} ${gateway}`}>
            <Link to="/operations/refunds" search={{ ...search, gateway }} className={classes.failure}>
              <span className={classes.reason}>{reason}</span>
              <span className={classes.gateway}>{gateway}</span>
              <span className={classes.count}>{refunds.toLocaleString()}</span>
            </Link>
            <span className={classes.bar} style={{ width: `${(refunds / most) * 100}%` }} aria-hidden />
          </li>
        ))}
      </ul>
    </Chart>
  );
}

// Time to outcome ------------------------------------------------------------------------------------------

const LINES = [
  'var(--bar-blue)',
  'var(--bar-green)',
  'var(--bar-amber)',
  'var(--bar-violet)',
  'var(--bar-red)',
];

function TimeToOutcome({ figures }: Props) {
  const told = figures.time_to_outcome.filter(({ refunds }) => refunds > 0);
  const rows = doublings(told).map((limit) => ({
    label: `≤ ${durationText(limit * 1000)}`,
    counts: told.map(({ distribution }) =>
      distribution
        .filter(({ up_to_seconds }) => isWithin(up_to_seconds, limit) && !isWithin(up_to_seconds, limit / 2))
        .reduce((all, { refunds }) => all + refunds, 0),
    ),
  }));
  const numbers: Numbers = {
    columns: ['Took', ...told.map(({ gateway }) => gateway)],
    rows: rows.map(({ label, counts }) => ({ cells: [label, ...counts] })),
  };
  return (
    <Chart
      title="Time to outcome by gateway"
      about={
        told.length > 0 && (
          <ul className={classes.medians}>
            {told.map(({ gateway, refunds, median_seconds, p95_seconds }, at) => (
              <li key={gateway}>
                <Swatch colour={LINES[at % LINES.length]!} /> <b>{gateway}</b>: {refunds.toLocaleString()}{' '}
                refunds, half of them within {lengthText(median_seconds)}, 19 of 20 within{' '}
                {lengthText(p95_seconds)}
              </li>
            ))}
          </ul>
        )
      }
      numbers={numbers}
      file="time-to-outcome"
    >
      <BarChart
        h={220}
        data={rows.map(({ label, counts }) => ({
          label,
          ...Object.fromEntries(told.map(({ gateway }, at) => [gateway, counts[at]])),
        }))}
        dataKey="label"
        series={told.map(({ gateway }, at) => ({ name: gateway, color: LINES[at % LINES.length]! }))}
        tickLine="none"
        maxBarWidth={30}
        barProps={STILL}
        yAxisProps={{ allowDecimals: false, width: 44 }}
        valueFormatter={(value) => value.toLocaleString()}
      />
    </Chart>
  );
}

/** Lengths of time in seconds, each twice the one before, around all that were told: 1, 2, 4 … */
function doublings(told: Figures['time_to_outcome']): number[] {
  const lengths = told.flatMap(({ distribution }) => distribution.map(({ up_to_seconds }) => up_to_seconds));
  const limits: number[] = [];
  for (let limit = 1; lengths.some((length) => !isWithin(length, limit / 2)); limit *= 2) {
    if (limits.length > 0 || lengths.some((length) => isWithin(length, limit))) limits.push(limit);
  }
  return limits;
}

/** The server's lengths are fourth roots of two apart, rounded: every fourth is a power of two. */
function isWithin(seconds: number, limit: number): boolean {
  return limit >= 1 && seconds <= limit * 1.01;
}

function lengthText(seconds: number | null): string {
  return seconds === null ? '—' : durationText(seconds * 1000);
}
