import type { OrderFilter } from '../../orders/list.ts';
import { ORDER_ID } from '../../orders/order.ts';
import type { OrderListQuery } from '../contract/orders.ts';
import { amountRange, requireCurrency } from './filters.ts';
import { positionOf } from './pages.ts';

/** What a query of GET /v1/orders asks for. Throws ApiError for what does not fit together. */
export function orderFilterOf(
  merchantId: string,
  query: Omit<OrderListQuery, 'limit'>,
): Omit<OrderFilter, 'limit'> {
  if (query.sort.startsWith('amount')) requireCurrency('sort', query.sort, query.currency);
  return {
    merchantId,
    search: query.search,
    orderId: query.order_id,
    orderIdPrefix: query.order_id_prefix,
    txnId: query.txn_id,
    gatewayPaymentId: query.gateway_payment_id,
    customerEmail: query.customer_email,
    customerPhone: query.customer_phone,
    statuses: query.status?.split(','),
    gateways: query.gateway?.split(','),
    currency: query.currency,
    ...amountRange(query),
    refunded: query.refunded,
    createdFrom: query.created_from === undefined ? undefined : new Date(query.created_from),
    createdBefore: query.created_before === undefined ? undefined : new Date(query.created_before),
    sort: query.sort,
    after:
      query.cursor === undefined
        ? undefined
        : positionOf(query.cursor, query.sort, (text) => ORDER_ID.test(text)),
  };
}
