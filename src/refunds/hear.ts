import type { Cause } from '../audit/events.ts';
import type { RefundNews, WebhookEvent, WebhookReading } from '../gateways/gateway.ts';
import { askGateway, type EngineDeps, factsOf } from './engine.ts';
import { holdForStrangers } from './holds.ts';
import { contradictsFinal, decideLook, decideMisfit, decideNews } from './outcome.ts';
import { isFollowed, type Refund, wasNeverSent } from './refund.ts';
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
 * contradicts a final state, make us ask the gateway first. Throws when it could not be asked about a hint: then the
 * gateway has to repeat it. Proven words about a refund of ours that the books do not know hold the account.
 */
export async function settleFromWebhook(
  deps: EngineDeps,
  account: { readonly merchantId: string; readonly gatewayAccountId: string },
  reading: Exclude<WebhookReading, { kind: 'rejected' }>,
): Promise<WebhookResult> {
  const unmatched: WebhookEvent[] = [];
  const unheard: string[] = [];
  let matched = 0;
  for (const event of reading.events) {
    const refund = await findByGatewayWords(deps.db, account.gatewayAccountId, event, account.merchantId);
    if (!refund) {
      unmatched.push(event);
      continue;
    }
    matched++;
    const cause: Cause = { by: 'gateway_webhook', event_id: event.eventId };
    const misfit = event.misfit?.(factsOf(deps, refund)) ?? null;
    if (misfit !== null) {
      if (reading.kind === 'authentic')
        await settle(deps, refund, cause, (now) => decideMisfit(now, misfit, event.news?.evidence ?? null));
      continue;
    }
    if (event.news !== null && reading.kind === 'authentic') await takeNews(deps, refund, event.news, cause);
    else if (!(await takeHint(deps, refund, cause))) unheard.push(refund.refundId);
  }
  if (reading.kind === 'authentic') await holdForStrangers(deps, account, unmatched);
  if (unheard.length > 0) throw new Error(`the gateway could not be asked about ${unheard.join(', ')}`);
  return { matched, unmatched };
}

async function takeNews(deps: EngineDeps, refund: Refund, news: RefundNews, cause: Cause): Promise<void> {
  let contradicts = false;
  await settle(deps, refund, cause, (now, at) => {
    contradicts = contradictsFinal(now, news, at);
    return contradicts ? null : decideNews(now, news, at);
  });
  if (!contradicts) return;
  const look = await askGateway(deps, refund);
  // A look-up may lag behind the gateway's own webhook: then it still says what the webhook contradicts.
  const looked = look.answer.kind === 'news' && !isOlder(look.answer.news, news);
  await settle(deps, refund, cause, (now, at) =>
    looked ? decideLook(now, look, at) : decideNews(now, news, at),
  );
}

function isOlder(one: RefundNews, other: RefundNews): boolean {
  return one.at !== null && other.at !== null && one.at < other.at;
}

/** False when the gateway would have to be asked now, and could not be. */
async function takeHint(deps: EngineDeps, refund: Refund, cause: Cause): Promise<boolean> {
  if (isFollowed(refund)) {
    await bringLookForward(deps.db, refund, deps.clock.now());
    deps.wake();
    return true;
  }
  // A send in flight is settled by its answer, and what was never sent cannot be known to the gateway.
  if (refund.state === 'sending' || wasNeverSent(refund)) return true;
  // Nobody looks at what has ended, and what is to be sent again would be sent without a look.
  const look = await askGateway(deps, refund);
  await settle(deps, refund, cause, (now, at) =>
    look.answer.kind === 'news' ? decideLook(now, look, at) : null,
  );
  return look.answer.kind === 'news' || look.answer.kind === 'absent';
}
