import { Button, Text } from '@mantine/core';
import { useClipboard, useMediaQuery } from '@mantine/hooks';
import { IconAlertTriangle } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { RefundCounts } from '../../../api/contract/counts.ts';
import type { RefundInList } from '../../../api/contract/refunds.ts';
import { STATE_NAMES, STATES } from '../../../api/contract/states.ts';
import { batchQuery } from '../../api/batches.ts';
import { csvAddress } from '../../api/client.ts';
import { countsQuery, refundsQuery } from '../../api/refunds.ts';
import { useMay } from '../../api/session.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { ColumnChoice } from '../../parts/column-choice.tsx';
import { ChoiceFilter, FieldFilter, FilterBar, SearchFilter } from '../../parts/filters.tsx';
import { Id, shortened } from '../../parts/id.tsx';
import { ExportButton, ListFilters } from '../../parts/list-filters.tsx';
import { Money } from '../../parts/money.tsx';
import { Page } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { dayRange } from '../../parts/ranges.ts';
import { StatusBadge } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Day, durationText, Time, useNow } from '../../parts/time.tsx';
import { stateWord } from '../../parts/trail-words.ts';
import { Views } from '../../parts/views.tsx';
import { usePreferences } from '../../preferences.tsx';
import { RefundPanel } from './refund.tsx';
import classes from './refunds.module.css';

const FILTERS = [
  'q',
  'status',
  'state',
  'overdue',
  'attention',
  'pending_days',
  'gateway',
  'currency',
  'amount_from',
  'amount_to',
  'from',
  'to',
  'door',
  'batch_id',
  'initiated_by',
] as const;
type Filter = (typeof FILTERS)[number] | 'sort';

/** All refunds, to find every one. */
export function Refunds() {
  const search = useSearch({ from: '/signed-in/operations/refunds' });
  const navigate = useNavigate({ from: '/operations/refunds' });
  const { zone } = usePreferences();
  const mayExport = useMay('export');
  const clipboard = useClipboard();

  /** What the kept counts can be narrowed by; nobody counts rows for the other filters. */
  const counted = {
    gateway: search.gateway,
    currency: search.currency,
    ...dayRange(search.from, search.to, zone),
  };
  const uncounted = {
    search: search.q,
    state: search.state,
    attention: search.attention,
    pending_days: search.pending_days,
    amount_from: search.amount_from,
    amount_to: search.amount_to,
    door: search.door,
    batch_id: search.batch_id,
    initiated_by: search.initiated_by,
  };
  const filters = { ...counted, ...uncounted, status: search.status, overdue: search.overdue };
  const found = useQuery(refundsQuery({ ...filters, sort: search.sort, cursor: search.cursor }));
  const isCounted = Object.values(uncounted).every((value) => value === undefined);
  const counts = useQuery({ ...countsQuery(counted), enabled: isCounted }).data;
  const usuallyHidden = useMediaQuery('(max-width: 48em)') ? HIDDEN_WHERE_NARROW : USUALLY_HIDDEN;
  const hidden = search.hide === undefined ? usuallyHidden : search.hide.split(',');
  const filtered = FILTERS.some((name) => search[name] !== undefined);

  const go = (changes: Readonly<Record<string, string | undefined>>, replace: boolean) =>
    void navigate({ search: { ...search, ...changes }, replace });
  /** A new question starts at its first page. */
  const change = (values: Readonly<Partial<Record<Filter, string | undefined>>>) =>
    go({ ...values, cursor: undefined }, true);
  const clear = () => change(Object.fromEntries(FILTERS.map((name) => [name, undefined])));
  const open = (refund: RefundInList | null) =>
    go({ open: refund?.refund_id, tab: undefined }, search.open !== undefined);

  return (
    <Page
      title="Refunds"
      actions={
        <>
          <ColumnChoice
            columns={CHOOSABLE}
            hidden={hidden}
            onChange={(hide) => go({ hide: hiddenText(hide, usuallyHidden) }, true)}
          />
          {mayExport && <ExportButton href={csvAddress('/v1/refunds/export.csv', filters)} />}
        </>
      }
    >
      <div className={classes.top}>
        <StatusTabs search={search} counts={isCounted ? counts : undefined} />
        <Views page="refunds" search={search} onApply={(next) => void navigate({ search: next })} />
      </div>
      <FilterBar onClear={filtered ? clear : undefined}>
        <SearchFilter
          label="Order, refund, ARN or e-mail"
          width={200}
          value={search.q}
          onChange={(q) => change({ q })}
        />
        <ChoiceFilter
          name="State"
          value={search.state}
          choices={statesOf(search.status)}
          onChange={(state) => change({ state })}
        />
        <ChoiceFilter
          name="Pending for"
          value={search.pending_days}
          choices={[1, 3, 7, 10, 30].map((days) => ({ value: String(days), label: `${days} d or more` }))}
          onChange={(pending_days) => change({ pending_days })}
        />
        <ListFilters search={search} onChange={change} />
        <ChoiceFilter
          name="Came by"
          value={search.door}
          choices={[
            { value: 'dashboard', label: 'Dashboard' },
            { value: 'api', label: 'API' },
            { value: 'batch', label: 'Batch' },
          ]}
          onChange={(door) => change({ door })}
        />
        <FieldFilter
          name="By"
          shown={search.initiated_by}
          fields={[{ key: 'initiated_by', label: 'Who asked for it', value: search.initiated_by }]}
          onChange={change}
        />
        {search.batch_id && (
          <BatchFilter batchId={search.batch_id} onClear={() => change({ batch_id: undefined })} />
        )}
        {search.attention && (
          <ChoiceFilter
            name="Needs a person"
            value={search.attention}
            choices={[{ value: 'true', label: 'Yes' }]}
            onChange={(attention) => change({ attention })}
          />
        )}
        <ChoiceFilter
          name="Sort"
          value={search.sort}
          choices={[
            { value: 'newest', label: 'Newest first' },
            { value: 'oldest', label: 'Oldest first' },
            { value: 'due', label: 'Longest due first' },
          ]}
          onChange={(sort) => change({ sort })}
        />
      </FilterBar>

      {found.isPending && <Loading rows={14} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data && found.data.refunds.length === 0 && (
        <Empty title={filtered ? 'No refunds match.' : 'There are no refunds yet.'}>
          {filtered ? (
            <Button variant="default" onClick={clear}>
              Clear filters
            </Button>
          ) : (
            <Button component={Link} to="/operations/orders" variant="default">
              Find an order to refund
            </Button>
          )}
        </Empty>
      )}
      {found.data && found.data.refunds.length > 0 && (
        <>
          <DataTable
            name="Refunds"
            columns={COLUMNS}
            rows={found.data.refunds}
            rowId={(refund) => refund.refund_id}
            hidden={hidden}
            openId={search.open ?? null}
            onOpen={open}
            hrefOf={(refund) => `/operations/refunds/${refund.refund_id}`}
            fetching={found.isFetching}
            keys={{ y: (refund) => clipboard.copy(refund.refund_id) }}
          />
          <Pager
            shown={found.data.refunds.length}
            cursor={search.cursor}
            next={found.data.next_cursor}
            onGo={(cursor) => go({ cursor, open: undefined }, false)}
          />
        </>
      )}

      {search.open !== undefined && (
        <RefundPanel
          key={search.open}
          refundId={search.open}
          tab={search.tab}
          onTab={(tab) => go({ tab }, true)}
          onClose={() => open(null)}
        />
      )}
    </Page>
  );
}

/** Only the refunds of one batch; the way here is from the batch itself. */
function BatchFilter({ batchId, onClear }: { readonly batchId: string; readonly onClear: () => void }) {
  const batch = useQuery({ ...batchQuery(batchId), refetchInterval: false }).data;
  return (
    <ChoiceFilter
      name="Batch"
      value={batchId}
      choices={[{ value: batchId, label: batch?.name ?? shortened(batchId) }]}
      onChange={(value) => value === undefined && onClear()}
    />
  );
}

// Status tabs ----------------------------------------------------------------------------------------------

interface TabsProps {
  readonly search: Readonly<{ status?: string; overdue?: string }>;
  readonly counts: RefundCounts | undefined;
}

/** Each status with how many refunds have it, where that is known for the other filters. */
function StatusTabs({ search, counts }: TabsProps) {
  const of = counts?.statuses;
  const chosen = search.status?.split(',') ?? [];
  const all = of && of.PENDING + of.SUCCESS + of.FAILURE + of.MANUAL_REVIEW;
  const tabs = [
    { label: 'All', status: undefined, overdue: undefined, count: all },
    { label: 'Pending', status: 'PENDING', overdue: undefined, count: of?.PENDING },
    { label: 'Success', status: 'SUCCESS', overdue: undefined, count: of?.SUCCESS },
    { label: 'Failure', status: 'FAILURE', overdue: undefined, count: of?.FAILURE },
    { label: 'Manual review', status: 'MANUAL_REVIEW', overdue: undefined, count: of?.MANUAL_REVIEW },
    { label: 'Overdue', status: undefined, overdue: 'true', count: counts?.overdue },
  ];
  return (
    <nav className={classes.tabs} aria-label="Refunds by status">
      {tabs.map((tab) => {
        const current = tab.status
          ? chosen.includes(tab.status)
          : tab.overdue === search.overdue && chosen.length === 0;
        return (
          <Link
            key={tab.label}
            to="/operations/refunds"
            search={{
              ...search,
              status: tab.status,
              overdue: tab.overdue,
              // A state belongs to one status.
              state: undefined,
              cursor: undefined,
            }}
            className={classes.tab}
            activeOptions={{ exact: true, explicitUndefined: true }}
            data-current={current || undefined}
            aria-current={current ? 'page' : undefined}
          >
            {tab.label}
            {tab.count !== undefined && <span className={classes.count}>{tab.count.toLocaleString()}</span>}
          </Link>
        );
      })}
    </nav>
  );
}

function statesOf(status: string | undefined) {
  const wanted = status?.split(',');
  return STATE_NAMES.filter((state) => !wanted || wanted.includes(STATES[state].public)).map((state) => ({
    value: state,
    label: stateWord(state),
  }));
}

// Columns --------------------------------------------------------------------------------------------------

const column = columnsOf<RefundInList>();

const COLUMNS = column.columns([
  column.accessor('created_at', { header: 'Created', cell: (cell) => <Time at={cell.getValue()} /> }),
  column.accessor('refund_id', {
    header: 'Refund',
    cell: (cell) => (
      <Link
        to="/operations/refunds/$refundId"
        params={{ refundId: cell.getValue() }}
        search={{}}
        tabIndex={-1}
        className={classes.link}
      >
        <Id value={cell.getValue()} of="refund id" />
      </Link>
    ),
  }),
  column.accessor('order_id', {
    header: 'Order',
    cell: (cell) => (
      <Link
        to="/operations/orders/$orderId"
        params={{ orderId: cell.getValue() }}
        search={{}}
        tabIndex={-1}
        className={classes.link}
      >
        <Id value={cell.getValue()} of="order id" />
      </Link>
    ),
  }),
  column.accessor('customer_email', { header: 'Customer', cell: (cell) => cell.getValue() ?? '—' }),
  column.accessor('amount', {
    header: 'Amount',
    meta: { align: 'right' },
    cell: (cell) => <Money amount={cell.getValue()} currency={cell.row.original.currency} />,
  }),
  column.accessor('gateway', { header: 'Gateway' }),
  column.accessor('payment_method_type', { header: 'Method', cell: (cell) => cell.getValue() ?? '—' }),
  column.accessor('status', {
    header: 'Status',
    cell: ({ row: { original } }) => (
      <StatusBadge
        status={original.status}
        state={original.state}
        detail={original.status === 'SUCCESS' && original.arn ? 'ARN known' : null}
      />
    ),
  }),
  column.display({ id: 'due', header: 'Age / due', cell: (cell) => <Age refund={cell.row.original} /> }),
  column.accessor('initiated_by', { header: 'By' }),
  column.accessor('reason', { header: 'Reason', cell: (cell) => cell.getValue() ?? '—' }),
  column.accessor('arn', {
    header: 'ARN',
    cell: (cell) => {
      const arn = cell.getValue();
      return arn ? <Id value={arn} of="ARN" /> : '—';
    },
  }),
]);

const CHOOSABLE = [
  ['created_at', 'Created'],
  ['refund_id', 'Refund'],
  ['customer_email', 'Customer'],
  ['gateway', 'Gateway'],
  ['payment_method_type', 'Method'],
  ['due', 'Age / due'],
  ['initiated_by', 'By'],
  ['reason', 'Reason'],
  ['arn', 'ARN'],
] as const;
const USUALLY_HIDDEN: readonly string[] = ['customer_email', 'payment_method_type', 'reason', 'arn'];

const HIDDEN_WHERE_NARROW: readonly string[] = [...USUALLY_HIDDEN, 'refund_id', 'gateway', 'initiated_by'];

/** As the address has it: nothing for the usual columns, a word for "none". */
function hiddenText(hidden: readonly string[], usual: readonly string[]): string | undefined {
  const isUsual = hidden.length === usual.length && hidden.every((id) => usual.includes(id));
  return isUsual ? undefined : hidden.join(',') || 'none';
}

/** How long it has been under way and when it is due; once it is over, how long it took. */
function Age({ refund }: { readonly refund: RefundInList }) {
  const nowMs = useNow();
  const createdMs = Date.parse(refund.created_at);
  const endedAt = refund.succeeded_at ?? refund.failed_at;
  if (refund.pending_days === null) {
    return (
      <Text span size="sm" c="dimmed" className="figure">
        {endedAt ? `took ${durationText(Math.max(0, Date.parse(endedAt) - createdMs))}` : '—'}
      </Text>
    );
  }
  if (refund.overdue) {
    return (
      <span className={classes.overdue}>
        <IconAlertTriangle size={13} aria-hidden /> {durationText(nowMs - Date.parse(refund.due_at))} overdue
      </span>
    );
  }
  return (
    <span className="figure">
      {durationText(nowMs - createdMs)}
      <Text span size="sm" c="dimmed">
        {' '}
        · due <Day at={refund.due_at} />
      </Text>
    </span>
  );
}
