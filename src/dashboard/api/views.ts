import { queryOptions } from '@tanstack/react-query';
import type { View, ViewBody, ViewList } from '../../api/contract/views.ts';
import { ask } from './client.ts';

export type ViewedPage = View['page'];

/** The person's own saved views of a list and those that are shared with them, by name. */
export function viewsQuery(page: ViewedPage) {
  return queryOptions({
    queryKey: ['views', page],
    queryFn: ({ signal }) => ask<ViewList>('GET', '/v1/views', { query: { page }, signal }),
    select: ({ views }) => views,
    staleTime: 60_000,
  });
}

/** Makes the view of this id, or replaces it. */
export function saveView(viewId: string, body: ViewBody): Promise<View> {
  return ask('PUT', `/v1/views/${viewId}`, { body });
}

export function removeView(viewId: string): Promise<void> {
  return ask('DELETE', `/v1/views/${viewId}`);
}
