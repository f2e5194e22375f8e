import type { Batch } from '../../../api/contract/batches.ts';
import { Sign } from '../../parts/status.tsx';
import { count, STATUSES } from './words.ts';

/** Where a batch is. */
export function BatchSign({ batch }: { readonly batch: Batch }) {
  if (batch.status === 'uploading' && batch.problem) return <Sign is="bad" word="Cannot be read yet" />;
  if (batch.status === 'running' && batch.sent_at !== null)
    return <Sign is="waits" word="Outcomes awaited" />;
  const { word, is } = STATUSES[batch.status];
  const failed = batch.rows.refused + batch.refunds.by_status.FAILURE;
  const detail = batch.status === 'finished' && failed > 0 ? count(failed, 'failure') : null;
  return <Sign is={is} word={word} detail={detail} />;
}
