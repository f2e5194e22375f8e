import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { RefundCounts } from '../../api/contract/counts.ts';
import { ask, type Query } from './client.ts';

/** How many refunds there are of each kind, within filters. */
export function countsQuery(filters: Query) {
  return queryOptions({
    queryKey: ['counts', filters],
    queryFn: ({ signal }) => ask<RefundCounts>('GET', '/v1/refunds/counts', { query: filters, signal }),
    placeholderData: keepPreviousData,
  });
}
