import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import {
  type AccountRefusal,
  type AccountResult,
  createGatewayAccount,
  type GatewayAccount,
  listGatewayAccounts,
  MAX_CONCURRENT_LIMIT,
  MAX_PER_SECOND_LIMIT,
  readGatewayAccount,
  updateGatewayAccount,
} from '../../gateways/accounts.ts';
import type { Gateway } from '../../gateways/gateway.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';

const limits = {
  max_concurrent: z.int().min(1).max(MAX_CONCURRENT_LIMIT).describe('Calls to it at the same time.'),
  max_per_second: z.int().min(1).max(MAX_PER_SECOND_LIMIT).describe('Calls to it in one second.'),
};

const accountName = z
  .string()
  .max(100)
  .describe('Tells several accounts of one gateway apart; unique among them.');

const newAccount = z
  .strictObject({
    gateway: z.string().max(64).describe('The gateway word, as in GET /v1/gateways.'),
    name: accountName
      .optional()
      .describe('`default` when absent. Of several accounts, the one so named takes what names no account.'),
    base_url: z.string().max(2048).optional().describe('The gateway’s own address when absent.'),
    credentials: z
      .record(z.string().max(100), z.string())
      .describe('By field name, as GET /v1/gateways lists them. Encrypted when stored, never shown again.'),
    max_concurrent: limits.max_concurrent.optional(),
    max_per_second: limits.max_per_second.optional(),
  })
  .meta({
    examples: [{ gateway: 'SANDBOX', credentials: { secret_key: 'sbx_sk_any_letters_and_digits' } }],
  });

const changes = z
  .strictObject({
    name: accountName.optional(),
    enabled: z
      .boolean()
      .optional()
      .describe('While false, nothing is sent to the gateway; what its webhooks say is still taken in.'),
    credentials: z
      .record(z.string().max(100), z.string().nullable())
      .optional()
      .describe('Fields to replace, or with null to remove; the others stay.'),
    max_concurrent: limits.max_concurrent.optional(),
    max_per_second: limits.max_per_second.optional(),
  })
  .meta({ examples: [{ enabled: false }] });

const shownAccount = z
  .object({
    gateway_account_id: z.string(),
    gateway: z.string(),
    name: z.string(),
    base_url: z.string().nullable().describe('Null: the gateway’s own address, as GET /v1/gateways says.'),
    credentials: z
      .record(z.string(), z.string())
      .describe('Secrets by their last four characters; the other fields as they are.'),
    enabled: z.boolean(),
    ...limits,
    webhook_url: z.string().describe('The address to enter at the gateway for its webhooks.'),
    health: z.object({
      failures_in_a_row: z.int(),
      paused_until: z.string().nullable().describe('Until then nothing is sent, because calls kept failing.'),
      last_error: z.string().nullable(),
      last_error_at: z.string().nullable(),
    }),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'GatewayAccount', description: 'The account; its secrets by their last characters.' });

const shownGateway = z
  .object({
    gateway: z.string(),
    label: z.string(),
    gateway_id: z.int().describe('The number that order objects carry.'),
    base_url: z.string(),
    credential_fields: z.array(
      z.object({
        name: z.string(),
        label: z.string(),
        secret: z.boolean(),
        required: z.boolean(),
        pattern: z.string().nullable(),
        help: z.string(),
      }),
    ),
    capabilities: z.object({
      partial_refunds: z.boolean(),
      instant_refunds: z.boolean(),
      key_life_seconds: z
        .number()
        .nullable()
        .describe('How long a send may be repeated under its key; null where it never may.'),
      webhook_proof: z.enum(['signed', 'unsigned', 'none']),
      ...limits,
    }),
  })
  .meta({ id: 'Gateway', description: 'A gateway and what it can do.' });

const account = z.object({ gateway_account_id: z.string().max(64) });
const tags = ['Gateways'];

/** Gateways and the merchant's accounts at them. */
export async function gatewayAccountRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const view = (shown: GatewayAccount) =>
    accountView(shown, deps.engine.webhookUrlOf(shown.gatewayAccountId));
  const viewOf = (result: AccountResult) => {
    if (!result.ok) throw refusalError(result.refusal);
    return view(result.account);
  };

  app.get(
    '/v1/gateways',
    {
      schema: {
        tags,
        summary: 'The gateways this Refundry speaks to',
        response: { 200: z.object({ gateways: z.array(shownGateway) }).describe('All gateways.') },
      },
    },
    async () => ({ gateways: [...deps.gateways.values()].map(gatewayView) }),
  );

  app.post(
    '/v1/gateway-accounts',
    {
      schema: {
        tags,
        summary: 'Add an account at a gateway',
        body: newAccount,
        response: { 201: shownAccount, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const { gateway, name, base_url, credentials, max_concurrent, max_per_second } = request.body;
      const result = await createGatewayAccount(
        deps,
        {
          merchantId: request.caller.merchantId,
          gateway,
          name,
          baseUrl: base_url,
          credentials,
          maxConcurrent: max_concurrent,
          maxPerSecond: max_per_second,
        },
        { allowPrivateAddresses: deps.settings.allowPrivateWebhooks },
      );
      const shown = viewOf(result);
      request.log.info(
        { merchant_id: request.caller.merchantId, gateway_account_id: shown.gateway_account_id, gateway },
        'gateway account added',
      );
      return reply.code(201).send(shown);
    },
  );

  app.get(
    '/v1/gateway-accounts',
    {
      schema: {
        tags,
        summary: 'List the accounts at gateways',
        response: { 200: z.object({ gateway_accounts: z.array(shownAccount) }).describe('All accounts.') },
      },
    },
    async (request) => ({
      gateway_accounts: (await listGatewayAccounts(deps.db, request.caller.merchantId)).map(view),
    }),
  );

  app.get(
    '/v1/gateway-accounts/:gateway_account_id',
    {
      schema: {
        tags,
        summary: 'Read one account',
        params: account,
        response: { 200: shownAccount, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const shown = await readGatewayAccount(deps.db, merchantId, request.params.gateway_account_id);
      if (!shown) throw notFound();
      return view(shown);
    },
  );

  app.patch(
    '/v1/gateway-accounts/:gateway_account_id',
    {
      schema: {
        tags,
        summary: 'Rotate credentials, switch on or off, change limits',
        params: account,
        body: changes,
        response: { 200: shownAccount, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { name, enabled, credentials, max_concurrent, max_per_second } = request.body;
      const { merchantId } = request.caller;
      const { gateway_account_id } = request.params;
      const result = await updateGatewayAccount(deps, merchantId, gateway_account_id, {
        name,
        enabled,
        credentials,
        maxConcurrent: max_concurrent,
        maxPerSecond: max_per_second,
      });
      const shown = viewOf(result);
      request.log.info(
        {
          merchant_id: merchantId,
          gateway_account_id,
          changed: [...Object.keys(request.body), ...Object.keys(credentials ?? {})],
        },
        'gateway account changed',
      );
      deps.engine.wake();
      return shown;
    },
  );
}

function refusalError(refusal: AccountRefusal): ApiError {
  if (refusal.code === 'not_found') return notFound();
  const code = refusal.code === 'name_taken' ? 'gateway_account_name_taken' : refusal.code;
  return new ApiError(refusal.code === 'name_taken' ? 409 : 400, code, refusal.message, {
    field: refusal.field,
    accepted: refusal.accepted,
  });
}

function notFound(): ApiError {
  return new ApiError(404, 'gateway_account_not_found', 'There is no gateway account with this id.', {
    field: 'gateway_account_id',
    accepted: 'an id from GET /v1/gateway-accounts',
  });
}

function accountView(shown: GatewayAccount, webhookUrl: string): z.infer<typeof shownAccount> {
  return {
    gateway_account_id: shown.gatewayAccountId,
    gateway: shown.gateway,
    name: shown.name,
    base_url: shown.baseUrl,
    credentials: { ...shown.shownCredentials },
    enabled: shown.enabled,
    max_concurrent: shown.maxConcurrent,
    max_per_second: shown.maxPerSecond,
    webhook_url: webhookUrl,
    health: {
      failures_in_a_row: shown.failuresInARow,
      paused_until: shown.openUntil?.toISOString() ?? null,
      last_error: shown.lastError,
      last_error_at: shown.lastErrorAt?.toISOString() ?? null,
    },
    created_at: shown.createdAt.toISOString(),
    updated_at: shown.updatedAt.toISOString(),
  };
}

function gatewayView(gateway: Gateway): z.infer<typeof shownGateway> {
  const { capabilities } = gateway;
  return {
    gateway: gateway.name,
    label: gateway.label,
    gateway_id: gateway.gatewayId,
    base_url: gateway.defaultBaseUrl,
    credential_fields: gateway.credentialFields.map(({ pattern, ...field }) => ({
      ...field,
      pattern: pattern ?? null,
    })),
    capabilities: {
      partial_refunds: capabilities.partialRefunds,
      instant_refunds: capabilities.instantRefunds,
      key_life_seconds: capabilities.keyLifeMs === null ? null : capabilities.keyLifeMs / 1000,
      webhook_proof: capabilities.webhookProof,
      max_concurrent: capabilities.maxConcurrent,
      max_per_second: capabilities.maxPerSecond,
    },
  };
}
