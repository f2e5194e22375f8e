import { queryOptions } from '@tanstack/react-query';
import type {
  GatewayAccount,
  GatewayAccountChanges,
  GatewayAccountList,
  GatewayAccountRelease,
  GatewayAccountTest,
  GatewayList,
  NewGatewayAccount,
} from '../../api/contract/gateway-accounts.ts';
import { ask } from './client.ts';

const ACCOUNTS = '/v1/gateway-accounts';

/** The gateways that this Refundry speaks to, each with its description of itself. */
export const gatewaysQuery = queryOptions({
  queryKey: ['gateways'],
  queryFn: async ({ signal }) => (await ask<GatewayList>('GET', '/v1/gateways', { signal })).gateways,
  staleTime: 600_000,
});

/** The merchant's accounts with their health of this moment. */
export const accountsQuery = queryOptions({
  queryKey: ['accounts'],
  queryFn: async ({ signal }) =>
    (await ask<GatewayAccountList>('GET', ACCOUNTS, { signal })).gateway_accounts,
});

export function createAccount(body: NewGatewayAccount): Promise<GatewayAccount> {
  return ask('POST', ACCOUNTS, { body });
}

export function changeAccount(accountId: string, body: GatewayAccountChanges): Promise<GatewayAccount> {
  return ask('PATCH', `${ACCOUNTS}/${accountId}`, { body });
}

/** Has a held account sent to again. */
export function releaseAccount(accountId: string, body: GatewayAccountRelease): Promise<GatewayAccount> {
  return ask('POST', `${ACCOUNTS}/${accountId}/release`, { body });
}

/** Asks the gateway something that changes nothing there. */
export function testAccount(accountId: string): Promise<GatewayAccountTest> {
  return ask('POST', `${ACCOUNTS}/${accountId}/test`);
}
