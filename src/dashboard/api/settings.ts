import { queryOptions } from '@tanstack/react-query';
import type { Merchant, MerchantSettingsChanges } from '../../api/contract/settings.ts';
import { ask } from './client.ts';

export const merchantQuery = queryOptions({
  queryKey: ['merchant'],
  queryFn: ({ signal }) => ask<Merchant>('GET', '/v1/settings', { signal }),
});

export function changeSettings(body: MerchantSettingsChanges): Promise<Merchant> {
  return ask('PATCH', '/v1/settings', { body });
}
