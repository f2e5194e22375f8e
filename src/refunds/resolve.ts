import { isSecondPerson } from '../access/second-person.ts';
import type { Cause } from '../audit/events.ts';
import { askGateway, type EngineDeps, timedHttp } from './engine.ts';
import {
  decideLook,
  decideProposal,
  decideResolution,
  decideWithdrawal,
  gatewaySaysOtherwise,
  mayResolve,
  type Resolution,
} from './outcome.ts';
import type { Proposal, Refund } from './refund.ts';
import { readKnownIds } from './restored.ts';
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
    }
  /** It asks to be asked later: what it says is to be had then, and nobody's word is taken before. */
  | {
      readonly ok: false;
      readonly refusal: 'gateway_busy';
      readonly refund: Refund;
      readonly retryAfterMs: number;
    };

const BUSY_RETRY_MS = 5_000;

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
  | { readonly ok: false; readonly refusal: 'same_person'; readonly refund: Refund }
  /** As of `ResolveOutcome`: it says something else now than what both have read. */
  | Extract<ResolveOutcome, { refusal: 'gateway_says_otherwise' | 'gateway_busy' }>;

/**
 * A second person's yes or no to a proposal; `at` names the one that they have read. Anybody may say no. Before a yes counts
 * the gateway is asked again: what it has come to meanwhile goes before both.
 */
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
  const otherwise = asked.confirm ? await saysOtherwiseNow(deps, refund, proposal, asked.cause) : null;
  if (otherwise !== null) return otherwise;
  let stands = false;
  const after = await settle(deps, refund, asked.cause, (now, at) => {
    stands = now.proposal?.at === proposal.at && mayResolve(now, proposal.outcome);
    if (!stands) return null;
    if (!asked.confirm) return decideWithdrawal(now);
    const resolution = { ...proposal, gatewayRefundId: proposal.gateway_refund_id };
    const decision = decideResolution(now, resolution, at, proposal.gateway_said);
    return { ...decision, evidence: { ...decision.evidence, ...proposal } };
  });
  return stands ? { ok: true, refund: after } : { ok: false, refusal: 'no_proposal', refund: after };
}

/** What the gateway says against a proposal that it did not say when that was made; null where nothing is new. */
async function saysOtherwiseNow(
  deps: EngineDeps,
  { merchantId, refundId }: Refund,
  proposal: Proposal,
  cause: Cause,
): Promise<Extract<ProposalOutcome, { refusal: 'gateway_says_otherwise' | 'gateway_busy' }> | null> {
  const word = { ...proposal, gatewayRefundId: proposal.gateway_refund_id, cause };
  const heard = await hearGateway(deps, merchantId, refundId, word);
  if (!heard.ok) return heard.refusal === 'gateway_busy' ? heard : null;
  const { refund, gatewaySaid } = heard;
  // It has ended by the gateway's word: then no proposal stands any more.
  if (refund.proposal === null || gatewaySaid === null || gatewaySaid === proposal.gateway_said) return null;
  return { ok: false, refusal: 'gateway_says_otherwise', refund, gatewaySaid };
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
  const { answer } = look;
  if (answer.kind === 'busy') {
    const retryAfterMs = answer.retryAfterMs ?? BUSY_RETRY_MS;
    return { ok: false, refusal: 'gateway_busy', refund: after, retryAfterMs };
  }
  const agrees =
    answer.kind === 'absent' && asked.outcome === 'succeeded' && (await hasPaidNamed(deps, after, asked));
  const gatewaySaid = agrees ? null : gatewaySaysOtherwise(after, asked.outcome, look);
  return { ok: true, refund: after, gatewaySaid };
}

/**
 * Whether the gateway, which does not know the refund by our id, has paid out what the person names by the gateway's: to the
 * same payment, of the same amount, and no other refund of these books. So it is where books went back in time, and a refund
 * that they had lost was asked for again.
 */
async function hasPaidNamed(
  deps: EngineDeps,
  refund: Refund,
  { gatewayRefundId }: Pick<Resolution, 'gatewayRefundId'>,
): Promise<boolean> {
  const gateway = deps.gateways.get(refund.gateway);
  const access = await deps.openAccess(refund.gatewayAccountId);
  if (gatewayRefundId === null || !gateway || !access) return false;
  const answer = await gateway
    .findRefunds(refund, access, timedHttp(deps, gateway.capabilities))
    .catch(() => null);
  if (answer?.kind !== 'found') return false;
  const named = answer.refunds.find(({ news }) => news.gatewayRefundId === gatewayRefundId);
  if (named?.news.status !== 'succeeded' || named.amountMinor !== refund.amountMinor) return false;
  const others = await readKnownIds(deps.db, refund, [named]);
  others.delete(refund.refundId);
  return others.size === 0;
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
