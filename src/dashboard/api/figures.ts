import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { Figures, FiguresAsk } from '../../api/contract/figures.ts';
import { ask } from './client.ts';

/** What the refunds of some days add up to, and what is under way now. */
export function figuresQuery(asked: FiguresAsk) {
  return queryOptions({
    queryKey: ['figures', asked],
    queryFn: ({ signal }) => ask<Figures>('GET', '/v1/figures', { query: asked, signal }),
    placeholderData: keepPreviousData,
  });
}
