import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { listOrders, readInFlight } from '../../orders/list.ts';
import { readOrder } from '../../orders/store.ts';
import { orderListQuerySchema, orderPageSchema, orderParamsSchema, orderSchema } from '../contract/orders.ts';
import type { ApiDeps } from '../deps.ts';
import { errorSchema } from '../errors.ts';
import { orderFilterOf } from './order-filter.ts';
import { orderView } from './order-view.ts';
import { pageOf } from './pages.ts';
import { orderNotFound } from './refusals.ts';

/** GET /v1/orders and GET /v1/orders/{order_id}: orders with their transactions and what is left to refund. */
export async function orderRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const typed = app.withTypeProvider<ZodTypeProvider>();

  typed.get(
    '/v1/orders',
    {
      config: { permission: 'orders.read' },
      schema: {
        tags: ['Orders'],
        summary: 'List orders',
        description: 'All filters given must hold.',
        querystring: orderListQuerySchema,
        response: { 200: orderPageSchema },
      },
    },
    async (request) => {
      const { limit, sort } = request.query;
      const found = await listOrders(deps.db, {
        ...orderFilterOf(request.caller.merchantId, request.query),
        limit: limit + 1,
      });
      const { page, next_cursor } = pageOf(found, limit, sort, ({ order }) => ({
        at: sort.startsWith('amount') ? order.amountMinor : order.createdAt.getTime(),
        id: order.orderId,
      }));
      return { orders: page.map(orderView), next_cursor };
    },
  );

  typed.get(
    '/v1/orders/:order_id',
    {
      config: { permission: 'orders.read' },
      schema: {
        tags: ['Orders'],
        summary: 'Read an order',
        params: orderParamsSchema,
        response: { 200: orderSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { order_id } = request.params;
      const found = await readOrder(deps.db, request.caller.merchantId, order_id);
      if (!found) throw orderNotFound(order_id);
      const refunding = await readInFlight(deps.db, request.caller.merchantId, [found.order.orderId]);
      return orderView({ ...found, refundingMinor: refunding.get(found.order.orderId) ?? 0 });
    },
  );
}
