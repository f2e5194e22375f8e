/** What the sandbox does with a refund, by how the id of its payment starts. docs/sandbox.md is this table. */
export interface Behaviour {
  readonly startsWith: string;
  readonly says: string;
  /** What is made of a request; null: nothing. */
  readonly makes: 'pending' | 'succeeded' | null;
  /** Made or not, no answer is ever given. */
  readonly silent?: true;
  /** Refused with an answer that says so. */
  readonly refused?: true;
  /** Refused because its money has been given back by another way. */
  readonly refundedElsewhere?: true;
  /** The account has no such payment. */
  readonly noPayment?: true;
  /** A page of somebody else stands in the place of each answer. */
  readonly paged?: true;
  /** What is made is of another amount. */
  readonly otherAmount?: true;
  /** Too rare to be among the demo's orders. */
  readonly rare?: true;
  /** The first tries are turned away with this status, and nothing is made. */
  readonly turnsAway?: 402 | 429;
  /** What happens to it by itself, about a second later, told by a webhook. */
  readonly later?: Change;
  /** A success whose ARN comes later. */
  readonly arnLater?: true;
  /** Its webhooks come twice and out of order, the first of them before the answer. */
  readonly tellsBadly?: true;
}

export type Change = 'succeed' | 'fail' | 'reverse' | 'capture_arn';

/** Tries that are turned away before one is taken. */
export const TURNED_AWAY_TRIES = 2;

const SUCCEEDS_AT_ONCE: Behaviour = {
  startsWith: 'sbx_ok',
  says: 'Succeeds at once, with its ARN. So does every payment id that starts with none of these.',
  makes: 'succeeded',
};

export const BEHAVIOURS: readonly Behaviour[] = [
  SUCCEEDS_AT_ONCE,
  {
    startsWith: 'sbx_slow',
    says: 'Pending; about a second later a webhook says that it succeeded, and brings the ARN.',
    makes: 'pending',
    later: 'succeed',
  },
  {
    startsWith: 'sbx_fail',
    says: 'Pending; about a second later a webhook says that it failed.',
    makes: 'pending',
    later: 'fail',
  },
  {
    startsWith: 'sbx_refuse',
    says: 'Refused at once; no refund exists.',
    makes: null,
    refused: true,
  },
  { startsWith: 'sbx_stuck', says: 'Pending for ever.', makes: 'pending' },
  {
    startsWith: 'sbx_lost',
    says: 'Pays, but never answers: the connection stays silent and is then cut. Look-ups are answered.',
    makes: 'succeeded',
    silent: true,
  },
  {
    startsWith: 'sbx_drop',
    says: 'Does nothing and never answers. Look-ups say that there is no such refund.',
    makes: null,
    silent: true,
  },
  {
    startsWith: 'sbx_reverse',
    says: 'Succeeds at once; about a second later a webhook says that it was taken back.',
    makes: 'succeeded',
    later: 'reverse',
  },
  {
    startsWith: 'sbx_funds',
    says: 'No balance at the first two tries (402, nothing is made); then succeeds, its ARN a second later.',
    makes: 'succeeded',
    turnsAway: 402,
    later: 'capture_arn',
    arnLater: true,
  },
  {
    startsWith: 'sbx_busy',
    says: 'Too busy at the first two tries (429 with Retry-After, nothing is made); then succeeds.',
    makes: 'succeeded',
    turnsAway: 429,
  },
  {
    startsWith: 'sbx_dup',
    says: 'Succeeds; its webhooks come twice and out of order, the first before the answer, which says pending.',
    makes: 'succeeded',
    tellsBadly: true,
  },
  {
    startsWith: 'sbx_page',
    says: 'Pays, but a page of somebody else (403, no JSON) comes in the place of the answer. Look-ups are answered.',
    makes: 'succeeded',
    paged: true,
    rare: true,
  },
  {
    startsWith: 'sbx_other',
    says: 'Pays one minor unit more than it was asked for, and says so.',
    makes: 'succeeded',
    otherAmount: true,
    rare: true,
  },
  {
    startsWith: 'sbx_refunded',
    says: 'Refused at once, because the money has been given back by another way; no refund exists.',
    makes: null,
    refused: true,
    refundedElsewhere: true,
    rare: true,
  },
  {
    startsWith: 'sbx_unknown',
    says: 'No such payment in this account (404), whatever is asked about it.',
    makes: null,
    noPayment: true,
    rare: true,
  },
];

export function behaviourOf(gatewayPaymentId: string): Behaviour {
  return BEHAVIOURS.find(({ startsWith }) => gatewayPaymentId.startsWith(startsWith)) ?? SUCCEEDS_AT_ONCE;
}
