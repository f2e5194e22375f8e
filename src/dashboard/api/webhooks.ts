import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type {
  NewWebhookEndpoint,
  ResendRange,
  WebhookDelivery,
  WebhookDeliveryPage,
  WebhookDeliveryWithTries,
  WebhookEndpoint,
  WebhookEndpointChanges,
  WebhookEndpointHealth,
  WebhookEndpointList,
  WebhookEndpointTest,
  WebhookEndpointWithSecret,
} from '../../api/contract/webhook-endpoints.ts';
import { ask, type Query } from './client.ts';

const ENDPOINTS = '/v1/webhook-endpoints';
const DELIVERIES = '/v1/webhook-deliveries';

/** News of deliveries come after the change that they tell of, so that the live stream is too early for them. */
const REFRESH_MS = 5_000;

/** The merchant's endpoints, oldest first. */
export const endpointsQuery = queryOptions({
  queryKey: ['endpoints'],
  queryFn: async ({ signal }) => (await ask<WebhookEndpointList>('GET', ENDPOINTS, { signal })).endpoints,
  refetchInterval: REFRESH_MS,
});

/** How an endpoint's tries of the last 24 hours went. */
export function endpointHealthQuery(endpointId: string) {
  return queryOptions({
    queryKey: ['deliveries', 'health', endpointId],
    queryFn: ({ signal }) =>
      ask<WebhookEndpointHealth>('GET', `${ENDPOINTS}/${endpointId}/health`, { signal }),
    refetchInterval: 2 * REFRESH_MS,
  });
}

/** A page of the delivery log, newest event first. */
export function deliveriesQuery(filters: Query) {
  return queryOptions({
    queryKey: ['deliveries', 'page', filters],
    queryFn: ({ signal }) => ask<WebhookDeliveryPage>('GET', DELIVERIES, { query: filters, signal }),
    placeholderData: keepPreviousData,
    ...(filters['cursor'] === undefined && { refetchInterval: REFRESH_MS }),
  });
}

/** One delivery with every try. */
export function deliveryQuery(deliveryId: string) {
  return queryOptions({
    queryKey: ['deliveries', 'one', deliveryId],
    queryFn: ({ signal }) => ask<WebhookDeliveryWithTries>('GET', `${DELIVERIES}/${deliveryId}`, { signal }),
    refetchInterval: REFRESH_MS,
  });
}

export function createEndpoint(body: NewWebhookEndpoint): Promise<WebhookEndpointWithSecret> {
  return ask('POST', ENDPOINTS, { body });
}

export function changeEndpoint(endpointId: string, body: WebhookEndpointChanges): Promise<WebhookEndpoint> {
  return ask('PATCH', `${ENDPOINTS}/${endpointId}`, { body });
}

export function removeEndpoint(endpointId: string): Promise<unknown> {
  return ask('DELETE', `${ENDPOINTS}/${endpointId}`);
}

/** A new secret; the one before stays valid for so many hours. */
export function rotateSecret(endpointId: string, graceHours: number): Promise<WebhookEndpointWithSecret> {
  return ask('POST', `${ENDPOINTS}/${endpointId}/rotate-secret`, { body: { grace_hours: graceHours } });
}

/** Sends a test message now, and answers with what came back. */
export function testEndpoint(endpointId: string): Promise<WebhookEndpointTest> {
  return ask('POST', `${ENDPOINTS}/${endpointId}/test`);
}

export function resendRange(endpointId: string, body: ResendRange): Promise<{ resent: number }> {
  return ask('POST', `${ENDPOINTS}/${endpointId}/resend`, { body });
}

export function resendDelivery(deliveryId: string): Promise<WebhookDelivery> {
  return ask('POST', `${DELIVERIES}/${deliveryId}/resend`);
}
