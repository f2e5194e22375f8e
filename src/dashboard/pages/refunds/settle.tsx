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
import { Notice } from '../../parts/notice.tsx';
import classes from './settle.module.css';

export type Outcome = 'succeeded' | 'failed';

interface Props {
  /** One or several; each is settled on its own. */
  readonly refunds: readonly Refund[];
  readonly outcome: Outcome;
  /** A refund that is settled, or whose settling waits for a second person. */
  readonly onAnswered: (refund: Refund) => void;
  readonly onClose: () => void;
}

const LEAST_EVIDENCE = 10;

/** A person's word on refunds whose outcome the gateway does not tell, with what shows it. */
export function SettleDialog({ refunds, outcome, onAnswered, onClose }: Props) {
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
  const contradicted = open.filter(({ refund_id }) => isContradicted(answers[refund_id]));

  async function settle(asked: readonly Refund[], againstGateway: boolean): Promise<void> {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    try {
      const left = await settleEach(asked, againstGateway);
      for (const key of ['refunds', 'refund', 'counts', 'orders', 'order', 'figures']) {
        void client.invalidateQueries({ queryKey: [key] });
      }
      if (left === 0 && asked.length === open.length) onClose();
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  }

  /** One after the other, so that each has its own answer; gives how many were refused. */
  async function settleEach(asked: readonly Refund[], againstGateway: boolean): Promise<number> {
    let left = 0;
    for (const refund of asked) {
      try {
        const settled = await resolveRefund(refund.refund_id, {
          outcome,
          evidence: evidence.trim(),
          ...(againstGateway && { against_gateway: true }),
          ...(one && arn.trim() && { arn: arn.trim() }),
          ...(one && gatewayRefundId.trim() && { gateway_refund_id: gatewayRefundId.trim() }),
        });
        setAnswers((before) => ({ ...before, [refund.refund_id]: settled }));
        onAnswered(settled);
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
      <form
        noValidate
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          void settle(open, false);
        }}
      >
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
            {refused && !isContradicted(refused) && (
              <Refusal problem={refused} fields={['arn', 'gateway_refund_id', 'evidence']} />
            )}
            {contradicted.length > 0 && !busy && (
              <Notice
                tone="amber"
                title={
                  one
                    ? 'The gateway says otherwise: nothing was settled'
                    : `Of ${contradicted.length} the gateway says otherwise: they were not settled`
                }
              >
                <Text size="sm" mb={6}>
                  {one && refused && isRefused(refused)
                    ? refused.message
                    : 'Look there again. If the gateway is wrong, propose it all the same.'}{' '}
                  What is proposed stays in review with its amount held, until a second person of operations
                  or an admin confirms it by your evidence, or somebody withdraws it.
                </Text>
                <Button
                  size="compact-sm"
                  variant="default"
                  disabled={evidence.trim().length < LEAST_EVIDENCE}
                  onClick={() => void settle(contradicted, true)}
                >
                  {contradicted.length === 1
                    ? 'Propose against the gateway’s word'
                    : `Propose ${contradicted.length} against the gateway’s word`}
                </Button>
              </Notice>
            )}
            {!one && !busy && Object.values(answers).some(isRefused) && (
              <Text size="sm">
                {answered(answers, isSettled)} of {refunds.length} are settled
                {answered(answers, isProposed) > 0 &&
                  `, ${answered(answers, isProposed)} wait for a second person`}
                . The others are not, for the reasons beside them; one without an answer may be settled all
                the same: try again to know.
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
              {contradicted.length === open.length && open.length > 0
                ? 'Ask the gateway again'
                : buttonWords(open, outcome)}
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
    ? `You say that the customer has the money: ${what} ${refunds.length === 1 ? 'becomes' : 'become'} Success, and your webhooks are told. The gateway is asked first; this cannot be undone here.`
    : `You say that nobody was paid. The gateway is asked first; if it does not say otherwise, ${what} ${refunds.length === 1 ? 'becomes' : 'become'} Failure, your webhooks are told, and the amount can be refunded again. If it was paid after all, the customer may then get it twice.`;
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
                <IconCheck size={13} aria-hidden />{' '}
                {isProposed(answer) ? 'Proposed, waits for a second person' : 'Settled'}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** The gateway was asked, and says otherwise; a second person may overrule it. */
function isContradicted(answer: Refund | Problem | undefined | null): boolean {
  return answer instanceof Problem && answer.code === 'gateway_says_otherwise';
}

function isProposed(answer: Refund | Problem): boolean {
  return !(answer instanceof Problem) && answer.proposal !== null;
}

function isSettled(answer: Refund | Problem): boolean {
  return !(answer instanceof Problem) && answer.proposal === null;
}

function answered(
  answers: Readonly<Record<string, Refund | Problem>>,
  so: (answer: Refund | Problem) => boolean,
): number {
  return Object.values(answers).filter(so).length;
}

function isRefused(answer: Refund | Problem | undefined): answer is Problem {
  return answer instanceof Problem;
}
