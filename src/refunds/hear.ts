import type { Cause } from '../audit/events.ts';
import type { WebhookEvent, WebhookReading } from '../gateways/gateway.ts';
import { askGateway, type EngineDeps } from './engine.ts';
import { contradictsFinal, decideLook, decideNews } from './outcome.ts';
import { settle } from './settle.ts';
import { bringLookForward, findByGatewayWords } from './store.ts';

/** What came of a gateway's webhook, for the log of the door it came through. */
export interface WebhookResult {
  readonly matched: number;
  /** Refunds that are not ours, or not known yet. */
  readonly unmatched: readonly WebhookEvent[];
}

/**
 * Applies what a gateway's webhook says. News that the gateway can prove is applied; a hint, and news that
 * contradicts a final state, make us ask the gateway first.
 */
export async function settleFromWebhook(
  deps: EngineDeps,
  account: { readonly merchantId: string; readonly gatewayAccountId: string },
  reading: Exclude<WebhookReading, { kind: 'rejected' }>,
): Promise<WebhookResult> {
  const unmatched: WebhookEvent[] = [];
  let matched = 0;
  for (const event of reading.events) {
    const refund = await findByGatewayWords(deps.db, account.gatewayAccountId, event, account.merchantId);
    if (!refund) {
      unmatched.push(event);
      continue;
    }
    matched++;
    const cause: Cause = { by: 'gateway_webhook', eventId: event.eventId };
    const news = event.news;
    if (news === null || reading.kind === 'unproven') {
      await bringLookForward(deps.db, refund, deps.clock.now());
      deps.wake();
    } else if (contradictsFinal(refund, news)) {
      const look = await askGateway(deps, refund);
      await settle(deps, refund, cause, (now, at) =>
        look.answer.kind === 'news' ? decideLook(now, look, at) : decideNews(now, news, at),
      );
    } else {
      await settle(deps, refund, cause, (now, at) => decideNews(now, news, at));
    }
  }
  return { matched, unmatched };
}
