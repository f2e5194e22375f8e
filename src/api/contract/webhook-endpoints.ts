import { z } from 'zod';
import { WEBHOOK_EVENT_NAMES, WEBHOOK_EVENTS } from '../../webhooks/events.ts';
import { DELIVERY_STATES, MASK, TRY_OUTCOMES, type TryOutcome } from '../../webhooks/outcomes.ts';
import { DEFAULT_SECRET_GRACE_MS, MAX_SECRET_GRACE_MS } from '../../webhooks/schedule.ts';
import { createdRange, nextCursor, pageFields } from './pages.ts';

const HOUR_MS = 3_600_000;

// What comes in -----------------------------------------------------------------------------------------

export const endpointParamsSchema = z.object({ endpoint_id: z.uuid() });
export const deliveryParamsSchema = z.object({ delivery_id: z.uuid() });

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

export const newEndpointSchema = z
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

export const endpointChangesSchema = z
  .strictObject({
    url: url.optional(),
    username: username.nullish(),
    password: password.nullish(),
    headers: z.record(z.string().max(64), z.string().max(1024).nullable()).nullish(),
    events: events.nullish(),
    enabled: z.boolean().optional(),
    disabled_reason: z
      .string()
      .trim()
      .min(1)
      .max(500)
      .optional()
      .describe('Why it is switched off, for whoever finds it so; only with `"enabled": false`.'),
  })
  .meta({ examples: [{ enabled: true }] });

export const rotateSecretSchema = z
  .strictObject({
    grace_hours: z
      .number()
      .min(0)
      .max(MAX_SECRET_GRACE_MS / HOUR_MS)
      .default(DEFAULT_SECRET_GRACE_MS / HOUR_MS)
      .describe('How long the secret before stays valid; 0 ends it now.'),
  })
  .nullish();

export const resendRangeSchema = z
  .strictObject({ ...createdRange, only_failed: z.boolean().default(false) })
  .meta({ examples: [{ created_from: '2026-03-01T00:00:00Z', created_before: '2026-03-02T00:00:00Z' }] });

export const deliveryFilterSchema = z.strictObject({
  endpoint_id: z.uuid().optional(),
  order_id: z.string().max(128).optional(),
  refund_id: z.uuid().optional(),
  batch_id: z.uuid().optional().describe('What tells of that batch, not of its refunds.'),
  event: z.enum(WEBHOOK_EVENT_NAMES).optional(),
  state: z.enum(DELIVERY_STATES).optional(),
  ...pageFields,
});

// What goes out -----------------------------------------------------------------------------------------

export const endpointSchema = z
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

export const endpointListSchema = z.object({ endpoints: z.array(endpointSchema) }).describe('All endpoints.');

export const endpointWithSecretSchema = endpointSchema
  .extend({ signing_secret: z.string().describe('Keep it: it is not shown again.') })
  .meta({ id: 'WebhookEndpointWithSecret', description: 'The endpoint with its new signing secret.' });

export const endpointHealthSchema = z
  .object({
    hours: z
      .array(
        z.object({
          from: z.string().describe('The start of the hour, UTC.'),
          delivered: z.int().describe('Tries that were acknowledged.'),
          failed: z.int().describe('Tries that were not.'),
        }),
      )
      .describe('The last 24 hours, the one under way last; hours without a try are there too.'),
    delivered: z.int(),
    failed: z.int(),
    waiting: z.int().describe('Deliveries that still have a try ahead, counted no further than 10000.'),
  })
  .meta({
    id: 'WebhookEndpointHealth',
    description: 'How the tries of the last 24 hours went, hour by hour.',
  });

export const deliverySchema = z
  .object({
    delivery_id: z.string(),
    event_id: z.string().describe('The `id` of the envelope and `webhook-id` of the request.'),
    event: z.string(),
    order_id: z.string().nullable().describe('Null where it tells of a batch.'),
    refund_id: z.string().nullable(),
    batch_id: z.string().nullable().describe('Null where it tells of an order.'),
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

export const deliveryPageSchema = z
  .object({ deliveries: z.array(deliverySchema), next_cursor: nextCursor })
  .meta({ id: 'WebhookDeliveryPage', description: 'A page of deliveries.' });

export const deliveryTrySchema = z
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

export const deliveryWithTriesSchema = deliverySchema
  .extend({ tries: z.array(deliveryTrySchema) })
  .describe('The delivery with every try.');

export const endpointTestSchema = deliveryTrySchema
  .extend({ event_id: z.string() })
  .describe('What came back.');

export const resentSchema = z.object({ resent: z.int() }).describe('How many are sent again.');

export type WebhookEndpoint = z.infer<typeof endpointSchema>;
export type WebhookEndpointList = z.infer<typeof endpointListSchema>;
export type WebhookEndpointWithSecret = z.infer<typeof endpointWithSecretSchema>;
export type WebhookEndpointHealth = z.infer<typeof endpointHealthSchema>;
export type NewWebhookEndpoint = z.input<typeof newEndpointSchema>;
export type WebhookEndpointChanges = z.input<typeof endpointChangesSchema>;
export type ResendRange = z.input<typeof resendRangeSchema>;
export type DeliveryFilter = z.output<typeof deliveryFilterSchema>;
export type WebhookDelivery = z.infer<typeof deliverySchema>;
export type WebhookDeliveryPage = z.infer<typeof deliveryPageSchema>;
export type WebhookTry = z.infer<typeof deliveryTrySchema>;
export type WebhookDeliveryWithTries = z.infer<typeof deliveryWithTriesSchema>;
export type WebhookEndpointTest = z.infer<typeof endpointTestSchema>;
