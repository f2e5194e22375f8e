import { Button, Group, Modal, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { IconCheck, IconX } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useRef, useState } from 'react';
import type { Refund } from '../../../api/contract/refunds.ts';
import { Problem } from '../../api/client.ts';
import { resolveRefund } from '../../api/refunds.ts';
import { Refusal } from '../../parts/act.tsx';
import { moneyText } from '../../parts/amounts.ts';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Id } from '../../parts/id.tsx';
import { Money } from '../../parts/money.tsx';
import classes from './settle.module.css';

export type Outcome = 'succeeded' | 'failed';

interface Props {
  /** One or several; each is settled on its own. */
  readonly refunds: readonly Refund[];
  readonly outcome: Outcome;
  readonly onSettled: (refund: Refund) => void;
  readonly onClose: () => void;
}

const LEAST_EVIDENCE = 10;

/** A person's word on refunds whose outcome the gateway does not tell, with what shows it. */
export function SettleDialog({ refunds, outcome, onSettled, onClose }: Props) {
  const client = useQueryClient();
  const underWay = useRef(false);
  const [busy, setBusy] = useState(false);
  const [answers, setAnswers] = useState<Readonly<Record<string, Refund | Problem>>>({});
  const [evidence, setEvidence] = useState('');
  const [arn, setArn] = useState('');
  const [gatewayRefundId, setGatewayRefundId] = useState('');
  const paid = outcome === 'succeeded';
  const one = refunds.length === 1 ? refunds[0] : undefined;
  const open = refunds.filter(({ refund_id }) => !(answers[refund_id] && !isRefused(answers[refund_id])));
  const refused = one && isRefused(answers[one.refund_id]) ? answers[one.refund_id] : null;

  async function settle(event: FormEvent): Promise<void> {
    event.preventDefault();
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    try {
      const left = await settleEach();
      for (const key of ['refunds', 'refund', 'counts', 'orders', 'order', 'figures']) {
        void client.invalidateQueries({ queryKey: [key] });
      }
      if (left === 0) onClose();
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  }

  /** One after the other, so that each has its own answer; gives how many were refused. */
  async function settleEach(): Promise<number> {
    let left = 0;
    for (const refund of open) {
      try {
        const settled = await resolveRefund(refund.refund_id, {
          outcome,
          evidence: evidence.trim(),
          ...(one && arn.trim() && { arn: arn.trim() }),
          ...(one && gatewayRefundId.trim() && { gateway_refund_id: gatewayRefundId.trim() }),
        });
        setAnswers((before) => ({ ...before, [refund.refund_id]: settled }));
        onSettled(settled);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        setAnswers((before) => ({ ...before, [refund.refund_id]: error }));
        left += 1;
      }
    }
    return left;
  }

  return (
    <Modal
      opened
      onClose={onClose}
      size={560}
      closeOnClickOutside={false}
      title={paid ? 'It was paid' : 'It failed'}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <form noValidate onSubmit={(event) => void settle(event)}>
        <Stack gap="sm">
          <p className={classes.says}>{saysWhat(refunds, outcome)}</p>
          <Rows refunds={refunds} answers={one ? {} : answers} />
          {one && paid && (
            <TextInput
              label="ARN"
              description="The bank’s reference (ARN, RRN or UTR), where the gateway shows one."
              value={arn}
              onChange={(event) => setArn(event.currentTarget.value)}
              error={fieldProblem(refused, 'arn')}
              data-autofocus
            />
          )}
          {one && paid && one.gateway_refund_id === null && (
            <TextInput
              label="The gateway’s refund id"
              description="Where you found the refund there."
              value={gatewayRefundId}
              onChange={(event) => setGatewayRefundId(event.currentTarget.value)}
              error={fieldProblem(refused, 'gateway_refund_id')}
            />
          )}
          <Textarea
            label="Evidence"
            description="For whoever reads it in years: where you looked, what it said, who told you. At least 10 characters; no card numbers."
            value={evidence}
            onChange={(event) => setEvidence(event.currentTarget.value)}
            error={fieldProblem(refused, 'evidence')}
            autosize
            minRows={3}
            maxRows={10}
            maxLength={4000}
            required
            {...(one && paid ? {} : { 'data-autofocus': true })}
          />
          <div aria-live="polite">
            {refused && <Refusal problem={refused} fields={['arn', 'gateway_refund_id', 'evidence']} />}
            {!one && !busy && Object.values(answers).some(isRefused) && (
              <Text size="sm">
                {refunds.length - open.length} of {refunds.length} are settled. The others are not, for the
                reasons beside them; one without an answer may be settled all the same: try again to know.
              </Text>
            )}
          </div>
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {Object.keys(answers).length > 0 ? 'Close' : 'Leave in review'}
            </Button>
            <Button
              type="submit"
              loading={busy}
              disabled={evidence.trim().length < LEAST_EVIDENCE || open.length === 0}
              {...(paid ? {} : { color: 'red' })}
            >
              {buttonWords(open, outcome)}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function saysWhat(refunds: readonly Refund[], outcome: Outcome): string {
  const [first] = refunds;
  const what =
    refunds.length === 1 && first ? moneyText(first.amount, first.currency) : `${refunds.length} refunds`;
  const final = first && refunds.length === 1 && first.state !== 'manual_review';
  if (final)
    return `You confirm ${what} as it is: ${outcome === 'succeeded' ? 'paid' : 'not paid'}. Nobody is called to it any more.`;
  return outcome === 'succeeded'
    ? `You say that the customer has the money: ${what} ${refunds.length === 1 ? 'becomes' : 'become'} Success, and your webhooks are told. This cannot be undone here.`
    : `You say that nobody was paid: ${what} ${refunds.length === 1 ? 'becomes' : 'become'} Failure, your webhooks are told, and the amount can be refunded again. If it was paid after all, the customer may then get it twice.`;
}

function buttonWords(open: readonly Refund[], outcome: Outcome): string {
  const words = outcome === 'succeeded' ? 'paid' : 'failed';
  return open.length === 1 ? `Settle as ${words}` : `Settle ${open.length} as ${words}`;
}

/** The refunds that are meant, by their orders, since rows move in a live list; each with what came of it. */
function Rows({
  refunds,
  answers,
}: {
  readonly refunds: readonly Refund[];
  readonly answers: Readonly<Record<string, Refund | Problem>>;
}) {
  return (
    <ul className={classes.rows} aria-label="Chosen refunds">
      {refunds.map((refund) => {
        const answer = answers[refund.refund_id];
        return (
          <li key={refund.refund_id}>
            <span>
              <Money amount={refund.amount} currency={refund.currency} /> of order{' '}
              <Id value={refund.order_id} of="order id" />
            </span>
            {isRefused(answer) && (
              <span className={classes.refused}>
                <IconX size={13} aria-hidden /> {answer.message}
              </span>
            )}
            {answer && !isRefused(answer) && (
              <span className={classes.done}>
                <IconCheck size={13} aria-hidden /> Settled
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function isRefused(answer: Refund | Problem | undefined): answer is Problem {
  return answer instanceof Problem;
}
