import { Button, Text, Textarea } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { approveBatch, batchEventsQuery, batchQuery, rejectBatch } from '../../api/batches.ts';
import { useMay, useMe } from '../../api/session.ts';
import { merchantQuery } from '../../api/settings.ts';
import { Refusal } from '../../parts/act.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import classes from '../batches/batches.module.css';
import { useBatchAct } from '../batches/use-batch-act.ts';
import { count, things, totalsText } from '../batches/words.ts';

interface Props {
  readonly batch: Batch;
  /** With the batch as it is after that. */
  readonly onDecided?: (batch: Batch) => void;
}

/** The second person's word on a batch: yes to exactly what is shown, or back to who confirmed it. */
export function Decide({ batch, onDecided }: Props) {
  const { busy, problem, run } = useBatchAct();
  const [rejecting, setRejecting] = useState(false);
  const mayRun = useMay('batches.run');
  const why = useWhyNot(batch);
  const waitMinutes = useQuery(merchantQuery).data?.settings.batch_wait_minutes ?? 0;
  const said = batch.confirmation!;
  const what =
    batch.kind === 'refunds'
      ? `${things(batch, said.rows)} of ${totalsText(said.totals)}`
      : things(batch, said.rows);
  return (
    <div>
      <p className={classes.says}>
        Once approved, {what} {batch.kind === 'refunds' ? 'go out' : 'are made as the file says'}
        {waitMinutes > 0 ? ` after a wait of ${count(waitMinutes, 'minute')}` : ' at once'}. What you approve
        is this very file{batch.kind === 'refunds' && ' and this very total'}: if it is no longer so, nothing
        is approved.
      </p>
      <div className={classes.row}>
        <Button
          loading={busy}
          disabled={why !== null}
          onClick={() =>
            void run(async () => {
              const approved = await approveBatch(batch.batch_id, {
                file_sha256: batch.file.sha256 ?? '',
                ...(batch.kind === 'refunds' ? { totals: said.totals } : { rows: said.rows }),
              });
              onDecided?.(approved);
              return approved;
            })
          }
        >
          Approve {what}
        </Button>
        {mayRun && (
          <Button variant="default" onClick={() => setRejecting(true)}>
            Send back
          </Button>
        )}
      </div>
      {why && (
        <Text size="sm" c="dimmed" mt={6}>
          {why}
        </Text>
      )}
      <Refusal problem={problem} />
      {rejecting && (
        <Reject batch={batch} onClose={() => setRejecting(false)} {...(onDecided ? { onDecided } : {})} />
      )}
    </div>
  );
}

/** What makes somebody the first person of a batch. */
const HANDS: Readonly<Record<string, string>> = {
  begun: 'uploaded',
  uploaded: 'uploaded',
  corrected: 'corrected',
  confirmed: 'confirmed',
};

/** Why the person who looks at it cannot approve it; empty while that is not known, null where they can. */
function useWhyNot(batch: Batch): string | null {
  const mayApprove = useMay('batches.approve');
  const { user } = useMe();
  const events = useQuery(batchEventsQuery(batch)).data;
  if (!mayApprove) return 'Approving takes the role Operations.';
  if (!events) return '';
  const mine = events.filter(({ by }) => by?.kind === 'user' && by.id === user?.user_id);
  const did = [...new Set(mine.flatMap(({ kind }) => HANDS[kind] ?? []))];
  return did.length === 0 ? null : `You ${did.join(' and ')} it, so somebody else has to approve it.`;
}

function Reject({ batch, onDecided, onClose }: Props & { readonly onClose: () => void }) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  return (
    <Dialog
      title="Send it back"
      act="Send it back"
      leave="Leave it"
      fields={['reason']}
      onAct={async () => {
        const sentBack = await rejectBatch(batch.batch_id, reason);
        client.setQueryData(batchQuery(batch.batch_id).queryKey, sentBack);
        onDecided?.(sentBack);
        void client.invalidateQueries({ queryKey: ['batches'] });
        void client.invalidateQueries({ queryKey: ['batch', batch.batch_id] });
      }}
      onClose={onClose}
    >
      <Text size="sm">
        Nothing is sent. It goes back to who confirmed it, who can correct rows, confirm again or cancel it.
      </Text>
      <Textarea
        label="Reason"
        description="What should be different. It stands in the trail."
        value={reason}
        maxLength={500}
        autosize
        minRows={2}
        onChange={(event) => setReason(event.currentTarget.value)}
        data-autofocus
      />
    </Dialog>
  );
}
