import type { Cause } from '../audit/events.ts';
import { capabilitiesOf, circumstances, type EngineDeps } from './engine.ts';
import {
  type Change,
  type Circumstances,
  type Decision,
  decideWithoutRoom,
  type LookLater,
} from './outcome.ts';
import { isFollowed, type Refund } from './refund.ts';
import { postponeLook, postponeRecheck, readRefund } from './store.ts';

type Decide = (refund: Refund, at: Circumstances) => Decision | LookLater | null;

/**
 * Where all that is heard of a refund ends, from gateways, people and the clock (its sends begin in `submit.ts`): decides on the
 * refund as it is, writes
 * state and event together, and decides anew when something else got there first. Returns the refund as it is
 * afterwards. A null decision leaves it as it is.
 */
export async function settle(
  deps: EngineDeps,
  refund: Refund,
  cause: Cause,
  decide: Decide,
  extra: Pick<Change, 'attempt' | 'attemptEnd'> = {},
): Promise<Refund> {
  let current = refund;
  for (let round = 0; round < 20; round++) {
    const decision = decide(current, circumstances(deps, capabilitiesOf(deps, current)));
    if (decision === null) return current;
    if ('lookLater' in decision) {
      const { lookLater } = decision;
      if (isFollowed(current) && lookLater !== null)
        await postponeLook(deps.db, current, lookLater, current.looks + 1);
      else if (current.recheckAt !== null) await postponeRecheck(deps.db, current, lookLater);
      return current;
    }
    const outcome = await writeDecision(deps, { ...decision, ...extra, refund: current, cause });
    if (outcome === 'nothing new') return current;
    const { written, as } = outcome;
    if (written) {
      logMove(deps, current, written, as);
      return written;
    }
    const fresh = await readRefund(deps.db, current.merchantId, current.refundId);
    if (!fresh) throw new Error(`refund ${current.refundId} is gone`);
    current = fresh;
  }
  throw new Error(`refund ${refund.refundId} kept changing while it was being settled`);
}

async function writeDecision(
  deps: EngineDeps,
  change: Change,
): Promise<{ written: Refund | null; as: Change } | 'nothing new'> {
  try {
    return { written: await deps.write(change), as: change };
  } catch (error) {
    if ((error as { constraint?: string }).constraint !== 'never_more_than_was_paid') throw error;
    const decision = decideWithoutRoom(change.refund, change);
    if (decision === null) return 'nothing new';
    const as = { ...change, ...decision };
    return { written: await deps.write(as), as };
  }
}

export function logMove(deps: EngineDeps, before: Refund, after: Refund, decision: Decision): void {
  const needsPerson = after.attention !== null && after.attention !== before.attention;
  deps.log[needsPerson ? 'warn' : 'info'](
    {
      merchant_id: after.merchantId,
      order_id: after.orderId,
      refund_id: after.refundId,
      from: before.state,
      to: after.state,
      attention: after.attention ?? undefined,
    },
    decision.kind,
  );
}
