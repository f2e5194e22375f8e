import { z } from 'zod';

/**
 * GET /v1/stream: server-sent events. Besides `change`: `ready` once at the start, `counts` where the numbers of
 * refunds may have changed, `here` every 15 seconds, `bye` before the server ends the stream, each with `{}`.
 */
export const changeEventSchema = z
  .object({
    order_id: z
      .string()
      .nullable()
      .describe(
        'Null: so much changed, or may have been missed, that all on screen should be asked for again.',
      ),
    refund_id: z.string().nullable().describe('Null where the order itself changed.'),
    kind: z.string().describe('The word of the event, such as refund.succeeded.'),
    status: z.enum(['PENDING', 'SUCCESS', 'FAILURE', 'MANUAL_REVIEW']).nullable(),
    state: z.string().nullable(),
    seq: z.int().describe('The sequence number of the event within its order. The same may come twice.'),
    at: z.string(),
  })
  .meta({ id: 'ChangeEvent', description: 'An order or a refund changed.' });

export type ChangeEvent = z.infer<typeof changeEventSchema>;
