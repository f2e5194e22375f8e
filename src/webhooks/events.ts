/** What a merchant can be told. The verbs write these names into `notifications`; the docs quote the sentences. */
export const WEBHOOK_EVENTS = {
  ORDER_REFUNDED: 'A refund of the order succeeded, in full or in part.',
  ORDER_REFUND_FAILED:
    'A refund of the order failed, was cancelled, or was taken back after it had succeeded.',
  REFUND_MANUAL_REVIEW_NEEDED: 'The outcome of a refund is uncertain, and a person has to settle it.',
  REFUND_INITIATED: 'A refund of the order was accepted and will be sent to its gateway.',
  REFUND_ARN_CAPTURED: "The bank's reference of a refund (ARN, RRN or UTR) became known.",
  BATCH_CHECKED: 'Every row of a batch was checked; it waits to be confirmed.',
  BATCH_STARTED: 'The first rows of a batch are on their way.',
  BATCH_FINISHED: 'Every row of a batch has been answered.',
} as const;

export type WebhookEventName = keyof typeof WEBHOOK_EVENTS;

/** Those that tell of a batch; the others tell of an order. */
export type BatchEventName = Extract<WebhookEventName, `BATCH_${string}`>;

export const WEBHOOK_EVENT_NAMES = Object.keys(WEBHOOK_EVENTS) as WebhookEventName[];

/** What an endpoint gets that has not chosen: the events that are on by default in the contract (section 6.5). */
export const DEFAULT_WEBHOOK_EVENTS: readonly WebhookEventName[] = [
  'ORDER_REFUNDED',
  'ORDER_REFUND_FAILED',
  'REFUND_MANUAL_REVIEW_NEEDED',
];

/** What a test of an endpoint sends; it is about no order. */
export const TEST_EVENT_NAME = 'WEBHOOK_TEST';
