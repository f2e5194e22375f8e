import type { Cause } from '../audit/events.ts';
import type {
  Capabilities,
  CreateAnswer,
  Evidence,
  FoundRefund,
  LookAnswer,
  PreparedRequest,
  RefundNews,
  RefusedBecause,
} from '../gateways/gateway.ts';
import { DAY_MS, plusMs } from '../lib/clock.ts';
import { amountText, exponentOf } from '../lib/money.ts';
import type { WebhookEventName } from '../webhooks/events.ts';
import { isFollowed, isSent, LANES, type Lane, type Proposal, type Refund } from './refund.ts';
import { mayMove, type RefundState, STATES } from './states.ts';

/**
 * What an answer, a webhook, a look or the passing of time means for a refund. Pure: everything that decides
 * where money is said to be stands here, and nothing here reads a clock or a database.
 */

/** The columns of a refund that a change may set, under their names in the table. Times are ISO 8601. */
export interface RefundColumns {
  lane?: number;
  sends?: number;
  unanswered?: number;
  key_used_at?: Date | null;
  sent_to?: string;
  doubtful_refusal?: string | null;
  refused_because?: RefusedBecause | null;
  looks?: number;
  absences?: number;
  absence_counts_at?: Date | null;
  gateway_refund_id?: string | null;
  gateway_reference?: string | null;
  gateway_status?: string | null;
  gateway_at?: Date | null;
  arn?: string | null;
  error_code?: string | null;
  error_message?: string | null;
  attention?: string | null;
  settled_by_hand?: boolean;
  proposal?: Proposal | null;
  overruled?: string | null;
  sent_at?: Date | null;
  succeeded_at?: Date | null;
  failed_at?: Date | null;
  next_look_at?: Date | null;
  recheck_at?: Date | null;
  review_at?: Date;
}

/** A change with its event. `to` may be the present state: then something was learnt, and nothing moves. */
export interface Decision {
  readonly to: RefundState;
  readonly kind: string;
  readonly set: Readonly<RefundColumns>;
  readonly evidence: Evidence | null;
  readonly notify: readonly WebhookEventName[];
}

/** A decision on the version of the refund that it was made on. */
export interface Change extends Decision {
  readonly refund: Refund;
  readonly cause: Cause;
  readonly attempt?: { readonly attempt_no: number; readonly request: PreparedRequest };
  readonly attemptEnd?: {
    readonly attempt_no: number;
    readonly outcome: string;
    readonly answer: Evidence | null;
  };
}

/** Nothing to write but when to look again; null where nobody has to any more. */
export interface LookLater {
  readonly lookLater: Date | null;
}

/** What the rules below need to know besides the refund and the news. */
export interface Circumstances {
  readonly now: Date;
  readonly capabilities: Capabilities;
  /** From the first send to manual review. */
  readonly manualReviewAfterMs: number;
  /** In [0, 1): spreads looks so that refunds of one moment do not return in one moment. */
  readonly jitter: number;
}

/** A key is not trusted to the last minute of its life: clocks differ and a send takes time. */
const KEY_LIFE_MARGIN_MS = 10 * 60_000;
const REVIEW_LOOK_MS = 24 * 3_600_000;
const MISCONFIGURED_RETRY_MS = 5 * 60_000;
/** A payment that the gateway does not know is tried again: its account may get the right key. */
const NO_PAYMENT_RETRY_DELAYS_MS = [5 * 60_000, 15 * 60_000, 3_600_000];
/** What a person has settled is asked about again for six weeks, whatever the connector says of successes. */
const HAND_RECHECK_DELAYS_MS = [
  3_600_000,
  DAY_MS,
  2 * DAY_MS,
  4 * DAY_MS,
  7 * DAY_MS,
  14 * DAY_MS,
  14 * DAY_MS,
];
const RECHECK_RETRY_MS = 6 * 3_600_000;
/** The gateway's books may lag behind its own word for so long before they contradict a success. */
const BOOKS_LAG_MS = 3_600_000;
/** Looks in other books than it was sent to, after which a person is asked. */
const LOOKS_IN_OTHER_BOOKS = 5;
/** A refund that could not be sent is given at least this long before people are asked. */
export const MIN_UNSENT_MS = 3_600_000;

// Before sending -------------------------------------------------------------------------------------------

/**
 * A worker takes the refund: the intent, its key and its bytes are durable before the gateway is called. `identity` says whose
 * books it goes to: a key means nothing in others.
 */
export function decideSend(
  refund: Refund,
  request: PreparedRequest,
  answerBy: Date,
  identity: string,
  at: Circumstances,
): Decision {
  if (refund.state === 'queued' && refund.keyUsedAt && !keyLives(refund, at)) {
    return toReview(refund, 'The gateway may have forgotten the key of an earlier send.', null, at);
  }
  if (refund.keyUsedAt && refund.sentTo !== null && refund.sentTo !== identity) {
    return toReview(
      refund,
      'An earlier send may have reached another account of the gateway than the one whose credentials are set now.',
      { sent_to: refund.sentTo, would_go_to: identity },
      at,
    );
  }
  return {
    to: 'sending',
    kind: 'refund.sending',
    set: {
      sends: refund.sends + 1,
      key_used_at: refund.keyUsedAt ?? at.now,
      sent_to: identity,
      doubtful_refusal: null,
      refused_because: null,
      next_look_at: answerBy,
      looks: 0,
    },
    evidence: {
      attempt: refund.sends + 1,
      request: { method: request.method, path: request.path, body: request.body },
    },
    notify: [],
  };
}

/** The worker that held a send is gone: whether its request went out is not known (invariant 3). */
export function decideHoldLost(refund: Refund, at: Circumstances): Decision {
  return toUnknown(refund, 'The program stopped while the gateway was being asked.', null, at);
}

// Answers to a send ----------------------------------------------------------------------------------------

/** What the answer to one send means; `attemptNo` says to which. */
export function decideAnswer(
  refund: Refund,
  answer: CreateAnswer,
  attemptNo: number,
  at: Circumstances,
): Decision {
  if (answer.kind === 'news') {
    const decision = decideNews(refund, answer.news, at);
    return 'lookLater' in decision ? answeredLate(refund, answer.news.evidence) : decision;
  }
  // Money has moved otherwise than was asked: that is to be known however late it is said.
  if (answer.kind === 'misfit')
    return decideMade(refund, answer.why, answer.evidence, at) ?? answeredLate(refund, answer.evidence);
  // A webhook was faster, or the hold ran out and looks have begun, or the refund has been sent again since: it is
  // known better than by this answer.
  if (refund.state !== 'sending' || refund.sends !== attemptNo) return answeredLate(refund, answer.evidence);
  const certainSoFar = refund.unanswered === 0 && refund.gatewayStatus === null;
  // A send that was certainly not made leaves the key as unused as it found it.
  const keyAsBefore = certainSoFar ? { key_used_at: null } : {};
  const backoff = plusMs(at.now, delay(at.capabilities.resendDelaysMs, refund.sends - 1, at.jitter));
  switch (answer.kind) {
    case 'refused': {
      if (certainSoFar)
        return refused(refund, { ...answer, because: answer.because ?? null }, answer.evidence, at);
      // After a send that may have been made a refusal ("already refunded") may be the trace of our own success: it holds only
      // once look-ups have proved that there is none.
      const inDoubt = toUnknown(refund, answer.errorMessage, answer.evidence, at);
      return {
        ...inDoubt,
        kind: 'refund.refused_in_doubt',
        set: {
          ...inDoubt.set,
          unanswered: refund.unanswered,
          doubtful_refusal: answer.errorMessage,
          refused_because: answer.because ?? null,
          error_code: answer.errorCode,
        },
      };
    }
    case 'no_funds':
      return {
        to: 'waiting_for_funds',
        kind: 'refund.waiting_for_funds',
        set: {
          ...keyAsBefore,
          ...firstSent(refund, at),
          lane: LANES.followUp,
          // It takes our account and knows the payment: what was said against them is over.
          attention: stillCalled(refund, null),
          error_message: answer.errorMessage,
          next_look_at: backoff,
        },
        evidence: answer.evidence,
        notify: [],
      };
    case 'busy':
      return {
        to: 'queued',
        kind: 'refund.told_to_wait',
        set: {
          ...keyAsBefore,
          error_message: 'The gateway asks to be called later.',
          next_look_at: plusMs(at.now, answer.retryAfterMs ?? backoff.getTime() - at.now.getTime()),
        },
        evidence: answer.evidence,
        notify: [],
      };
    case 'misconfigured':
      return {
        to: 'queued',
        kind: 'refund.account_refused',
        set: {
          ...keyAsBefore,
          attention: stillCalled(refund, `The gateway refuses our account: ${answer.errorMessage}`),
          next_look_at: plusMs(at.now, MISCONFIGURED_RETRY_MS),
        },
        evidence: answer.evidence,
        notify: [],
      };
    case 'no_payment':
      return {
        to: 'queued',
        kind: 'refund.no_payment',
        set: {
          ...keyAsBefore,
          error_code: answer.errorCode,
          error_message: answer.errorMessage,
          attention: stillCalled(
            refund,
            `The gateway knows no payment ${refund.gatewayPaymentId} in this account: ${answer.errorMessage} Nothing was paid. ` +
              "Check the payment's id and the account's key. It is tried again by itself, and can be cancelled.",
          ),
          next_look_at: plusMs(at.now, delay(NO_PAYMENT_RETRY_DELAYS_MS, refund.sends - 1, at.jitter)),
        },
        evidence: answer.evidence,
        notify: [],
      };
    case 'not_sent':
      return {
        to: 'queued',
        kind: 'refund.not_sent',
        set: { ...keyAsBefore, error_message: answer.why, next_look_at: backoff },
        evidence: { why: answer.why, ...answer.evidence },
        notify: [],
      };
    case 'unknown':
      return toUnknown(refund, answer.why, answer.evidence, at);
  }
}

function answeredLate(refund: Refund, evidence: Evidence): Decision {
  return { to: refund.state, kind: 'refund.answered_late', set: {}, evidence, notify: [] };
}

// Looks ----------------------------------------------------------------------------------------------------

/** An answer to a look, when the gateway was asked, and in whose books it looked (null: nobody could be asked). */
export interface Look {
  readonly answer: LookAnswer;
  readonly askedAt: Date;
  readonly identity: string | null;
}

/** What a look at the gateway means for a refund: one that is followed, or one that has ended and is asked about again. */
export function decideLook(refund: Refund, look: Look, at: Circumstances): Decision | LookLater {
  const { answer, askedAt } = look;
  if (answer.kind === 'news') return decideNews(refund, answer.news, at);
  const next = nextLook(refund, at);
  if (answer.kind === 'misfit')
    return decideMade(refund, answer.why, answer.evidence, at) ?? { lookLater: next };
  if (STATES[refund.state].final) return decideSilence(refund, look, at);
  if (answer.kind === 'busy' && next !== null)
    return {
      lookLater: new Date(Math.max(plusMs(at.now, answer.retryAfterMs ?? 0).getTime(), next.getTime())),
    };
  if (answer.kind !== 'absent' || refund.state !== 'unknown') return { lookLater: next };

  if (!askedWhereSent(refund, look)) {
    if (refund.looks < LOOKS_IN_OTHER_BOOKS) return { lookLater: next };
    return toReview(
      refund,
      'The account that can be asked is not the one that it was sent to, so that “no such refund” proves nothing.',
      { ...answer.evidence, sent_to: refund.sentTo, asked: look.identity },
      at,
    );
  }

  // Looks may be brought forward by hand, by anybody's hint or by another worker: they prove no more for that.
  if (refund.absenceCountsAt !== null && askedAt < refund.absenceCountsAt)
    return { lookLater: refund.absenceCountsAt };

  const absences = refund.absences + 1;
  const proof = at.capabilities.absenceProof;
  const learnt: Decision = {
    to: 'unknown',
    kind: 'refund.not_found',
    set: {
      absences,
      absence_counts_at: absenceCountsAt(at),
      looks: refund.looks + 1,
      next_look_at: spacedLook(refund, at),
    },
    evidence: { ...answer.evidence, absences },
    notify: [],
  };
  if (!proof) {
    if (absences < 3) return learnt;
    return toReview(
      refund,
      'The gateway did not answer, and cannot prove whether it made the refund.',
      answer.evidence,
      at,
    );
  }
  if (absences < proof.answers) return learnt;
  if (refund.doubtfulRefusal !== null) {
    const refusal = {
      errorCode: refund.errorCode,
      errorMessage: refund.doubtfulRefusal,
      because: refund.refusedBecause,
    };
    return refused(refund, refusal, { ...answer.evidence, absences }, at);
  }
  if (refund.unanswered >= at.capabilities.maxSends) {
    return toReview(
      refund,
      'The gateway never answered; look-ups say that it has not made the refund.',
      answer.evidence,
      at,
    );
  }
  if (!keyLives(refund, at)) {
    return toReview(
      refund,
      'Look-ups find no refund, but the gateway may have forgotten its key.',
      answer.evidence,
      at,
    );
  }
  return {
    to: 'queued',
    kind: 'refund.proved_absent',
    set: {
      lane: sendLane(refund),
      looks: 0,
      absences: 0,
      next_look_at: plusMs(at.now, delay(at.capabilities.resendDelaysMs, refund.sends - 1, at.jitter)),
    },
    evidence: { ...answer.evidence, absences },
    notify: [],
  };
}

/** What other books do not know proves nothing. */
function askedWhereSent(refund: Refund, { identity }: Look): boolean {
  return refund.sentTo === null || refund.sentTo === identity;
}

/** A refund that has ended was asked about again, and the gateway said nothing of it. */
function decideSilence(refund: Refund, look: Look, at: Circumstances): Decision | LookLater {
  const { answer, askedAt } = look;
  const proof = at.capabilities.absenceProof;
  const isOfOthers = answer.kind === 'absent' && !askedWhereSent(refund, look);
  if (answer.kind !== 'absent' || proof === null || isOfOthers) {
    const next = nextRecheckAfterNoAnswer(refund, at);
    // Until then the credentials may be put right; afterwards nobody would ever ask those who know.
    if (next === null && isOfOthers && STATES[refund.state].public === 'SUCCESS') {
      const called = calling(refund, ASKED_OTHERS, answer.evidence, { recheck_at: null });
      if (called) return called;
    }
    return { lookLater: next };
  }
  // A refund that never was agrees with a failure.
  if (STATES[refund.state].public !== 'SUCCESS' || refund.overruled === SAYS_ABSENT)
    return { lookLater: nextRecheck(refund, at) };
  if (refund.absenceCountsAt !== null && askedAt < refund.absenceCountsAt)
    return { lookLater: refund.absenceCountsAt };
  const absences = refund.absences + 1;
  const evidence = { ...answer.evidence, absences };
  const isProof = absences >= proof.answers;
  const set = {
    absences: isProof ? 0 : absences,
    absence_counts_at: plusMs(at.now, Math.max(proof.spacingMs, BOOKS_LAG_MS)),
    recheck_at: isProof ? nextRecheck(refund, at) : plusMs(at.now, Math.max(proof.spacingMs, BOOKS_LAG_MS)),
  };
  if (isProof) {
    const why = 'The gateway has no such refund any more: the customer may not have the money.';
    return calling(refund, why, evidence, set) ?? { lookLater: set.recheck_at };
  }
  return { to: refund.state, kind: 'refund.not_found', set, evidence, notify: [] };
}

/** The gateway's balance may have been refilled: ask again under the same key, or follow what the gateway holds. */
export function decideFundsRetry(refund: Refund, at: Circumstances): Decision {
  if (refund.keyUsedAt && !keyLives(refund, at)) {
    return toReview(refund, 'No balance at the gateway, and it may have forgotten the key.', null, at);
  }
  return {
    to: 'queued',
    kind: 'refund.asking_again',
    set: { lane: sendLane(refund), next_look_at: at.now, looks: 0 },
    evidence: null,
    notify: [],
  };
}

// News -----------------------------------------------------------------------------------------------------

/** What the gateway's word on a refund means, whoever brought it: the answer, a look or a webhook. */
export function decideNews(refund: Refund, news: RefundNews, at: Circumstances): Decision | LookLater {
  if (isOfSecond(refund, news)) {
    const why = `${CALLS.second}, ${news.gatewayRefundId}, for this one: the customer may be paid twice.`;
    return calling(refund, why, news.evidence) ?? { lookLater: nextLook(refund, at) };
  }
  const facts = learn(refund, news);
  const stale = news.at !== null && refund.gatewayAt !== null && news.at < refund.gatewayAt;
  const heard = stale ? null : targetOf(refund, news, at);
  const target = heard === 'attention' ? null : heard;
  const arnIsNew = news.arn !== null && refund.arn === null;
  const notifyArn: WebhookEventName[] = arnIsNew ? ['REFUND_ARN_CAPTURED'] : [];

  if (heard === 'attention') {
    const why = `The gateway says "${news.rawStatus}" of a refund that it had said it paid.`;
    const called = calling(refund, why, news.evidence, { ...facts, recheck_at: nextRecheck(refund, at) });
    if (called) return { ...called, notify: [...called.notify, ...notifyArn] };
  }
  if (target !== null && target !== refund.state) {
    return {
      to: target,
      kind: `refund.${target}`,
      set: {
        ...facts,
        ...(stale ? {} : { gateway_at: news.at ?? refund.gatewayAt }),
        ...entering(target, refund, news, at),
      },
      evidence: news.evidence,
      notify: [...notifyOf(target), ...notifyArn],
    };
  }
  const next = afterALook(refund, at);
  if (Object.keys(facts).length > 0) {
    return {
      to: refund.state,
      kind: 'refund.learnt',
      set: { ...facts, ...next },
      evidence: news.evidence,
      notify: notifyArn,
    };
  }
  return { lookLater: nextLook(refund, at) };
}

/**
 * A webhook speaks of a refund that carries the id of this one and is another: what carries it can be copied by hand, so
 * this one goes on. Null where people were called before.
 */
export function decideMisfit(refund: Refund, misfit: string, evidence: Evidence | null): Decision | null {
  return calling(refund, `${CALLS.copied}: ${misfit}.`, evidence);
}

/**
 * What the gateway made for this refund is of another amount, currency or payment: money has moved, and not as was asked.
 * Its own amount stays held until a person has looked. Null where people were called before.
 */
function decideMade(refund: Refund, why: string, evidence: Evidence, at: Circumstances): Decision | null {
  const attention = `${CALLS.made}: ${why}.`;
  if (callsOf(refund).includes(attention) || refund.overruled === saysMade(why)) return null;
  return mayMove(refund.state, 'manual_review')
    ? { ...toReview(refund, attention, evidence, at), kind: 'refund.misfit' }
    : calling(refund, attention, evidence);
}

/**
 * Nothing moves, but people are called, here and in the merchant's systems: the customer may have money twice, or not at
 * all. Null where they were called for that before.
 */
function calling(
  refund: Refund,
  attention: string,
  evidence: Evidence | null,
  set: RefundColumns = {},
): Decision | null {
  const calls = callsOf(refund);
  if (calls.includes(attention)) return null;
  return {
    to: refund.state,
    kind: 'refund.contradicted',
    set: { ...set, attention: linesOf([attention, ...calls]) },
    evidence,
    notify: ['REFUND_MANUAL_REVIEW_NEEDED'],
  };
}

/**
 * Where a late success would be held for review, but the amount has been refunded again meanwhile: invariant 1
 * leaves no room for it, so what is learnt is kept on the refund as it is and people are called.
 */
export function decideWithoutRoom(refund: Refund, { set, evidence, notify }: Decision): Decision | null {
  const { next_look_at: _, lane: __, looks: ___, settled_by_hand: ____, ...facts } = set;
  const why = `${CALLS.repeated} since: the customer may have it twice.`;
  const called = calling(refund, why, evidence, facts);
  return (
    called && {
      ...called,
      notify: [...called.notify, ...notify.filter((name) => name === 'REFUND_ARN_CAPTURED')],
    }
  );
}

/** Whether news says the opposite of a final state, so that the gateway should be asked before it is believed. */
export function contradictsFinal(refund: Refund, news: RefundNews, at: Circumstances): boolean {
  const target = targetOf(refund, news, at);
  return (
    !isOfSecond(refund, news) && STATES[refund.state].final && target !== null && target !== refund.state
  );
}

/** What becomes of a second refund that the gateway made for ours says nothing of the first. */
function isOfSecond(refund: Refund, news: RefundNews): boolean {
  return ![null, news.gatewayRefundId].includes(refund.gatewayRefundId) && news.gatewayRefundId !== null;
}

/**
 * Where the gateway's word on this refund takes it; 'attention' where people have to be called and nothing can move, null
 * where it says nothing new. test/refunds/matrix.test.ts has a line for every state and every word.
 */
function targetOf(refund: Refund, news: RefundNews, at: Circumstances): RefundState | 'attention' | null {
  const from = refund.state;
  // Nobody expects anything of it any more, or yet.
  const unexpected = ['awaiting_approval', 'failed', 'cancelled', 'reversed'].includes(from);
  switch (news.status) {
    case 'succeeded':
      return unexpected ? 'manual_review' : 'succeeded';
    case 'failed':
    case 'reversed':
      if (unexpected) return null;
      return from === 'succeeded' ? 'reversed' : 'failed';
    case 'waiting_for_funds':
    case 'pending': {
      // Two people have read just that, and know better.
      if (refund.overruled === saysStatus(news)) return null;
      if (unexpected) return 'manual_review';
      if (from === 'succeeded') {
        const since = refund.succeededAt ?? refund.updatedAt;
        return at.now.getTime() - since.getTime() > BOOKS_LAG_MS ? 'attention' : null;
      }
      const to = news.status === 'pending' ? 'submitted' : 'waiting_for_funds';
      return mayMove(from, to) ? to : null;
    }
  }
}

function entering(to: RefundState, refund: Refund, news: RefundNews, at: Circumstances): RefundColumns {
  const learntWhen = news.at ?? at.now;
  // What was said on the way (no answer, no balance) is no longer what is to be said of it.
  const said = { error_code: news.errorCode, error_message: news.errorMessage };
  switch (to) {
    case 'succeeded': {
      const ended = { state: to, settledByHand: false, succeededAt: learntWhen, failedAt: null };
      return {
        ...settled(),
        ...firstSent(refund, at),
        ...said,
        succeeded_at: learntWhen,
        attention: stillCalled(refund, null),
        recheck_at: nextRecheck(ended, at),
      };
    }
    case 'failed':
    case 'reversed':
      return {
        ...settled(),
        ...firstSent(refund, at),
        ...said,
        failed_at: learntWhen,
        attention: stillCalled(
          refund,
          refund.settledByHand ? 'A person settled it as paid, and the gateway says that it is not.' : null,
        ),
      };
    case 'manual_review':
      return {
        looks: 0,
        lane: LANES.followUp,
        next_look_at: nextReviewLook(at),
        recheck_at: null,
        settled_by_hand: false,
        overruled: null,
        attention: stillCalled(
          refund,
          news.status === 'succeeded'
            ? `The gateway says that the customer was paid, of a refund that was ${refund.state} here.`
            : `The gateway is at work on a refund that was ${refund.state} here.`,
        ),
      };
    default:
      return {
        ...firstSent(refund, at),
        ...said,
        lane: LANES.followUp,
        looks: 0,
        absences: 0,
        attention: stillCalled(refund, waitingFor(news)),
        next_look_at: plusMs(at.now, delay(at.capabilities.pollDelaysMs, 0, at.jitter)),
      };
  }
}

/** Attention of a refund that the gateway goes on with once the customer has done something. */
export const WAITS_FOR_CUSTOMER =
  'The gateway waits for the customer: it has asked for something that it needs to pay out, such as bank details. Ask the customer to look for its message.';

/** What people have to do before the gateway goes on; null where it goes on by itself. */
function waitingFor(news: RefundNews): string | null {
  return news.waitsFor === 'customer' ? WAITS_FOR_CUSTOMER : null;
}

/** Only what the news adds: known facts are never replaced by silence. */
function learn(refund: Refund, news: RefundNews): RefundColumns {
  const facts: RefundColumns = {};
  if (news.gatewayRefundId && refund.gatewayRefundId === null) facts.gateway_refund_id = news.gatewayRefundId;
  if (news.gatewayReference && news.gatewayReference !== refund.gatewayReference)
    facts.gateway_reference = news.gatewayReference;
  if (news.arn && news.arn !== refund.arn) facts.arn = news.arn;
  const stale = news.at !== null && refund.gatewayAt !== null && news.at < refund.gatewayAt;
  if (stale) return facts;
  if (news.rawStatus !== refund.gatewayStatus) facts.gateway_status = news.rawStatus;
  if (news.errorCode !== null && news.errorCode !== refund.errorCode) facts.error_code = news.errorCode;
  if (news.errorMessage !== null && news.errorMessage !== refund.errorMessage)
    facts.error_message = news.errorMessage;
  const attention = stillCalled(refund, waitingFor(news));
  if (refund.state === 'submitted' && attention !== refund.attention) facts.attention = attention;
  // What a person said of it is now the gateway's own word.
  if (refund.settledByHand && news.status === refund.state) facts.settled_by_hand = false;
  return facts;
}

function notifyOf(to: RefundState): WebhookEventName[] {
  const status = STATES[to].public;
  if (status === 'SUCCESS') return ['ORDER_REFUNDED'];
  if (status === 'FAILURE') return ['ORDER_REFUND_FAILED'];
  return status === 'MANUAL_REVIEW' ? ['REFUND_MANUAL_REVIEW_NEEDED'] : [];
}

// Time and people ------------------------------------------------------------------------------------------

/** The limit has passed without an outcome (contract section 7: pending for more than ten days). */
export function decideOverdue(refund: Refund, at: Circumstances): Decision {
  const why = isSent(refund)
    ? 'No outcome from the gateway within the limit.'
    : 'It could not be sent within the limit.';
  return toReview(refund, why, null, at);
}

/**
 * The books are those of a backup: what was not final in it may have been sent or settled since. What might be sent
 * is unknown until the gateway has been asked, and its key counts as used from the backup on (invariant 3).
 */
export function decideRestored(refund: Refund, backedUpAt: Date, at: Circumstances): Decision {
  const why = `Restored from a backup of ${backedUpAt.toISOString()}: what became of it since is being asked.`;
  const keyUsed = { key_used_at: refund.keyUsedAt ?? backedUpAt };
  const timeToAsk = plusMs(at.now, MIN_UNSENT_MS);
  const review = { review_at: refund.reviewAt < timeToAsk ? timeToAsk : refund.reviewAt };
  const followed = refund.state === 'waiting_for_funds' && refund.gatewayRefundId !== null;
  if (refund.state === 'unknown' || (mayMove(refund.state, 'unknown') && !followed)) {
    const unknown = toUnknown(refund, why, null, at);
    return { ...unknown, kind: 'refund.restored', set: { ...review, ...unknown.set, ...keyUsed } };
  }
  const set =
    refund.state === 'awaiting_approval' ? { ...review, ...keyUsed } : { ...review, next_look_at: at.now };
  return { to: refund.state, kind: 'refund.restored', set, evidence: { why }, notify: [] };
}

/** The gateway has refunds of the payment that these restored books do not know: this one may be one of them. */
export function decideMayRepeat(
  refund: Refund,
  strangers: readonly FoundRefund[],
  at: Circumstances,
): Decision {
  const named = strangers.map(
    ({ news, amountMinor, currency }) =>
      `${news.gatewayRefundId} over ${amountText(amountMinor, exponentOf(currency) ?? refund.exponent, currency)}`,
  );
  return toReview(
    refund,
    `It was not sent: since the backup that these books were restored from, the gateway has made ${named.join(', ')} ` +
      'of the same payment, and this may be the same refund.',
    { strangers: strangers.map(({ refundId, news }) => ({ refund_id: refundId, ...news.evidence })) },
    at,
  );
}

export function mayCancel(refund: Refund): boolean {
  return mayMove(refund.state, 'cancelled') && refund.keyUsedAt === null;
}

export function decideCancel(reason: string | null, at: Circumstances): Decision {
  return {
    to: 'cancelled',
    kind: 'refund.cancelled',
    set: {
      ...settled(),
      failed_at: at.now,
      error_message: reason ?? 'Cancelled before it was sent.',
      attention: null,
    },
    evidence: reason === null ? null : { reason },
    notify: ['ORDER_REFUND_FAILED'],
  };
}

/** A person's word, with evidence, on a refund in manual review. */
export interface Resolution {
  readonly outcome: 'succeeded' | 'failed';
  readonly evidence: string;
  readonly arn: string | null;
  readonly gatewayRefundId: string | null;
}

/**
 * What the gateway says against a person's word, for people; null where it agrees or does not know. One person alone does
 * not settle a refund against it.
 */
export function gatewaySaysOtherwise(
  refund: Refund,
  outcome: Resolution['outcome'],
  look: Look,
): string | null {
  const { answer } = look;
  switch (answer.kind) {
    case 'news': {
      const said = answer.news.status === 'reversed' ? 'failed' : answer.news.status;
      return said === outcome ? null : saysStatus(answer.news);
    }
    case 'misfit':
      return saysMade(answer.why);
    case 'absent':
      return outcome === 'succeeded' && askedWhereSent(refund, look) ? SAYS_ABSENT : null;
    default:
      return null;
  }
}

const saysStatus = (news: RefundNews) => `it says "${news.rawStatus}"`;
const saysMade = (why: string) => `it has made another refund than was asked for: ${why}`;
const SAYS_ABSENT = 'it has no such refund';
const ASKED_OTHERS =
  'The gateway account’s credentials open other books than those that this refund was sent to: nobody could be asked whether the customer still has the money.';

/** A final refund that somebody has been called to may only be confirmed as what it is. */
export function mayResolve(refund: Refund, outcome: Resolution['outcome']): boolean {
  if (refund.state === 'manual_review') return true;
  const isOutcome = outcome === (STATES[refund.state].public === 'SUCCESS' ? 'succeeded' : 'failed');
  return STATES[refund.state].final && refund.attention !== null && isOutcome;
}

/** `overruled`: what the gateway says against it, where two people say so. */
export function decideResolution(
  refund: Refund,
  resolution: Resolution,
  at: Circumstances,
  overruled: string | null = null,
): Decision {
  const paid = resolution.outcome === 'succeeded';
  const evidence = {
    statement: resolution.evidence,
    arn: resolution.arn,
    gateway_refund_id: resolution.gatewayRefundId,
  };
  const learnt = {
    arn: resolution.arn ?? refund.arn,
    // What was seen to have failed is not what may come to light later: by its id the gateway would be asked about the wrong one.
    gateway_refund_id: refund.gatewayRefundId ?? (paid ? resolution.gatewayRefundId : null),
    attention: null,
    proposal: null,
  };
  const notifyArn: WebhookEventName[] = resolution.arn && !refund.arn ? ['REFUND_ARN_CAPTURED'] : [];
  if (STATES[refund.state].final) {
    const set = overruled === null ? learnt : { ...learnt, overruled };
    return { to: refund.state, kind: 'refund.confirmed', set, evidence, notify: notifyArn };
  }
  const ended = { state: resolution.outcome, settledByHand: true, succeededAt: at.now, failedAt: at.now };
  return {
    to: resolution.outcome,
    kind: `refund.resolved_as_${resolution.outcome}`,
    set: {
      ...settled(),
      ...(paid ? { succeeded_at: at.now } : { failed_at: at.now }),
      ...learnt,
      settled_by_hand: true,
      overruled,
      recheck_at: nextRecheck(ended, at),
    },
    evidence,
    notify: [...notifyOf(resolution.outcome), ...notifyArn],
  };
}

/** A person's word against the gateway's waits for a second person. */
export function decideProposal(refund: Refund, proposal: Proposal): Decision {
  return {
    to: refund.state,
    kind: 'refund.proposed',
    set: { proposal },
    evidence: { ...proposal },
    notify: [],
  };
}

export function decideWithdrawal(refund: Refund): Decision {
  return {
    to: refund.state,
    kind: 'refund.proposal_withdrawn',
    set: { proposal: null },
    evidence: refund.proposal && { ...refund.proposal },
    notify: [],
  };
}

// Shared pieces --------------------------------------------------------------------------------------------

/** How those calls to people begin that are about money beside the refund: what becomes of the refund itself ends none of them. */
const CALLS = {
  second: 'The gateway speaks of a second refund',
  copied: 'The gateway has another refund that carries the id of this one',
  made: 'The gateway has made another refund than was asked for',
  repeated:
    'The gateway says, after a failure, that the customer was paid or will be, and the amount has been refunded again',
} as const;
const MOST_CALLS = 5;

/** What stands in a refund's attention, a line for each reason, the newest first. */
function callsOf({ attention }: Pick<Refund, 'attention'>): string[] {
  return attention === null ? [] : attention.split('\n');
}

/**
 * The attention of a refund that is in want of it for `why`, or for nothing new: the calls that are about money beside it
 * stand until a person has settled it.
 */
function stillCalled(refund: Refund, why: string | null): string | null {
  const open = callsOf(refund).filter((call) => Object.values(CALLS).some((begin) => call.startsWith(begin)));
  return linesOf(why === null ? open : [why, ...open]);
}

function linesOf(calls: readonly string[]): string | null {
  return calls.length === 0 ? null : [...new Set(calls)].slice(0, MOST_CALLS).join('\n');
}

interface Refusal {
  readonly errorCode: string | null;
  readonly errorMessage: string;
  readonly because: RefusedBecause | null;
}

const BECAUSE: Readonly<Record<RefusedBecause, string>> = {
  refunded_elsewhere:
    'The gateway says that this payment has been refunded already, and not by this refund: the customer may have the money. ' +
    'Look at the payment there before it is given back in another way.',
  disputed:
    'The gateway says that the customer has disputed this payment with the bank: the money may go back that way. ' +
    'Look at the dispute there before it is given back in another way.',
};

/** The gateway has certainly not made it. Where it says that the customer may have the money otherwise, the amount stays held. */
function refused(refund: Refund, refusal: Refusal, evidence: Evidence, at: Circumstances): Decision {
  const said = { error_code: refusal.errorCode, error_message: refusal.errorMessage };
  if (refusal.because !== null) {
    const review = toReview(refund, BECAUSE[refusal.because], evidence, at);
    return {
      ...review,
      kind: 'refund.refused',
      set: { ...review.set, ...said, ...firstSent(refund, at), refused_because: refusal.because },
    };
  }
  return {
    to: 'failed',
    kind: 'refund.refused',
    set: {
      ...settled(),
      ...said,
      attention: stillCalled(refund, null),
      ...firstSent(refund, at),
      failed_at: at.now,
    },
    evidence,
    notify: ['ORDER_REFUND_FAILED'],
  };
}

function toUnknown(refund: Refund, why: string, evidence: Evidence | null, at: Circumstances): Decision {
  return {
    to: 'unknown',
    kind: 'refund.unknown',
    set: {
      ...firstSent(refund, at),
      unanswered: refund.unanswered + 1,
      lane: LANES.followUp,
      looks: 0,
      absences: 0,
      absence_counts_at: absenceCountsAt(at),
      attention: stillCalled(refund, null),
      error_message: why,
      next_look_at: spacedLook({ ...refund, looks: 0 }, at),
    },
    evidence: { why, ...evidence },
    notify: [],
  };
}

function toReview(refund: Refund, why: string, evidence: Evidence | null, at: Circumstances): Decision {
  return {
    to: 'manual_review',
    kind: 'refund.manual_review',
    set: {
      lane: LANES.followUp,
      looks: 0,
      attention: stillCalled(refund, why),
      error_message: refund.errorMessage ?? why,
      next_look_at: nextReviewLook(at),
      recheck_at: null,
      settled_by_hand: false,
      overruled: null,
    },
    evidence: { why, ...evidence },
    notify: ['REFUND_MANUAL_REVIEW_NEEDED'],
  };
}

/** The gateway's word ends it: nothing is left to look at. */
function settled(): RefundColumns {
  return {
    next_look_at: null,
    recheck_at: null,
    looks: 0,
    absences: 0,
    absence_counts_at: null,
    settled_by_hand: false,
    proposal: null,
    overruled: null,
  };
}

function sendLane(refund: Refund): Lane {
  return refund.batchId === null ? LANES.single : LANES.batch;
}

/** The limit for an outcome runs from the first send's answer, or from when it was clear that none came. */
function firstSent(refund: Refund, at: Circumstances): RefundColumns {
  if (refund.sentAt) return {};
  // What is in its first send was written last when that began.
  const sentAt = refund.state === 'sending' ? refund.updatedAt : at.now;
  return { sent_at: sentAt, review_at: plusMs(at.now, at.manualReviewAfterMs) };
}

/** Daily, and sooner only where people are called sooner than that. */
function nextReviewLook(at: Circumstances): Date {
  return plusMs(at.now, Math.min(REVIEW_LOOK_MS, at.manualReviewAfterMs));
}

function keyLives(refund: Refund, at: Circumstances): boolean {
  const life = at.capabilities.keyLifeMs;
  // A gateway without keys is sent to again only when its look-ups have proved absence.
  if (life === null) return at.capabilities.absenceProof !== null;
  return (
    refund.keyUsedAt === null || at.now.getTime() + KEY_LIFE_MARGIN_MS < refund.keyUsedAt.getTime() + life
  );
}

/** When a refund that was looked at, and has not moved, is looked at next; others wait for a send or the end of its hold. */
function afterALook(refund: Refund, at: Circumstances): RefundColumns {
  if (isFollowed(refund)) return { next_look_at: nextLook(refund, at), looks: refund.looks + 1 };
  return refund.recheckAt === null ? {} : { recheck_at: nextRecheck(refund, at) };
}

/** Null for a refund that has ended, and that nobody has to ask about again. */
function nextLook(refund: Refund, at: Circumstances): Date | null {
  if (STATES[refund.state].final) return nextRecheck(refund, at);
  if (refund.state === 'manual_review') return nextReviewLook(at);
  if (refund.state === 'unknown') return spacedLook(refund, at);
  return plusMs(at.now, delay(at.capabilities.pollDelaysMs, refund.looks + 1, at.jitter));
}

type Ended = Pick<Refund, 'state' | 'settledByHand' | 'succeededAt' | 'failedAt'>;

/** When a refund that has ended is asked about next, counted from its end; null where nobody has to any more. */
function nextRecheck(ended: Ended, at: Circumstances): Date | null {
  return recheckTimes(ended, at).find((time) => time > at.now) ?? null;
}

function recheckTimes(ended: Ended, at: Circumstances): Date[] {
  const succeeded = ended.state === 'succeeded';
  if (!succeeded && !ended.settledByHand) return [];
  const delays = ended.settledByHand ? HAND_RECHECK_DELAYS_MS : at.capabilities.recheckDelaysMs;
  let time = (succeeded ? ended.succeededAt : ended.failedAt) ?? at.now;
  return delays.map((wait) => {
    time = plusMs(time, wait);
    return time;
  });
}

/** A question that was not answered is asked again, for a week beyond the last one that was planned. */
function nextRecheckAfterNoAnswer(refund: Refund, at: Circumstances): Date | null {
  const last = recheckTimes(refund, at).at(-1);
  const soon = plusMs(at.now, RECHECK_RETRY_MS);
  return last && plusMs(last, 7 * DAY_MS) > soon ? soon : null;
}

/** Looks of an unanswered send are planned no closer together than the proof of absence asks for. */
function spacedLook(refund: Refund, at: Circumstances): Date {
  const wait = delay(at.capabilities.lookDelaysMs, refund.looks, at.jitter);
  return new Date(Math.max(plusMs(at.now, wait).getTime(), absenceCountsAt(at).getTime()));
}

function absenceCountsAt(at: Circumstances): Date {
  return plusMs(at.now, at.capabilities.absenceProof?.spacingMs ?? 0);
}

/** The n-th of a list of waits, the last one repeating, made up to a tenth longer by the jitter. */
function delay(delaysMs: readonly number[], n: number, jitter: number): number {
  const base = delaysMs[Math.min(Math.max(n, 0), delaysMs.length - 1)] ?? 60_000;
  return Math.round(base * (1 + jitter / 10));
}
