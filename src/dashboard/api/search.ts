import { queryOptions } from '@tanstack/react-query';
import type { SearchAnswer } from '../../api/contract/search.ts';
import { ask } from './client.ts';

export function searchQuery(q: string) {
  return queryOptions({
    queryKey: ['search', q],
    queryFn: ({ signal }) => ask<SearchAnswer>('GET', '/v1/search', { query: { q }, signal }),
  });
}
