import { queryOptions } from '@tanstack/react-query';
import type { Merchant, MerchantSettingsChanges, WaitingChange } from '../../api/contract/settings.ts';
import { ask } from './client.ts';

export const merchantQuery = queryOptions({
  queryKey: ['merchant'],
  queryFn: ({ signal }) => ask<Merchant>('GET', '/v1/settings', { signal }),
});

export function changeSettings(body: MerchantSettingsChanges): Promise<Merchant> {
  return ask('PATCH', '/v1/settings', { body });
}

/** Another admin's yes to a change that waits, or anyone's no. */
export function decideChange(change: WaitingChange, what: 'confirm' | 'stop'): Promise<Merchant> {
  return ask('POST', `/v1/settings/waiting/${change.change_id}/${what}`);
}
