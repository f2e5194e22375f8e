import { Button, Group, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Refund } from '../../../api/contract/refunds.ts';
import { decideOnProposal } from '../../api/refunds.ts';
import { useMay, useMe } from '../../api/session.ts';
import { moneyText, withAmountsAsShown } from '../../parts/amounts.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { Id } from '../../parts/id.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Time } from '../../parts/time.tsx';
import classes from './settle.module.css';

export type Proposal = NonNullable<Refund['proposal']>;

interface Props {
  readonly refund: Refund;
  readonly proposal: Proposal;
  /** With a refund that is gone from a list once it is settled. */
  readonly onSettled?: (refund: Refund) => void;
}

/** What a colleague says against the gateway's word, for a second person to confirm or for anybody to withdraw. */
export function ProposalBox({ refund, proposal, onSettled }: Props) {
  const me = useMe();
  const mayConfirm = useMay('refunds.confirm');
  const mayWithdraw = useMay('refunds.resolve');
  const [deciding, setDeciding] = useState<'confirm' | 'withdraw' | null>(null);
  const isOwn = me.user?.email === proposal.proposed_by;
  const whyNot = !mayConfirm
    ? 'Confirming takes somebody of operations or an admin, and not who proposed it.'
    : isOwn
      ? 'You proposed it: somebody else of operations or an admin has to confirm it.'
      : null;
  return (
    <Notice tone="amber" title={`Waits for a second person: ${claim(proposal)}`}>
      <Text size="sm">
        {isOwn ? 'You say' : `${proposal.proposed_by} says`} so, <Time at={proposal.at} />. The gateway was
        asked, and {withAmountsAsShown(proposal.gateway_said)}.
      </Text>
      <blockquote className={classes.evidence}>{proposal.evidence}</blockquote>
      {proposal.arn && (
        <Text size="sm">
          ARN <Id value={proposal.arn} of="ARN" />
        </Text>
      )}
      {proposal.gateway_refund_id && (
        <Text size="sm">
          Gateway refund id <Id value={proposal.gateway_refund_id} of="gateway refund id" />
        </Text>
      )}
      <Group gap="xs" mt={6}>
        <Button
          size="compact-sm"
          variant="default"
          disabled={whyNot !== null}
          onClick={() => setDeciding('confirm')}
        >
          Confirm that {claim(proposal)} …
        </Button>
        <Button
          size="compact-sm"
          variant="default"
          disabled={!mayWithdraw}
          onClick={() => setDeciding('withdraw')}
        >
          Withdraw the proposal …
        </Button>
      </Group>
      {whyNot && (
        <Text size="sm" mt={4}>
          {whyNot}
        </Text>
      )}
      {deciding && (
        <Deciding
          refund={refund}
          proposal={proposal}
          verb={deciding}
          onDone={(after) => after.proposal === null && after.state !== 'manual_review' && onSettled?.(after)}
          onClose={() => setDeciding(null)}
        />
      )}
    </Notice>
  );
}

interface DecidingProps {
  readonly refund: Refund;
  readonly proposal: Proposal;
  readonly verb: 'confirm' | 'withdraw';
  readonly onDone: (after: Refund) => void;
  readonly onClose: () => void;
}

function Deciding({ refund, proposal, verb, onDone, onClose }: DecidingProps) {
  const client = useQueryClient();
  const amount = moneyText(refund.amount, refund.currency);
  const paid = proposal.outcome === 'succeeded';
  return (
    <Dialog
      title={verb === 'confirm' ? `Confirm that ${claim(proposal)}` : 'Withdraw the proposal'}
      act={verb === 'withdraw' ? 'Withdraw it' : `Settle as ${paid ? 'paid' : 'failed'}`}
      leave="Leave it as it is"
      danger={verb === 'confirm' && !paid}
      onAct={async () => {
        const after = await decideOnProposal(refund.refund_id, verb, proposal.at);
        for (const key of ['refund', 'refunds', 'counts', 'order', 'orders', 'figures']) {
          void client.invalidateQueries({ queryKey: [key] });
        }
        onDone(after);
      }}
      onClose={onClose}
    >
      <Text>
        {verb === 'withdraw'
          ? `The refund stays in manual review, and ${amount} stays held. What was proposed stays in its timeline.`
          : paid
            ? `Against the gateway’s word you say, as the second person, that the customer has ${amount}: the refund becomes Success, and your webhooks are told. The gateway is asked for some weeks whether it agrees.`
            : `Against the gateway’s word you say, as the second person, that nobody was paid: the refund becomes Failure, your webhooks are told, and ${amount} can be refunded again. If it was paid after all, the customer may then get it twice.`}
      </Text>
    </Dialog>
  );
}

function claim({ outcome }: Pick<Proposal, 'outcome'>): string {
  return outcome === 'succeeded' ? 'it was paid' : 'it failed';
}
