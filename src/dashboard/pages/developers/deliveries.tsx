import { Button, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { WebhookDelivery, WebhookEndpoint } from '../../../api/contract/webhook-endpoints.ts';
import { WEBHOOK_EVENT_NAMES } from '../../../api/contract/webhook-events.ts';
import { deliveriesQuery, deliveryQuery, resendDelivery } from '../../api/webhooks.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { ChoiceFilter, FilterBar, SearchFilter } from '../../parts/filters.tsx';
import { Id } from '../../parts/id.tsx';
import { MomentFilter } from '../../parts/moments.tsx';
import { Facts, Section } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { SidePanel } from '../../parts/panel.tsx';
import { Sign } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { Tries } from './tries.tsx';

const STATES = [
  { value: 'pending', label: 'Waiting' },
  { value: 'delivered', label: 'Delivered' },
  { value: 'given_up', label: 'Given up' },
] as const;

const EVENTS = WEBHOOK_EVENT_NAMES.map((name) => ({ value: name, label: name }));

/** The delivery log: one row for each event on its way to one endpoint. */
export function Deliveries({
  endpoints,
  mayManage,
}: {
  readonly endpoints: readonly WebhookEndpoint[];
  readonly mayManage: boolean;
}) {
  const search = useSearch({ from: '/signed-in/developers/webhooks' });
  const navigate = useNavigate({ from: '/developers/webhooks' });
  const { endpoint, status, event, order_id, from, to, cursor, open } = search;
  const deliveries = useQuery(
    deliveriesQuery({
      endpoint_id: endpoint,
      state: status,
      event,
      order_id,
      created_from: from,
      created_before: to,
      cursor,
    }),
  );
  const go = (changes: Partial<typeof search>) => void navigate({ search: { ...search, ...changes } });
  const narrow = (changes: Partial<typeof search>) => go({ ...changes, cursor: undefined });
  const narrowed = [endpoint, status, event, order_id, from, to].some((value) => value !== undefined);
  const clear = () =>
    narrow({
      endpoint: undefined,
      status: undefined,
      event: undefined,
      order_id: undefined,
      from: undefined,
      to: undefined,
    });

  return (
    <>
      <FilterBar onClear={narrowed ? clear : undefined}>
        <SearchFilter
          label="Order id"
          value={order_id}
          onChange={(value) => narrow({ order_id: value })}
          width={180}
        />
        <ChoiceFilter
          name="Endpoint"
          value={endpoint}
          choices={endpoints.map(({ endpoint_id, url }) => ({ value: endpoint_id, label: url }))}
          onChange={(value) => narrow({ endpoint: value })}
        />
        <ChoiceFilter
          name="State"
          value={status}
          choices={STATES}
          onChange={(value) => narrow({ status: value })}
        />
        <ChoiceFilter
          name="Event"
          value={event}
          choices={EVENTS}
          onChange={(value) => narrow({ event: value })}
        />
        <MomentFilter name="Time" from={from} to={to} onChange={narrow} />
      </FilterBar>
      {deliveries.isPending && <Loading />}
      {deliveries.isError && <Failed error={deliveries.error} onRetry={() => void deliveries.refetch()} />}
      {deliveries.data?.deliveries.length === 0 && (
        <Empty
          title={narrowed ? 'No deliveries match.' : 'Nothing was sent yet. The first refund will be here.'}
        >
          {narrowed && (
            <Button variant="default" onClick={clear}>
              Clear filters
            </Button>
          )}
        </Empty>
      )}
      {deliveries.data && deliveries.data.deliveries.length > 0 && (
        <>
          <DataTable
            name="Deliveries"
            columns={columnsWith(endpoints)}
            rows={deliveries.data.deliveries}
            rowId={(delivery) => delivery.delivery_id}
            openId={open ?? null}
            onOpen={({ delivery_id }) => go({ open: delivery_id })}
            fetching={deliveries.isFetching}
          />
          <Pager
            shown={deliveries.data.deliveries.length}
            cursor={cursor}
            next={deliveries.data.next_cursor}
            onGo={(next) => go({ cursor: next })}
          />
        </>
      )}
      {open !== undefined && (
        <DeliveryPanel
          key={open}
          deliveryId={open}
          endpoints={endpoints}
          mayManage={mayManage}
          onClose={() => go({ open: undefined })}
        />
      )}
    </>
  );
}

const column = columnsOf<WebhookDelivery>();

function columnsWith(endpoints: readonly WebhookEndpoint[]) {
  return [
    column.accessor('created_at', { header: 'Happened', cell: ({ getValue }) => <Time at={getValue()} /> }),
    column.accessor('event', {
      header: 'Event',
      cell: ({ getValue }) => <span className="mono">{getValue()}</span>,
    }),
    column.accessor('order_id', {
      header: 'Order or batch',
      cell: ({ getValue, row }) => {
        const orderId = getValue();
        const batchId = row.original.batch_id;
        if (batchId !== null) {
          return (
            <Link to="/batch/$batchId" params={{ batchId }} search={{}} tabIndex={-1}>
              <Id value={batchId} of="batch id" />
            </Link>
          );
        }
        if (orderId === null) return null;
        return (
          <Link to="/operations/orders/$orderId" params={{ orderId }} search={{}} tabIndex={-1}>
            <Id value={orderId} of="order id" />
          </Link>
        );
      },
    }),
    column.display({
      id: 'state',
      header: 'State',
      cell: ({ row }) => <DeliverySign delivery={row.original} />,
    }),
    column.accessor('try_count', {
      header: 'Tries',
      meta: { align: 'right' },
      cell: ({ getValue }) => <span className="figure">{getValue()}</span>,
    }),
    column.accessor('next_try_at', {
      header: 'Next try',
      cell: ({ getValue }) => {
        const at = getValue();
        return at === null ? null : <Time at={at} />;
      },
    }),
    column.display({
      id: 'answer',
      header: 'Last answer',
      cell: ({ row: { original } }) => (
        <span className="figure">{original.last_status ?? original.last_outcome_says}</span>
      ),
    }),
    column.display({
      id: 'endpoint',
      header: 'Endpoint',
      cell: ({ row: { original } }) => <span className="mono">{targetOf(original, endpoints)}</span>,
    }),
  ];
}

function targetOf(delivery: WebhookDelivery, endpoints: readonly WebhookEndpoint[]): string {
  const endpoint = endpoints.find(({ endpoint_id }) => endpoint_id === delivery.endpoint_id);
  return endpoint?.url ?? delivery.order_webhook_url ?? 'removed endpoint';
}

function DeliverySign({ delivery }: { readonly delivery: WebhookDelivery }) {
  if (delivery.state === 'delivered') return <Sign is="good" word="Delivered" />;
  if (delivery.state === 'given_up') return <Sign is="bad" word="Given up" />;
  return <Sign is="waits" word="Waiting" />;
}

function DeliveryPanel({
  deliveryId,
  endpoints,
  mayManage,
  onClose,
}: {
  readonly deliveryId: string;
  readonly endpoints: readonly WebhookEndpoint[];
  readonly mayManage: boolean;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const delivery = useQuery(deliveryQuery(deliveryId));
  const resend = useAct();
  const shown = delivery.data;
  return (
    <SidePanel title={shown?.event ?? 'Delivery'} label="Delivery" onClose={onClose}>
      {delivery.isPending && <Loading rows={6} />}
      {delivery.isError && <Failed error={delivery.error} onRetry={() => void delivery.refetch()} />}
      {shown && (
        <>
          <Facts
            facts={[
              ['State', <DeliverySign key="state" delivery={shown} />],
              ['Why', shown.state === 'delivered' ? null : shown.last_outcome_says],
              ['Next try', shown.next_try_at && <Time key="next" at={shown.next_try_at} exact />],
              ['Happened', <Time key="happened" at={shown.created_at} exact />],
              ['Delivered', shown.delivered_at && <Time key="delivered" at={shown.delivered_at} exact />],
              [
                'Order',
                shown.order_id && (
                  <Link
                    key="order"
                    to="/operations/orders/$orderId"
                    params={{ orderId: shown.order_id }}
                    search={{}}
                  >
                    {shown.order_id}
                  </Link>
                ),
              ],
              [
                'Batch',
                shown.batch_id && (
                  <Link key="batch" to="/batch/$batchId" params={{ batchId: shown.batch_id }} search={{}}>
                    <Id value={shown.batch_id} of="batch id" />
                  </Link>
                ),
              ],
              [
                'Refund',
                shown.refund_id && (
                  <Link
                    key="refund"
                    to="/operations/refunds/$refundId"
                    params={{ refundId: shown.refund_id }}
                    search={{}}
                  >
                    <Id value={shown.refund_id} of="refund id" />
                  </Link>
                ),
              ],
              [
                'Endpoint',
                <span key="endpoint" className="mono">
                  {targetOf(shown, endpoints)}
                </span>,
              ],
              ['Event id', <Id key="event" value={shown.event_id} of="event id" />],
            ]}
          />
          {mayManage && (
            <>
              <Text size="sm" mt="md" mb={6}>
                Resending tells the {shown.batch_id ? 'batch' : 'order'} as it is now, at once and with all
                its retries.
              </Text>
              <Button
                variant="default"
                loading={resend.busy}
                onClick={() =>
                  void resend.run(async () => {
                    await resendDelivery(deliveryId);
                    await client.invalidateQueries({ queryKey: ['deliveries'] });
                  })
                }
              >
                Resend
              </Button>
              <Refusal problem={resend.problem} />
            </>
          )}
          <Section title={shown.tries.length === 1 ? '1 try' : `${shown.tries.length} tries`}>
            <Tries tries={shown.tries} />
          </Section>
        </>
      )}
    </SidePanel>
  );
}
