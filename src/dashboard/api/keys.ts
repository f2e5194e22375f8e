import { queryOptions } from '@tanstack/react-query';
import type { ApiKey, ApiKeyList, ApiKeyWithSecret, NewApiKey } from '../../api/contract/api-keys.ts';
import { ask } from './client.ts';

/** All keys of the merchant, newest first, revoked ones too. */
export const keysQuery = queryOptions({
  queryKey: ['keys'],
  queryFn: async ({ signal }) => (await ask<ApiKeyList>('GET', '/v1/api-keys', { signal })).api_keys,
});

export function createKey(body: NewApiKey): Promise<ApiKeyWithSecret> {
  return ask('POST', '/v1/api-keys', { body });
}

/** A key that sleeps since a restore works again. */
export function wakeKey(key: ApiKey): Promise<ApiKey> {
  return ask('POST', `/v1/api-keys/${key.api_key_id}/wake`);
}

/** For good: a revoked key never works again. */
export function revokeKey(key: ApiKey): Promise<unknown> {
  return ask('DELETE', `/v1/api-keys/${key.api_key_id}`);
}
