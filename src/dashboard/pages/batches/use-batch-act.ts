import { useQueryClient } from '@tanstack/react-query';
import type { Batch } from '../../../api/contract/batches.ts';
import { batchQuery } from '../../api/batches.ts';
import { type Act, useAct } from '../../parts/act.tsx';

/** Something that is done to a batch: what comes back is shown at once, wherever the batch is shown. */
export function useBatchAct(): Omit<Act, 'run'> & { run(does: () => Promise<Batch>): Promise<boolean> } {
  const client = useQueryClient();
  const act = useAct();
  return {
    ...act,
    run: async (does) => {
      const done = await act.run(async () => {
        const batch = await does();
        client.setQueryData(batchQuery(batch.batch_id).queryKey, batch);
      });
      // A refusal is often news as well: somebody was faster.
      void client.invalidateQueries({ queryKey: ['batches'] });
      void client.invalidateQueries({ queryKey: ['batch'] });
      return done;
    },
  };
}
