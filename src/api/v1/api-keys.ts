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
} from '../../access/api-keys.ts';
import {
  apiKeyListSchema,
  apiKeyParamsSchema,
  type apiKeySchema,
  apiKeyWithSecretSchema,
  newApiKeySchema,
} from '../contract/api-keys.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName, recordAccess } from '../record-access.ts';

/** The merchant's API keys: made, listed, ended. */
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
        description: 'The answer is the only one that shows the key.',
        body: newApiKeySchema,
        response: { 201: apiKeyWithSecretSchema, 409: errorSchema },
      },
    },
    async ({ body: { name }, caller, id }, reply) => {
      const made = await nameApiKey(deps.db, deps.clock, {
        merchantId: caller.merchantId,
        name,
        createdBy: callerName(caller),
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
      await recordAccess(deps, { caller, id }, 'key_made', shownOf(made.apiKey));
      return reply.code(201).send({ ...keyView(made.apiKey), key: made.key });
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
      if (!key) {
        throw new ApiError(404, 'api_key_not_found', 'There is no API key with this id.', {
          field: 'api_key_id',
          accepted: 'an id from GET /v1/api-keys',
        });
      }
      if (key.revokedAt === null) {
        await revokeApiKey(deps.db, deps.clock, merchantId, key.apiKeyId, callerName(caller));
        await recordAccess(deps, { caller, id }, 'key_revoked', shownOf(key));
      }
      return reply.code(204).send(null);
    },
  );
}

function shownOf(key: ApiKey) {
  return { api_key_id: key.apiKeyId, name: key.name, last_four: key.lastFour };
}

function keyView(key: ApiKey): z.output<typeof apiKeySchema> {
  return {
    api_key_id: key.apiKeyId,
    name: key.name,
    last_four: key.lastFour,
    created_at: key.createdAt.toISOString(),
    created_by: key.createdBy,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
    revoked_by: key.revokedBy,
  };
}
