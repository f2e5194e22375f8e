import { Button, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { LoggedRequest } from '../../../api/contract/requests.ts';
import { keysQuery } from '../../api/keys.ts';
import { requestQuery, requestsQuery } from '../../api/requests.ts';
import { useMay } from '../../api/session.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { ChoiceFilter, FieldFilter, FilterBar } from '../../parts/filters.tsx';
import { Id } from '../../parts/id.tsx';
import { MomentFilter } from '../../parts/moments.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts, Page } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { SidePanel } from '../../parts/panel.tsx';
import { Sign } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { durationText, Time } from '../../parts/time.tsx';

const STATUSES = [
  { value: 'refused', label: 'Refused (4xx and 5xx)' },
  { value: '2xx', label: '2xx' },
  { value: '4xx', label: '4xx' },
  { value: '5xx', label: '5xx' },
] as const;

const FILTERS = ['status', 'code', 'path', 'caller', 'order_id', 'from', 'to'] as const;

/** Who called the API, and the very error that they got. */
export function Requests() {
  const search = useSearch({ from: '/signed-in/developers/requests' });
  const navigate = useNavigate({ from: '/developers/requests' });
  const { status, code, path, caller, order_id, from, to, cursor, open } = search;
  const requests = useQuery(
    requestsQuery({
      status,
      error_code: code,
      path,
      ...callerFilter(caller),
      order_id,
      created_from: from,
      created_before: to,
      cursor,
    }),
  );
  const keys = useQuery({ ...keysQuery, enabled: useMay('keys.manage') }).data ?? [];

  const go = (changes: Partial<typeof search>, replace = false) =>
    void navigate({ search: { ...search, ...changes }, replace });
  const narrow = (changes: Partial<typeof search>) => go({ ...changes, cursor: undefined });
  const clear = () => narrow(Object.fromEntries(FILTERS.map((name) => [name, undefined])));
  const narrowed = FILTERS.some((name) => search[name] !== undefined);
  const rows = requests.data?.requests ?? [];

  return (
    <Page
      title="Requests"
      about="What programs asked of the API, what people changed, and the error that each got. Bodies are not kept."
      actions={
        <Button component="a" href="/docs" variant="default">
          API reference
        </Button>
      }
    >
      <FilterBar onClear={narrowed ? clear : undefined}>
        <ChoiceFilter
          name="Answer"
          value={status}
          choices={STATUSES}
          onChange={(value) => narrow({ status: value })}
        />
        <TextFilter
          name="Error code"
          label="Error code"
          value={code}
          onChange={(value) => narrow({ code: value })}
        />
        <TextFilter
          name="Path"
          label="Path begins with"
          value={path}
          onChange={(value) => narrow({ path: value })}
        />
        <ChoiceFilter
          name="Caller"
          value={caller}
          choices={callerChoices(keys, rows)}
          onChange={(value) => narrow({ caller: value })}
        />
        <TextFilter
          name="Order"
          label="Order id"
          value={order_id}
          onChange={(value) => narrow({ order_id: value })}
        />
        <MomentFilter name="Time" from={from} to={to} onChange={narrow} />
      </FilterBar>
      {requests.isPending && <Loading />}
      {requests.isError && <Failed error={requests.error} onRetry={() => void requests.refetch()} />}
      {requests.data && rows.length === 0 && (
        <Empty title={narrowed ? 'No requests match.' : 'Nobody has called the API yet.'}>
          {narrowed ? (
            <Button variant="default" onClick={clear}>
              Clear filters
            </Button>
          ) : (
            <Link to="/developers/keys">API keys</Link>
          )}
        </Empty>
      )}
      {rows.length > 0 && (
        <>
          <DataTable
            name="Requests"
            columns={COLUMNS}
            rows={rows}
            rowId={(request) => request.request_id}
            openId={open ?? null}
            onOpen={({ request_id }) => go({ open: request_id }, open !== undefined)}
            fetching={requests.isFetching}
          />
          <Pager
            shown={rows.length}
            cursor={cursor}
            next={requests.data?.next_cursor ?? null}
            onGo={(next) => go({ cursor: next })}
          />
        </>
      )}
      {open !== undefined && (
        <RequestPanel
          key={open}
          requestId={open}
          known={rows.find((request) => request.request_id === open)}
          onNarrow={(changes) => narrow({ ...changes, open: undefined })}
          onClose={() => go({ open: undefined }, true)}
        />
      )}
    </Page>
  );
}

/** A filter of one typed text. */
function TextFilter({
  name,
  label,
  value,
  onChange,
}: {
  readonly name: string;
  readonly label: string;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
}) {
  return (
    <FieldFilter
      name={name}
      shown={value}
      fields={[{ key: 'text', label, value }]}
      onChange={(typed) => onChange(typed['text'])}
    />
  );
}

/** "key:…" or "user:…", as it stands in the address. */
function callerOf({ caller }: LoggedRequest): string {
  return `${caller.kind}:${caller.id}`;
}

function callerFilter(caller: string | undefined): { api_key_id?: string; user_id?: string } {
  const [, kind, id] = /^(key|user):(.+)$/.exec(caller ?? '') ?? [];
  if (id === undefined) return {};
  return kind === 'key' ? { api_key_id: id } : { user_id: id };
}

/** The keys that work, and whoever else is on the page. */
function callerChoices(
  keys: readonly { readonly api_key_id: string; readonly name: string; readonly revoked_at: string | null }[],
  rows: readonly LoggedRequest[],
): { value: string; label: string }[] {
  const choices = new Map(
    keys.filter((key) => key.revoked_at === null).map((key) => [`key:${key.api_key_id}`, key.name]),
  );
  for (const row of rows) choices.set(callerOf(row), row.caller.name);
  return [...choices].map(([value, label]) => ({ value, label }));
}

const column = columnsOf<LoggedRequest>();

const COLUMNS = [
  column.accessor('at', { header: 'At', cell: ({ getValue }) => <Time at={getValue()} /> }),
  column.display({
    id: 'status',
    header: 'Answer',
    cell: ({ row }) => <AnswerSign request={row.original} />,
  }),
  column.display({
    id: 'called',
    header: 'Called',
    cell: ({ row: { original } }) => (
      <span className="mono" title={original.path}>
        {original.method} {original.path}
      </span>
    ),
  }),
  column.display({
    id: 'error',
    header: 'Error',
    cell: ({ row: { original } }) => original.error?.message,
  }),
  column.display({ id: 'caller', header: 'Caller', cell: ({ row }) => row.original.caller.name }),
  column.accessor('order_id', {
    header: 'Order',
    cell: ({ getValue }) => {
      const orderId = getValue();
      return (
        orderId !== null && (
          <Link to="/operations/orders/$orderId" params={{ orderId }} search={{}} tabIndex={-1}>
            <Id value={orderId} of="order id" />
          </Link>
        )
      );
    },
  }),
  column.accessor('duration_ms', {
    header: 'Took',
    meta: { align: 'right' },
    cell: ({ getValue }) => <span className="figure">{durationText(getValue())}</span>,
  }),
];

function AnswerSign({ request }: { readonly request: LoggedRequest }) {
  if (request.status < 400) return <Sign is="good" word={String(request.status)} />;
  return <Sign is="bad" word={String(request.status)} />;
}

function RequestPanel({
  requestId,
  known,
  onNarrow,
  onClose,
}: {
  readonly requestId: string;
  readonly known: LoggedRequest | undefined;
  readonly onNarrow: (changes: { caller?: string; code?: string }) => void;
  readonly onClose: () => void;
}) {
  // A request never changes: what the list knows is enough, and a link to one that is on no page still opens.
  const asked = useQuery({ ...requestQuery(requestId), enabled: known === undefined });
  const request = known ?? asked.data;
  return (
    <SidePanel
      title={request ? <span className="mono">{`${request.method} ${request.path}`}</span> : 'Request'}
      label="Request"
      onClose={onClose}
    >
      {asked.isLoading && <Loading rows={6} />}
      {asked.isError && !request && <Failed error={asked.error} onRetry={() => void asked.refetch()} />}
      {request && (
        <>
          {request.error && (
            <Notice tone={request.status >= 500 ? 'red' : 'amber'} title={request.error.message}>
              <Text size="sm">
                Code <span className="mono">{request.error.code}</span>
                {request.error.field && (
                  <>
                    , field <span className="mono">{request.error.field}</span>
                  </>
                )}
              </Text>
            </Notice>
          )}
          <Facts
            facts={[
              ['Answer', <AnswerSign key="answer" request={request} />],
              ['At', <Time key="at" at={request.at} exact />],
              ['Took', durationText(request.duration_ms)],
              ['Caller', `${request.caller.name} (${request.caller.kind === 'key' ? 'API key' : 'person'})`],
              [
                'Called',
                <span key="called" className="mono">
                  {request.method} {request.path}
                </span>,
              ],
              [
                'Address in the reference',
                <span key="route" className="mono">
                  {request.route}
                </span>,
              ],
              [
                'Order',
                request.order_id && (
                  <Link
                    key="order"
                    to="/operations/orders/$orderId"
                    params={{ orderId: request.order_id }}
                    search={{}}
                  >
                    {request.order_id}
                  </Link>
                ),
              ],
              [
                'Refund',
                request.refund_id && (
                  <Link
                    key="refund"
                    to="/operations/refunds/$refundId"
                    params={{ refundId: request.refund_id }}
                    search={{}}
                  >
                    {request.refund_id}
                  </Link>
                ),
              ],
              ['Request id', <Id key="id" value={request.request_id} of="request id" whole />],
              ['From', request.remote_address],
            ]}
          />
          <Group gap="xs" mt="md">
            <Button variant="default" onClick={() => onNarrow({ caller: callerOf(request) })}>
              Only this caller
            </Button>
            {request.error && (
              <Button variant="default" onClick={() => onNarrow({ code: request.error!.code })}>
                Only this error
              </Button>
            )}
          </Group>
        </>
      )}
    </SidePanel>
  );
}
