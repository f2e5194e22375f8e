import { Button, Group, Text, Textarea } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Refund } from '../../../api/contract/refunds.ts';
import { askGatewayNow, cancelRefund } from '../../api/refunds.ts';
import { useMay } from '../../api/session.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { moneyText } from '../../parts/amounts.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import classes from './refund.module.css';
import { type Outcome, SettleDialog } from './settle.tsx';
import { answerWords, mayAsk, mayCancel, mayIssueAgain, settlements } from './state-words.ts';

/** What a person may do with a refund, by its state and their role. */
export function RefundActions({ refund }: { readonly refund: Refund }) {
  const mayLook = useMay('refunds.look');
  const mayCancelAny = useMay('refunds.cancel');
  const mayResolve = useMay('refunds.resolve');
  const [settling, setSettling] = useState<Outcome | null>(null);
  const [cancelling, setCancelling] = useState(false);
  const asking = useGatewayQuestion(refund);

  const outcomes = settlements(refund);
  const confirms = refund.state !== 'manual_review';
  const refusals = [
    mayAsk(refund) && !mayLook && 'ask the gateway',
    mayCancel(refund) && !mayCancelAny && 'cancel it',
    outcomes.length > 0 && !mayResolve && 'settle it',
  ].filter(Boolean);

  return (
    <div className={classes.actions}>
      <Group gap="xs">
        {mayAsk(refund) && (
          <Button
            variant={refund.state === 'manual_review' ? 'filled' : 'default'}
            disabled={!mayLook}
            loading={asking.busy}
            onClick={asking.ask}
          >
            Ask the gateway now
          </Button>
        )}
        {outcomes.map((outcome) => (
          <Button key={outcome} variant="default" disabled={!mayResolve} onClick={() => setSettling(outcome)}>
            {confirms ? 'Confirm it as it is …' : outcome === 'succeeded' ? 'It was paid …' : 'It failed …'}
          </Button>
        ))}
        {mayCancel(refund) && (
          <Button variant="default" disabled={!mayCancelAny} onClick={() => setCancelling(true)}>
            Cancel refund …
          </Button>
        )}
        {mayIssueAgain(refund) && (
          <Button
            component={Link}
            to={`/operations/orders/${encodeURIComponent(refund.order_id)}`}
            variant="default"
          >
            Refund the order again
          </Button>
        )}
      </Group>
      {refusals.length > 0 && (
        <Text size="sm" c="dimmed" mt={4}>
          Your role may not {refusals.join(' or ')}.
        </Text>
      )}
      <div aria-live="polite">
        {asking.said && <p className={classes.said}>{asking.said}</p>}
        <Refusal problem={asking.problem} />
      </div>
      {settling && (
        <SettleDialog
          refunds={[refund]}
          outcome={settling}
          onAnswered={() => {}}
          onClose={() => setSettling(null)}
        />
      )}
      {cancelling && <CancelDialog refund={refund} onClose={() => setCancelling(false)} />}
    </div>
  );
}

/** Asks the gateway about a refund now, and says what came of it. */
export function useGatewayQuestion(refund: Refund) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const [said, setSaid] = useState<string | null>(null);
  const ask = () =>
    void run(async () => {
      setSaid(null);
      const after = await askGatewayNow(refund.refund_id);
      setSaid(answerWords(refund, after));
      for (const key of ['refund', 'refunds', 'counts', 'order', 'orders']) {
        void client.invalidateQueries({ queryKey: [key] });
      }
    });
  return { ask, busy, problem, said };
}

function CancelDialog({ refund, onClose }: { readonly refund: Refund; readonly onClose: () => void }) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  const amount = moneyText(refund.amount, refund.currency);
  return (
    <Dialog
      title="Cancel this refund"
      act="Cancel the refund"
      leave="Let it go on"
      danger
      fields={['reason']}
      onAct={async () => {
        await cancelRefund(refund.refund_id, reason.trim());
        for (const key of ['refund', 'refunds', 'counts', 'order', 'orders']) {
          void client.invalidateQueries({ queryKey: [key] });
        }
      }}
      onClose={onClose}
    >
      {(problem) => (
        <>
          <Text>
            It has not been sent: no money moves, the refund becomes Failure, your webhooks are told, and{' '}
            {amount} can be refunded again. If it is being sent at this moment, it is not cancelled and you
            are told so.
          </Text>
          <Textarea
            label="Reason"
            description="For whoever looks at it later."
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            error={fieldProblem(problem, 'reason')}
            maxLength={500}
            autosize
            minRows={2}
            data-autofocus
          />
        </>
      )}
    </Dialog>
  );
}
