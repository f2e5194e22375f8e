import { Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Attempt, Refund, RefundWithHistory } from '../../../api/contract/refunds.ts';
import { type RefundState, STATES } from '../../../api/contract/states.ts';
import { batchQuery } from '../../api/batches.ts';
import { refundQuery } from '../../api/refunds.ts';
import { withAmountsAsShown } from '../../parts/amounts.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Fold } from '../../parts/fold.tsx';
import { Id, shortened } from '../../parts/id.tsx';
import { Json } from '../../parts/json.tsx';
import { Money } from '../../parts/money.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { SidePanel } from '../../parts/panel.tsx';
import { StatusBadge } from '../../parts/status.tsx';
import { durationText, Time } from '../../parts/time.tsx';
import { AheadStep, Timeline } from '../../parts/timeline.tsx';
import { stateWord } from '../../parts/trail-words.ts';
import { RefundActions } from './actions.tsx';
import { Deliveries } from './deliveries.tsx';
import { ProposalBox } from './proposal.tsx';
import classes from './refund.module.css';
import { attentionText, waitWord, wordsOf } from './state-words.ts';

/** A refund on a page of its own. */
export function RefundPage() {
  const { refundId } = useParams({ from: '/signed-in/operations/refunds/$refundId' });
  const search = useSearch({ from: '/signed-in/operations/refunds/$refundId' });
  const navigate = useNavigate({ from: '/operations/refunds/$refundId' });
  return (
    <Page title={`Refund ${refundId}`} heading={<Id value={refundId} of="refund id" whole />} about="Refund">
      <RefundDetails
        key={refundId}
        refundId={refundId}
        tab={search.tab}
        onTab={(tab) => void navigate({ search: { ...search, tab }, replace: true })}
        wide
      />
    </Page>
  );
}

interface Props {
  readonly refundId: string;
  readonly tab: string | undefined;
  readonly onTab: (tab: string | undefined) => void;
  /** On a page of its own, the facts stand beside the rest. */
  readonly wide?: boolean;
}

/** A refund beside the list that it was opened from. */
export function RefundPanel({ onClose, ...details }: Omit<Props, 'wide'> & { readonly onClose: () => void }) {
  const { refundId } = details;
  return (
    <SidePanel
      label={`Refund ${refundId}`}
      title={
        <>
          Refund <Id value={refundId} of="refund id" />
        </>
      }
      href={`/operations/refunds/${encodeURIComponent(refundId)}`}
      onClose={onClose}
    >
      <RefundDetails {...details} />
    </SidePanel>
  );
}

/** What there is to know of a refund and what can be done with it; on its page and beside lists. */
function RefundDetails({ refundId, tab = 'timeline', onTab, wide = false }: Props) {
  const found = useQuery(refundQuery(refundId));
  const refund = found.data;
  if (found.isPending) return <Loading />;
  if (found.isError && !refund) return <Failed error={found.error} onRetry={() => void found.refetch()} />;
  if (!refund) return null;
  return (
    <>
      <Summary refund={refund} />
      <div className={wide ? classes.wide : undefined}>
        <Tabs
          value={tab}
          onChange={(next) => onTab(next === 'timeline' || next === null ? undefined : next)}
          mt="md"
        >
          <Tabs.List>
            <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
            {!wide && <Tabs.Tab value="facts">Facts</Tabs.Tab>}
            <Tabs.Tab value="attempts">Attempts</Tabs.Tab>
            <Tabs.Tab value="webhooks">Webhooks</Tabs.Tab>
            <Tabs.Tab value="json">JSON</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="timeline" pt="md">
            <Timeline events={refund.events} ofOneRefund>
              <Ahead refund={refund} />
            </Timeline>
          </Tabs.Panel>
          {!wide && (
            <Tabs.Panel value="facts" pt="sm">
              <RefundFacts refund={refund} />
            </Tabs.Panel>
          )}
          <Tabs.Panel value="attempts" pt="sm">
            <Attempts attempts={refund.attempts} />
          </Tabs.Panel>
          <Tabs.Panel value="webhooks" pt="sm">
            <Deliveries refundId={refund.refund_id} />
          </Tabs.Panel>
          <Tabs.Panel value="json" pt="sm">
            <Json value={refund} of="refund" />
          </Tabs.Panel>
        </Tabs>
        {wide && (
          <Section title="Facts">
            <RefundFacts refund={refund} />
          </Section>
        )}
      </div>
    </>
  );
}

/** Where the refund stands, in words, and what can be done about it. */
function Summary({ refund }: { readonly refund: Refund }) {
  const words = wordsOf(refund);
  return (
    <>
      <div className={classes.head}>
        <span className={classes.amount}>
          <Money amount={refund.amount} currency={refund.currency} />
        </span>
        <StatusBadge
          status={refund.status}
          state={refund.state}
          detail={
            refund.overdue
              ? 'overdue'
              : (waitWord(refund) ?? (refund.status === 'SUCCESS' && refund.arn ? 'ARN known' : null))
          }
        />
        <Text span size="sm" c="dimmed">
          of order{' '}
          <Link to="/operations/orders/$orderId" params={{ orderId: refund.order_id }} search={{}}>
            {refund.order_id}
          </Link>
        </Text>
      </div>
      {refund.attention && refund.state !== 'manual_review' && (
        <Notice tone="amber" title="A person is needed">
          {attentionText(refund)}
        </Notice>
      )}
      <dl className={classes.says}>
        <Said name="What happened">
          {words.happened}
          {refund.status === 'FAILURE' &&
            refund.error_message &&
            ` ${sentence(withAmountsAsShown(refund.error_message))}`}
        </Said>
        <Said name="The money">{words.money}</Said>
        <Said name="What to do">{words.todo}</Said>
      </dl>
      {refund.proposal && <ProposalBox refund={refund} proposal={refund.proposal} />}
      <RefundActions refund={refund} />
    </>
  );
}

function Said({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

// What may still come --------------------------------------------------------------------------------------

const NEXT_LOOK: Readonly<Partial<Record<RefundState, string>>> = {
  queued: 'It is sent to the gateway',
  sending: 'If no answer has come by then, the gateway is asked',
  unknown: 'The gateway is asked again',
  waiting_for_funds: 'The gateway is asked again whether it has balance',
  submitted: 'The gateway is asked again',
  manual_review: 'The gateway is asked again, in case it knows more',
};

/** What the program does next by itself, and where the table of states still lets the refund go. */
function Ahead({ refund }: { readonly refund: Refund }) {
  const moves = Object.entries(STATES[refund.state].moves);
  const goesToReview = STATES[refund.state].moves.manual_review !== undefined && !STATES[refund.state].final;
  return (
    <>
      {refund.next_look_at && (
        <AheadStep title={NEXT_LOOK[refund.state] ?? 'It is looked at again'}>
          {refund.waits_for && refund.waits_for.code !== 'customer' ? (
            'once nothing holds it up'
          ) : (
            <>
              next look at <Time at={refund.next_look_at} exact />
            </>
          )}
        </AheadStep>
      )}
      {refund.recheck_at && (
        <AheadStep title="The gateway is asked whether that still holds">
          next time at <Time at={refund.recheck_at} exact />
        </AheadStep>
      )}
      {goesToReview && (
        <AheadStep title="It goes to manual review if nothing is known by then">
          <Time at={refund.review_at} exact />
        </AheadStep>
      )}
      {moves.length > 0 && (
        <AheadStep title={STATES[refund.state].final ? 'It is over, unless' : 'It may still become'}>
          <ul className={classes.moves}>
            {moves.map(([state, why]) => (
              <li key={state}>
                <b>{stateWord(state)}</b>: {why}
              </li>
            ))}
          </ul>
        </AheadStep>
      )}
    </>
  );
}

// Facts ----------------------------------------------------------------------------------------------------

const DOORS: Readonly<Record<Refund['door'], string>> = {
  api: 'API',
  dashboard: 'Dashboard',
  batch: 'Batch',
};

function RefundFacts({ refund }: { readonly refund: RefundWithHistory }) {
  const id = (value: string | null, of: string) => value && <Id value={value} of={of} />;
  const time = (at: string | null) => at && <Time at={at} exact />;
  return (
    <Facts
      facts={[
        ['Amount', <Money key="amount" amount={refund.amount} currency={refund.currency} />],
        ['ARN', refund.arn && <Id key="arn" value={refund.arn} of="ARN" whole />],
        ['Due', time(refund.due_at)],
        [
          'Order',
          <Link
            key="order"
            to="/operations/orders/$orderId"
            params={{ orderId: refund.order_id }}
            search={{}}
          >
            {refund.order_id}
          </Link>,
        ],
        ['Customer', refund.customer_email],
        ['Payment', id(refund.txn_id, 'transaction id')],
        ['Paid by', refund.payment_method_type],
        ['Gateway', refund.gateway],
        ['Gateway’s word', refund.gateway_status],
        ['Gateway refund id', id(refund.gateway_refund_id, 'gateway refund id')],
        ['Gateway reference', id(refund.gateway_reference, 'gateway reference')],
        ['Gateway payment id', id(refund.gateway_payment_id, 'gateway payment id')],
        ['Gateway account', id(refund.gateway_account_id, 'gateway account id')],
        ['Error', withAmountsAsShown([refund.error_code, refund.error_message].filter(Boolean).join(': '))],
        ['Asked for by', askedBy(refund)],
        ['Reason', refund.reason],
        ['Note', refund.note],
        ['Key', id(refund.unique_request_id, 'unique request id')],
        ['Kind', refund.refund_type === 'STANDARD' ? null : refund.refund_type],
        [
          'Batch',
          refund.batch_id && <OfBatch key="batch" batchId={refund.batch_id} row={refund.batch_row} />,
        ],
        ['Sends', refund.sends === 0 ? 'not sent' : String(refund.sends)],
        ['Created', time(refund.created_at)],
        ['Sent', time(refund.sent_at)],
        ['Paid out', time(refund.succeeded_at)],
        [refund.state === 'reversed' ? 'Taken back' : 'Ended', time(refund.failed_at)],
      ]}
    />
  );
}

/** The batch by its name, as soon as that is known. */
function OfBatch({ batchId, row }: { readonly batchId: string; readonly row: number | null }) {
  const batch = useQuery({ ...batchQuery(batchId), refetchInterval: false }).data;
  return (
    <>
      <Link to="/batch/$batchId" params={{ batchId }} search={{}}>
        {batch?.name ?? shortened(batchId)}
      </Link>
      {row !== null && `, row ${row}`}
    </>
  );
}

function askedBy({ initiated_by, door }: Refund): string {
  return initiated_by === DOORS[door] ? initiated_by : `${initiated_by}, ${DOORS[door]}`;
}

// Attempts -------------------------------------------------------------------------------------------------

const OUTCOMES: Readonly<Record<string, string>> = {
  pending: 'accepted',
  succeeded: 'paid out',
  failed: 'failed',
  reversed: 'taken back',
  waiting_for_funds: 'accepted, waiting for balance',
  refused: 'refused',
  no_funds: 'no balance, not made',
  busy: 'told to come later, not made',
  misconfigured: 'our account was refused, not made',
  no_payment: 'no such payment in this account, not made',
  misfit: 'another refund was made than was asked for',
  not_sent: 'nothing reached the gateway',
  unknown: 'no usable answer; it may have been made',
};

function Attempts({ attempts }: { readonly attempts: readonly Attempt[] }) {
  if (attempts.length === 0) return <Empty title="It has not been sent to the gateway." />;
  return (
    <ol className={classes.attempts} aria-label="Attempts">
      {attempts.map((attempt) => (
        <li key={attempt.attempt_no}>
          <div className={classes.attemptTitle}>
            Try {attempt.attempt_no}:{' '}
            {attempt.outcome === null
              ? 'no answer yet'
              : (OUTCOMES[attempt.outcome] ?? stateWord(attempt.outcome))}
          </div>
          <Text size="sm" c="dimmed" component="div">
            <Time at={attempt.started_at} exact />
            {attempt.finished_at && (
              <>
                , answered after{' '}
                {durationText(Math.max(0, Date.parse(attempt.finished_at) - Date.parse(attempt.started_at)))}
              </>
            )}
          </Text>
          {attempt.answer !== null && (
            <Fold summary="The gateway’s answer">
              <Json value={attempt.answer} of="answer" />
            </Fold>
          )}
        </li>
      ))}
      <Text size="sm" c="dimmed" component="li">
        Every try carries the same key, so that the gateway makes it once at most.
      </Text>
    </ol>
  );
}
