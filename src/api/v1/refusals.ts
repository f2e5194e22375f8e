import { STAND_IN_DAYS } from '../../access/second-person.ts';
import { amountText } from '../../lib/money.ts';
import type { EngineDeps } from '../../refunds/engine.ts';
import type { RefundOutcome } from '../../refunds/record.ts';
import type { Refund } from '../../refunds/refund.ts';
import type { ProposalOutcome, ResolveOutcome } from '../../refunds/resolve.ts';
import { STATES } from '../../refunds/states.ts';
import { ApiError } from '../errors.ts';

/**
 * Why something was not done to a refund. Each sentence says what happened, what that means for the money, and
 * what to do.
 */

/** What people decide of a refund, they decide by what the books say of it; these may have forgotten that it was sent. */
export async function requireTrustedBooks(engine: Pick<EngineDeps, 'booksInDoubt'>): Promise<void> {
  if (!(await engine.booksInDoubt?.())) return;
  throw new ApiError(
    503,
    'books_in_doubt',
    'These books may have gone back in time, and may not know that this refund was sent. Nothing was changed, and nothing is ' +
      'sent meanwhile; whoever runs this Refundry finds in its log how to go on.',
  );
}

export function refundNotFound(): ApiError {
  return new ApiError(404, 'refund_not_found', 'There is no refund with this id.', { field: 'refund_id' });
}

export function orderNotFound(orderId: string): ApiError {
  return new ApiError(404, 'order_not_found', 'There is no order with this id.', {
    field: 'order_id',
    value: orderId.slice(0, 128),
  });
}

/** A refund that was asked for and not recorded. In every case no money moves. */
export function notRecorded(
  outcome: Extract<RefundOutcome, { ok: false }>,
  asked: {
    readonly order_id?: string | undefined;
    readonly txn_id?: string | undefined;
    readonly unique_request_id: string;
    readonly amount: string;
    readonly currency?: string | undefined;
    readonly refund_type: string;
    readonly expected_remaining?: string | undefined;
  },
): ApiError {
  const left = `${outcome.remaining} ${outcome.currency}`;
  const amount = { field: 'amount', value: asked.amount };
  switch (outcome.refusal) {
    case 'order_not_found':
      return new ApiError(
        404,
        'order_not_found',
        'There is no such order, so nothing was refunded. Check the id, or record the payment with POST /v1/transactions.',
        asked.order_id === undefined
          ? { field: 'txn_id', value: asked.txn_id }
          : { field: 'order_id', value: asked.order_id },
      );
    case 'order_not_charged':
      return new ApiError(
        409,
        'order_not_charged',
        'The order has no charged payment under that id, so there is nothing to give back. ' +
          'If it was paid, record the payment with POST /v1/transactions.',
        asked.txn_id === undefined
          ? { field: 'order_id', value: asked.order_id }
          : { field: 'txn_id', value: asked.txn_id },
      );
    case 'duplicate_request_id':
      return new ApiError(
        409,
        'duplicate_request_id',
        'The order already has a refund with this unique_request_id; no second one was made. ' +
          'Read it with GET /v1/refunds; use a new id for a further refund.',
        { field: 'unique_request_id', value: asked.unique_request_id },
      );
    case 'too_many_refunds':
      return new ApiError(
        409,
        'too_many_refunds',
        'The order already has as many refunds as one order may have; no further one was made.',
        { field: 'order_id', value: asked.order_id },
      );
    case 'amount_unreadable':
      return new ApiError(400, 'invalid_amount', 'The amount cannot be read; nothing was refunded.', {
        ...amount,
        accepted: 'decimal text in major units, such as "12.50", or "full"',
      });
    case 'amount_not_positive':
      return new ApiError(400, 'invalid_amount', 'The amount is zero; nothing was refunded.', {
        ...amount,
        accepted: 'more than 0',
      });
    case 'amount_too_many_decimals':
      return new ApiError(
        400,
        'invalid_amount',
        `The amount has more decimals than ${outcome.currency} has; nothing was refunded and nothing rounded.`,
        { ...amount, accepted: `an amount of ${outcome.currency}` },
      );
    case 'currency_mismatch':
      return new ApiError(
        409,
        'currency_mismatch',
        `The order was paid in ${outcome.currency}; nothing was refunded. Give the amount in that currency.`,
        { field: 'currency', value: asked.currency, accepted: outcome.currency ?? undefined },
      );
    case 'remaining_mismatch':
      return new ApiError(
        409,
        'remaining_mismatch',
        `What is left to refund is ${left}, not what you expected: something else happened in between. ` +
          'Nothing was refunded; look at the order again and decide anew.',
        {
          field: 'expected_remaining',
          value: asked.expected_remaining,
          accepted: outcome.remaining ?? undefined,
        },
      );
    case 'same_amount_again':
      return new ApiError(
        409,
        'same_amount_again',
        'The same amount of this order was refunded a moment ago; it was not refunded again. ' +
          'If you mean a second refund, ask again in some seconds.',
        amount,
      );
    case 'amount_exceeds_rest':
      return new ApiError(
        409,
        'amount_exceeds_rest',
        `Only ${left} of the order is left to refund, refunds under way counted; nothing was refunded.`,
        { ...amount, accepted: `at most ${outcome.remaining}` },
      );
    case 'instant_not_supported':
      return new ApiError(
        409,
        'instant_not_supported',
        'The gateway that took this payment makes no instant refunds; nothing was refunded.',
        { field: 'refund_type', value: asked.refund_type, accepted: 'STANDARD or INSTANT_WITH_FALLBACK' },
      );
    case 'partial_not_supported':
      return new ApiError(
        409,
        'partial_not_supported',
        'The gateway that took this payment refunds only the whole amount; nothing was refunded.',
        { ...amount, accepted: '"full", with nothing refunded before' },
      );
    case 'too_old':
      return new ApiError(
        409,
        'too_old',
        'The payment is older than its gateway refunds; nothing was refunded. Give the money back another way.',
        { field: 'order_id', value: asked.order_id },
      );
  }
}

export function notCancelled(refund: Refund): ApiError {
  const { final, says } = STATES[refund.state];
  return new ApiError(
    409,
    'cannot_cancel',
    final
      ? `The refund is already at its end, and nothing was changed. ${says}`
      : 'The refund was sent, or may have been, and cannot be taken back; it goes on as it was, and its status tells the end.',
    { field: 'refund_id', value: refund.refundId, accepted: 'a refund that has not been sent' },
  );
}

export function notResolved(outcome: Exclude<ResolveOutcome, { ok: true }>): ApiError {
  if (outcome.refusal === 'not_found') return refundNotFound();
  const { refund } = outcome;
  if (outcome.refusal === 'gateway_says_otherwise') {
    return new ApiError(
      409,
      'gateway_says_otherwise',
      `Nothing was settled: the gateway was asked just now, and ${outcome.gatewaySaid}. Look there again. ` +
        'If the gateway is wrong, a person may say so (against_gateway), and a second person confirms it.',
      { field: 'outcome', accepted: 'what the gateway says' },
    );
  }
  if (outcome.refusal === 'gateway_busy') return gatewayBusy(outcome);
  return new ApiError(
    409,
    'not_in_manual_review',
    `Nothing was changed: a person's word settles only a refund in manual review. ${STATES[refund.state].says}`,
    { field: 'refund_id', value: refund.refundId, accepted: 'a refund whose status is MANUAL_REVIEW' },
  );
}

function gatewayBusy({
  refund,
  retryAfterMs,
}: Extract<ResolveOutcome, { refusal: 'gateway_busy' }>): ApiError {
  return new ApiError(
    409,
    'gateway_busy',
    'Nothing was settled: the gateway, which is asked first, has no time just now. ' +
      `Try again in ${Math.max(1, Math.ceil(retryAfterMs / 1000))} seconds.`,
    { field: 'refund_id', value: refund.refundId, accepted: 'the same again, later' },
  );
}

/** A proposal was neither confirmed nor withdrawn. */
export function notDecided(outcome: Exclude<ProposalOutcome, { ok: true }>): ApiError {
  switch (outcome.refusal) {
    case 'not_found':
      return refundNotFound();
    case 'no_proposal':
      return new ApiError(
        409,
        'no_proposal',
        `Nothing waits for a second person here. ${STATES[outcome.refund.state].says}`,
        { field: 'refund_id', value: outcome.refund.refundId, accepted: 'a refund with a proposal' },
      );
    case 'other_proposal':
      return new ApiError(
        409,
        'other_proposal',
        'Nothing was changed: somebody has proposed something else meanwhile. Read the refund again.',
        { field: 'at', accepted: outcome.refund.proposal?.at },
      );
    case 'same_person':
      return new ApiError(
        403,
        'same_person',
        `Nothing was changed: whoever proposed it, or counts as them (for ${STAND_IN_DAYS} days, who came in by a link of theirs), cannot confirm it. ` +
          'Ask another colleague, or withdraw it.',
        { field: 'refund_id', value: outcome.refund.refundId },
      );
    case 'gateway_busy':
      return gatewayBusy(outcome);
    case 'gateway_says_otherwise':
      return new ApiError(
        409,
        'gateway_says_otherwise',
        `Nothing was settled: the gateway was asked again just now, and ${outcome.gatewaySaid}; when it was proposed, ` +
          `${outcome.refund.proposal?.gateway_said}. Look there again, withdraw the proposal, and make another one if the gateway is still wrong.`,
        { field: 'refund_id', value: outcome.refund.refundId, accepted: 'what the gateway says' },
      );
  }
}

export function notLooked(refund: Refund): ApiError {
  return new ApiError(
    409,
    'not_sent',
    `There is nothing to ask the gateway yet; the refund goes on as it was. ${STATES[refund.state].says}`,
    { field: 'refund_id', value: refund.refundId, accepted: 'a refund that has been sent' },
  );
}

/** The same amount of the order within a day, without the yes that it needs. */
export function lookAlike(earlier: Refund, now: Date): ApiError {
  return new ApiError(
    409,
    'look_alike',
    `${lookAlikeWords(earlier, now)} It was not refunded again. If you mean a second refund, say so.`,
    { field: 'confirm_look_alike', accepted: 'true', refund_id: earlier.refundId },
  );
}

/** That the same was done before: what, when, by whom. */
export function lookAlikeWords(refund: Refund, now: Date): string {
  const amount = amountText(refund.amountMinor, refund.exponent, refund.currency);
  const by =
    refund.door === 'dashboard'
      ? ` by ${refund.initiatedBy}`
      : ` by ${refund.door === 'api' ? 'API' : 'a batch'}`;
  return `The same amount, ${amount}, of this order was refunded ${agoWords(now.getTime() - refund.createdAt.getTime())}${by}.`;
}

function agoWords(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'less than a minute ago';
  if (minutes < 60) return minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`;
  const hours = Math.floor(minutes / 60);
  return hours === 1 ? 'an hour ago' : `${hours} hours ago`;
}
