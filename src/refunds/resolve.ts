import type { Cause } from '../audit/events.ts';
import type { EngineDeps } from './engine.ts';
import { decideResolution, mayResolve, type Resolution } from './outcome.ts';
import type { Refund } from './refund.ts';
import { settle } from './settle.ts';
import { readRefund } from './store.ts';

export type ResolveOutcome =
  | { readonly ok: true; readonly refund: Refund }
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** Only a refund in manual review, or one that people were called to, waits for a person's word. */
  | { readonly ok: false; readonly refusal: 'wrong_state'; readonly refund: Refund };

/** Settles a refund in manual review by a person's word and evidence. */
export async function resolveRefund(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: Resolution & { readonly cause: Cause },
): Promise<ResolveOutcome> {
  const refund = await readRefund(deps.db, merchantId, refundId);
  if (!refund) return { ok: false, refusal: 'not_found' };
  let resolved = false;
  const after = await settle(deps, refund, asked.cause, (now, at) => {
    resolved = mayResolve(now, asked.outcome);
    return resolved ? decideResolution(now, asked, at) : null;
  });
  return resolved ? { ok: true, refund: after } : { ok: false, refusal: 'wrong_state', refund: after };
}
