import type { Clock } from '../lib/clock.ts';
import type { Database } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import type { Vault } from '../lib/vault.ts';
import { openEndpoints, readEndpoint, type WebhookEndpoint } from './endpoints.ts';
import { DEFAULT_WEBHOOK_EVENTS, TEST_EVENT_NAME } from './events.ts';
import { eventIdOf, type TryResult, type WebhookSender } from './send.ts';
import {
  countInRange,
  type Delivery,
  makeDue,
  type ResendRange,
  type ResentSlice,
  readDelivery,
  resendSlice,
} from './store.ts';

export interface ResendDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly vault: Vault;
  /** Tells this process's worker that there is something to send. */
  readonly wake: () => void;
}

export type ResendRefusal = 'not_found' | 'endpoint_removed' | 'endpoint_disabled' | 'range_too_large';

/** The most events that one call sends again. */
export const MAX_RESEND = 100_000;
const SLICE = 1_000;

/** Sends one delivery again, whatever became of it, now and with all its retries. */
export async function resendDelivery(
  deps: ResendDeps,
  merchantId: string,
  deliveryId: string,
): Promise<Delivery | ResendRefusal> {
  const delivery = await readDelivery(deps.db, merchantId, deliveryId);
  if (!delivery) return 'not_found';
  if (delivery.endpointId !== null) {
    const endpoint = await readEndpoint(deps, merchantId, delivery.endpointId);
    if (!endpoint) return 'endpoint_removed';
    if (!endpoint.enabled) return 'endpoint_disabled';
  }
  await makeDue(deps.db, delivery, deps.clock.now());
  deps.wake();
  return (await readDelivery(deps.db, merchantId, deliveryId))!;
}

/**
 * Sends an endpoint the events of a time range that it has chosen, in the order in which they happened: those it was
 * told, those it missed, and those from before it was there. `onlyFailed` leaves out what it has acknowledged. Answers how many that are.
 */
export async function resendRange(
  deps: ResendDeps,
  merchantId: string,
  endpointId: string,
  input: { readonly from: Date; readonly before: Date; readonly onlyFailed: boolean },
): Promise<number | ResendRefusal> {
  const endpoint = await readEndpoint(deps, merchantId, endpointId);
  if (!endpoint) return 'not_found';
  if (!endpoint.enabled) return 'endpoint_disabled';
  const range: ResendRange = {
    merchantId,
    endpointId,
    eventNames: endpoint.events ?? DEFAULT_WEBHOOK_EVENTS,
    from: input.from,
    before: input.before,
  };
  if ((await countInRange(deps.db, range, MAX_RESEND + 1)) > MAX_RESEND) return 'range_too_large';
  const now = deps.clock.now();
  let count = 0;
  let after: ResentSlice['last'] = null;
  for (let place = 0; place === 0 || after !== null; place += SLICE) {
    const slice: ResentSlice = await resendSlice(deps.db, range, {
      after,
      leadUs: MAX_RESEND - place,
      onlyFailed: input.onlyFailed,
      now,
      newIds: Array.from({ length: SLICE }, newId),
    });
    count += slice.count;
    after = slice.last;
  }
  deps.wake();
  return count;
}

/**
 * Sends a message about no order to an endpoint, switched on or not, and says what came back. It is tried once and
 * leaves no trace in the log or in the endpoint's record. Null where the merchant has no such endpoint.
 */
export async function testEndpoint(
  deps: Pick<ResendDeps, 'db' | 'clock' | 'vault'> & { readonly sender: WebhookSender },
  merchantId: string,
  endpointId: string,
): Promise<{ endpoint: WebhookEndpoint; eventId: string; result: TryResult } | null> {
  const endpoint = await readEndpoint(deps, merchantId, endpointId);
  const open = endpoint && (await openEndpoints(deps, [endpoint])).get(endpoint.endpointId);
  if (!endpoint || !open) return null;
  const eventId = eventIdOf(newId());
  const result = await deps.sender.send(open.target, {
    eventId,
    eventName: TEST_EVENT_NAME,
    createdAt: deps.clock.now(),
    order: { merchant_id: merchantId, order_id: TEST_EVENT_NAME, status: 'NEW', refunds: [] },
    sequence: 0,
  });
  return { endpoint, eventId, result };
}
