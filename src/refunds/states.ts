/**
 * The one table of states. Statements, the drawing in docs/states.md and the sentences of every screen are made from it;
 * what the schema says of states is compared with it by a test.
 */
export type PublicStatus = 'PENDING' | 'SUCCESS' | 'FAILURE' | 'MANUAL_REVIEW';

export type RefundState =
  | 'awaiting_approval'
  | 'queued'
  | 'sending'
  | 'unknown'
  | 'waiting_for_funds'
  | 'submitted'
  | 'manual_review'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'reversed';

export interface StateRow {
  /** The contract's word for it (contract section 2.3). */
  readonly public: PublicStatus;
  /** The contract's `sent_to_gateway`, for a refund that no earlier send has left unanswered. */
  readonly sent: boolean;
  /** Whether its amount counts against what was paid (invariant 1). */
  readonly reserves: boolean;
  /** A final state has no next look; every other one has (invariant 5). */
  readonly final: boolean;
  /** Whether the gateway is asked about it, time and again. */
  readonly followed: boolean;
  /** Whether it goes to people when its limit has passed. */
  readonly ages: boolean;
  /** What this state means for the money, in one sentence a person can act on. */
  readonly says: string;
  /** Where it may go, and what takes it there. */
  readonly moves: Readonly<Partial<Record<RefundState, string>>>;
}

export const STATES: Readonly<Record<RefundState, StateRow>> = {
  awaiting_approval: {
    public: 'PENDING',
    sent: false,
    reserves: true,
    final: false,
    followed: false,
    ages: false,
    says: 'A second person has to approve it before it is sent.',
    moves: {
      queued: 'approved',
      cancelled: 'rejected, cancelled or expired',
      manual_review: 'the gateway has a refund that carries its id',
    },
  },
  queued: {
    public: 'PENDING',
    sent: false,
    reserves: true,
    final: false,
    followed: false,
    ages: true,
    says: 'It waits to be sent to the gateway.',
    moves: {
      sending: 'a worker takes it',
      submitted: 'news of an earlier send',
      waiting_for_funds: 'news of an earlier send',
      succeeded: 'news of an earlier send',
      failed: 'news of an earlier send',
      cancelled: 'cancelled before sending',
      manual_review: 'it could not be sent within the limit, or the gateway has a refund that it may repeat',
      unknown: 'restored from a backup: it may have been sent since',
    },
  },
  sending: {
    public: 'PENDING',
    sent: false,
    reserves: true,
    final: false,
    followed: false,
    ages: false,
    says: 'It is on its way to the gateway.',
    moves: {
      submitted: 'the gateway accepts it',
      succeeded: 'the gateway says it is done',
      failed: 'the gateway refuses it',
      waiting_for_funds: 'the gateway has no balance for it',
      queued: 'certainly not made (no connection, or told to come later): same key again',
      unknown: 'no answer, or the worker died',
      manual_review: 'another refund was made than was asked for, or the customer may have the money already',
    },
  },
  unknown: {
    public: 'PENDING',
    sent: true,
    reserves: true,
    final: false,
    followed: true,
    ages: true,
    says: 'The gateway did not answer; it is being asked, and nothing is sent again until that is known.',
    moves: {
      submitted: 'a look-up finds it pending',
      succeeded: 'a look-up or webhook says it is done',
      failed: 'a look-up or webhook says it failed',
      waiting_for_funds: 'a look-up finds it waiting for balance',
      queued: 'look-ups prove the gateway never made it: same key again',
      manual_review:
        'absence cannot be proved, the key may be forgotten, the gateway has made another refund, or the limit passed',
    },
  },
  waiting_for_funds: {
    public: 'PENDING',
    sent: true,
    reserves: true,
    final: false,
    followed: true,
    ages: true,
    says: 'The gateway has no balance for it; it is sent again under the same key when there may be.',
    moves: {
      queued: 'time to ask again, same key',
      submitted: 'the gateway takes it up',
      succeeded: 'the gateway says it is done',
      failed: 'the gateway refuses it',
      manual_review: 'no balance within the limit, or the gateway has made another refund',
      unknown: 'restored from a backup: it may have been sent since',
    },
  },
  submitted: {
    public: 'PENDING',
    sent: true,
    reserves: true,
    final: false,
    followed: true,
    ages: true,
    says: 'The gateway has accepted it and is working on it.',
    moves: {
      succeeded: 'webhook or poll says it is done',
      failed: 'webhook or poll says it failed',
      waiting_for_funds: 'the gateway is short of balance',
      manual_review: 'no outcome within the limit, or the gateway has made another refund',
    },
  },
  manual_review: {
    public: 'MANUAL_REVIEW',
    sent: true,
    reserves: true,
    final: false,
    followed: true,
    ages: false,
    says: 'Its outcome is uncertain; a person has to settle it with evidence from the gateway.',
    moves: {
      succeeded: 'late news from the gateway, or a person with evidence',
      failed: 'late news from the gateway, or a person with evidence',
    },
  },
  succeeded: {
    public: 'SUCCESS',
    sent: true,
    reserves: true,
    final: true,
    followed: false,
    ages: false,
    says: 'The gateway has paid it out.',
    moves: { reversed: 'the gateway takes it back' },
  },
  failed: {
    public: 'FAILURE',
    sent: true,
    reserves: false,
    final: true,
    followed: false,
    ages: false,
    says: 'The gateway has not paid it out; the amount can be refunded again under a new id.',
    moves: { manual_review: 'the gateway says, late, that it is paid or under way after all' },
  },
  cancelled: {
    public: 'FAILURE',
    sent: false,
    reserves: false,
    final: true,
    followed: false,
    ages: false,
    says: 'It was cancelled before the gateway made it.',
    moves: { manual_review: 'the gateway says, late, that it is paid or under way after all' },
  },
  reversed: {
    public: 'FAILURE',
    sent: true,
    reserves: false,
    final: true,
    followed: false,
    ages: false,
    says: 'The gateway paid it out and took it back; the customer does not have the money.',
    moves: { manual_review: 'the gateway says, late, that it is paid or under way after all' },
  },
};

export const STATE_NAMES = Object.keys(STATES) as RefundState[];

export function mayMove(from: RefundState, to: RefundState): boolean {
  return STATES[from].moves[to] !== undefined;
}

/** The states of which that holds, as a list for SQL: `'failed', 'cancelled'`. */
export function statesThat(holds: (row: StateRow) => boolean): string {
  return Object.entries(STATES)
    .filter(([, row]) => holds(row))
    .map(([state]) => `'${state}'`)
    .join(', ');
}

/** Of what came to nothing: the customer does not have the money, and the amount is free. */
export const UNDONE_STATES = statesThat(({ reserves }) => !reserves);
