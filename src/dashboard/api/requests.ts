import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { LoggedRequest, LoggedRequestPage } from '../../api/contract/requests.ts';
import { ask, type Query } from './client.ts';

const REFRESH_MS = 5_000;

/** A page of the request log, newest first; the first page follows what comes in. */
export function requestsQuery(filters: Query) {
  return queryOptions({
    queryKey: ['requests', 'page', filters],
    queryFn: ({ signal }) => ask<LoggedRequestPage>('GET', '/v1/requests', { query: filters, signal }),
    placeholderData: keepPreviousData,
    ...(filters['cursor'] === undefined && { refetchInterval: REFRESH_MS }),
  });
}

export function requestQuery(requestId: string) {
  return queryOptions({
    queryKey: ['requests', 'one', requestId],
    queryFn: ({ signal }) => ask<LoggedRequest>('GET', `/v1/requests/${requestId}`, { signal }),
  });
}
