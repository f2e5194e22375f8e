import { z } from 'zod';

export const refusalObject = z.object({
  code: z.string().describe('For programs; it does not change.'),
  message: z.string().describe('For people.'),
  field: z.string().optional(),
  value: z.string().optional().describe('What was sent, unless it is long or may be secret.'),
  accepted: z.string().optional(),
  refund_id: z.string().optional().describe('The earlier refund that stands in the way.'),
});

/** The body of an ApiError. */
export const errorSchema = z.object({ error: refusalObject }).meta({
  id: 'Error',
  examples: [
    {
      error: {
        code: 'amount_exceeds_rest',
        message:
          'Only 800.00 INR of the order is left to refund, refunds under way counted; nothing was refunded.',
        field: 'amount',
        value: '800.01',
        accepted: 'at most 800.00',
      },
    },
  ],
});

export type ErrorBody = z.infer<typeof refusalObject>;
