import type { Database } from '../../lib/db.ts';
import { grouped } from '../../lib/grouped.ts';
import { readOrders } from '../../orders/store.ts';
import { readRefundsOfOrders } from '../../refunds/store.ts';
import type { RenderOrder } from '../../webhooks/deliver.ts';
import { type OrderObjectOptions, orderObject } from './order-object.ts';

interface OrderName {
  readonly merchantId: string;
  readonly orderId: string;
}

/** Orders read at one moment; an order may have hundreds of refunds. */
const SLICE = 32;

/**
 * The order object that webhooks carry: order and refunds as they were at one moment, which is after it was asked
 * for, and the number of that moment. What is asked for together is read together, on one connection.
 */
export function createRenderOrder(db: Database, options: OrderObjectOptions): RenderOrder {
  const render = grouped(SLICE, (asked: OrderName[]) =>
    db.transaction(async (tx) => {
      await tx.query('set transaction isolation level repeatable read read only');
      const orders = new Map((await readOrders(tx, asked)).map((found) => [nameOf(found.order), found]));
      const refunds = Map.groupBy(await readRefundsOfOrders(tx, asked), nameOf);
      return asked.map((name) => {
        const found = orders.get(nameOf(name));
        if (!found) return null;
        const { order, transactions } = found;
        return {
          order: orderObject(order, transactions, refunds.get(nameOf(name)) ?? [], options),
          sequence: order.eventSeq,
        };
      });
    }),
  );
  return (merchantId, orderId) => render({ merchantId, orderId });
}

function nameOf({ merchantId, orderId }: OrderName): string {
  return `${merchantId} ${orderId}`;
}
