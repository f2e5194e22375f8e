import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { createContext, type ReactNode, useContext } from 'react';
import type { Batch, BatchRow } from '../../../api/contract/batches.ts';
import type { PublicStatus, RefundState } from '../../../api/contract/states.ts';
import { batchRowsQuery } from '../../api/batches.ts';
import { withAmountsAsShown } from '../../parts/amounts.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Money } from '../../parts/money.tsx';
import { Pager } from '../../parts/pager.tsx';
import { Sign, StatusBadge } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { ROW_STATES } from './words.ts';

export interface RowsTab {
  readonly value: string;
  readonly label: string;
  readonly count?: number | undefined;
  /** As the API takes it. */
  readonly filter: { readonly verdict?: string; readonly failed?: string };
  readonly columns: readonly (typeof COLUMNS)[number][];
  readonly empty: string;
}

interface Props extends Pick<StepProps, 'batch' | 'rows' | 'cursor' | 'onRows'> {
  /** The first one is shown where the address names none. */
  readonly tabs: readonly RowsTab[];
}

/** Rows of the file, by tabs; the address says which and where. */
export function Rows({ batch, rows, cursor, onRows, tabs }: Props) {
  const tab = tabs.find(({ value }) => value === rows) ?? tabs[0]!;
  const found = useQuery(batchRowsQuery(batch, { ...tab.filter, limit: 50, cursor }));
  return (
    <>
      <nav className={classes.tabs} aria-label="Rows">
        {tabs.map(({ value, label, count }) => (
          <button
            key={value}
            type="button"
            className={classes.tab}
            aria-pressed={value === tab.value}
            onClick={() => onRows(value === tabs[0]!.value ? undefined : value)}
          >
            {label}
            {count !== undefined && <span className={classes.count}>{count.toLocaleString()}</span>}
          </button>
        ))}
      </nav>
      {found.isPending && <Loading rows={6} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data?.rows.length === 0 && <Empty title={tab.empty} />}
      {found.data && found.data.rows.length > 0 && (
        <BatchContext value={batch}>
          <DataTable
            name={`${tab.label} rows`}
            columns={tab.columns}
            rows={found.data.rows}
            rowId={(row) => String(row.row)}
            fetching={found.isFetching}
            wraps
            labelled
          />
          <Pager
            shown={found.data.rows.length}
            cursor={cursor}
            next={found.data.next_cursor}
            onGo={(next) => onRows(rows, next)}
          />
        </BatchContext>
      )}
    </>
  );
}

// Columns --------------------------------------------------------------------------------------------------

const column = columnsOf<BatchRow>();

const LINE = column.accessor('line', {
  header: 'Line',
  meta: { width: 70 },
  cell: (cell) => <span className="figure">{cell.getValue()}</span>,
});

const OF = column.display({
  id: 'of',
  header: 'Order',
  cell: ({ row: { original } }) => <Of row={original} />,
});

const AMOUNT = column.display({
  id: 'amount',
  header: 'Amount',
  meta: { align: 'right' },
  cell: ({ row: { original } }) => <Amount row={original} />,
});

const STATUS = column.display({
  id: 'status',
  header: 'Status told',
  cell: ({ row: { original } }) => original.fields['status'] ?? null,
});

const KEY = column.display({
  id: 'key',
  header: 'Key',
  cell: ({ row: { original } }) => {
    const key = original.fields['unique_request_id'];
    return key ? <Id value={key} of="unique request id" /> : null;
  },
});

const VERDICT = column.accessor('verdict', {
  header: 'Verdict',
  cell: (cell) => <VerdictSign verdict={cell.getValue()} />,
});

const FIELD = column.display({
  id: 'field',
  header: 'Field',
  cell: ({ row: { original } }) => original.problem?.field ?? <span className={classes.quiet}>row</span>,
});

const VALUE = column.display({
  id: 'value',
  header: 'Value',
  cell: ({ row: { original } }) => <OfBatch>{(batch) => <Value row={original} batch={batch} />}</OfBatch>,
});

const WHY = column.display({
  id: 'why',
  header: 'Why',
  cell: ({ row: { original } }) => <Why row={original} />,
});

const STATE = column.display({
  id: 'state',
  header: 'Outcome',
  cell: ({ row: { original } }) => <Outcome row={original} />,
});

const REFUND = column.display({
  id: 'refund',
  header: 'Refund',
  cell: ({ row: { original } }) =>
    original.refund ? (
      <Link to="/operations/refunds/$refundId" params={{ refundId: original.refund.refund_id }} search={{}}>
        <Id value={original.refund.refund_id} of="refund id" />
      </Link>
    ) : null,
});

const ARN = column.display({
  id: 'arn',
  header: 'ARN',
  cell: ({ row: { original } }) =>
    original.refund?.arn ? <Id value={original.refund.arn} of="ARN" /> : null,
});

const COLUMNS = column.columns([
  LINE,
  OF,
  AMOUNT,
  STATUS,
  KEY,
  VERDICT,
  FIELD,
  VALUE,
  WHY,
  STATE,
  REFUND,
  ARN,
]);

/** What the rows of each kind of batch ask for, and what is said of them, by what is looked for. */
export const COLUMNS_OF = {
  refunds: {
    bad: column.columns([LINE, OF, KEY, FIELD, VALUE, WHY]),
    alike: column.columns([LINE, OF, AMOUNT, KEY, WHY]),
    checked: column.columns([LINE, OF, AMOUNT, KEY, VERDICT, WHY]),
    results: column.columns([LINE, OF, AMOUNT, KEY, STATE, REFUND, ARN, WHY]),
  },
  status_updates: {
    bad: column.columns([LINE, OF, KEY, FIELD, VALUE, WHY]),
    alike: column.columns([LINE, OF, STATUS, KEY, WHY]),
    checked: column.columns([LINE, OF, STATUS, KEY, VERDICT, WHY]),
    results: column.columns([LINE, OF, STATUS, KEY, STATE, WHY]),
  },
};

/** Cells are drawn far from their page, and columns that were made anew would make them all anew. */
const BatchContext = createContext<Batch | null>(null);

function OfBatch({ children }: { readonly children: (batch: Batch) => ReactNode }) {
  const batch = useContext(BatchContext);
  return batch && children(batch);
}

/** What the row is about: an order, or a payment or refund by its id. */
function Of({ row }: { readonly row: BatchRow }) {
  const { order_id, txn_id, refund_id } = row.fields;
  if (order_id) return <Id value={order_id} of="order id" />;
  if (txn_id) return <Id value={txn_id} of="transaction id" />;
  if (refund_id) return <Id value={refund_id} of="refund id" />;
  return <span className={classes.quiet}>{row.cells.join(', ').slice(0, SHOWN) || '—'}</span>;
}

function Amount({ row: { fields, refund } }: { readonly row: BatchRow }) {
  if (refund) return <Money amount={refund.amount} currency={refund.currency} />;
  const { amount, currency } = fields;
  if (amount === 'full') return 'all that is left';
  if (!amount || !/^\d+(\.\d+)?$/.test(amount)) return null;
  return <Money amount={amount} currency={currency ?? ''} />;
}

/** The cell that is to blame, as it stands in the file. */
function Value({ row, batch }: { readonly row: BatchRow; readonly batch: Batch }) {
  const value = cellOf(row, batch);
  if (value === null || value === '') return <span className={classes.quiet}>empty</span>;
  return <span className={`mono ${classes.value}`}>{shortOf(value)}</span>;
}

/** A cell may hold a page of text. */
const SHOWN = 80;

function shortOf(value: string): string {
  return value.length <= SHOWN ? value : `${value.slice(0, SHOWN)}…`;
}

function cellOf(row: BatchRow, { file }: Batch): string | null {
  const field = row.problem?.field;
  if (!field) return row.cells.join(', ');
  const at = file.columns.findIndex((column) => column.field === field || column.field === `${field}_minor`);
  // A row that was corrected comes from a file with other columns.
  const asItCame = row.cells.length === file.columns.length ? row.cells[at] : undefined;
  return asItCame ?? row.fields[field] ?? null;
}

function Why({ row }: { readonly row: BatchRow }) {
  const { problem, refund } = row;
  const message = problem?.message ?? (refund?.status === 'SUCCESS' ? null : refund?.error_message);
  return message == null ? null : withAmountsAsShown(message);
}

function VerdictSign({ verdict }: { readonly verdict: BatchRow['verdict'] }) {
  if (verdict === 'good') return <Sign is="good" word="Good" />;
  return verdict === 'bad' ? <Sign is="bad" word="Bad" /> : <Sign is="waits" word="Look-alike" />;
}

function Outcome({ row }: { readonly row: BatchRow }) {
  if (row.refund) {
    return <StatusBadge status={row.refund.status as PublicStatus} state={row.refund.state as RefundState} />;
  }
  const is = { left: 'waits', made: 'good', refused: 'bad', not_sent: 'off' } as const;
  const detail = row.state === 'not_sent' && row.verdict === 'bad' ? 'bad' : null;
  return <Sign is={is[row.state]} word={ROW_STATES[row.state]} detail={detail} />;
}
