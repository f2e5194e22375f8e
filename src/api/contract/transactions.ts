import { z } from 'zod';
import { TRANSACTION_STATUSES } from '../../orders/order.ts';
import { refusalObject } from './errors.ts';

/** POST /v1/transactions: what is told of a payment, and what becomes of it. */

const amount = z.string().regex(/^\d+(\.\d+)?$/);

export const toldTransactionSchema = z
  .object({
    order_id: z.string().min(1).max(128),
    amount: amount.describe('In major units, with no more decimals than the currency has.'),
    currency: z.string().length(3).describe('ISO 4217.'),
    status: z.enum(TRANSACTION_STATUSES).describe('Only a CHARGED transaction can be refunded.'),
    gateway: z.string().describe('The gateway’s word, as GET /v1/gateways lists it.'),
    gateway_account: z
      .string()
      .optional()
      .describe(
        "The account's id or name; without it the only enabled one of the gateway, or the one named `default`.",
      ),
    gateway_payment_id: z.string().min(1).max(255),
    payment_method_type: z.string().optional().describe('CARD, UPI, NB, WALLET …'),
    payment_method: z.string().optional().describe('VISA, GOOGLEPAY, NB_HDFC …'),
    surcharge: amount.optional().describe('Paid on top of the amount.'),
    offer_discount: amount.optional().describe('Not paid thanks to an offer.'),
    charged_at: z.iso.datetime({ offset: true }).optional(),
    customer_id: z.string().optional(),
    customer_email: z.string().optional(),
    customer_phone: z.string().optional(),
    ...Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`udf${index + 1}`, z.string().optional()]),
    ),
    metadata: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("`webhook_url` in it is where this order's webhooks go too, besides the endpoints."),
  })
  .meta({
    examples: [
      {
        order_id: 'A-1001',
        amount: '1299.00',
        currency: 'INR',
        status: 'CHARGED',
        gateway: 'SANDBOX',
        gateway_payment_id: 'sbx_slow_A-1001',
        payment_method_type: 'CARD',
        payment_method: 'VISA',
        customer_email: 'asha@example.com',
      },
    ],
  });

export const recordedSchema = z.object({
  outcome: z.enum(['recorded', 'unchanged']).describe('unchanged: all of it was known before.'),
  order_id: z.string(),
  txn_id: z.string(),
});

export const answerLineSchema = z.union([
  recordedSchema.extend({ line: z.int() }),
  z.object({
    line: z.int(),
    outcome: z
      .enum(['refused', 'stopped'])
      .describe('stopped: this line and all after it are to be sent again.'),
    error: refusalObject,
  }),
]);

export type ToldTransaction = z.input<typeof toldTransactionSchema>;
export type Recorded = z.infer<typeof recordedSchema>;
