/** The words of webhooks, as the API tells them to those who draw with them. */
export { DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENT_NAMES, WEBHOOK_EVENTS } from '../../webhooks/events.ts';
export { type DeliveryState, TRY_OUTCOMES, type TryOutcome } from '../../webhooks/outcomes.ts';
export { DEFAULT_SECRET_GRACE_MS, MAX_SECRET_GRACE_MS } from '../../webhooks/schedule.ts';
