import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import {
  type ApiKey,
  listApiKeys,
  MAX_API_KEYS,
  nameApiKey,
  readApiKey,
  revokeApiKey,
  wakeApiKey,
} from '../../access/api-keys.ts';
import { wordsOf } from '../../access/roles.ts';
import { permissionsOfCaller } from '../auth.ts';
import {
  apiKeyListSchema,
  apiKeyParamsSchema,
  apiKeySchema,
  apiKeyWithSecretSchema,
  newApiKeySchema,
} from '../contract/api-keys.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName, recordAccess } from '../record-access.ts';

/** The merchant's API keys: made, listed, woken after a restore, ended. */
export async function apiKeyRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const config = { permission: 'keys.manage' } as const;
  const tags = ['API keys'];

  app.get(
    '/v1/api-keys',
    {
      config,
      schema: { tags, summary: 'List the API keys, newest first', response: { 200: apiKeyListSchema } },
    },
    async ({ caller }) => ({ api_keys: (await listApiKeys(deps.db, caller.merchantId)).map(keyView) }),
  );

  app.post(
    '/v1/api-keys',
    {
      config,
      schema: {
        tags,
        summary: 'Make an API key',
        description:
          'The answer is the only one that shows the key. It may do what `permissions` says, and nothing else. Where a second ' +
          'person is asked for, it counts as the person who made it.',
        body: newApiKeySchema,
        response: { 201: apiKeyWithSecretSchema, 403: errorSchema, 409: errorSchema },
      },
    },
    async ({ body: { name, permissions, expires_at }, caller, id }, reply) => {
      const expiresAt = expires_at === undefined ? null : new Date(expires_at);
      if (expiresAt !== null && expiresAt <= deps.clock.now()) {
        throw new ApiError(400, 'invalid_expires_at', 'The key would have expired before it was made.', {
          field: 'expires_at',
          value: expires_at,
          accepted: 'a time in the future, or none',
        });
      }
      const beyond = permissions?.find((word) => !permissionsOfCaller(caller).includes(word));
      if (beyond !== undefined) {
        throw new ApiError(403, 'forbidden', `You may not ${wordsOf(beyond)}, so no key of yours may.`, {
          field: 'permissions',
          value: beyond,
          accepted: 'what you may do yourself: GET /v1/me says it',
        });
      }
      const made = await nameApiKey(deps.db, deps.clock, {
        merchantId: caller.merchantId,
        name,
        permissions: permissions && [...new Set(permissions)],
        expiresAt,
        createdBy: callerName(caller),
        madeById: caller.kind === 'user' ? caller.userId : null,
      });
      if (made === 'name_taken') {
        throw new ApiError(409, 'api_key_name_taken', 'A key, perhaps a revoked one, has had this name.', {
          field: 'name',
          value: name,
          accepted: 'another name: the trail of what was done tells keys apart by theirs',
        });
      }
      if (made === 'too_many') {
        throw new ApiError(
          409,
          'too_many_api_keys',
          `${MAX_API_KEYS} keys work, which is the most there can be.`,
          {
            accepted: 'fewer: revoke one that is not used',
          },
        );
      }
      await recordAccess(deps, { caller, id }, 'key_made', {
        ...shownOf(made.apiKey),
        permissions: made.apiKey.permissions,
        expires_at: made.apiKey.expiresAt?.toISOString() ?? null,
      });
      return reply.code(201).send({ ...keyView(made.apiKey), key: made.key });
    },
  );

  app.post(
    '/v1/api-keys/:api_key_id/wake',
    {
      config,
      schema: {
        tags,
        summary: 'Say that a key which a restore brought back is still wanted',
        description:
          'After a restore from a backup all keys sleep: one that was revoked since the backup would work again. ' +
          'Wake those that your programs use, and revoke the others.',
        params: apiKeyParamsSchema,
        response: { 200: apiKeySchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async ({ params, caller, id }) => {
      const key = await readApiKey(deps.db, caller.merchantId, params.api_key_id);
      if (!key) throw keyNotFound();
      if (key.revokedAt !== null) {
        throw new ApiError(409, 'api_key_revoked', 'This key was revoked, and cannot be had back.', {
          field: 'api_key_id',
          accepted: 'a key that sleeps: make a new one in its place',
        });
      }
      if (await wakeApiKey(deps.db, caller.merchantId, key.apiKeyId)) {
        await recordAccess(deps, { caller, id }, 'key_woken', shownOf(key));
      }
      return keyView({ ...key, asleepSince: null });
    },
  );

  app.delete(
    '/v1/api-keys/:api_key_id',
    {
      config,
      schema: {
        tags,
        summary: 'Revoke an API key',
        description:
          'Every process refuses it within five seconds. It stays in the list, and cannot be had back.',
        params: apiKeyParamsSchema,
        response: { 204: z.null().describe('Revoked.'), 404: errorSchema },
      },
    },
    async ({ params, caller, id }, reply) => {
      const { merchantId } = caller;
      const key = await readApiKey(deps.db, merchantId, params.api_key_id);
      if (!key) throw keyNotFound();
      if (key.revokedAt === null) {
        await revokeApiKey(deps.db, deps.clock, merchantId, key.apiKeyId, callerName(caller));
        await recordAccess(deps, { caller, id }, 'key_revoked', shownOf(key));
      }
      return reply.code(204).send(null);
    },
  );
}

function keyNotFound(): ApiError {
  return new ApiError(404, 'api_key_not_found', 'There is no API key with this id.', {
    field: 'api_key_id',
    accepted: 'an id from GET /v1/api-keys',
  });
}

function shownOf(key: ApiKey) {
  return { api_key_id: key.apiKeyId, name: key.name, last_four: key.lastFour };
}

function keyView(key: ApiKey): z.output<typeof apiKeySchema> {
  return {
    api_key_id: key.apiKeyId,
    name: key.name,
    last_four: key.lastFour,
    permissions: [...key.permissions],
    expires_at: key.expiresAt?.toISOString() ?? null,
    asleep_since: key.asleepSince?.toISOString() ?? null,
    created_at: key.createdAt.toISOString(),
    created_by: key.createdBy,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
    revoked_by: key.revokedBy,
  };
}
