import type { CreateAnswer, PreparedRequest } from '../gateways/gateway.ts';
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
import { type Change, decideAnswer, decideSend } from './outcome.ts';
import type { Refund } from './refund.ts';
import { logMove, settle } from './settle.ts';
import { postponeLook, readAttemptRequest, writeChanges } from './store.ts';

const ACCOUNT_OFF_RETRY_MS = 60_000;

/**
 * Sends claimed refunds. First the intent of all of them, with key and bytes, is written in one commit; then
 * each is sent by itself. `begun` is told which are on their way; the promise per refund ends when its answer is
 * recorded, with the kind of the answer for the account's breaker.
 */
export async function submit(
  deps: EngineDeps,
  claimed: readonly Refund[],
): Promise<{ readonly refund: Refund; readonly done: Promise<CreateAnswer['kind']> }[]> {
  const changes: Change[] = [];
  for (const refund of claimed) {
    if (!(await deps.openAccess(refund.gatewayAccountId))) {
      await postponeLook(deps.db, refund, plusMs(deps.clock.now(), ACCOUNT_OFF_RETRY_MS), refund.looks);
      continue;
    }
    const gateway = gatewayOf(deps, refund);
    // A repeat carries the very bytes of the first send, even if the program has changed since.
    const request =
      refund.sends > 0
        ? await readAttemptRequest(deps.db, refund)
        : gateway.prepareRefund(factsOf(deps, refund));
    const at = circumstances(deps, gateway.capabilities);
    const decision = decideSend(refund, request, plusMs(at.now, holdMs(gateway.capabilities)), at);
    changes.push({
      ...decision,
      refund,
      cause: { by: 'worker', why: 'due to be sent' },
      ...(decision.to === 'sending' ? { attempt: { attempt_no: refund.sends + 1, request } } : {}),
    });
  }
  const written = changes.length > 0 ? await writeChanges(deps.db, deps.clock, changes) : [];
  return written.flatMap((refund, n) => {
    const change = changes[n]!;
    if (refund === null) return [];
    logMove(deps, change.refund, refund, change);
    return change.attempt ? [{ refund, done: send(deps, refund, change.attempt.request) }] : [];
  });
}

async function send(
  deps: EngineDeps,
  refund: Refund,
  request: PreparedRequest,
): Promise<CreateAnswer['kind']> {
  const gateway = gatewayOf(deps, refund);
  const access = await deps.openAccess(refund.gatewayAccountId);
  const lastMoment = refund.nextLookAt!.getTime() - answerWithinMs(gateway.capabilities);
  let answer: CreateAnswer;
  if (!access) {
    answer = { kind: 'not_sent', why: 'the gateway account was switched off', evidence: {} };
  } else if (deps.clock.now().getTime() > lastMoment) {
    // The hold may end before the answer comes, and another worker would look while this one still sends.
    answer = { kind: 'not_sent', why: 'the program was too slow to send it in time', evidence: {} };
  } else {
    answer = await askSafely<CreateAnswer>(
      deps,
      refund,
      () =>
        gateway.createRefund(request, factsOf(deps, refund), access, timedHttp(deps, gateway.capabilities)),
      (why) => ({ kind: 'unknown', why, evidence: {} }),
    );
  }
  await settle(
    deps,
    refund,
    { by: 'gateway_answer' },
    (now, at) => decideAnswer(now, answer, refund.sends, at),
    {
      attemptEnd: { attempt_no: refund.sends, outcome: outcomeWord(answer), answer: evidenceOf(answer) },
    },
  );
  return answer.kind;
}

function outcomeWord(answer: CreateAnswer): string {
  return answer.kind === 'news' ? answer.news.status : answer.kind;
}

function evidenceOf(answer: CreateAnswer) {
  if (answer.kind === 'news') return answer.news.evidence;
  return 'why' in answer ? { why: answer.why, ...answer.evidence } : answer.evidence;
}
