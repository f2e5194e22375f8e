import { SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import type { Figures } from '../../../api/contract/figures.ts';
import { gatewayChoicesQuery } from '../../api/choices.ts';
import { figuresQuery } from '../../api/figures.ts';
import { countsQuery } from '../../api/refunds.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { ChoiceFilter, FilterBar } from '../../parts/filters.tsx';
import { Page } from '../../parts/page.tsx';
import { dayAfter, dayIn } from '../../parts/ranges.ts';
import { useNow } from '../../parts/time.tsx';
import { usePreferences } from '../../preferences.tsx';
import { FigureRow } from './figure-row.tsx';
import { FirstSteps } from './first-steps.tsx';

/** Drawing is the largest part of the page and is loaded for itself. */
const Charts = lazy(() => import('./charts.tsx'));

const PERIODS = [
  { value: '1', label: 'Today' },
  { value: '7', label: '7 days' },
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
];
const USUAL_PERIOD = '30';

/** How refunds stand today and how they went lately; before the first one, what to do to get there. */
export function Home() {
  const counts = useQuery(countsQuery({}));
  if (counts.isPending) {
    return (
      <Page title="Home">
        <Loading />
      </Page>
    );
  }
  if (counts.isError) {
    return (
      <Page title="Home">
        <Failed error={counts.error} onRetry={() => void counts.refetch()} />
      </Page>
    );
  }
  const { PENDING, SUCCESS, FAILURE, MANUAL_REVIEW } = counts.data.statuses;
  return PENDING + SUCCESS + FAILURE + MANUAL_REVIEW === 0 ? <FirstSteps /> : <Today />;
}

function Today() {
  const search = useSearch({ from: '/signed-in/' });
  const navigate = useNavigate({ from: '/' });
  const { zone } = usePreferences();
  const today = dayIn(zone, useNow());
  const period = PERIODS.some(({ value }) => value === search.period) ? search.period! : USUAL_PERIOD;
  const days = Number(period);
  const asked = {
    from: dayAfter(today, 1 - days),
    to: today,
    zone,
    compare: 'true',
    ...(search.currency && { currency: search.currency }),
    ...(search.gateway && { gateway: search.gateway }),
  } as const;
  const figures = useQuery(figuresQuery(asked));
  // The currencies of every day, whichever of them is shown.
  const currencies = useQuery(figuresQuery({ ...asked, currency: undefined })).data;
  const gateways = useQuery(gatewayChoicesQuery).data ?? [];
  const change = (values: Readonly<Record<string, string | undefined>>) =>
    void navigate({ search: { ...search, ...values }, replace: true });

  return (
    <Page
      title="Home"
      actions={
        <SegmentedControl
          size="xs"
          aria-label="Period"
          data={PERIODS}
          value={period}
          onChange={(value) => change({ period: value === USUAL_PERIOD ? undefined : value })}
        />
      }
    >
      <FilterBar
        onClear={
          search.currency || search.gateway
            ? () => change({ currency: undefined, gateway: undefined })
            : undefined
        }
      >
        <ChoiceFilter
          name="Currency"
          value={search.currency}
          choices={currenciesOf(currencies).map((value) => ({ value, label: value }))}
          onChange={(currency) => change({ currency })}
        />
        <ChoiceFilter
          name="Gateway"
          value={search.gateway}
          choices={gateways}
          onChange={(gateway) => change({ gateway })}
        />
      </FilterBar>
      {figures.isPending && <Loading />}
      {figures.isError && <Failed error={figures.error} onRetry={() => void figures.refetch()} />}
      {figures.data && (
        <>
          <FigureRow figures={figures.data} days={days} narrowed={narrowedBy(search)} />
          <Suspense fallback={<Loading rows={12} />}>
            <Charts figures={figures.data} narrowed={narrowedBy(search)} />
          </Suspense>
        </>
      )}
    </Page>
  );
}

/** The part of this page's address that its links to lists carry on. */
export interface Narrowed {
  readonly currency?: string;
  readonly gateway?: string;
}

function narrowedBy({ currency, gateway }: Narrowed): Narrowed {
  return { ...(currency && { currency }), ...(gateway && { gateway }) };
}

function currenciesOf(figures: Figures | undefined): string[] {
  const { totals, now } = figures ?? {};
  const all = [...(totals?.amounts ?? []), ...(now?.in_flight ?? [])].map(({ currency }) => currency);
  return [...new Set(all)].sort();
}
