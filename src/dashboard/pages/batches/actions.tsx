import { Button, Text, TextInput } from '@mantine/core';
import { IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { batchQuery, cancelBatch, isOver, pauseBatch, resumeBatch } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Refusal } from '../../parts/act.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import classes from './batches.module.css';
import { useBatchAct } from './use-batch-act.ts';
import { progressOf, things, totalsText } from './words.ts';

/** What can be done to a batch wherever it is: hold it, let it go on, end it. */
export function BatchActions({ batch }: { readonly batch: Batch }) {
  const mayRun = useMay('batches.run');
  const { busy, problem, run } = useBatchAct();
  const [cancelling, setCancelling] = useState(false);
  const canPause = batch.status === 'running' && batch.sent_at === null;
  const canCancel = !isOver(batch) && batch.sent_at === null;
  if (!mayRun) return null;
  return (
    <div className={classes.actions}>
      <div className={classes.row}>
        {canPause && (
          <Button
            variant="default"
            loading={busy}
            leftSection={<IconPlayerPause size={15} />}
            onClick={() => void run(() => pauseBatch(batch.batch_id))}
          >
            Pause
          </Button>
        )}
        {batch.status === 'paused' && (
          <Button
            loading={busy}
            leftSection={<IconPlayerPlay size={15} />}
            onClick={() => void run(() => resumeBatch(batch.batch_id))}
          >
            Resume
          </Button>
        )}
        {canCancel && (
          <Button variant="default" onClick={() => setCancelling(true)}>
            {batch.started_at === null ? 'Cancel the batch' : 'Cancel the rest'}
          </Button>
        )}
      </div>
      <Refusal problem={problem} />
      {cancelling && <CancelDialog batch={batch} onClose={() => setCancelling(false)} />}
    </div>
  );
}

function CancelDialog({ batch, onClose }: { readonly batch: Batch; readonly onClose: () => void }) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  const begun = batch.started_at !== null;
  return (
    <Dialog
      title={begun ? 'Cancel the rest' : 'Cancel the batch'}
      act={begun ? 'Cancel the rest' : 'Cancel the batch'}
      leave="Keep it"
      danger
      fields={['reason']}
      onAct={async () => {
        const cancelled = await cancelBatch(batch.batch_id, reason);
        client.setQueryData(batchQuery(batch.batch_id).queryKey, cancelled);
        void client.invalidateQueries({ queryKey: ['batches'] });
        void client.invalidateQueries({ queryKey: ['batch', batch.batch_id] });
      }}
      onClose={onClose}
    >
      <Text size="sm">{cancelSays(batch)}</Text>
      <TextInput
        label="Reason"
        description="For the trail. You may leave it empty."
        value={reason}
        maxLength={500}
        onChange={(event) => setReason(event.currentTarget.value)}
        data-autofocus
      />
    </Dialog>
  );
}

function cancelSays(batch: Batch): string {
  if (batch.started_at === null) {
    return batch.confirmation
      ? `Nothing has been sent, and nothing will be: ${totalsText(batch.confirmation.totals) || things(batch, batch.confirmation.rows)} stay where they are. It cannot be taken up again.`
      : 'Nothing has been sent, and nothing will be. To send these rows later, upload the file again.';
  }
  const { done, of } = progressOf(batch);
  const gone =
    batch.kind === 'refunds'
      ? `${things(batch, done)} have gone out: they are followed to their outcome and cannot be called back from here.`
      : `${things(batch, done)} have been made and stay.`;
  return `About ${things(batch, of - done)} have not gone out and never will. ${gone} What is on its way this very moment may still go out.`;
}
