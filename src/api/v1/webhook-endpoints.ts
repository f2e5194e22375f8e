import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { HOUR_MS, plusMs } from '../../lib/clock.ts';
import { isUuid } from '../../lib/ids.ts';
import { readRefund } from '../../refunds/store.ts';
import {
  createEndpoint,
  deleteEndpoint,
  type EndpointDeps,
  type EndpointRefusal,
  type EndpointResult,
  listEndpoints,
  readEndpoint,
  rotateSecret,
  updateEndpoint,
  type WebhookEndpoint,
} from '../../webhooks/endpoints.ts';
import { DEFAULT_WEBHOOK_EVENTS } from '../../webhooks/events.ts';
import { GIVEN_UP_BECAUSE, MASK, TRY_OUTCOMES } from '../../webhooks/outcomes.ts';
import {
  MAX_RESEND,
  type ResendRefusal,
  resendDelivery,
  resendRange,
  testEndpoint,
} from '../../webhooks/resend.ts';
import { DEFAULT_SECRET_GRACE_MS } from '../../webhooks/schedule.ts';
import { createWebhookSender, eventIdOf, type TryResult } from '../../webhooks/send.ts';
import {
  countWaiting,
  type Delivery,
  listDeliveries,
  readDelivery,
  readHours,
  readTries,
} from '../../webhooks/store.ts';
import { refundParamsSchema } from '../contract/refunds.ts';
import {
  deliveryFilterSchema,
  deliveryPageSchema,
  deliveryParamsSchema,
  deliverySchema,
  type deliveryTrySchema,
  deliveryWithTriesSchema,
  endpointChangesSchema,
  endpointHealthSchema,
  endpointListSchema,
  endpointParamsSchema,
  endpointSchema,
  endpointTestSchema,
  endpointWithSecretSchema,
  newEndpointSchema,
  resendRangeSchema,
  resentSchema,
  rotateSecretSchema,
} from '../contract/webhook-endpoints.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { recordAccess } from '../record-access.ts';
import { pageOf, positionOf } from './pages.ts';
import { refundNotFound } from './refusals.ts';

const LONGEST_RANGE_DAYS = 92;
const MOST_WAITING_COUNTED = 10_000;

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
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Add an endpoint',
        description: 'The answer is the only one that shows the signing secret.',
        body: newEndpointSchema,
        response: { 201: endpointWithSecretSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const made = orRefuse(await createEndpoint(endpointDeps, request.caller.merchantId, request.body));
      const { endpoint_id, url } = shown(made.endpoint);
      await recordAccess(deps, request, 'endpoint_made', { endpoint_id, url });
      return reply.code(201).send({ ...shown(made.endpoint), signing_secret: made.signingSecret });
    },
  );

  app.get(
    '/v1/webhook-endpoints',
    {
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: 'List the endpoints, oldest first',
        response: { 200: endpointListSchema },
      },
    },
    async (request) => ({ endpoints: (await listEndpoints(deps, request.caller.merchantId)).map(shown) }),
  );

  app.get(
    '/v1/webhook-endpoints/:endpoint_id',
    {
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Read an endpoint',
        params: endpointParamsSchema,
        response: { 200: endpointSchema, 404: errorSchema },
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
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Change an endpoint, switch it off or on',
        description:
          'What is absent stays. In headers, null takes a header away. With another host in url, the password and ' +
          'headers have to be given again. Switched off, what waits for the endpoint is given up.',
        params: endpointParamsSchema,
        body: endpointChangesSchema,
        response: { 200: endpointSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const { disabled_reason: disabledReason, ...changes } = request.body;
      if (disabledReason !== undefined && changes.enabled !== false) {
        throw new ApiError(
          400,
          'invalid_field',
          'There is a reason only where the endpoint is switched off.',
          {
            field: 'disabled_reason',
            accepted: 'with "enabled": false',
          },
        );
      }
      const changed = await updateEndpoint(endpointDeps, merchantId, request.params.endpoint_id, {
        ...changes,
        disabledReason,
      });
      const endpoint = shown(orRefuse(changed));
      const { endpoint_id, url, enabled } = endpoint;
      const about = { endpoint_id, url, enabled, changed: Object.keys(request.body) };
      await recordAccess(deps, request, 'endpoint_changed', about);
      return endpoint;
    },
  );

  app.delete(
    '/v1/webhook-endpoints/:endpoint_id',
    {
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Remove an endpoint',
        description: 'What waits for it is given up; its deliveries stay in the log.',
        params: endpointParamsSchema,
        response: { 204: z.null().describe('Removed.'), 404: errorSchema },
      },
    },
    async (request, reply) => {
      if (!(await deleteEndpoint(deps, request.caller.merchantId, request.params.endpoint_id))) {
        return refuse('not_found');
      }
      await recordAccess(deps, request, 'endpoint_removed', { endpoint_id: request.params.endpoint_id });
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/rotate-secret',
    {
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Replace the signing secret',
        description: 'Until the grace period is over, messages are signed with both secrets.',
        params: endpointParamsSchema,
        body: rotateSecretSchema,
        response: { 200: endpointWithSecretSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const graceMs = request.body ? request.body.grace_hours * HOUR_MS : DEFAULT_SECRET_GRACE_MS;
      const { merchantId } = request.caller;
      const rotated = await rotateSecret(deps, merchantId, request.params.endpoint_id, graceMs);
      if (!rotated) return refuse('not_found');
      const { endpoint_id, url } = shown(rotated.endpoint);
      await recordAccess(deps, request, 'endpoint_secret_replaced', { endpoint_id, url });
      return { ...shown(rotated.endpoint), signing_secret: rotated.signingSecret };
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/test',
    {
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Send a test message now, and see what comes back',
        params: endpointParamsSchema,
        response: { 200: endpointTestSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const tested = await testEndpoint({ ...deps, sender }, merchantId, request.params.endpoint_id);
      if (!tested) return refuse('not_found');
      return { event_id: tested.eventId, ...shownTry(tested.result) };
    },
  );

  app.get(
    '/v1/webhook-endpoints/:endpoint_id/health',
    {
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: 'How the tries of the last 24 hours went',
        params: endpointParamsSchema,
        response: { 200: endpointHealthSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { endpoint_id } = request.params;
      const found = await readEndpoint(deps, request.caller.merchantId, endpoint_id);
      if (!found) return refuse('not_found');
      const thisHour = new Date(Math.floor(deps.clock.now().getTime() / HOUR_MS) * HOUR_MS);
      const [counted, waiting] = await Promise.all([
        readHours(deps.db, found, plusMs(thisHour, -23 * HOUR_MS)),
        countWaiting(deps.db, found.endpointId, MOST_WAITING_COUNTED),
      ]);
      const hours = Array.from({ length: 24 }, (_, n) => {
        const from = plusMs(thisHour, (n - 23) * HOUR_MS);
        const { delivered = 0, failed = 0 } = counted.find(({ hour }) => +hour === +from) ?? {};
        return { from: from.toISOString(), delivered, failed };
      });
      return {
        hours,
        delivered: hours.reduce((sum, { delivered }) => sum + delivered, 0),
        failed: hours.reduce((sum, { failed }) => sum + failed, 0),
        waiting,
      };
    },
  );

  app.post(
    '/v1/webhook-endpoints/:endpoint_id/resend',
    {
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Send the events of a time range again',
        description:
          'All events of the range that the endpoint has chosen, also those from before it was added. With ' +
          '`only_failed`, those that it has acknowledged are left out.',
        params: endpointParamsSchema,
        body: resendRangeSchema,
        response: {
          202: resentSchema,
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
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: "List an endpoint's deliveries, newest event first",
        params: endpointParamsSchema,
        querystring: deliveryFilterSchema.omit({ endpoint_id: true }),
        response: { 200: deliveryPageSchema, 404: errorSchema },
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
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: 'List deliveries, newest event first',
        querystring: deliveryFilterSchema,
        response: { 200: deliveryPageSchema },
      },
    },
    async (request) => listPage(deps, request.caller.merchantId, request.query),
  );

  app.get(
    '/v1/refunds/:refund_id/deliveries',
    {
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: "List a refund's deliveries, newest event first",
        params: refundParamsSchema,
        querystring: deliveryFilterSchema.omit({ refund_id: true, order_id: true }),
        response: { 200: deliveryPageSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const refund = await readRefund(deps.db, merchantId, request.params.refund_id);
      if (!refund) throw refundNotFound();
      return listPage(deps, merchantId, { ...request.query, refund_id: refund.refundId });
    },
  );

  app.get(
    '/v1/webhook-deliveries/:delivery_id',
    {
      config: { permission: 'webhooks.read' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Read a delivery with every try',
        params: deliveryParamsSchema,
        response: {
          200: deliveryWithTriesSchema,
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
      config: { permission: 'webhooks.manage' },
      schema: {
        tags: ['Webhooks'],
        summary: 'Send a delivery again, now and with all its retries',
        params: deliveryParamsSchema,
        response: { 202: deliverySchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const again = await resendDelivery(resendDeps, request.caller.merchantId, request.params.delivery_id);
      return reply.code(202).send(shownDelivery(typeof again === 'string' ? refuse(again) : again));
    },
  );
}

// What goes out -----------------------------------------------------------------------------------------

function shown(found: WebhookEndpoint): z.output<typeof endpointSchema> {
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

function shownDelivery(found: Delivery): z.output<typeof deliverySchema> {
  const says = { ...TRY_OUTCOMES, ...GIVEN_UP_BECAUSE };
  return {
    delivery_id: found.deliveryId,
    event_id: eventIdOf(found.notificationId),
    event: found.eventName,
    order_id: found.batchId === null ? found.orderId : null,
    refund_id: found.refundId,
    batch_id: found.batchId,
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

function shownTry(made: TryResult): z.output<typeof deliveryTrySchema> {
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
  query: z.output<typeof deliveryFilterSchema>,
): Promise<z.output<typeof deliveryPageSchema>> {
  const found = await listDeliveries(deps.db, merchantId, {
    endpointId: query.endpoint_id,
    orderId: query.order_id,
    refundId: query.refund_id,
    batchId: query.batch_id,
    eventName: query.event,
    state: query.state,
    from: query.created_from === undefined ? undefined : new Date(query.created_from),
    before: query.created_before === undefined ? undefined : new Date(query.created_before),
    after: query.cursor === undefined ? undefined : after(query.cursor),
    limit: query.limit + 1,
  });
  const { page, next_cursor } = pageOf(found, query.limit, 'newest', (one) => ({
    at: one.createdAt.getTime(),
    id: one.deliveryId,
  }));
  return { deliveries: page.map(shownDelivery), next_cursor };
}

function after(cursor: string): { createdAt: Date; deliveryId: string } {
  const { at, id } = positionOf(cursor, 'newest', isUuid);
  return { createdAt: new Date(at), deliveryId: id };
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
