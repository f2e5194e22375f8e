import type { Cause } from '../audit/events.ts';
import type { LookAnswer } from '../gateways/gateway.ts';
import { askGateway, type EngineDeps } from './engine.ts';
import { decideFundsRetry, decideLook } from './outcome.ts';
import { type Refund, wasNeverSent } from './refund.ts';
import { settle } from './settle.ts';
import { readRefund } from './store.ts';

/** Looks at a due refund that is not waiting to be sent: asks the gateway, or moves it on by itself. */
export async function lookAt(deps: EngineDeps, refund: Refund): Promise<LookAnswer | null> {
  // Without an id of the gateway's there is nothing to follow: no refund was made for want of balance.
  if (refund.state === 'waiting_for_funds' && refund.gatewayRefundId === null) {
    await settle(deps, refund, { by: 'clock', why: 'there may be balance again' }, (now, at) =>
      now.state === 'waiting_for_funds' ? decideFundsRetry(now, at) : null,
    );
    deps.wake();
    return null;
  }
  const look = await askGateway(deps, refund);
  await settle(deps, refund, { by: 'look', why: `due while ${refund.state}` }, (now, at) =>
    now.state === refund.state || look.answer.kind === 'news' ? decideLook(now, look, at) : null,
  );
  return look.answer;
}

/** Asks the gateway whether what a refund has ended as still holds. */
export async function recheck(deps: EngineDeps, refund: Refund): Promise<LookAnswer> {
  const look = await askGateway(deps, refund);
  await settle(deps, refund, { by: 'look', why: 'asked again after its end' }, (now, at) =>
    now.state === refund.state ? decideLook(now, look, at) : null,
  );
  return look.answer;
}

export type LookNowOutcome =
  /** `answer` says what the gateway said; `refund` is as it is after that. */
  | { readonly ok: true; readonly refund: Refund; readonly answer: LookAnswer['kind'] }
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** Nothing has been sent, so the gateway cannot know of it. */
  | { readonly ok: false; readonly refusal: 'not_sent'; readonly refund: Refund };

/** Asks the gateway about a refund now, because a person or program wants to know. */
export async function lookNow(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  cause: Cause,
): Promise<LookNowOutcome> {
  const refund = await readRefund(deps.db, merchantId, refundId);
  if (!refund) return { ok: false, refusal: 'not_found' };
  if (wasNeverSent(refund)) return { ok: false, refusal: 'not_sent', refund };
  const look = await askGateway(deps, refund);
  const after = await settle(deps, refund, cause, (now, at) => {
    // A send in flight is settled by its own answer; a look beside it may only bring news.
    if (now.state === 'sending' && look.answer.kind !== 'news') return null;
    const decision = decideLook(now, look, at);
    // Asking out of turn leaves the turns as they are.
    return 'lookLater' in decision ? null : decision;
  });
  return { ok: true, refund: after, answer: look.answer.kind };
}
