import { Button, Text } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import type { Order } from '../../../api/contract/orders.ts';
import { csvAddress } from '../../api/client.ts';
import { ordersQuery } from '../../api/orders.ts';
import { useMay } from '../../api/session.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { ColumnChoice } from '../../parts/column-choice.tsx';
import { ChoiceFilter, FilterBar, SearchFilter } from '../../parts/filters.tsx';
import { Id } from '../../parts/id.tsx';
import { ExportButton, ListFilters } from '../../parts/list-filters.tsx';
import { isZero, Money } from '../../parts/money.tsx';
import { Page } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { SidePanel } from '../../parts/panel.tsx';
import { dayRange } from '../../parts/ranges.ts';
import { RefundedBar } from '../../parts/refunded-bar.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { Views } from '../../parts/views.tsx';
import { usePreferences } from '../../preferences.tsx';
import { CreateRefund } from './create-refund.tsx';
import { OrderDetails } from './order.tsx';

const FILTERS = [
  'q',
  'status',
  'gateway',
  'currency',
  'amount_from',
  'amount_to',
  'from',
  'to',
  'refunded',
] as const;

/** All orders, to find one and refund it. */
export function Orders() {
  const search = useSearch({ from: '/signed-in/operations/orders' });
  const navigate = useNavigate({ from: '/operations/orders' });
  const { zone } = usePreferences();
  const mayRefund = useMay('refunds.create');
  const mayExport = useMay('export');
  const clipboard = useClipboard();
  const [refunding, setRefunding] = useState<Order | null>(null);

  const filters = {
    search: search.q,
    status: search.status,
    gateway: search.gateway,
    currency: search.currency,
    amount_from: search.amount_from,
    amount_to: search.amount_to,
    refunded: search.refunded,
    ...dayRange(search.from, search.to, zone),
    sort: search.sort,
  };
  const found = useQuery(ordersQuery({ ...filters, cursor: search.cursor }));
  const hidden = search.hide?.split(',') ?? [];
  const filtered = FILTERS.some((name) => search[name] !== undefined);

  const go = (values: Partial<typeof search>, replace = true) =>
    void navigate({ search: { ...search, ...values }, replace });
  /** A new question starts at its first page. */
  const change = (values: Partial<typeof search>) => go({ ...values, cursor: undefined });
  const open = (order: Order | null) =>
    go({ open: order?.order_id, tab: undefined }, search.open !== undefined);
  const clear = () => change(Object.fromEntries(FILTERS.map((name) => [name, undefined])));

  return (
    <Page
      title="Orders"
      actions={
        <>
          <ColumnChoice
            columns={CHOOSABLE}
            hidden={hidden}
            onChange={(hide) => go({ hide: hide.join(',') || undefined })}
          />
          {mayExport && <ExportButton href={csvAddress('/v1/orders/export.csv', filters)} />}
        </>
      }
    >
      <Views page="orders" search={search} onApply={(next) => void navigate({ search: next })} />
      <FilterBar onClear={filtered ? clear : undefined}>
        <SearchFilter
          label="Order, payment, e-mail or phone"
          value={search.q}
          onChange={(q) => change({ q })}
        />
        <ChoiceFilter
          name="Refunded"
          value={search.refunded}
          choices={[
            { value: 'none', label: 'Not' },
            { value: 'partly', label: 'Partly' },
            { value: 'fully', label: 'Fully' },
          ]}
          onChange={(refunded) => change({ refunded })}
        />
        <ChoiceFilter
          name="Status"
          value={search.status}
          choices={['CHARGED', 'NEW', 'PENDING_VBV', 'AUTHENTICATION_FAILED', 'AUTHORIZATION_FAILED'].map(
            (value) => ({ value, label: value }),
          )}
          onChange={(status) => change({ status })}
        />
        <ListFilters search={search} onChange={change} />
        <ChoiceFilter
          name="Sort"
          value={search.sort}
          choices={[
            { value: 'newest', label: 'Newest first' },
            { value: 'oldest', label: 'Oldest first' },
            // Amounts of two currencies have no order.
            ...(search.currency
              ? [
                  { value: 'amount_desc', label: 'Largest amount first' },
                  { value: 'amount_asc', label: 'Smallest amount first' },
                ]
              : []),
          ]}
          onChange={(sort) => change({ sort })}
        />
      </FilterBar>

      {found.isPending && <Loading rows={14} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data && found.data.orders.length === 0 && (
        <Empty title={filtered ? 'No orders match.' : 'There are no orders yet.'}>
          {filtered ? (
            <Button variant="default" onClick={clear}>
              Clear filters
            </Button>
          ) : (
            <Text size="sm">
              Your shop makes them with POST /orders, or you import them:{' '}
              <a href="/docs">see the API reference</a>.
            </Text>
          )}
        </Empty>
      )}
      {found.data && found.data.orders.length > 0 && (
        <>
          <DataTable
            name="Orders"
            columns={COLUMNS}
            rows={found.data.orders}
            rowId={(order) => order.order_id}
            hidden={hidden}
            openId={search.open ?? null}
            onOpen={open}
            hrefOf={(order) => `/operations/orders/${encodeURIComponent(order.order_id)}`}
            fetching={found.isFetching}
            keys={{
              y: (order) => clipboard.copy(order.order_id),
              ...(mayRefund && { r: setRefunding }),
            }}
          />
          <Pager
            shown={found.data.orders.length}
            cursor={search.cursor}
            next={found.data.next_cursor}
            onGo={(cursor) => go({ cursor, open: undefined }, false)}
          />
        </>
      )}

      {search.open !== undefined && (
        <SidePanel
          label={`Order ${search.open}`}
          title={<Id value={search.open} of="order id" whole />}
          href={`/operations/orders/${encodeURIComponent(search.open)}`}
          onClose={() => open(null)}
        >
          <OrderDetails
            key={search.open}
            orderId={search.open}
            tab={search.tab}
            onTab={(tab) => go({ tab })}
          />
        </SidePanel>
      )}
      {refunding && (
        <CreateRefund
          orderId={refunding.order_id}
          leftShown={refunding.refundable_amount}
          customer={refunding.customer_email ?? refunding.customer_phone ?? refunding.customer_id}
          onClose={() => setRefunding(null)}
        />
      )}
    </Page>
  );
}

const column = columnsOf<Order>();

const COLUMNS = column.columns([
  column.accessor('created_at', { header: 'Created', cell: (cell) => <Time at={cell.getValue()} /> }),
  column.accessor('order_id', {
    header: 'Order',
    cell: (cell) => (
      <Link to="/operations/orders/$orderId" params={{ orderId: cell.getValue() }} search={{}} tabIndex={-1}>
        <Id value={cell.getValue()} of="order id" />
      </Link>
    ),
  }),
  column.accessor((order) => order.customer_email ?? order.customer_phone ?? order.customer_id, {
    id: 'customer',
    header: 'Customer',
    meta: { wideOnly: true },
    cell: (cell) => cell.getValue() ?? '—',
  }),
  column.accessor('gateway', {
    header: 'Gateway',
    meta: { wideOnly: true },
    cell: (cell) => cell.getValue() ?? '—',
  }),
  column.accessor('payment_method', {
    header: 'Method',
    meta: { wideOnly: true },
    cell: (cell) => cell.getValue() ?? '—',
  }),
  column.accessor('amount', {
    header: 'Amount',
    meta: { align: 'right' },
    cell: (cell) => <Money amount={cell.getValue()} currency={cell.row.original.currency} />,
  }),
  column.accessor('refunded_amount', {
    header: 'Refunded',
    meta: { align: 'right' },
    cell: ({ row: { original: order } }) =>
      isZero(order.refunded_amount) ? (
        '—'
      ) : (
        <span className="figure">
          <RefundedBar
            paid={order.charged_amount}
            refunded={order.refunded_amount}
            inFlight={order.refunding_amount}
            currency={order.currency}
          />{' '}
          <Money amount={order.refunded_amount} currency={order.currency} />
        </span>
      ),
  }),
  column.accessor('refundable_amount', {
    header: 'Left',
    meta: { align: 'right' },
    cell: (cell) => <Money amount={cell.getValue()} currency={cell.row.original.currency} />,
  }),
  column.accessor('status', { header: 'Status', meta: { wideOnly: true } }),
]);

const CHOOSABLE = [
  ['created_at', 'Created'],
  ['customer', 'Customer'],
  ['gateway', 'Gateway'],
  ['payment_method', 'Method'],
  ['refunded_amount', 'Refunded'],
  ['refundable_amount', 'Left'],
  ['status', 'Status'],
] as const;
