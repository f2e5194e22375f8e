import type { Database } from '../../lib/db.ts';
import { readOrder } from '../../orders/store.ts';
import { readOrderRefunds } from '../../refunds/store.ts';
import type { RenderOrder } from '../../webhooks/deliver.ts';
import { type OrderObjectOptions, orderObject } from './order-object.ts';

/** The order object that webhooks carry: order and refunds as they were at one moment, and the number of that moment. */
export function createRenderOrder(db: Database, options: OrderObjectOptions): RenderOrder {
  return (merchantId, orderId) =>
    db.transaction(async (tx) => {
      await tx.query('set transaction isolation level repeatable read read only');
      const found = await readOrder(tx, merchantId, orderId);
      if (!found) return null;
      const refunds = await readOrderRefunds(tx, merchantId, found.order.orderId);
      return {
        order: orderObject(found.order, found.transactions, refunds, options),
        sequence: found.order.eventSeq,
      };
    });
}
