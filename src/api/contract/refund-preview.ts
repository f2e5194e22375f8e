import { z } from 'zod';

/** POST /v1/orders/{order_id}/refund-preview: what a refund would do, before anybody asks for it. */

const amount = z.string().describe('In major units of the currency.');

export const refundPreviewAskSchema = z
  .strictObject({
    txn_id: z.string().min(1).max(256).optional().describe('Of several payments, the one to refund.'),
    amount: z
      .string()
      .max(100)
      .optional()
      .describe('Decimal text in major units, or "full"; "full" when absent.'),
  })
  .nullish()
  .meta({ examples: [{ amount: '499.00' }] });

const sentence = z.object({
  code: z.string().describe('For programs; it does not change.'),
  message: z.string().describe('For people.'),
  field: z.string().nullable().describe('Which part of the request it is about.'),
});

export const previewTransactionSchema = z.object({
  txn_id: z.string(),
  status: z.string(),
  paid: amount.describe('What the customer paid.'),
  refunded: amount.describe('What refunds of it have given back.'),
  in_flight: amount.describe('What refunds of it that are under way hold.'),
  left: amount,
  gateway: z.string(),
  gateway_label: z.string(),
  gateway_account_id: z.string(),
  gateway_account: z.string().nullable().describe('The name of the account; null where it is gone.'),
  gateway_payment_id: z.string(),
  payment_method_type: z.string().nullable(),
  payment_method: z.string().nullable(),
  charged_at: z.string().nullable(),
  refundable: z.boolean(),
  blockers: z.array(sentence).describe('Why it is not.'),
});

export const refundPreviewSchema = z
  .object({
    order_id: z.string(),
    currency: z.string(),
    possible: z.boolean().describe('Whether a refund that is asked for now would be taken.'),
    blockers: z.array(sentence).describe('Why it would not.'),
    warnings: z
      .array(
        sentence.extend({
          refund_id: z.string().nullable(),
          at: z.string().nullable(),
          by: z.string().nullable().describe('Who made that refund.'),
        }),
      )
      .describe('What to look at first. `look_alike` needs `confirm_look_alike` from the dashboard.'),
    transactions: z.array(previewTransactionSchema),
    refunds_left: z.int().describe('How many more refunds the order may have.'),
    refund: z
      .object({
        txn_id: z.string(),
        amount,
        full: z.boolean().describe('Whether it gives back all that is left.'),
        left_before: amount.describe('To be sent along as `expected_remaining`.'),
        left_after: amount,
        to: z.string().describe('Where the money goes, in words.'),
        through: z.string().describe('By which gateway and account, in words.'),
        due_at: z.string().describe('When the customer should have it.'),
        partial_possible: z.boolean().describe('Whether the gateway refunds a part.'),
        several_possible: z.boolean().describe('Whether the rest can be refunded later.'),
        instant_possible: z.boolean(),
        says: z.string().describe('What will happen, in one sentence.'),
        cannot_be_undone: z.string(),
      })
      .nullable()
      .describe('What would be done; null where nothing can be.'),
  })
  .meta({ id: 'RefundPreview', description: 'What a refund would do, and what stands against it.' });

export type RefundPreview = z.infer<typeof refundPreviewSchema>;
export type PreviewTransaction = z.infer<typeof previewTransactionSchema>;
export type RefundPreviewAsk = z.input<typeof refundPreviewAskSchema>;
