import type { Cause } from '../audit/events.ts';
import { askGateway, type EngineDeps } from './engine.ts';
import { decideCancel, decideLook, mayCancel } from './outcome.ts';
import type { Refund } from './refund.ts';
import { settle } from './settle.ts';
import { readRefund } from './store.ts';

export type CancelOutcome =
  | { readonly ok: true; readonly refund: Refund }
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** It has been sent, or may have been: only the gateway can say what becomes of it. */
  | { readonly ok: false; readonly refusal: 'wrong_state'; readonly refund: Refund };

/**
 * Cancels a refund that the gateway has certainly not made. One that it was asked for, and said it had not made, is asked
 * about once more: what it has after all is written down instead.
 */
export async function cancelRefund(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: { readonly reason: string | null; readonly cause: Cause },
): Promise<CancelOutcome> {
  const refund = await readRefund(deps.db, merchantId, refundId);
  if (!refund) return { ok: false, refusal: 'not_found' };
  if (mayCancel(refund) && refund.sends > 0) await askOnceMore(deps, refund);
  let cancelled = false;
  const after = await settle(deps, refund, asked.cause, (now, at) => {
    cancelled = mayCancel(now);
    return cancelled ? decideCancel(asked.reason, at) : null;
  });
  return cancelled ? { ok: true, refund: after } : { ok: false, refusal: 'wrong_state', refund: after };
}

async function askOnceMore(deps: EngineDeps, refund: Refund): Promise<void> {
  const look = await askGateway(deps, refund);
  if (look.answer.kind !== 'news' && look.answer.kind !== 'misfit') return;
  await settle(deps, refund, { by: 'look', why: 'before it is cancelled' }, (now, at) =>
    decideLook(now, look, at),
  );
}
