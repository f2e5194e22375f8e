import { Button } from '@mantine/core';
import { IconDownload, IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import type { Batch, BatchKind } from '../../../api/contract/batches.ts';
import { batchesQuery, sampleHref } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { ChoiceFilter, FieldFilter, FilterBar, SearchFilter } from '../../parts/filters.tsx';
import { Money } from '../../parts/money.tsx';
import { Page } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { dayRange, rangeText } from '../../parts/ranges.ts';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { usePreferences } from '../../preferences.tsx';
import { Bar } from './bar.tsx';
import classes from './batches.module.css';
import { BatchSign } from './sign.tsx';
import { byCurrency, bytesText, count, KINDS, progressOf, STATUSES, totalsTogether } from './words.ts';

export function RefundBatches() {
  return <Batches kind="refunds" />;
}

export function StatusBatches() {
  return <Batches kind="status_updates" />;
}

const ABOUT: Readonly<Record<BatchKind, string>> = {
  refunds: 'Many refunds from one file: checked whole, confirmed by its total, followed row by row.',
  status_updates:
    'The outcomes of refunds in manual review from one file: checked, confirmed, settled row by row.',
};

const FILTERS = ['q', 'status', 'from', 'to'] as const;

/** All batches of a kind, the newest first. */
function Batches({ kind }: { readonly kind: BatchKind }) {
  const { to } = KINDS[kind];
  const search = useSearch({ strict: false }) as Readonly<
    Partial<Record<(typeof FILTERS)[number] | 'cursor', string>>
  >;
  const navigate = useNavigate();
  const { zone } = usePreferences();
  const mayRun = useMay('batches.run');
  const found = useQuery(
    batchesQuery({
      kind,
      search: search.q,
      status: search.status,
      ...dayRange(search.from, search.to, zone),
      cursor: search.cursor,
    }),
  );
  const filtered = FILTERS.some((name) => search[name] !== undefined);
  const go = (changes: Readonly<Record<string, string | undefined>>, replace: boolean) =>
    void navigate({ to, search: { ...search, ...changes }, replace });
  const change = (values: Readonly<Record<string, string | undefined>>) =>
    go({ ...values, cursor: undefined }, true);
  const clear = () => change(Object.fromEntries(FILTERS.map((name) => [name, undefined])));
  const columns = useMemo(() => columnsWith(kind), [kind]);

  const sample = (
    <Button
      variant="default"
      component="a"
      href={sampleHref(kind)}
      download
      leftSection={<IconDownload size={15} />}
    >
      Sample file
    </Button>
  );
  const create = mayRun && (
    <Button component={Link} to={`/batch/new?kind=${kind}`} leftSection={<IconPlus size={16} />}>
      {KINDS[kind].create}
    </Button>
  );

  return (
    <Page
      title={KINDS[kind].title}
      about={
        <>
          {ABOUT[kind]}
          {!mayRun && ' Your role may look at them; running them takes the role Operations.'}
        </>
      }
      actions={
        <>
          {sample}
          {create}
        </>
      }
    >
      <FilterBar onClear={filtered ? clear : undefined}>
        <SearchFilter label="Name or batch id" width={200} value={search.q} onChange={(q) => change({ q })} />
        <ChoiceFilter
          name="Status"
          value={search.status}
          choices={Object.entries(STATUSES).map(([value, { word }]) => ({ value, label: word }))}
          onChange={(status) => change({ status })}
        />
        <FieldFilter
          name="Uploaded"
          shown={rangeText(search.from, search.to)}
          fields={[
            { key: 'from', label: 'From', type: 'date', value: search.from },
            { key: 'to', label: 'To', type: 'date', value: search.to },
          ]}
          onChange={change}
        />
      </FilterBar>
      {found.isPending && <Loading rows={10} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data?.batches.length === 0 &&
        (filtered ? (
          <Empty title="No batches match.">
            <Button variant="default" onClick={clear}>
              Clear filters
            </Button>
          </Empty>
        ) : (
          <FirstBatch kind={kind}>
            {sample}
            {create}
          </FirstBatch>
        ))}
      {found.data && found.data.batches.length > 0 && (
        <>
          <DataTable
            name={KINDS[kind].title}
            columns={columns}
            rows={found.data.batches}
            rowId={(batch) => batch.batch_id}
            onOpen={(batch) =>
              void navigate({ to: '/batch/$batchId', params: { batchId: batch.batch_id }, search: {} })
            }
            hrefOf={(batch) => `/batch/${batch.batch_id}`}
            fetching={found.isFetching}
          />
          <Pager
            shown={found.data.batches.length}
            cursor={search.cursor}
            next={found.data.next_cursor}
            onGo={(cursor) => go({ cursor }, false)}
          />
        </>
      )}
    </Page>
  );
}

/** What to do where there is no batch yet. */
function FirstBatch({ kind, children }: { readonly kind: BatchKind; readonly children: ReactNode }) {
  return (
    <div className={classes.first}>
      <h2>{kind === 'refunds' ? 'Refund many orders at once' : 'Settle many manual reviews at once'}</h2>
      <ol>
        <li>
          Download the sample file and fill it in:{' '}
          {kind === 'refunds' ? 'one row for each refund.' : 'one row for each refund and its outcome.'}
        </li>
        <li>Upload it. Each row is checked against the orders; nothing is sent yet.</li>
        <li>
          {kind === 'refunds'
            ? 'Confirm by typing the total, and follow each row to its outcome.'
            : 'Confirm by typing the number of rows, and see what became of each.'}
        </li>
      </ol>
      <div className={classes.row}>{children}</div>
    </div>
  );
}

// Columns --------------------------------------------------------------------------------------------------

const column = columnsOf<Batch>();

function columnsWith(kind: BatchKind) {
  return column.columns([
    column.accessor('name', {
      header: 'Name',
      cell: ({ row: { original: batch } }) => (
        <Link
          to="/batch/$batchId"
          params={{ batchId: batch.batch_id }}
          search={{}}
          tabIndex={-1}
          className={classes.name}
        >
          {batch.name}
        </Link>
      ),
    }),
    column.display({
      id: 'status',
      header: 'Status',
      cell: ({ row: { original } }) => <BatchSign batch={original} />,
    }),
    column.display({
      id: 'progress',
      header: 'Progress',
      meta: { width: 210 },
      cell: ({ row: { original } }) => <Progress batch={original} />,
    }),
    column.display({
      id: 'rows',
      header: 'Rows',
      meta: { align: 'right', wideOnly: true },
      cell: ({ row: { original } }) => (
        <span className="figure">{original.rows.total > 0 ? original.rows.total.toLocaleString() : '—'}</span>
      ),
    }),
    ...(kind === 'refunds'
      ? [
          column.display({
            id: 'total',
            header: 'Total',
            meta: { align: 'right' as const },
            cell: ({ row: { original } }) => <Total batch={original} />,
          }),
        ]
      : []),
    column.accessor('created_at', { header: 'Uploaded', cell: (cell) => <Time at={cell.getValue()} /> }),
    column.display({
      id: 'by',
      header: 'By',
      meta: { wideOnly: true },
      cell: ({ row: { original } }) => original.created_by.name,
    }),
  ]);
}

/** What was confirmed; before that, what could be. */
function Total({ batch }: { readonly batch: Batch }) {
  const totals =
    batch.confirmation?.totals ??
    (batch.check ? totalsTogether(batch.check.totals, batch.check.look_alike_totals) : {});
  const all = byCurrency(totals);
  if (all.length === 0) return '—';
  return (
    <span className={classes.totals}>
      {all.slice(0, 2).map(([currency, amount]) => (
        <Money key={currency} amount={amount} currency={currency} />
      ))}
      {all.length > 2 && <span className={classes.quiet}>+{all.length - 2}</span>}
    </span>
  );
}

function Progress({ batch }: { readonly batch: Batch }) {
  const { rows, file } = batch;
  if (batch.status === 'uploading') {
    if (batch.problem) return <span className={classes.quiet}>needs you</span>;
    return (
      <Bar name="Uploaded" done={file.received_bytes} of={file.bytes}>
        {bytesText(file.received_bytes)}
      </Bar>
    );
  }
  if (batch.status === 'checking') {
    return (
      <Bar name="Checked" done={rows.checked} of={rows.total}>
        {rows.checked.toLocaleString()} checked
      </Bar>
    );
  }
  if (batch.started_at === null) {
    return rows.bad > 0 ? (
      <span className={classes.quiet}>{count(rows.bad, 'bad row')}</span>
    ) : (
      <span className={classes.quiet}>—</span>
    );
  }
  const { done, of } = progressOf(batch);
  return (
    <Bar name="Sent" done={done} of={of} still={batch.status !== 'running'}>
      {done.toLocaleString()} of {of.toLocaleString()}
    </Bar>
  );
}
