import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Traces } from '../access/traces.ts';
import { openGatewayAccess } from '../gateways/accounts.ts';
import type { Gateway, GatewayAccountAccess, WebhookReading } from '../gateways/gateway.ts';
import { noteWebhookHeard, noteWebhookTrouble } from '../gateways/health.ts';
import { settleFromWebhook } from '../refunds/hear.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError, errorSchema } from './errors.ts';
import { networkOf, type RequestLimits } from './limits.ts';

const MAX_WEBHOOK_BYTES = 256 * 1024;
const ACCOUNT_ID = /^ga_[0-9a-f]{32}$/;

/**
 * POST /gateways/{account}/webhooks, where gateways tell of refunds. Open to everyone: the connector judges who
 * wrote it, from the raw bytes. 200 means that everything in it is applied and on the disk.
 */
export async function gatewayWebhookRoutes(
  app: FastifyInstance,
  deps: ApiDeps,
  guards: { readonly limits: RequestLimits; readonly traces: Traces },
): Promise<void> {
  // A gateway sends for all its accounts from few addresses: what comes for one of them wrongly signed must not keep out what
  // comes for the others. Only accounts that are there get in here, so that nobody can make it grow.
  const known = new Set<string>();
  const bucketOf = (address: string, account: string) =>
    known.has(account) ? `${address} ${account}` : address;

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    scope.post<{ Params: { account: string } }>(
      '/gateways/:account/webhooks',
      {
        bodyLimit: MAX_WEBHOOK_BYTES,
        config: { public: true },
        schema: {
          tags: ['Gateways'],
          summary: 'Where a gateway sends its webhooks',
          description: 'Each gateway account has its own address; enter it at the gateway.',
          security: [],
          params: z.object({ account: z.string().max(64) }),
          response: {
            200: z
              .object({ received: z.literal(true) })
              .describe('Everything in it is applied and on the disk.'),
            400: errorSchema,
            404: errorSchema,
            413: errorSchema,
            429: errorSchema,
            503: errorSchema,
          },
        },
      },
      async (request) => {
        const { limits, traces } = guards;
        const address = networkOf(request.ip);
        const { account } = request.params;
        const waitMs = limits.webhooks.waitMs(bucketOf(address, account));
        if (waitMs > 0)
          throw limits.refusal(request, waitMs, 'webhooks from this address that prove nothing');
        const found = () => void known.add(account);
        await takeIn(deps, { traces, found }, request, account).catch((error: unknown) => {
          // What fails for other reasons, such as a database that is away, is no fault of who sent it.
          if (error instanceof ApiError) limits.webhooks.take(bucketOf(address, account));
          throw error;
        });
        return { received: true };
      },
    );
  });
}

async function takeIn(
  deps: ApiDeps,
  { traces, found }: { readonly traces: Traces; readonly found: () => void },
  request: FastifyRequest,
  accountId: string,
): Promise<void> {
  const account = ACCOUNT_ID.test(accountId) ? await openGatewayAccess(deps, accountId) : null;
  const gateway = account && deps.gateways.get(account.gateway);
  if (!account || !gateway) throw new ApiError(404, 'not_found', 'There is nothing at this address.');

  found();
  const at = { merchant_id: account.merchantId, gateway_account_id: accountId };
  const key = { merchantId: account.merchantId, gatewayAccountId: accountId };
  const reading = readSafely(deps, request, gateway, account.access);
  if (reading.kind === 'rejected') {
    const details = { ...at, why: reading.why };
    traces.note({ what: 'webhook_rejected', address: request.ip, requestId: request.id, details });
    await noteWebhookTrouble(deps.db, deps.clock, key, reading.why);
    throw new ApiError(
      400,
      'webhook_rejected',
      'The webhook cannot be proved to come from the gateway, or not be read.',
    );
  }
  if (reading.kind === 'authentic') await noteWebhookHeard(deps.db, deps.clock, key);
  const { matched, unmatched } = await settleFromWebhook(deps.engine, key, reading);
  request.log.info({ ...at, proof: reading.kind, matched }, 'a gateway webhook was taken in');
  for (const { eventId, refundId, gatewayRefundId, gatewayPaymentId } of unmatched) {
    request.log.info(
      { ...at, eventId, refundId, gatewayRefundId, gatewayPaymentId },
      'a gateway webhook speaks of a refund that is not ours',
    );
  }
}

/** A connector that stumbles over what a stranger sent is our bug, but the stranger learns nothing of it. */
function readSafely(
  deps: ApiDeps,
  request: FastifyRequest,
  gateway: Gateway,
  access: GatewayAccountAccess,
): WebhookReading {
  try {
    return gateway.readWebhook(
      {
        headers: headersOf(request),
        rawBody: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
        receivedAt: deps.clock.now(),
      },
      access,
    );
  } catch (error) {
    request.log.error(
      { err: error, gateway_account_id: access.accountId },
      'the connector failed on a webhook',
    );
    return { kind: 'rejected', why: 'the connector could not read it' };
  }
}

function headersOf(request: FastifyRequest): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
  );
}
