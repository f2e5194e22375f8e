import { Button, Checkbox, Group, Text } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { createContext, useContext, useState } from 'react';
import type { Refund, RefundInList } from '../../../api/contract/refunds.ts';
import { countsQuery, refundsQuery } from '../../api/refunds.ts';
import { useMay } from '../../api/session.ts';
import { Refusal } from '../../parts/act.tsx';
import { moneyText } from '../../parts/amounts.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Money } from '../../parts/money.tsx';
import { Page } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { StatusBadge, statusWord } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Day, durationText, Time, useNow } from '../../parts/time.tsx';
import { useGatewayQuestion } from './actions.tsx';
import { ProposalBox } from './proposal.tsx';
import { RefundPanel } from './refund.tsx';
import classes from './review.module.css';
import { type Outcome, SettleDialog } from './settle.tsx';
import { attentionText, mayAsk, mayIssueAgain, settlements, wordsOf } from './state-words.ts';

interface Desk {
  readonly chosen: readonly string[];
  toggle(refund: Refund): void;
  settle(refunds: readonly Refund[], outcome: Outcome): void;
  /** It is settled, or waits for a second person. */
  answered(refund: Refund): void;
}

const DeskContext = createContext<Desk | null>(null);

/** The queue of refunds that need a person, the oldest first. */
export function Review() {
  const search = useSearch({ from: '/signed-in/operations/review' });
  const navigate = useNavigate({ from: '/operations/review' });
  const mayResolve = useMay('refunds.resolve');
  const clipboard = useClipboard();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [settling, setSettling] = useState<{ refunds: readonly Refund[]; outcome: Outcome } | null>(null);
  const [settled, setSettled] = useState<readonly Refund[]>([]);
  const found = useQuery(refundsQuery({ attention: 'true', sort: 'oldest', cursor: search.cursor }));
  const waiting = useQuery(countsQuery({})).data?.attention;

  const refunds = found.data?.refunds ?? [];
  const picked = refunds.filter((refund) => chosen.includes(refund.refund_id));
  const go = (changes: Partial<typeof search>, replace: boolean) =>
    void navigate({ search: { ...search, ...changes }, replace });
  const open = (refund: Refund | null) =>
    go({ open: refund?.refund_id, tab: undefined }, search.open !== undefined);
  const toggle = ({ refund_id }: Refund) =>
    setChosen((before) =>
      before.includes(refund_id) ? before.filter((id) => id !== refund_id) : [...before, refund_id],
    );
  const desk: Desk = {
    chosen,
    toggle,
    settle: (refunds, outcome) => setSettling({ refunds, outcome }),
    answered: (refund) => {
      setSettled((before) => [refund, ...before]);
      setChosen((before) => before.filter((id) => id !== refund.refund_id));
    },
  };
  const choosable = refunds.filter(isChoosable);

  return (
    <Page
      title="Manual review"
      about={
        waiting === undefined
          ? null
          : waiting === 1
            ? '1 refund needs a person'
            : `${waiting.toLocaleString()} refunds need a person, the oldest first`
      }
    >
      <div aria-live="polite">
        {settled.map((refund) => (
          <JustSettled key={refund.refund_id} refund={refund} />
        ))}
      </div>
      {!mayResolve && refunds.length > 0 && (
        <Text size="sm" c="dimmed" mb="xs">
          Your role may look and read, not settle. Ask somebody of operations.
        </Text>
      )}
      {mayResolve && choosable.length > 1 && (
        <Group gap="xs" mb="xs" className={classes.several}>
          <Checkbox
            label={picked.length === 0 ? 'Choose all on this page' : `${picked.length} chosen`}
            checked={picked.length === choosable.length}
            indeterminate={picked.length > 0 && picked.length < choosable.length}
            onChange={() =>
              setChosen(picked.length === choosable.length ? [] : choosable.map(({ refund_id }) => refund_id))
            }
          />
          {picked.length > 0 && (
            <>
              <Button size="compact-sm" onClick={() => desk.settle(picked, 'succeeded')}>
                They were paid …
              </Button>
              <Button size="compact-sm" variant="default" onClick={() => desk.settle(picked, 'failed')}>
                They failed …
              </Button>
            </>
          )}
        </Group>
      )}

      {found.isPending && <Loading rows={10} />}
      {found.isError && <Failed error={found.error} onRetry={() => void found.refetch()} />}
      {found.data && refunds.length === 0 && (
        <Empty title="No refund needs a person.">
          <Text size="sm">
            Refunds come here when the gateway cannot tell what became of them, or says something that does
            not fit.
          </Text>
        </Empty>
      )}
      {refunds.length > 0 && (
        <DeskContext value={desk}>
          <DataTable<RefundInList>
            name="Refunds that need a person"
            columns={COLUMNS}
            rows={refunds}
            rowId={(refund) => refund.refund_id}
            hidden={mayResolve ? [] : ['choose']}
            openId={search.open ?? null}
            onOpen={open}
            hrefOf={(refund) => `/operations/refunds/${refund.refund_id}`}
            fetching={found.isFetching}
            keys={{
              y: (refund) => clipboard.copy(refund.refund_id),
              ...(mayResolve && { ' ': (refund) => isChoosable(refund) && toggle(refund) }),
            }}
            wraps
          />
          <Pager
            shown={refunds.length}
            cursor={search.cursor}
            next={found.data?.next_cursor ?? null}
            onGo={(cursor) => go({ cursor, open: undefined }, false)}
          />
        </DeskContext>
      )}

      {settling && (
        <SettleDialog
          refunds={settling.refunds}
          outcome={settling.outcome}
          onAnswered={desk.answered}
          onClose={() => setSettling(null)}
        />
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

/** What became of a refund that has just left the queue, and the way on. */
function JustSettled({ refund }: { readonly refund: Refund }) {
  return (
    <div className={classes.settled}>
      <StatusBadge status={refund.status} state={refund.state} />
      <span>
        {moneyText(refund.amount, refund.currency)} of order {refund.order_id}{' '}
        {refund.proposal
          ? `waits for a second person, who confirms that it ${refund.proposal.outcome === 'succeeded' ? 'was paid' : 'failed'}.`
          : `is settled as ${statusWord(refund.status)}.`}
      </span>
      <Link to="/operations/refunds/$refundId" params={{ refundId: refund.refund_id }} search={{}}>
        Look at it
      </Link>
      {mayIssueAgain(refund) && (
        <Link to="/operations/orders/$orderId" params={{ orderId: refund.order_id }} search={{}}>
          Issue it again
        </Link>
      )}
    </div>
  );
}

// Rows -----------------------------------------------------------------------------------------------------

function isChoosable(refund: Refund): boolean {
  return refund.state === 'manual_review' && refund.proposal === null;
}

const column = columnsOf<RefundInList>();

const COLUMNS = column.columns([
  column.display({
    id: 'choose',
    header: '',
    meta: { width: 34 },
    cell: (cell) => <Choose refund={cell.row.original} />,
  }),
  column.display({
    id: 'refund',
    header: 'Refund',
    meta: { width: '16%' },
    cell: (cell) => <What refund={cell.row.original} />,
  }),
  column.display({
    id: 'why',
    header: 'Why it is here',
    meta: { width: '18%' },
    cell: (cell) => attentionText(cell.row.original) ?? wordsOf(cell.row.original).happened,
  }),
  column.display({
    id: 'known',
    header: 'What is known',
    meta: { width: '24%' },
    cell: (cell) => <Known refund={cell.row.original} />,
  }),
  column.display({
    id: 'next',
    header: 'What to do next',
    meta: { width: 372 },
    cell: (cell) => <Next refund={cell.row.original} />,
  }),
]);

function useDesk(): Desk {
  const desk = useContext(DeskContext);
  if (!desk) throw new Error('a row of the queue stands outside it');
  return desk;
}

function Choose({ refund }: { readonly refund: Refund }) {
  const { chosen, toggle } = useDesk();
  if (!isChoosable(refund)) return null;
  return (
    <Checkbox
      size="xs"
      aria-label={`Choose the refund of order ${refund.order_id}`}
      checked={chosen.includes(refund.refund_id)}
      onChange={() => toggle(refund)}
    />
  );
}

function What({ refund }: { readonly refund: RefundInList }) {
  const nowMs = useNow();
  return (
    <div className={classes.stack}>
      <b>
        <Money amount={refund.amount} currency={refund.currency} />
      </b>
      <Link to="/operations/orders/$orderId" params={{ orderId: refund.order_id }} search={{}} tabIndex={-1}>
        {refund.order_id}
      </Link>
      <StatusBadge
        status={refund.status}
        state={refund.state}
        detail={durationText(nowMs - Date.parse(refund.created_at))}
      />
    </div>
  );
}

function Known({ refund }: { readonly refund: RefundInList }) {
  return (
    <div className={classes.stack}>
      <span>
        {refund.sends === 0
          ? `Not sent to ${refund.gateway}`
          : refund.sends === 1
            ? `Sent once to ${refund.gateway}`
            : `Sent ${refund.sends} times to ${refund.gateway}, under one key`}
        {refund.sent_at && (
          <>
            , <Time at={refund.sent_at} />
          </>
        )}
      </span>
      <span>
        {refund.gateway_status ? `Last word there: “${refund.gateway_status}”` : 'No word from there'}
      </span>
      {refund.gateway_refund_id ? (
        <Id value={refund.gateway_refund_id} of="gateway refund id" />
      ) : (
        <span>
          Payment there: <Id value={refund.gateway_payment_id} of="gateway payment id" />
        </span>
      )}
      <span className={classes.quiet}>
        due <Day at={refund.due_at} />
        {refund.next_look_at && (
          <>
            ; asked again <Time at={refund.next_look_at} />
          </>
        )}
      </span>
    </div>
  );
}

function Next({ refund }: { readonly refund: RefundInList }) {
  const desk = useDesk();
  const mayLook = useMay('refunds.look');
  const mayResolve = useMay('refunds.resolve');
  const asking = useGatewayQuestion(refund);
  const outcomes = settlements(refund);
  const confirms = refund.state !== 'manual_review';
  return (
    <div className={classes.stack}>
      {refund.proposal ? (
        <ProposalBox refund={refund} proposal={refund.proposal} onSettled={desk.answered} />
      ) : (
        <span>{todo(refund)}</span>
      )}
      <Group gap={4}>
        {mayAsk(refund) && (
          <Button
            size="compact-sm"
            variant="default"
            disabled={!mayLook}
            loading={asking.busy}
            onClick={asking.ask}
          >
            Ask the gateway now
          </Button>
        )}
        {outcomes.map((outcome) => (
          <Button
            key={outcome}
            size="compact-sm"
            variant="default"
            disabled={!mayResolve}
            onClick={() => desk.settle([refund], outcome)}
          >
            {confirms ? 'Confirm it as it is …' : outcome === 'succeeded' ? 'It was paid …' : 'It failed …'}
          </Button>
        ))}
        {mayIssueAgain(refund) && (
          <Button
            component={Link}
            to={`/operations/orders/${encodeURIComponent(refund.order_id)}`}
            size="compact-sm"
            variant="default"
          >
            Issue it again
          </Button>
        )}
      </Group>
      <div aria-live="polite">
        {asking.said}
        <Refusal problem={asking.problem} />
      </div>
    </div>
  );
}

function todo(refund: RefundInList): string {
  if (refund.refused_because || refund.status === 'PENDING') return wordsOf(refund).todo;
  if (refund.state === 'manual_review') {
    const where = refund.gateway_refund_id ? 'that refund' : 'the payment';
    return `Ask the gateway now; else look up ${where} in its own dashboard and say here what you found.`;
  }
  return `Here it is ${statusWord(refund.status)}. Compare with the gateway’s own dashboard; take up with the gateway what does not fit, then confirm it here as it is.`;
}
