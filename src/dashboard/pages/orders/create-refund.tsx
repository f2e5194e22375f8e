import {
  Autocomplete,
  Button,
  Group,
  Modal,
  Radio,
  Select,
  Stack,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useDebouncedValue, useMediaQuery } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import type { PreviewTransaction, RefundPreview } from '../../../api/contract/refund-preview.ts';
import type { Refund } from '../../../api/contract/refunds.ts';
import { Problem } from '../../api/client.ts';
import { makeRefund, refundPreviewQuery } from '../../api/orders.ts';
import { refundQuery } from '../../api/refunds.ts';
import {
  type AmountField,
  decimalsOf,
  groupDigits,
  isZero,
  moneyText,
  readTypedAmount,
  withAmountsAsShown,
} from '../../parts/amounts.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Money } from '../../parts/money.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts } from '../../parts/page.tsx';
import { StatusBadge } from '../../parts/status.tsx';
import { Day, Time } from '../../parts/time.tsx';
import classes from './create-refund.module.css';

interface Props {
  readonly orderId: string;
  /** What the page behind shows as left: if it is not so any more, the person is told before anything is sent. */
  readonly leftShown: string;
  readonly customer: string | null;
  readonly onClose: () => void;
}

/** The popup in which a person refunds an order: what was paid, what will happen, and then what came of it. */
export function CreateRefund({ orderId, leftShown, customer, onClose }: Props) {
  const narrow = useMediaQuery('(max-width: 48em)');
  return (
    <Modal
      opened
      onClose={onClose}
      size={860}
      fullScreen={narrow ?? false}
      title={`Refund order ${orderId}`}
      closeOnClickOutside={false}
    >
      <RefundForm orderId={orderId} leftShown={leftShown} customer={customer} onClose={onClose} />
    </Modal>
  );
}

const REASONS = [
  'Customer changed their mind',
  'Item returned',
  'Item not available',
  'Not delivered',
  'Damaged or wrong item',
  'Paid twice',
  'Price adjustment',
  'Fraudulent payment',
];

function RefundForm({ orderId, leftShown, customer, onClose }: Props) {
  const client = useQueryClient();
  const [txnId, setTxnId] = useState<string | null>(null);
  const [part, setPart] = useState<'full' | 'other'>('full');
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const [note, setNote] = useState('');
  // As it was when the popup opened; the page behind goes on following the truth.
  const [leftAtOpening] = useState(leftShown);
  const [believedLeft, setBelievedLeft] = useState<string | null>(null);
  const [confirmedLookAlike, setConfirmedLookAlike] = useState<string | null>(null);
  // One key for everything this popup sends: however often the button is pressed, one refund at most is made.
  const [key] = useState(() => `dash-${crypto.randomUUID()}`);
  const [openedAt] = useState(Date.now);

  const overview = useQuery(refundPreviewQuery(orderId, { amount: 'full', ...(txnId && { txn_id: txnId }) }));
  const field = overview.data && amountField(overview.data, leftShown);
  const reading = field && typed.trim() !== '' ? readTypedAmount(typed, field) : null;
  // Empty while there is no amount to ask about.
  const amount = part === 'full' ? 'full' : reading?.ok ? reading.amount : '';
  const [asked] = useDebouncedValue(
    useMemo(() => ({ amount, txnId }), [amount, txnId]),
    200,
  );
  const [typedOut] = useDebouncedValue(typed, 500);
  const preview = useQuery({
    ...refundPreviewQuery(orderId, {
      amount: asked.amount || 'full',
      ...(asked.txnId && { txn_id: asked.txnId }),
    }),
    enabled: asked.amount !== '',
  });
  const made = useMutation({
    mutationFn: makeRefund,
    onSuccess: () => {
      for (const name of ['orders', 'order', 'refunds', 'counts'])
        void client.invalidateQueries({ queryKey: [name] });
    },
  });

  if (made.isSuccess) return <Made refund={made.data} onClose={onClose} />;
  if (overview.data === undefined) {
    // Once there, the form stays: what was typed outlives a question that got no answer.
    return overview.isError ? (
      <Failed error={overview.error} onRetry={() => void overview.refetch()} />
    ) : (
      <Loading rows={6} />
    );
  }

  const facts = overview.data;
  const { currency } = facts;
  const paid = facts.transactions.filter(({ status }) => status === 'CHARGED');
  const chosen = paid.find((one) => one.txn_id === (facts.refund?.txn_id ?? txnId)) ?? paid[0];
  const shown = preview.data ?? facts;
  const needsAmount = amount === '';
  // Only what was answered to just this amount, in this popup: never the plan of another one, nor of the whole. Being
  // asked again behind it must not take the button from under a click; the server compares with what is shown here.
  const upToDate =
    asked.amount === amount &&
    asked.txnId === txnId &&
    preview.isSuccess &&
    !preview.isPlaceholderData &&
    (preview.dataUpdatedAt >= openedAt || !preview.isFetching);
  const plan = needsAmount || preview.isError ? null : shown.refund;
  const left = facts.refund?.left_before ?? chosen?.left ?? leftAtOpening;
  const believed = believedLeft ?? (paid.length === 1 ? leftAtOpening : left);
  const changed = believed !== left;
  const lookAlike = shown.warnings.find(({ code }) => code === 'look_alike');
  const amountBlocker = part === 'other' ? shown.blockers.find(({ field }) => field === 'amount') : undefined;
  const blockers = shown.blockers.filter((blocker) => blocker !== amountBlocker);
  const amountProblem =
    reading?.ok === false
      ? // While it is typed it may still become an amount.
        typedOut === typed
        ? reading.message
        : undefined
      : reading !== null && upToDate && amountBlocker
        ? withAmountsAsShown(amountBlocker.message)
        : undefined;
  const lookAlikeOpen = lookAlike !== undefined && confirmedLookAlike !== lookAlike.refund_id;
  const ready =
    upToDate && plan !== null && shown.possible && !changed && !lookAlikeOpen && reason.trim() !== '';
  const unknown = made.isError && isUnknown(made.error);

  function initiate(): void {
    if (!ready || made.isPending || unknown || !plan) return;
    made.mutate({
      order_id: orderId,
      txn_id: plan.txn_id,
      unique_request_id: key,
      amount: plan.amount,
      currency,
      expected_remaining: plan.left_before,
      reason: reason.trim(),
      ...(note.trim() && { note: note.trim() }),
      ...(lookAlike && { confirm_look_alike: true }),
    });
  }

  return (
    <form
      className={classes.columns}
      onSubmit={(event) => {
        event.preventDefault();
        initiate();
      }}
    >
      <div>
        {paid.length > 1 && (
          <Select
            label="Payment"
            description="The order was paid in several payments; a refund goes back to one of them."
            mb="sm"
            allowDeselect={false}
            value={chosen?.txn_id ?? null}
            data={paid.map((one) => ({
              value: one.txn_id,
              label: `${moneyText(one.paid, currency)} by ${methodWords(one)}, ${moneyText(one.left, currency)} left`,
            }))}
            onChange={setTxnId}
          />
        )}
        {chosen && (
          <Facts
            facts={[
              ['Customer', customer],
              ['Paid', <Money key="paid" amount={chosen.paid} currency={currency} />],
              ['Refunded', <Money key="refunded" amount={chosen.refunded} currency={currency} />],
              [
                'In flight',
                isZero(chosen.in_flight) ? null : (
                  <Money key="flight" amount={chosen.in_flight} currency={currency} />
                ),
              ],
              [
                'Left',
                <b key="left">
                  <Money amount={chosen.left} currency={currency} />
                </b>,
              ],
              ['When', chosen.charged_at && <Time key="when" at={chosen.charged_at} exact />],
              ['How', methodWords(chosen)],
              [
                'Gateway',
                `${chosen.gateway_label}${chosen.gateway_account ? `, account ${chosen.gateway_account}` : ''}`,
              ],
              ['Payment id', <Id key="id" value={chosen.gateway_payment_id} of="payment id" />],
            ]}
          />
        )}
      </div>

      <Stack gap="sm">
        <Radio.Group label="How much" value={part} onChange={(value) => setPart(value as 'full' | 'other')}>
          <Stack gap={6} mt={4}>
            <Radio value="full" label={`Full: all that is left, ${moneyText(left, currency)}`} />
            <Radio
              value="other"
              label="Other amount"
              disabled={facts.refund?.partial_possible === false}
              description={
                facts.refund?.partial_possible === false
                  ? `${chosen?.gateway_label} refunds this payment only whole.`
                  : undefined
              }
            />
          </Stack>
        </Radio.Group>
        {part === 'other' && (
          <TextInput
            label={`Amount in ${currency}`}
            placeholder={`up to ${groupDigits(left)}`}
            inputMode="decimal"
            autoComplete="off"
            data-autofocus
            autoFocus
            maxLength={40}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            error={amountProblem}
            description={
              plan && upToDate && !amountBlocker
                ? `${moneyText(plan.amount, currency)} of ${moneyText(plan.left_before, currency)}, leaves ${moneyText(plan.left_after, currency)}`
                : undefined
            }
          />
        )}
        <Autocomplete
          label="Reason"
          placeholder="Choose one or write your own"
          data={REASONS}
          value={reason}
          onChange={setReason}
          maxLength={500}
          withAsterisk
        />
        <Textarea
          label="Note for your team"
          description="Not shown to the customer and not sent to the gateway. No card numbers."
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
          autosize
          minRows={1}
          maxRows={5}
          maxLength={2000}
        />

        <div aria-live="polite">
          {changed && (
            <Notice tone="amber" title="The order changed since you opened it">
              <Text size="sm">
                {moneyText(believed, currency)} were left then; {moneyText(left, currency)} are left now.
              </Text>
              <Group gap="xs" mt={6}>
                <Button
                  size="compact-sm"
                  variant="default"
                  component={Link}
                  to={`/operations/orders/${encodeURIComponent(orderId)}?tab=timeline`}
                  target="_blank"
                >
                  Show what changed
                </Button>
                <Button size="compact-sm" variant="default" onClick={() => setBelievedLeft(left)}>
                  Go on with {moneyText(left, currency)} left
                </Button>
              </Group>
            </Notice>
          )}
          {lookAlike && (
            <Notice tone="amber" title="This looks like a refund that was already made">
              <Text size="sm">
                {withAmountsAsShown(lookAlike.message)} {lookAlike.at && <Time at={lookAlike.at} />}
                {lookAlike.by && `, by ${lookAlike.by}.`}
              </Text>
              <Group gap="xs" mt={6}>
                {lookAlike.refund_id && (
                  <Button
                    size="compact-sm"
                    variant="default"
                    component={Link}
                    to={`/operations/refunds/${lookAlike.refund_id}`}
                    target="_blank"
                  >
                    Look at it
                  </Button>
                )}
                <Button
                  size="compact-sm"
                  variant={lookAlikeOpen ? 'default' : 'light'}
                  onClick={() => setConfirmedLookAlike(lookAlikeOpen ? lookAlike.refund_id : null)}
                  aria-pressed={!lookAlikeOpen}
                >
                  {lookAlikeOpen
                    ? 'Refund the same amount once more'
                    : 'Confirmed: the same amount once more'}
                </Button>
              </Group>
            </Notice>
          )}
          {shown.warnings
            .filter((warning) => warning !== lookAlike)
            .map((warning) => (
              <Notice
                key={`${warning.code} ${warning.refund_id}`}
                tone="amber"
                title={withAmountsAsShown(warning.message)}
              />
            ))}
          {blockers.map((blocker) => (
            <Notice key={blocker.code} tone="red" title={withAmountsAsShown(blocker.message)} />
          ))}
          {preview.isError && !needsAmount && (
            <Failed error={preview.error} onRetry={() => void preview.refetch()} />
          )}
          {made.isError && (
            <NotMade
              error={made.error}
              onAgain={() => made.mutate(made.variables)}
              onFresh={() => void client.invalidateQueries({ queryKey: ['order', orderId, 'preview'] })}
            />
          )}
        </div>

        {plan && shown.possible && !needsAmount && (
          <p className={classes.says}>
            {saysWhat(plan, currency)} <b>{plan.cannot_be_undone}</b>
          </p>
        )}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
          <Button type="submit" loading={made.isPending} disabled={!ready || unknown}>
            {plan && upToDate && !needsAmount
              ? `Initiate refund of ${moneyText(plan.amount, currency)}`
              : 'Initiate refund'}
          </Button>
        </Group>
        {reason.trim() === '' && plan && shown.possible && (
          <Text size="xs" c="dimmed" ta="right">
            Say why, so that whoever looks at it later understands.
          </Text>
        )}
      </Stack>
    </form>
  );
}

type Plan = NonNullable<RefundPreview['refund']>;

/** What a typed amount is read as, with what is left to show how it is written. */
function amountField({ currency, transactions, refund }: RefundPreview, leftShown: string): AmountField {
  const left = refund?.left_before ?? transactions[0]?.left ?? leftShown;
  return { currency, decimals: decimalsOf(left), example: isZero(left) ? leftShown : left };
}

/** The plan in one sentence, with the amount as the button has it. */
function saysWhat({ amount, to, through, due_at }: Plan, currency: string): ReactNode {
  return (
    <>
      Refunds {moneyText(amount, currency)} to {to} through {through}; it should be there by{' '}
      <Day at={due_at} />.
    </>
  );
}

interface NotMadeProps {
  readonly error: unknown;
  readonly onAgain: () => void;
  readonly onFresh: () => void;
}

/** What a failed try means for the money, and the way on. */
function NotMade({ error, onAgain, onFresh }: NotMadeProps) {
  const stale = error instanceof Problem && ['remaining_mismatch', 'look_alike'].includes(error.code);
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked for once per refusal
  useEffect(() => {
    if (stale) onFresh();
  }, [stale]);
  if (!isUnknown(error)) return <Failed error={error} />;
  return (
    <Notice tone="amber" title="The server did not answer">
      <Text size="sm" mb={6}>
        The refund may or may not have been recorded. Send the same request again: it carries the same key, so
        the refund is made once at most, and you see which it was.
      </Text>
      <Button size="compact-sm" variant="default" onClick={onAgain}>
        Send the same request again
      </Button>
    </Notice>
  );
}

/** No answer, or one that does not tell: the refund may have been recorded. */
function isUnknown(error: unknown): boolean {
  return error instanceof Problem && (error.status === 0 || error.status >= 500);
}

/** What came of it, followed until it is final or the popup is closed. */
function Made({ refund, onClose }: { readonly refund: Refund; readonly onClose: () => void }) {
  const now =
    useQuery({
      ...refundQuery(refund.refund_id),
      refetchInterval: (query) => (isOver(query.state.data) ? false : 1_500),
    }).data ?? refund;
  const done = useRef<HTMLButtonElement>(null);
  useEffect(() => done.current?.focus(), []);
  return (
    <Stack gap="sm" role="status">
      <Group gap="sm">
        <StatusBadge status={now.status} state={now.state} />
        <Text size="lg" fw={600}>
          <Money amount={now.amount} currency={now.currency} />
        </Text>
      </Group>
      <Text>The refund is recorded. {now.meaning}</Text>
      <Facts
        facts={[
          ['Refund', <Id key="id" value={now.refund_id} of="refund id" whole />],
          ['Should arrive by', now.status === 'FAILURE' ? null : <Time key="due" at={now.due_at} exact />],
          ['ARN', now.arn && <Id key="arn" value={now.arn} of="ARN" />],
          ['Why it failed', now.error_message],
        ]}
      />
      <Text size="sm" c="dimmed">
        You can close this: it is followed until its outcome is certain.
      </Text>
      <Group justify="flex-end" gap="xs">
        <Button variant="default" component={Link} to={`/operations/refunds/${now.refund_id}`}>
          Follow this refund
        </Button>
        <Button ref={done} onClick={onClose}>
          Done
        </Button>
      </Group>
    </Stack>
  );
}

function isOver(refund: Refund | undefined): boolean {
  return refund?.status === 'SUCCESS' || refund?.status === 'FAILURE';
}

export function methodWords(
  payment: Pick<PreviewTransaction, 'payment_method' | 'payment_method_type'>,
): string {
  const { payment_method: method, payment_method_type: type } = payment;
  if (method && type && method !== type) return `${method} (${type})`;
  return method ?? type ?? 'a method the gateway did not tell';
}
