import { z } from 'zod';
import { ORDER_ID } from '../../orders/order.ts';
import { currencyFilter, decimalFilter, idPrefix, withBom, wordList } from './filters.ts';
import { nextCursor, pageFields } from './pages.ts';

export const ORDER_SORTS = ['newest', 'oldest', 'amount_desc', 'amount_asc'] as const;
export const REFUNDED = ['none', 'partly', 'fully'] as const;

/** What orders are narrowed by, in their list and in its export. All that is given must hold. */
export const orderFilters = {
  search: z
    .string()
    .trim()
    .min(1)
    .max(256)
    .optional()
    .describe(
      'How an order id begins, or a whole transaction id, gateway payment id, e-mail address or phone number.',
    ),
  order_id: z.string().max(512).optional().describe('Compared without case.'),
  order_id_prefix: idPrefix.optional().describe('How order ids begin, compared without case.'),
  txn_id: z.string().max(256).optional(),
  gateway_payment_id: z.string().max(255).optional(),
  customer_email: z.string().max(512).optional().describe('Compared without case.'),
  customer_phone: z.string().max(512).optional(),
  status: wordList.optional().describe('One or more of CHARGED, NEW, PENDING_VBV …, separated by commas.'),
  gateway: wordList.optional().describe('One or more gateway words, separated by commas.'),
  currency: currencyFilter.optional(),
  amount_from: decimalFilter.optional().describe('This amount and more, in major units of `currency`.'),
  amount_to: decimalFilter.optional().describe('This amount and less, in major units of `currency`.'),
  refunded: z
    .enum(REFUNDED)
    .optional()
    .describe('How much of what was paid is refunded, refunds under way counted.'),
  created_from: pageFields.created_from,
  created_before: pageFields.created_before,
};

export const orderListQuerySchema = z.strictObject({
  ...orderFilters,
  sort: z
    .enum(ORDER_SORTS)
    .default('newest')
    .describe('amount_desc and amount_asc need `currency`: amounts of two currencies have no order.'),
  limit: pageFields.limit,
  cursor: pageFields.cursor,
});

export const orderExportQuerySchema = z.strictObject({
  ...orderFilters,
  sort: orderListQuerySchema.shape.sort,
  bom: withBom,
});

export const orderParamsSchema = z.object({
  order_id: z.string().max(512).describe('Compared without case.'),
});

const amount = z.string().describe('In major units of the currency.');

export const transactionSchema = z
  .object({
    txn_id: z.string(),
    status: z.string(),
    amount,
    surcharge: amount,
    offer_discount: amount,
    effective_amount: amount.describe('What the customer paid: amount + surcharge − offer.'),
    refunded_amount: amount.describe('What refunds have taken or hold.'),
    gateway: z.string(),
    gateway_account_id: z.string(),
    gateway_payment_id: z.string(),
    payment_method_type: z.string().nullable(),
    payment_method: z.string().nullable(),
    charged_at: z.iso.datetime().nullable(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Transaction', description: 'One payment of an order, or a try.' });

export const orderSchema = z
  .object({
    order_id: z.string(),
    status: z.string(),
    amount,
    currency: z.string(),
    charged_amount: amount.describe('What its CHARGED transactions brought.'),
    refunded_amount: amount.describe('What refunds have taken or hold.'),
    refunding_amount: amount.describe(
      'The part of it that is under way: held by refunds that are not final.',
    ),
    refundable_amount: amount.describe('What is left to refund.'),
    refunded: z.enum(REFUNDED).describe('How much of what was paid that is.'),
    gateway: z
      .string()
      .nullable()
      .describe('Where it was charged, or last tried; null without a transaction.'),
    payment_method_type: z.string().nullable(),
    payment_method: z.string().nullable(),
    customer_id: z.string().nullable(),
    customer_email: z.string().nullable(),
    customer_phone: z.string().nullable(),
    details: z.record(z.string(), z.unknown()).describe('udf1 … udf10, description, addresses.'),
    metadata: z.record(z.string(), z.unknown()),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    transactions: z.array(transactionSchema),
  })
  .meta({ id: 'Order', description: 'The order with its transactions and what is left to refund.' });

export const orderPageSchema = z
  .object({ orders: z.array(orderSchema), next_cursor: nextCursor })
  .describe('A page of orders.');

export const orderIdSchema = z.string().regex(ORDER_ID, '1 to 128 visible ASCII characters');

export type OrderListQuery = z.output<typeof orderListQuerySchema>;
export type Transaction = z.infer<typeof transactionSchema>;
export type Order = z.infer<typeof orderSchema>;
export type OrderPage = z.infer<typeof orderPageSchema>;
