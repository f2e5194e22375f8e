import { Button, Group, Tabs, Text } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import type { Order, Transaction } from '../../../api/contract/orders.ts';
import type { RefundInList } from '../../../api/contract/refunds.ts';
import { orderEventsQuery, orderQuery, orderRefundsQuery } from '../../api/orders.ts';
import { useMay } from '../../api/session.ts';
import { isZero } from '../../parts/amounts.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Json } from '../../parts/json.tsx';
import { Money } from '../../parts/money.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { RefundedBar } from '../../parts/refunded-bar.tsx';
import { StatusBadge } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { Timeline } from '../../parts/timeline.tsx';
import { waitWord } from '../refunds/state-words.ts';
import { CreateRefund, methodWords } from './create-refund.tsx';
import classes from './order.module.css';

/** An order on a page of its own. */
export function OrderPage() {
  const { orderId } = useParams({ from: '/signed-in/operations/orders/$orderId' });
  const search = useSearch({ from: '/signed-in/operations/orders/$orderId' });
  const navigate = useNavigate({ from: '/operations/orders/$orderId' });
  return (
    <Page title={`Order ${orderId}`} heading={<Id value={orderId} of="order id" whole />} about="Order">
      <OrderDetails
        key={orderId}
        orderId={orderId}
        tab={search.tab}
        onTab={(tab) => void navigate({ search: { ...search, tab }, replace: true })}
        wide
      />
    </Page>
  );
}

interface Props {
  readonly orderId: string;
  readonly tab: string | undefined;
  readonly onTab: (tab: string | undefined) => void;
  readonly wide?: boolean;
}

/** What there is to know of an order, and the way to refund it; on its page and beside the list. */
export function OrderDetails({ orderId, tab = 'overview', onTab, wide = false }: Props) {
  const found = useQuery(orderQuery(orderId));
  const [refunding, setRefunding] = useState(false);
  const mayRefund = useMay('refunds.create');
  const order = found.data;
  const whyNot = order ? refundBlocker(order, mayRefund) : null;
  useHotkeys([['r', () => order && whyNot === null && setRefunding(true)]]);

  if (!order) {
    return found.isError ? <Failed error={found.error} onRetry={() => void found.refetch()} /> : <Loading />;
  }

  return (
    <>
      <Group justify="space-between" align="flex-start" mb="sm">
        <Text size="sm" c="dimmed">
          {order.status} · created <Time at={order.created_at} exact />
        </Text>
        <Group gap="xs">
          {whyNot && (
            <Text size="sm" c="dimmed" id="why-no-refund">
              {whyNot}
            </Text>
          )}
          <Button
            onClick={() => setRefunding(true)}
            disabled={whyNot !== null}
            aria-describedby={whyNot ? 'why-no-refund' : undefined}
          >
            Create refund
          </Button>
        </Group>
      </Group>
      <Figures order={order} />
      <Tabs
        value={tab}
        onChange={(next) => onTab(next === 'overview' ? undefined : (next ?? undefined))}
        mt="md"
      >
        <Tabs.List>
          <Tabs.Tab value="overview">Overview</Tabs.Tab>
          <Tabs.Tab value="refunds">Refunds</Tabs.Tab>
          <Tabs.Tab value="transactions">Transactions</Tabs.Tab>
          <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
          <Tabs.Tab value="json">JSON</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="overview" pt="sm">
          <div className={wide ? classes.wide : undefined}>
            <OrderFacts order={order} />
            <Section title="Refunds">
              <OrderRefunds orderId={order.order_id} />
            </Section>
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="refunds" pt="sm">
          <OrderRefunds orderId={order.order_id} />
        </Tabs.Panel>
        <Tabs.Panel value="transactions" pt="sm">
          {order.transactions.length === 0 ? (
            <Empty title="The order has no payment yet." />
          ) : (
            order.transactions.map((each) => (
              <TransactionFacts key={each.txn_id} transaction={each} currency={order.currency} />
            ))
          )}
        </Tabs.Panel>
        <Tabs.Panel value="timeline" pt="sm">
          <OrderTimeline orderId={order.order_id} />
        </Tabs.Panel>
        <Tabs.Panel value="json" pt="sm">
          <Json value={order} of="order" />
        </Tabs.Panel>
      </Tabs>
      {refunding && (
        <CreateRefund
          orderId={order.order_id}
          leftShown={order.refundable_amount}
          customer={order.customer_email ?? order.customer_phone ?? order.customer_id}
          onClose={() => setRefunding(false)}
        />
      )}
    </>
  );
}

function refundBlocker(order: Order, mayRefund: boolean): string | null {
  if (!mayRefund) return 'Your role may look, not refund.';
  if (isZero(order.charged_amount)) return 'Nothing has been paid.';
  if (isZero(order.refundable_amount)) {
    return isZero(order.refunding_amount)
      ? 'Everything is refunded.'
      : 'Everything is refunded or on its way.';
  }
  return null;
}

function Figures({ order }: { readonly order: Order }) {
  const { currency } = order;
  return (
    <div className={classes.figures}>
      <Figure name="Paid" amount={order.charged_amount} currency={currency} />
      <Figure name="Refunded" amount={order.refunded_amount} currency={currency}>
        {!isZero(order.refunding_amount) && (
          <>
            of it <Money amount={order.refunding_amount} currency={currency} /> in flight
          </>
        )}
      </Figure>
      <Figure name="Left" amount={order.refundable_amount} currency={currency} />
      <div className={classes.bar}>
        <RefundedBar
          paid={order.charged_amount}
          refunded={order.refunded_amount}
          inFlight={order.refunding_amount}
          currency={currency}
          tall
        />
      </div>
    </div>
  );
}

interface FigureProps {
  readonly name: string;
  readonly amount: string;
  readonly currency: string;
  readonly children?: React.ReactNode;
}

function Figure({ name, amount, currency, children }: FigureProps) {
  return (
    <div>
      <div className={classes.figureName}>{name}</div>
      <div className={classes.figure}>
        <Money amount={amount} currency={currency} />
      </div>
      <div className={classes.figureMore}>{children}</div>
    </div>
  );
}

function OrderFacts({ order }: { readonly order: Order }) {
  const charged = order.transactions.find(({ status }) => status === 'CHARGED');
  return (
    <Facts
      facts={[
        ['Order amount', <Money key="amount" amount={order.amount} currency={order.currency} />],
        ['E-mail', order.customer_email],
        ['Phone', order.customer_phone],
        ['Customer', order.customer_id && <Id key="customer" value={order.customer_id} of="customer id" />],
        ['Paid by', charged && methodWords(charged)],
        ['Gateway', order.gateway],
        ['Paid', charged?.charged_at && <Time key="paid" at={charged.charged_at} exact />],
        ['Description', text(order.details['description'])],
        ['Product', text(order.details['product_id'])],
        ['Changed', <Time key="changed" at={order.updated_at} exact />],
      ]}
    />
  );
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

const column = columnsOf<RefundInList>();

const REFUND_COLUMNS = column.columns([
  column.accessor('created_at', { header: 'Created', cell: (cell) => <Time at={cell.getValue()} /> }),
  column.accessor('amount', {
    header: 'Amount',
    meta: { align: 'right' },
    cell: (cell) => <Money amount={cell.getValue()} currency={cell.row.original.currency} />,
  }),
  column.accessor('status', {
    header: 'Status',
    cell: ({ row: { original } }) => (
      <StatusBadge
        status={original.status}
        state={original.state}
        detail={original.overdue ? 'overdue' : waitWord(original)}
      />
    ),
  }),
  column.accessor('reason', { header: 'Reason', cell: (cell) => cell.getValue() ?? '—' }),
  column.accessor('initiated_by', { header: 'By' }),
  column.accessor('refund_id', {
    header: 'Refund',
    cell: (cell) => (
      <Link to="/operations/refunds/$refundId" params={{ refundId: cell.getValue() }} search={{}}>
        <Id value={cell.getValue()} of="refund id" />
      </Link>
    ),
  }),
]);

function OrderRefunds({ orderId }: { readonly orderId: string }) {
  const found = useQuery(orderRefundsQuery(orderId));
  const navigate = useNavigate();
  if (found.isPending) return <Loading rows={3} />;
  if (found.isError) return <Failed error={found.error} onRetry={() => void found.refetch()} />;
  if (found.data.refunds.length === 0)
    return (
      <Text size="sm" c="dimmed">
        Nothing has been refunded.
      </Text>
    );
  const pageOf = (refund: RefundInList) => `/operations/refunds/${refund.refund_id}`;
  return (
    <DataTable
      name="Refunds of this order"
      columns={REFUND_COLUMNS}
      rows={found.data.refunds}
      rowId={(refund) => refund.refund_id}
      onOpen={(refund) => void navigate({ to: pageOf(refund) })}
      hrefOf={pageOf}
    />
  );
}

function OrderTimeline({ orderId }: { readonly orderId: string }) {
  const found = useQuery(orderEventsQuery(orderId));
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failed error={found.error} onRetry={() => void found.refetch()} />;
  return <Timeline events={found.data.events} />;
}

function TransactionFacts({
  transaction,
  currency,
}: {
  readonly transaction: Transaction;
  readonly currency: string;
}) {
  const money = (amount: string) => (isZero(amount) ? null : <Money amount={amount} currency={currency} />);
  return (
    <Section title={`${transaction.txn_id} · ${transaction.status}`}>
      <Facts
        facts={[
          ['Amount', money(transaction.amount)],
          ['Surcharge', money(transaction.surcharge)],
          ['Offer', money(transaction.offer_discount)],
          ['Effective amount', money(transaction.effective_amount)],
          ['Refunded', <Money key="refunded" amount={transaction.refunded_amount} currency={currency} />],
          ['Method', methodWords(transaction)],
          ['Gateway', transaction.gateway],
          ['Payment id', <Id key="payment" value={transaction.gateway_payment_id} of="payment id" />],
          ['Account', <Id key="account" value={transaction.gateway_account_id} of="account id" />],
          ['Charged', transaction.charged_at && <Time key="charged" at={transaction.charged_at} exact />],
          ['Created', <Time key="created" at={transaction.created_at} exact />],
        ]}
      />
    </Section>
  );
}
