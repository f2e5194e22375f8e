import { isSecondPerson } from '../access/second-person.ts';
import type { Cause } from '../audit/events.ts';
import { askGateway, type EngineDeps } from './engine.ts';
import {
  decideLook,
  decideProposal,
  decideResolution,
  decideWithdrawal,
  gatewaySaysOtherwise,
  mayResolve,
  type Resolution,
} from './outcome.ts';
import type { Refund } from './refund.ts';
import { settle } from './settle.ts';
import { readRefund } from './store.ts';

export type ResolveOutcome =
  | { readonly ok: true; readonly refund: Refund }
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** Only a refund in manual review, or one that people were called to, waits for a person's word. */
  | { readonly ok: false; readonly refusal: 'wrong_state'; readonly refund: Refund }
  /** One alone does not settle a refund against what the gateway says; `gatewaySaid` is that, for people. */
  | {
      readonly ok: false;
      readonly refusal: 'gateway_says_otherwise';
      readonly refund: Refund;
      readonly gatewaySaid: string;
    };

/**
 * Settles a refund by a person's word and evidence. The gateway is asked first: what it says is written down, and where it
 * contradicts, the word is not taken. Where it cannot be asked, the word counts, and is looked at again for weeks.
 */
export async function resolveRefund(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: Resolution & { readonly cause: Cause },
): Promise<ResolveOutcome> {
  const heard = await hearGateway(deps, merchantId, refundId, asked);
  if (!heard.ok) return heard;
  const { refund, gatewaySaid } = heard;
  if (gatewaySaid !== null) return { ok: false, refusal: 'gateway_says_otherwise', refund, gatewaySaid };
  return write(deps, refund, asked, (now, at) => decideResolution(now, asked, at));
}

/** A person's word against the gateway's: it waits for a second person. Who agrees with the gateway settles it at once. */
export async function proposeResolution(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: Resolution & { readonly cause: Extract<Cause, { by: 'user' }> },
): Promise<ResolveOutcome> {
  const heard = await hearGateway(deps, merchantId, refundId, asked);
  if (!heard.ok) return heard;
  const { refund, gatewaySaid } = heard;
  if (gatewaySaid === null) return write(deps, refund, asked, (now, at) => decideResolution(now, asked, at));
  return write(deps, refund, asked, (now, at) =>
    decideProposal(now, {
      outcome: asked.outcome,
      evidence: asked.evidence,
      arn: asked.arn,
      gateway_refund_id: asked.gatewayRefundId,
      gateway_said: gatewaySaid,
      user_id: asked.cause.user_id,
      email: asked.cause.email,
      at: at.now.toISOString(),
    }),
  );
}

export type ProposalOutcome =
  | { readonly ok: true; readonly refund: Refund }
  | { readonly ok: false; readonly refusal: 'not_found' }
  /** Nobody has proposed anything of it, or it has been settled since. */
  | { readonly ok: false; readonly refusal: 'no_proposal'; readonly refund: Refund }
  /** Another proposal stands there now than the one that was read. */
  | { readonly ok: false; readonly refusal: 'other_proposal'; readonly refund: Refund }
  /** It takes somebody else than who proposed it. */
  | { readonly ok: false; readonly refusal: 'same_person'; readonly refund: Refund };

/** A second person's yes or no to a proposal; `at` names the one that they have read. Anybody may say no. */
export async function decideOnProposal(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: {
    readonly confirm: boolean;
    readonly at: string;
    readonly cause: Extract<Cause, { by: 'user' }>;
  },
): Promise<ProposalOutcome> {
  const refund = await readRefund(deps.db, merchantId, refundId);
  if (!refund) return { ok: false, refusal: 'not_found' };
  const { proposal } = refund;
  if (proposal === null) return { ok: false, refusal: 'no_proposal', refund };
  if (proposal.at !== asked.at) return { ok: false, refusal: 'other_proposal', refund };
  const second = { kind: 'user', id: asked.cause.user_id, at: deps.clock.now() } as const;
  const first = { kind: 'user', id: proposal.user_id, at: new Date(proposal.at) } as const;
  if (asked.confirm && !(await isSecondPerson(deps.db, merchantId, second, [first])))
    return { ok: false, refusal: 'same_person', refund };
  let stands = false;
  const after = await settle(deps, refund, asked.cause, (now, at) => {
    stands = now.proposal?.at === proposal.at && mayResolve(now, proposal.outcome);
    if (!stands) return null;
    if (!asked.confirm) return decideWithdrawal(now);
    const resolution = { ...proposal, gatewayRefundId: proposal.gateway_refund_id };
    const decision = decideResolution(now, resolution, at);
    return { ...decision, evidence: { ...decision.evidence, ...proposal } };
  });
  return stands ? { ok: true, refund: after } : { ok: false, refusal: 'no_proposal', refund: after };
}

type Heard =
  | { readonly ok: true; readonly refund: Refund; readonly gatewaySaid: string | null }
  | Exclude<ResolveOutcome, { ok: true }>;

/** Asks the gateway before anybody's word is taken, and writes down what it says. */
async function hearGateway(
  deps: EngineDeps,
  merchantId: string,
  refundId: string,
  asked: Resolution & { readonly cause: Cause },
): Promise<Heard> {
  const refund = await readRefund(deps.db, merchantId, refundId);
  if (!refund) return { ok: false, refusal: 'not_found' };
  if (!mayResolve(refund, asked.outcome)) return { ok: false, refusal: 'wrong_state', refund };
  const look = await askGateway(deps, refund);
  const after = await settle(
    deps,
    refund,
    { by: 'look', why: 'before a person’s word is taken' },
    (now, at) => {
      const decision = look.answer.kind === 'news' ? decideLook(now, look, at) : null;
      // Asking out of turn leaves the turns as they are.
      return decision === null || 'lookLater' in decision ? null : decision;
    },
  );
  return { ok: true, refund: after, gatewaySaid: gatewaySaysOtherwise(after, asked.outcome, look) };
}

async function write(
  deps: EngineDeps,
  refund: Refund,
  asked: Resolution & { readonly cause: Cause },
  decide: Parameters<typeof settle>[3],
): Promise<ResolveOutcome> {
  let may = false;
  const after = await settle(deps, refund, asked.cause, (now, at) => {
    may = mayResolve(now, asked.outcome);
    return may ? decide(now, at) : null;
  });
  // The gateway's own word has just ended it so.
  const isSo = after.state === asked.outcome;
  return may || isSo ? { ok: true, refund: after } : { ok: false, refusal: 'wrong_state', refund: after };
}
