import type { CreateAnswer, GatewayAccountAccess, PreparedRequest } from '../gateways/gateway.ts';
import { type CallReport, reportOf } from '../gateways/health.ts';
import { plusMs } from '../lib/clock.ts';
import {
  answerWithinMs,
  askSafely,
  circumstances,
  type EngineDeps,
  factsOf,
  gatewayOf,
  holdMs,
  timedHttp,
} from './engine.ts';
import { decideAnswer, decideMayRepeat, decideSend } from './outcome.ts';
import type { Refund } from './refund.ts';
import { findStrangers } from './restored.ts';
import { logMove, settle } from './settle.ts';
import { postponeLook, readAttemptRequest } from './store.ts';

const ACCOUNT_OFF_RETRY_MS = 60_000;
const UNASKED_RETRY_MS = 15_000;

/**
 * Sends a claimed refund: first the intent, with key and bytes, is written, then the gateway is asked. Ends when the
 * answer is recorded, with how the call went for the account's breaker; null where the gateway was not to be asked.
 */
export async function submit(deps: EngineDeps, claimed: Refund): Promise<CallReport | null> {
  const access = await deps.openAccess(claimed.gatewayAccountId);
  if (!access) {
    await postponeLook(deps.db, claimed, plusMs(deps.clock.now(), ACCOUNT_OFF_RETRY_MS), claimed.looks);
    return null;
  }
  const held = await holdIfItMayRepeat(deps, claimed, access);
  if (held !== 'may be sent') return held;
  const gateway = gatewayOf(deps, claimed);
  // A repeat carries the very bytes of the first send, even if the program has changed since.
  const request =
    claimed.sends > 0
      ? await readAttemptRequest(deps.db, claimed)
      : gateway.prepareRefund(factsOf(deps, claimed));
  const at = circumstances(deps, gateway.capabilities);
  // A process that stood still until its hold was over does not know what has been decided meanwhile: a pause, say.
  if (at.now >= claimed.nextLookAt!) return null;
  const decision = decideSend(
    claimed,
    request,
    plusMs(at.now, holdMs(gateway.capabilities)),
    access.identity,
    at,
  );
  const refund = await deps.write({
    ...decision,
    refund: claimed,
    cause: { by: 'worker', why: 'due to be sent' },
    ...(decision.to === 'sending' ? { attempt: { attempt_no: claimed.sends + 1, request } } : {}),
  });
  // Cancelled, or claimed by another worker as well: it is in other hands.
  if (!refund) return null;
  logMove(deps, claimed, refund, decision);
  return decision.to === 'sending' ? send(deps, refund, request, access) : null;
}

/**
 * In books that were restored from a backup, a refund that seems new may be one that was sent since: where the gateway
 * has refunds of the payment that are not in these books, a person decides. Asking costs one call for each first send.
 */
async function holdIfItMayRepeat(
  deps: EngineDeps,
  claimed: Refund,
  access: GatewayAccountAccess,
): Promise<CallReport | null | 'may be sent'> {
  const { restored } = deps;
  if (!restored || claimed.sends > 0 || deps.clock.now() > restored.watchUntil) return 'may be sent';
  const answer = await findStrangers(deps, restored, claimed, access);
  if (answer.kind === 'asked') {
    if (answer.strangers.length === 0) return 'may be sent';
    await settle(deps, claimed, { by: 'look', why: 'before the first send after a restore' }, (now, at) =>
      now.state === 'queued' ? decideMayRepeat(now, answer.strangers, at) : null,
    );
    return null;
  }
  await postponeLook(deps.db, claimed, plusMs(deps.clock.now(), UNASKED_RETRY_MS), claimed.looks);
  return {
    answered: answer.answered,
    refusesUs: answer.kind === 'misconfigured',
    why: answer.why,
  };
}

async function send(
  deps: EngineDeps,
  refund: Refund,
  request: PreparedRequest,
  access: GatewayAccountAccess,
): Promise<CallReport | null> {
  const gateway = gatewayOf(deps, refund);
  const lastMoment = refund.nextLookAt!.getTime() - answerWithinMs(gateway.capabilities);
  // The hold may end before the answer comes, and another worker would look while this one still sends.
  const tooLate = deps.clock.now().getTime() > lastMoment;
  const answer: CreateAnswer = tooLate
    ? { kind: 'not_sent', why: 'the program was too slow to send it in time', evidence: {} }
    : await askSafely<CreateAnswer>(
        deps,
        refund,
        () =>
          gateway.createRefund(request, factsOf(deps, refund), access, timedHttp(deps, gateway.capabilities)),
        (why) => ({ kind: 'unknown', why, answered: false, evidence: {} }),
      );
  await settle(
    deps,
    refund,
    { by: 'gateway_answer' },
    (now, at) => decideAnswer(now, answer, refund.sends, at),
    { attemptEnd: { attempt_no: refund.sends, outcome: outcomeWord(answer), answer: evidenceOf(answer) } },
  );
  // Our own slowness says nothing of the gateway.
  return tooLate ? null : reportOf(answer, refund.sends);
}

function outcomeWord(answer: CreateAnswer): string {
  return answer.kind === 'news' ? answer.news.status : answer.kind;
}

function evidenceOf(answer: CreateAnswer) {
  if (answer.kind === 'news') return answer.news.evidence;
  return 'why' in answer ? { why: answer.why, ...answer.evidence } : answer.evidence;
}
