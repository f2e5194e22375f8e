import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { formatAmount } from '../../lib/money.ts';
import type { Transaction } from '../../orders/order.ts';
import { listOrders, ORDER_ID, type OrderWithTransactions, readOrder } from '../../orders/store.ts';
import type { ApiDeps } from '../deps.ts';
import { errorSchema } from '../errors.ts';
import { nextCursor, pageFields, pageOf, positionOf } from './pages.ts';
import { orderNotFound } from './refusals.ts';

/** GET /v1/orders and GET /v1/orders/{order_id}: orders with their transactions and what is left to refund. */
export async function orderRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const typed = app.withTypeProvider<ZodTypeProvider>();

  typed.get(
    '/v1/orders',
    {
      schema: {
        tags: ['Orders'],
        summary: 'List orders, newest first',
        description: 'All filters given must hold.',
        querystring: query,
        response: { 200: orderPage },
      },
    },
    async (request) => {
      const { limit, cursor, created_from, created_before, ...asked } = request.query;
      const found = await listOrders(deps.db, {
        merchantId: request.caller.merchantId,
        orderId: asked.order_id ?? null,
        customerEmail: asked.customer_email ?? null,
        customerPhone: asked.customer_phone ?? null,
        status: asked.status ?? null,
        createdFrom: created_from === undefined ? null : new Date(created_from),
        createdBefore: created_before === undefined ? null : new Date(created_before),
        after: cursor === undefined ? null : after(cursor),
        limit: limit + 1,
      });
      const { page, next_cursor } = pageOf(found, limit, ({ order }) => ({ ...order, id: order.orderId }));
      return { orders: page.map(orderJson), next_cursor };
    },
  );

  typed.get(
    '/v1/orders/:order_id',
    {
      schema: {
        tags: ['Orders'],
        summary: 'Read an order',
        params: z.object({ order_id: z.string().describe('Compared without case.') }),
        response: { 200: orderSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { order_id } = request.params;
      const found = await readOrder(deps.db, request.caller.merchantId, order_id);
      if (!found) throw orderNotFound(order_id);
      return orderJson(found);
    },
  );
}

const query = z.strictObject({
  order_id: z.string().optional().describe('Compared without case.'),
  customer_email: z.string().optional().describe('Compared without case.'),
  customer_phone: z.string().optional(),
  status: z.string().optional().describe('CHARGED, NEW, PENDING_VBV …'),
  ...pageFields,
});

const amount = z.string().describe('In major units of the currency.');

const transactionSchema = z
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

const orderSchema = z
  .object({
    order_id: z.string(),
    status: z.string(),
    amount,
    currency: z.string(),
    charged_amount: amount.describe('What its CHARGED transactions brought.'),
    refunded_amount: amount.describe('What refunds have taken or hold.'),
    refundable_amount: amount.describe('What is left to refund.'),
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

const orderPage = z
  .object({ orders: z.array(orderSchema), next_cursor: nextCursor })
  .describe('A page of orders.');

function orderJson({ order, transactions }: OrderWithTransactions): z.infer<typeof orderSchema> {
  const decimal = (amountMinor: number) => formatAmount(amountMinor, order.exponent);
  const charged = transactions.filter(({ status }) => status === 'CHARGED');
  const chargedMinor = charged.reduce((sum, { effectiveMinor }) => sum + effectiveMinor, 0);
  const refundedMinor = charged.reduce((sum, { reservedMinor }) => sum + reservedMinor, 0);
  return {
    order_id: order.orderId,
    status: order.status,
    amount: decimal(order.amountMinor),
    currency: order.currency,
    charged_amount: decimal(chargedMinor),
    refunded_amount: decimal(refundedMinor),
    refundable_amount: decimal(chargedMinor - refundedMinor),
    customer_id: order.customerId,
    customer_email: order.customerEmail,
    customer_phone: order.customerPhone,
    details: order.details,
    metadata: order.metadata,
    created_at: order.createdAt.toISOString(),
    updated_at: order.updatedAt.toISOString(),
    transactions: transactions.map((each) => transactionJson(each, decimal)),
  };
}

function transactionJson(
  each: Transaction,
  decimal: (amountMinor: number) => string,
): z.infer<typeof transactionSchema> {
  return {
    txn_id: each.txnId,
    status: each.status,
    amount: decimal(each.amountMinor),
    surcharge: decimal(each.surchargeMinor),
    offer_discount: decimal(each.offerMinor),
    effective_amount: decimal(each.effectiveMinor),
    refunded_amount: decimal(each.reservedMinor),
    gateway: each.gateway,
    gateway_account_id: each.gatewayAccountId,
    gateway_payment_id: each.gatewayPaymentId,
    payment_method_type: each.paymentMethodType,
    payment_method: each.paymentMethod,
    charged_at: each.chargedAt?.toISOString() ?? null,
    created_at: each.createdAt.toISOString(),
  };
}

function after(cursor: string): { createdAt: Date; orderId: string } {
  const { createdAt, id } = positionOf(cursor, (text) => ORDER_ID.test(text));
  return { createdAt, orderId: id };
}
