import { queryOptions, useSuspenseQuery } from '@tanstack/react-query';
import type { Me } from '../../api/contract/me.ts';
import { ask } from './client.ts';

/** Who is signed in, for which merchant, and what their role may do. */
export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: ({ signal }) => ask<Me>('GET', '/v1/me', { signal }),
  staleTime: 60_000,
});

const tabs = new BroadcastChannel('refundry-session');
// What this tab shows belongs to who was here before, and what it sends would go in the name of who is here now.
tabs.onmessage = () => window.location.reload();

/** Tells the other tabs of this browser that somebody else, or nobody, is signed in from now on. */
export function tellOtherTabs(): void {
  tabs.postMessage('changed');
}

export function useMe(): Me {
  return useSuspenseQuery(meQuery).data;
}

/** Whether the person's role has a permission. The server decides again whatever is shown here. */
export function useMay(permission: string): boolean {
  return useMe().permissions.includes(permission);
}
