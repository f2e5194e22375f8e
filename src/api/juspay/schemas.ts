import { z } from 'zod';

/** The objects of the contract, for the types of what we answer and for the OpenAPI page. */

const time = z.string().meta({ example: '2026-03-31T09:30:00Z' });
const amount = z.number().meta({ description: 'Major units, with the decimals of the currency' });
const status = z.enum(['PENDING', 'SUCCESS', 'FAILURE', 'MANUAL_REVIEW']);
const refundType = z.enum(['STANDARD', 'INSTANT', 'INSTANT_WITH_FALLBACK', 'GATEWAY']);

/** An entry of an order's `refunds` (contract section 2.3). */
export const refundEntrySchema = z
  .object({
    unique_request_id: z.string(),
    amount,
    status,
    sent_to_gateway: z.boolean(),
    created: time,
    id: z.string().nullable(),
    ref: z.string().nullable(),
    initiated_by: z.string(),
    refund_source: z.string(),
    refund_type: refundType,
    error_message: z.string(),
    error_code: z.string().nullable(),
    last_updated: time,
    expected_refund_credit_time: time,
    arn: z.string().optional(),
    pg_processed_at: time.optional(),
    pg_declined_at: time.optional(),
  })
  .meta({ id: 'JuspayRefundOfOrder', description: 'A refund as its order shows it.' });
export type RefundEntry = z.output<typeof refundEntrySchema>;

/** The answer of `POST /refunds`: one refund, some of its keys under other names (contract section 3). */
export const refundObjectSchema = z
  .object({
    unique_request_id: z.string(),
    order_id: z.string(),
    txn_id: z.string(),
    amount,
    currency: z.string(),
    status,
    sent_to_gateway: z.boolean(),
    refund_type: refundType,
    refund_source: z.string(),
    gateway: z.string(),
    initiated_by: z.string(),
    reference_id: z.string().nullable(),
    epg_txn_id: z.string().nullable(),
    refund_arn: z.string().nullable(),
    authorization_id: z.string().nullable(),
    response_code: z.string().nullable(),
    error_message: z.string().nullable(),
    created: time,
    expected_refund_credit_time: time,
  })
  .meta({ id: 'JuspayRefund', description: 'The refund.' });
export type RefundObject = z.output<typeof refundObjectSchema>;

const txnDetailSchema = z
  .object({
    txn_id: z.string(),
    order_id: z.string(),
    txn_uuid: z.string(),
    status: z.string(),
    error_code: z.string().nullable(),
    error_message: z.string(),
    net_amount: amount,
    surcharge_amount: amount,
    offer_deduction_amount: amount,
    txn_amount: amount,
    remaining_refundable_amount: amount,
    currency: z.string(),
    gateway: z.string(),
    gateway_id: z.number().int().nullable(),
    created: time,
    last_updated: time,
  })
  .meta({ id: 'JuspayTransactionDetail', description: 'A transaction in the contract’s words.' });

const paymentGatewayResponseSchema = z
  .object({
    epg_txn_id: z.string(),
    txn_id: z.string(),
    created: time,
    resp_code: z.string().nullable(),
    resp_message: z.string().nullable(),
    rrn: z.string().nullable(),
    auth_id_code: z.string().nullable(),
  })
  .meta({ id: 'JuspayGatewayResponse', description: 'What the gateway said of the payment.' });

const transactionKeys = {
  txn_id: z.string(),
  txn_uuid: z.string(),
  payment_method_type: z.string().nullable(),
  payment_method: z.string().nullable(),
  auth_type: z.string().nullable(),
  gateway_id: z.number().int().nullable(),
  gateway_reference_id: z.string().nullable(),
  bank_error_code: z.string(),
  bank_error_message: z.string(),
  bank_pg: z.string().nullable(),
  resp_code: z.string().nullable(),
  resp_message: z.string().nullable(),
  resp_category: z.string().nullable(),
  txn_detail: txnDetailSchema,
  payment_gateway_response: paymentGatewayResponseSchema,
};

const paymentLinksSchema = z
  .object({ web: z.string(), mobile: z.string(), iframe: z.string() })
  .meta({ id: 'JuspayPaymentLinks' });

/** The order object (contract sections 4.1 and 4.2). */
export const orderObjectSchema = z
  .object({
    id: z.string(),
    order_id: z.string(),
    merchant_id: z.string(),
    status: z.string(),
    status_id: z.number().int(),
    amount,
    currency: z.string(),
    date_created: time,
    last_updated: time,
    customer_id: z.string().nullable(),
    customer_email: z.string().nullable(),
    customer_phone: z.string().nullable(),
    return_url: z.string().nullable(),
    product_id: z.string().nullable(),
    description: z.string().nullable(),
    udf1: z.string(),
    udf2: z.string(),
    udf3: z.string(),
    udf4: z.string(),
    udf5: z.string(),
    udf6: z.string(),
    udf7: z.string(),
    udf8: z.string(),
    udf9: z.string(),
    udf10: z.string(),
    payment_links: paymentLinksSchema,
    metadata: z.record(z.string(), z.unknown()),
    offers: z.array(z.unknown()),
    rewards_breakup: z.null(),
    refunded: z
      .boolean()
      .meta({ description: 'True only when everything that was paid has been given back' }),
    amount_refunded: amount,
    effective_amount: amount,
    maximum_eligible_refund_amount: amount,
    ...z.object(transactionKeys).partial().shape,
    refunds: z
      .array(refundEntrySchema)
      .optional()
      .meta({ description: 'Newest first; absent when there is none' }),
    txn_list: z
      .array(
        z.object({
          txn_id: z.string(),
          txn_uuid: z.string(),
          status: z.string(),
          payment_method_type: z.string().nullable(),
          payment_method: z.string().nullable(),
          amount_refunded: amount,
          txn_detail: txnDetailSchema,
          payment_gateway_response: paymentGatewayResponseSchema,
          refunds: z.array(refundEntrySchema).optional(),
        }),
      )
      .optional()
      .meta({ description: 'Each charged transaction, where there are several' }),
  })
  .meta({ id: 'JuspayOrder', description: 'The order with its transaction and its refunds.' });
export type OrderObject = z.output<typeof orderObjectSchema>;

/** What versions of 2016 answer to the creation of an order (contract section 5.1). */
export const oldCreatedSchema = z
  .object({
    status: z.string(),
    status_id: z.number().int(),
    id: z.string(),
    order_id: z.string(),
    payment_links: paymentLinksSchema,
  })
  .meta({ id: 'JuspayOrderOfOldVersions', description: 'What versions of 2016 answer.' });

/** Every refusal of the contract; which keys are there differs from case to case. */
export const contractErrorSchema = z
  .object({
    status: z.string().optional(),
    status_id: z.union([z.number(), z.string()]).optional(),
    error_code: z.string().optional(),
    error_message: z.string().optional(),
    order_id: z.string().optional(),
    txn_id: z.string().optional(),
    error_info: z
      .object({
        category: z.string(),
        request_id: z.string(),
        code: z.string(),
        developer_message: z.string(),
        user_message: z.string(),
        href: z.string().optional(),
        fields: z.array(z.object({ field_name: z.string(), reason: z.string() })).optional(),
      })
      .optional(),
  })
  .meta({
    id: 'JuspayError',
    description: 'Why it was refused.',
    examples: [
      {
        status_id: -1,
        status: 'ERROR',
        error_code: 'duplicate.call',
        error_message: 'A refund call was already completed with this unique_request_id for the order.',
      },
    ],
  });

const text = z.string().optional();
const metadata = z.record(z.string(), z.unknown()).optional();
const udfs = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`udf${index + 1}`, text]));

const refundFields = {
  unique_request_id: z.string().meta({ description: 'Yours; at most one refund of an order has it' }),
  amount: z
    .string()
    .optional()
    .meta({ description: 'Decimal text in major units. Absent: all that is left to refund' }),
  refund_type: refundType.optional(),
  currency: text.meta({ description: "Refused unless it is the order's" }),
  refund_reason: text,
  metaData: text.meta({ description: 'A note' }),
  metadata,
};

/** Bodies as documented; what is really read is in fields.ts, since three encodings and many clients send them. */
export const refundBodySchema = z
  .object(refundFields)
  .meta({ id: 'JuspayNewRefund', examples: [{ unique_request_id: 'A-1001-r1', amount: '499.00' }] });
export const refundByOrderBodySchema = z.object({ order_id: z.string(), ...refundFields }).meta({
  id: 'JuspayNewRefundByOrder',
  examples: [{ order_id: 'A-1001', unique_request_id: 'A-1001-r1', amount: '499.00' }],
});
export const refundByAnyBodySchema = z.object({ order_id: text, txn_id: text, ...refundFields }).meta({
  id: 'JuspayNewRefundByAny',
  examples: [{ order_id: 'A-1001', unique_request_id: 'A-1001-r1', amount: '499.00' }],
});
const orderFields = {
  customer_id: text,
  customer_email: text,
  customer_phone: text,
  product_id: text,
  description: text,
  return_url: text,
  metadata: metadata.meta({
    description: '`webhook_url` in it is where this order’s webhooks go too, besides the endpoints',
  }),
  ...udfs,
};
export const createBodySchema = z
  .object({
    order_id: z.string(),
    amount: z.string(),
    currency: text.meta({ description: 'ISO 4217; INR when absent' }),
    ...orderFields,
  })
  .meta({ id: 'JuspayNewOrder', examples: [{ order_id: 'A-1001', amount: '1299.00', currency: 'INR' }] });
export const updateBodySchema = z
  .object({ amount: text, ...orderFields })
  .meta({ id: 'JuspayOrderChanges', examples: [{ udf1: 'north' }] });
export const statusBodySchema = z.object({ order_id: z.string() });
