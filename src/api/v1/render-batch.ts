import { readBatch } from '../../batches/store.ts';
import type { Queryable } from '../../lib/db.ts';
import type { RenderBatch } from '../../webhooks/deliver.ts';
import { batchViews } from './batch-object.ts';

/** What webhooks tell of a batch: the object of the API, and how many events had made it so. */
export function createRenderBatch(db: Queryable): RenderBatch {
  return async (merchantId, batchId) => {
    const record = await readBatch(db, { merchantId, batchId });
    if (!record) return null;
    const [batch] = await batchViews(db, [record]);
    return { batch, sequence: record.eventSeq };
  };
}
