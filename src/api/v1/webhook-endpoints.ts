import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { plusMs } from '../../lib/clock.ts';
import { isUuid } from '../../lib/ids.ts';
import {
  createEndpoint,
  DEFAULT_SECRET_GRACE_MS,
  deleteEndpoint,
  type EndpointDeps,
  type EndpointRefusal,
  type EndpointResult,
  listEndpoints,
  MASK,
  MAX_SECRET_GRACE_MS,
  readEndpoint,
  rotateSecret,
  updateEndpoint,
  type WebhookEndpoint,
} from '../../webhooks/endpoints.ts';
import { DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENT_NAMES, WEBHOOK_EVENTS } from '../../webhooks/events.ts';
import { GIVEN_UP_BECAUSE, TRY_OUTCOMES, type TryOutcome } from '../../webhooks/outcomes.ts';
import {
  MAX_RESEND,
  type ResendRefusal,
  resendDelivery,
  resendRange,
  testEndpoint,
} from '../../webhooks/resend.ts';
import { createWebhookSender, eventIdOf, type TryResult } from '../../webhooks/send.ts';
import {
  DELIVERY_STATES,
  type Delivery,
  listDeliveries,
  readDelivery,
  readTries,
} from '../../webhooks/store.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { createdRange, nextCursor, pageFields, pageOf, positionOf } from './pages.ts';

const HOUR_MS = 3_600_000;
const LONGEST_RANGE_DAYS = 92;

/** Where the merchant is told, what was brought there, and bringing it there again. */
export async function webhookEndpointRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const endpointDeps: EndpointDeps = { ...deps, allowPrivate: deps.settings.allowPrivateWebhooks };
  const resendDeps = { ...deps, wake: deps.engine.wake };
  const sender = createWebhookSender(endpointDeps);
  app.addHook('onClose', sender.close);

  app.post(
    '/v1/webhook-endpoints',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Add an endpoint',
        description: 'The answer is the only one that shows the signing secret.',
        body: newEndpoint,
        response: { 201: endpointWithSecret, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const made = orRefuse(await createEndpoint(endpointDeps, request.caller.merchantId, request.body));
      return reply.code(201).send({ ...shown(made.endpoint), signing_secret: made.signingSecret });
    },
  );

  app.get(
    '/v1/webhook-endpoints',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'List the endpoints, oldest first',
        response: { 200: z.object({ endpoints: z.array(endpoint) }).describe('All endpoints.') },
      },
    },
    async (request) => ({ endpoints: (await listEndpoints(deps, request.caller.merchantId)).map(shown) }),
  );

  app.get(
    '/v1/webhook-endpoints/:endpoint_id',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Read an endpoint',
        params: endpointParams,
        response: { 200: endpoint, 404: errorSchema },
      },
    },
    async (request) => {
      const found = await readEndpoint(deps, request.caller.merchantId, request.params.endpoint_id);
      return shown(found ?? refuse('not_found'));
    },
  );

  app.patch(
    '/v1/webhook-endpoints/:endpoint_id',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Change an endpoint, switch it off or on',
        description:
          'What is absent stays. In headers, null takes a header away. With another host in url, the password and ' +
          'headers have to be given again. Switched off, what waits for the endpoint is given up.',
        params: endpointParams,
        body: endpointChanges,
        response: { 200: endpoint, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      return shown(
        orRefuse(await updateEndpoint(endpointDeps, merchantId, request.params.endpoint_id, request.body)),
      );
    },
  );

  app.delete(
    '/v1/webhook-endpoints/:endpoint_id',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Remove an endpoint',
        description: 'What waits for it is given up; its deliveries stay in the log.',
        params: endpointParams,
        response: { 204: z.null().describe('Removed.'), 404: errorSchema },
      },
    },
    async (request, reply) => {
      if (!(await deleteEndpoint(deps, request.caller.merchantId, request.params.endpoint_id))) {
        return refuse('not_found');
      }
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/rotate-secret',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Replace the signing secret',
        description: 'Until the grace period is over, messages are signed with both secrets.',
        params: endpointParams,
        body: z
          .strictObject({
            grace_hours: z
              .number()
              .min(0)
              .max(MAX_SECRET_GRACE_MS / HOUR_MS)
              .default(DEFAULT_SECRET_GRACE_MS / HOUR_MS)
              .describe('How long the secret before stays valid; 0 ends it now.'),
          })
          .nullish(),
        response: { 200: endpointWithSecret, 404: errorSchema },
      },
    },
    async (request) => {
      const graceMs = request.body ? request.body.grace_hours * HOUR_MS : DEFAULT_SECRET_GRACE_MS;
      const { merchantId } = request.caller;
      const rotated = await rotateSecret(deps, merchantId, request.params.endpoint_id, graceMs);
      if (!rotated) return refuse('not_found');
      return { ...shown(rotated.endpoint), signing_secret: rotated.signingSecret };
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/test',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Send a test message now, and see what comes back',
        params: endpointParams,
        response: { 200: testAnswer, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const tested = await testEndpoint({ ...deps, sender }, merchantId, request.params.endpoint_id);
      if (!tested) return refuse('not_found');
      return { event_id: tested.eventId, ...shownTry(tested.result) };
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/resend',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Send the events of a time range again',
        description:
          'All events of the range that the endpoint has chosen, also those from before it was added. With ' +
          '`only_failed`, those that it has acknowledged are left out.',
        params: endpointParams,
        body: z.strictObject({ ...createdRange, only_failed: z.boolean().default(false) }).meta({
          examples: [{ created_from: '2026-03-01T00:00:00Z', created_before: '2026-03-02T00:00:00Z' }],
        }),
        response: {
          202: z.object({ resent: z.int() }).describe('How many are sent again.'),
          404: errorSchema,
          409: errorSchema,
        },
      },
    },
    async (request, reply) => {
      const { created_from, created_before, only_failed: onlyFailed } = request.body;
      const [from, before] = [new Date(created_from), new Date(created_before)];
      if (from >= before || before > plusMs(from, LONGEST_RANGE_DAYS * 24 * HOUR_MS)) {
        throw new ApiError(400, 'invalid_range', 'The time range cannot be used.', {
          field: 'created_before',
          value: created_before,
          accepted: `a time after created_from, by at most ${LONGEST_RANGE_DAYS} days`,
        });
      }
      const { merchantId } = request.caller;
      const count = await resendRange(resendDeps, merchantId, request.params.endpoint_id, {
        from,
        before,
        onlyFailed,
      });
      return reply.code(202).send({ resent: typeof count === 'number' ? count : refuse(count) });
    },
  );

  app.get(
    '/v1/webhook-endpoints/:endpoint_id/deliveries',
    {
      schema: {
        tags: ['Webhooks'],
        summary: "List an endpoint's deliveries, newest event first",
        params: endpointParams,
        querystring: deliveryFilter.omit({ endpoint_id: true }),
        response: { 200: deliveryPage, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const found = await readEndpoint(deps, merchantId, request.params.endpoint_id);
      if (!found) return refuse('not_found');
      return listPage(deps, merchantId, { ...request.query, ...request.params });
    },
  );

  app.get(
    '/v1/webhook-deliveries',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'List deliveries, newest event first',
        querystring: deliveryFilter,
        response: { 200: deliveryPage },
      },
    },
    async (request) => listPage(deps, request.caller.merchantId, request.query),
  );

  app.get(
    '/v1/webhook-deliveries/:delivery_id',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Read a delivery with every try',
        params: deliveryParams,
        response: {
          200: delivery.extend({ tries: z.array(tryShown) }).describe('The delivery with every try.'),
          404: errorSchema,
        },
      },
    },
    async (request) => {
      const found = await readDelivery(deps.db, request.caller.merchantId, request.params.delivery_id);
      if (!found) return refuse('not_found');
      return { ...shownDelivery(found), tries: (await readTries(deps.db, found)).map(shownTry) };
    },
  );

  app.post(
    '/v1/webhook-deliveries/:delivery_id/resend',
    {
      schema: {
        tags: ['Webhooks'],
        summary: 'Send a delivery again, now and with all its retries',
        params: deliveryParams,
        response: { 202: delivery, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const again = await resendDelivery(resendDeps, request.caller.merchantId, request.params.delivery_id);
      return reply.code(202).send(shownDelivery(typeof again === 'string' ? refuse(again) : again));
    },
  );
}

// What comes in -----------------------------------------------------------------------------------------

const endpointParams = z.object({ endpoint_id: z.uuid() });
const deliveryParams = z.object({ delivery_id: z.uuid() });

const url = z
  .string()
  .max(2048)
  .describe('Where to send; https, or http where private addresses are allowed.');
const username = z.string().max(255).describe('For Basic authentication.');
const password = z.string().max(255);
const headers = z.record(z.string().max(64), z.string().max(1024)).describe('Sent with every message.');
const events = z
  .array(z.string().max(100))
  .max(50)
  .describe(
    `Which events; all but the first three only if chosen. ${WEBHOOK_EVENT_NAMES.map(
      (name) => `${name}: ${WEBHOOK_EVENTS[name]}`,
    ).join(' ')}`,
  );

const newEndpoint = z
  .strictObject({
    url,
    username: username.nullish(),
    password: password.nullish(),
    headers: headers.nullish(),
    events: events.nullish(),
  })
  .meta({
    examples: [
      { url: 'https://shop.example.com/refund-news', username: 'refundry', password: 'a long secret' },
    ],
  });

const endpointChanges = z
  .strictObject({
    url: url.optional(),
    username: username.nullish(),
    password: password.nullish(),
    headers: z.record(z.string().max(64), z.string().max(1024).nullable()).nullish(),
    events: events.nullish(),
    enabled: z.boolean().optional(),
  })
  .meta({ examples: [{ enabled: true }] });

const deliveryFilter = z.strictObject({
  endpoint_id: z.uuid().optional(),
  order_id: z.string().max(128).optional(),
  refund_id: z.uuid().optional(),
  event: z.enum(WEBHOOK_EVENT_NAMES).optional(),
  state: z.enum(DELIVERY_STATES).optional(),
  ...pageFields,
});

// What goes out -----------------------------------------------------------------------------------------

const endpoint = z
  .object({
    endpoint_id: z.string(),
    url: z.string(),
    username: z.string().nullable(),
    password: z.string().nullable().describe(`${MASK} where there is one.`),
    headers: z.record(z.string(), z.string()).describe(`Names, with ${MASK} for each value.`),
    events: z.array(z.enum(WEBHOOK_EVENT_NAMES)),
    signing_secret: z.string().describe('Its last four characters; whole only when it was just made.'),
    previous_secret_valid_until: z.string().nullable(),
    enabled: z.boolean(),
    disabled_reason: z.string().nullable(),
    failing_since: z.string().nullable().describe('The first failure since the last acknowledgement.'),
    failures_in_a_row: z.int(),
    last_success_at: z.string().nullable(),
    last_failure_at: z.string().nullable(),
    last_failure: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'WebhookEndpoint', description: 'The endpoint; its secrets masked.' });

const endpointWithSecret = endpoint
  .extend({ signing_secret: z.string().describe('Keep it: it is not shown again.') })
  .meta({ id: 'WebhookEndpointWithSecret', description: 'The endpoint with its new signing secret.' });

const delivery = z
  .object({
    delivery_id: z.string(),
    event_id: z.string().describe('The `id` of the envelope and `webhook-id` of the request.'),
    event: z.string(),
    order_id: z.string(),
    refund_id: z.string().nullable(),
    endpoint_id: z.string().nullable().describe('Null where it goes to the webhook_url of the order.'),
    order_webhook_url: z.string().nullable(),
    state: z.enum(DELIVERY_STATES),
    try_count: z.int(),
    next_try_at: z.string().nullable(),
    last_outcome: z.string().nullable(),
    last_outcome_says: z.string().nullable(),
    last_status: z.int().nullable(),
    delivered_at: z.string().nullable(),
    created_at: z.string().describe('When the event happened.'),
  })
  .meta({ id: 'WebhookDelivery', description: 'One event on its way to one endpoint.' });

const deliveryPage = z
  .object({ deliveries: z.array(delivery), next_cursor: nextCursor })
  .meta({ id: 'WebhookDeliveryPage', description: 'A page of deliveries.' });

const tryShown = z
  .object({
    at: z.string(),
    duration_ms: z.int(),
    url: z.string(),
    acknowledged: z.boolean(),
    outcome: z.enum(Object.keys(TRY_OUTCOMES) as TryOutcome[]),
    outcome_says: z.string(),
    detail: z.string().nullable(),
    status: z.int().nullable(),
    response_excerpt: z.string().nullable(),
    sequence: z.int(),
    request_bytes: z.int(),
    request_sha256: z.string(),
  })
  .meta({ id: 'WebhookTry', description: 'One request to an endpoint and what came back.' });

const testAnswer = tryShown.extend({ event_id: z.string() }).describe('What came back.');

function shown(found: WebhookEndpoint): z.output<typeof endpoint> {
  return {
    endpoint_id: found.endpointId,
    url: found.url,
    username: found.username,
    password: found.hasPassword ? MASK : null,
    headers: Object.fromEntries(found.headerNames.map((name) => [name, MASK])),
    events: [...(found.events ?? DEFAULT_WEBHOOK_EVENTS)],
    signing_secret: `${MASK}${found.secretLastFour}`,
    previous_secret_valid_until: iso(found.previousSecretUntil),
    enabled: found.enabled,
    disabled_reason: found.disabledReason,
    failing_since: iso(found.failingSince),
    failures_in_a_row: found.failuresInARow,
    last_success_at: iso(found.lastSuccessAt),
    last_failure_at: iso(found.lastFailureAt),
    last_failure: found.lastFailure,
    created_at: found.createdAt.toISOString(),
    updated_at: found.updatedAt.toISOString(),
  };
}

function shownDelivery(found: Delivery): z.output<typeof delivery> {
  const says = { ...TRY_OUTCOMES, ...GIVEN_UP_BECAUSE };
  return {
    delivery_id: found.deliveryId,
    event_id: eventIdOf(found.notificationId),
    event: found.eventName,
    order_id: found.orderId,
    refund_id: found.refundId,
    endpoint_id: found.endpointId,
    order_webhook_url: found.orderUrl,
    state: found.state,
    try_count: found.tries,
    next_try_at: iso(found.nextTryAt),
    last_outcome: found.lastOutcome,
    last_outcome_says: found.lastOutcome && says[found.lastOutcome],
    last_status: found.lastStatus,
    delivered_at: iso(found.deliveredAt),
    created_at: found.createdAt.toISOString(),
  };
}

function shownTry(made: TryResult): z.output<typeof tryShown> {
  return {
    at: made.at.toISOString(),
    duration_ms: made.durationMs,
    url: made.url,
    acknowledged: made.outcome === 'acknowledged',
    outcome: made.outcome,
    outcome_says: TRY_OUTCOMES[made.outcome],
    detail: made.detail,
    status: made.status,
    response_excerpt: made.responseExcerpt,
    sequence: made.sequence,
    request_bytes: made.requestBytes,
    request_sha256: made.requestSha256.toString('hex'),
  };
}

function iso(at: Date | null): string | null {
  return at?.toISOString() ?? null;
}

async function listPage(
  deps: ApiDeps,
  merchantId: string,
  query: z.output<typeof deliveryFilter>,
): Promise<z.output<typeof deliveryPage>> {
  const found = await listDeliveries(deps.db, merchantId, {
    endpointId: query.endpoint_id,
    orderId: query.order_id,
    refundId: query.refund_id,
    eventName: query.event,
    state: query.state,
    from: query.created_from === undefined ? undefined : new Date(query.created_from),
    before: query.created_before === undefined ? undefined : new Date(query.created_before),
    after: query.cursor === undefined ? undefined : after(query.cursor),
    limit: query.limit + 1,
  });
  const { page, next_cursor } = pageOf(found, query.limit, (one) => ({ ...one, id: one.deliveryId }));
  return { deliveries: page.map(shownDelivery), next_cursor };
}

function after(cursor: string): { createdAt: Date; deliveryId: string } {
  const { createdAt, id } = positionOf(cursor, isUuid);
  return { createdAt, deliveryId: id };
}

// Refusals ----------------------------------------------------------------------------------------------

const STATUS: Partial<Record<EndpointRefusal['code'], number>> = { not_found: 404, too_many_endpoints: 409 };

function orRefuse<Value>(result: EndpointResult<Value>): Value {
  if (result.ok) return result.value;
  const { code, message, field } = result.refusal;
  throw new ApiError(STATUS[code] ?? 400, code, message, { field, accepted: result.refusal.accepted });
}

function refuse(refusal: ResendRefusal): never {
  switch (refusal) {
    case 'not_found':
      throw new ApiError(404, 'not_found', 'There is nothing of this merchant under that id.');
    case 'endpoint_removed':
      throw new ApiError(409, 'endpoint_removed', 'The endpoint of this delivery was removed.');
    case 'endpoint_disabled':
      throw new ApiError(409, 'endpoint_disabled', 'The endpoint is switched off; switch it on first.', {
        accepted: 'PATCH /v1/webhook-endpoints/{endpoint_id} with {"enabled":true}',
      });
    case 'range_too_large':
      throw new ApiError(409, 'range_too_large', `The range holds more than ${MAX_RESEND} events.`, {
        field: 'created_before',
        accepted: 'a shorter range',
      });
  }
}
