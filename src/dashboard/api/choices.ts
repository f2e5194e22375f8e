import { queryOptions } from '@tanstack/react-query';
import type { GatewayAccountList } from '../../api/contract/gateway-accounts.ts';
import { ask } from './client.ts';

/** The gateways that the merchant has accounts at, for filters. */
export const gatewayChoicesQuery = queryOptions({
  queryKey: ['gateway-choices'],
  queryFn: async ({ signal }) => {
    const { gateway_accounts } = await ask<GatewayAccountList>('GET', '/v1/gateway-accounts', { signal });
    const words = new Set(gateway_accounts.map(({ gateway }) => gateway));
    return [...words].sort().map((value) => ({ value, label: value }));
  },
  staleTime: 60_000,
});
