import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { Order, OrderPage } from '../../api/contract/orders.ts';
import type { RefundPreview, RefundPreviewAsk } from '../../api/contract/refund-preview.ts';
import type { NewRefund, OrderEvents, Refund, RefundPage } from '../../api/contract/refunds.ts';
import { ask, Problem, type Query } from './client.ts';

export function ordersQuery(filters: Query) {
  return queryOptions({
    queryKey: ['orders', filters],
    queryFn: ({ signal }) => ask<OrderPage>('GET', '/v1/orders', { query: filters, signal }),
    placeholderData: keepPreviousData,
  });
}

export function orderQuery(orderId: string) {
  return queryOptions({
    queryKey: ['order', orderId],
    queryFn: ({ signal }) => ask<Order>('GET', path(orderId), { signal }),
  });
}

export function orderRefundsQuery(orderId: string) {
  return queryOptions({
    queryKey: ['order', orderId, 'refunds'],
    queryFn: ({ signal }) => ask<RefundPage>('GET', '/v1/refunds', { query: { order_id: orderId }, signal }),
  });
}

export function orderEventsQuery(orderId: string) {
  return queryOptions({
    queryKey: ['order', orderId, 'events'],
    queryFn: ({ signal }) => ask<OrderEvents>('GET', `${path(orderId)}/events`, { signal }),
  });
}

export function refundPreviewQuery(orderId: string, body: NonNullable<RefundPreviewAsk>) {
  return queryOptions({
    queryKey: ['order', orderId, 'preview', body],
    queryFn: ({ signal }) => ask<RefundPreview>('POST', `${path(orderId)}/refund-preview`, { body, signal }),
    placeholderData: keepPreviousData,
  });
}

/**
 * Makes a refund. Where an earlier try under the same key had been recorded although its answer was lost, gives that
 * refund: it is what was asked for.
 */
export async function makeRefund(body: NewRefund): Promise<Refund> {
  try {
    return await ask<Refund>('POST', '/v1/refunds', { body });
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'duplicate_request_id') throw error;
    const { unique_request_id, order_id } = body;
    const { refunds } = await ask<RefundPage>('GET', '/v1/refunds', {
      query: { order_id, unique_request_id },
    });
    const [made] = refunds;
    if (made?.amount !== body.amount || made.txn_id !== body.txn_id) throw error;
    return made;
  }
}

function path(orderId: string): string {
  return `/v1/orders/${encodeURIComponent(orderId)}`;
}
