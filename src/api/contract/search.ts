import { z } from 'zod';

/** GET /v1/search?q=: whatever has this id, address or number, exact hits first. */
export const searchQuerySchema = z.strictObject({
  q: z
    .string()
    .trim()
    .min(2)
    .max(256)
    .describe('An id, an e-mail address or a phone number; of order and refund ids the beginning is enough.'),
});

export const searchHitSchema = z.object({
  kind: z.enum(['order', 'transaction', 'refund']),
  order_id: z.string(),
  txn_id: z.string().nullable(),
  refund_id: z.string().nullable(),
  matched: z.string().describe('What matched, in words: order id, transaction id, gateway payment id, ARN …'),
  value: z.string().describe('The whole of what matched.'),
  exact: z.boolean().describe('Whether all of it was asked for, not only its beginning.'),
  amount: z.string(),
  currency: z.string(),
  status: z.string().describe("The order's or transaction's status; of a refund its public status."),
  customer_email: z.string().nullable(),
  created_at: z.iso.datetime(),
});

export const searchAnswerSchema = z
  .object({ hits: z.array(searchHitSchema) })
  .describe('At most eight of each kind, exact ones first.');

export type SearchAnswer = z.infer<typeof searchAnswerSchema>;
