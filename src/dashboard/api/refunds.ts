import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { RefundCounts } from '../../api/contract/counts.ts';
import type {
  Refund,
  RefundLooked,
  RefundPage,
  RefundWithHistory,
  Resolution,
} from '../../api/contract/refunds.ts';
import type { WebhookDeliveryPage } from '../../api/contract/webhook-endpoints.ts';
import { ask, type Query } from './client.ts';

/** How many refunds there are of each kind, within filters. */
export function countsQuery(filters: Query) {
  return queryOptions({
    queryKey: ['counts', filters],
    queryFn: ({ signal }) => ask<RefundCounts>('GET', '/v1/refunds/counts', { query: filters, signal }),
    placeholderData: keepPreviousData,
  });
}

/** A page of refunds within filters. */
export function refundsQuery(filters: Query) {
  return queryOptions({
    queryKey: ['refunds', filters],
    queryFn: ({ signal }) => ask<RefundPage>('GET', '/v1/refunds', { query: filters, signal }),
    placeholderData: keepPreviousData,
  });
}

/** A refund with everything that happened to it. */
export function refundQuery(refundId: string) {
  return queryOptions({
    queryKey: ['refund', refundId],
    queryFn: ({ signal }) => ask<RefundWithHistory>('GET', path(refundId), { signal }),
  });
}

/** What was sent of a refund to the merchant's endpoints, newest event first. */
export function refundDeliveriesQuery(refundId: string) {
  return queryOptions({
    queryKey: ['deliveries', { refund_id: refundId }],
    queryFn: ({ signal }) => ask<WebhookDeliveryPage>('GET', `${path(refundId)}/deliveries`, { signal }),
    // The stream tells what happens to refunds, not to what is told of them.
    refetchInterval: ({ state }) =>
      state.data?.deliveries.some((delivery) => delivery.state === 'pending') ? 3_000 : false,
  });
}

/** Asks the gateway about the refund now; the answer is the refund as it is after that. */
export function askGatewayNow(refundId: string): Promise<RefundLooked> {
  return ask('POST', `${path(refundId)}/sync`);
}

/** Takes back a refund that has not been sent. */
export function cancelRefund(refundId: string, reason: string): Promise<Refund> {
  return ask('POST', `${path(refundId)}/cancel`, { body: reason === '' ? {} : { reason } });
}

/** Settles a refund in manual review by a person's word. */
export function resolveRefund(refundId: string, body: Resolution): Promise<Refund> {
  return ask('POST', `${path(refundId)}/resolve`, { body });
}

/** A second person's yes to the proposal that was made at this time, or anybody's no. */
export function decideOnProposal(
  refundId: string,
  verb: 'confirm' | 'withdraw',
  at: string,
): Promise<Refund> {
  return ask('POST', `${path(refundId)}/proposal/${verb}`, { body: { at } });
}

function path(refundId: string): string {
  return `/v1/refunds/${encodeURIComponent(refundId)}`;
}
