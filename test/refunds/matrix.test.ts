import { describe, expect, test } from 'vitest';
import type { LookAnswer } from '../../src/gateways/gateway.ts';
import {
  type Decision,
  decideLook,
  decideMisfit,
  decideNews,
  type LookLater,
} from '../../src/refunds/outcome.ts';
import { mayMove, type RefundState, STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { at, BOOKS, later, news, refund } from './some-refund.ts';

/**
 * Every state and every proven piece of news of a refund: where that takes it. `called` means that it stays where it is, and
 * that people are called, here and in the merchant's systems. There is no empty cell: what the truth is, can be written down.
 */
const WORDS = [
  'pending',
  'waiting_for_funds',
  'succeeded',
  'failed',
  'reversed',
  'a second refund',
  'another amount',
  'a copy of its id',
  'no such refund',
  'no answer',
] as const;
type Word = (typeof WORDS)[number];
type Cell = RefundState | 'stays' | 'called';

const row = (...cells: Cell[]) => cells;
const REVIEW = 'manual_review';

// Two days after it was sent or ended, asked in the books that it was sent to, with one "no such refund" before.
const MATRIX: Readonly<Record<RefundState, readonly Cell[]>> = {
  //                     pending      waiting_for_funds    succeeded    failed      reversed    second    amount    copy      absent    silence
  awaiting_approval: row(
    REVIEW,
    REVIEW,
    REVIEW,
    'stays',
    'stays',
    'called',
    REVIEW,
    'called',
    'stays',
    'stays',
  ),
  queued: row(
    'submitted',
    'waiting_for_funds',
    'succeeded',
    'failed',
    'failed',
    'called',
    REVIEW,
    'called',
    'stays',
    'stays',
  ),
  sending: row(
    'submitted',
    'waiting_for_funds',
    'succeeded',
    'failed',
    'failed',
    'called',
    REVIEW,
    'called',
    'stays',
    'stays',
  ),
  unknown: row(
    'submitted',
    'waiting_for_funds',
    'succeeded',
    'failed',
    'failed',
    'called',
    REVIEW,
    'called',
    'queued',
    'stays',
  ),
  waiting_for_funds: row(
    'submitted',
    'stays',
    'succeeded',
    'failed',
    'failed',
    'called',
    REVIEW,
    'called',
    'stays',
    'stays',
  ),
  submitted: row(
    'stays',
    'waiting_for_funds',
    'succeeded',
    'failed',
    'failed',
    'called',
    REVIEW,
    'called',
    'stays',
    'stays',
  ),
  manual_review: row(
    'stays',
    'stays',
    'succeeded',
    'failed',
    'failed',
    'called',
    'called',
    'called',
    'stays',
    'stays',
  ),
  succeeded: row(
    'called',
    'called',
    'stays',
    'reversed',
    'reversed',
    'called',
    'called',
    'called',
    'called',
    'stays',
  ),
  failed: row(REVIEW, REVIEW, REVIEW, 'stays', 'stays', 'called', REVIEW, 'called', 'stays', 'stays'),
  cancelled: row(REVIEW, REVIEW, REVIEW, 'stays', 'stays', 'called', REVIEW, 'called', 'stays', 'stays'),
  reversed: row(REVIEW, REVIEW, REVIEW, 'stays', 'stays', 'called', REVIEW, 'called', 'stays', 'stays'),
};

const NOW = later(2 * 24 * 3_600_000);

function decided(state: RefundState, word: Word): Decision | LookLater | null {
  const before = refund(state, {
    gatewayRefundId: word === 'a second refund' ? 'rf_0' : null,
    succeededAt: state === 'succeeded' ? later(0) : null,
    absences: 1,
    unanswered: state === 'unknown' ? 1 : 0,
  });
  const circumstances = at(NOW, { keyLifeMs: 30 * 24 * 3_600_000 });
  const looked = (answer: LookAnswer) =>
    decideLook(before, { answer, askedAt: NOW, identity: BOOKS }, circumstances);
  switch (word) {
    case 'a second refund':
      return decideNews(before, news('succeeded', { gatewayRefundId: 'rf_1' }), circumstances);
    case 'another amount':
      return looked({ kind: 'misfit', why: 'refund rf_1 is of 9.00 INR, not 10.00', evidence: {} });
    case 'a copy of its id':
      return decideMisfit(before, 'refund rf_1 is of another payment', {});
    case 'no such refund':
      return looked({ kind: 'absent', evidence: {} });
    case 'no answer':
      return looked({ kind: 'no_answer', why: 'timeout', answered: false, evidence: {} });
    default:
      return decideNews(before, news(word), circumstances);
  }
}

test('the matrix has every state and every word', () => {
  expect(Object.keys(MATRIX).sort()).toEqual([...STATE_NAMES].sort());
  for (const cells of Object.values(MATRIX)) expect(cells).toHaveLength(WORDS.length);
});

describe.each(STATE_NAMES)('%s', (state) => {
  test.each(WORDS.map((word, n) => [word, MATRIX[state][n]!] as const))('%s → %s', (word, cell) => {
    const decision = decided(state, word);
    const said = decision !== null && !('lookLater' in decision) ? decision : null;
    const to = said?.to ?? state;
    if (cell === 'stays' || cell === 'called') expect(to).toBe(state);
    else expect(to).toBe(cell);
    if (to !== state) expect(mayMove(state, to)).toBe(true);

    const told = said?.notify ?? [];
    const isCalled = cell === 'called' || cell === 'manual_review';
    expect(told.includes('REFUND_MANUAL_REVIEW_NEEDED')).toBe(isCalled);
    if (isCalled) expect(said?.set.attention).toBeTruthy();
    // Wherever the customer may have the money, or may get it, the amount is held, or a person knows that it is not.
    const mayBePaid = [
      'pending',
      'waiting_for_funds',
      'succeeded',
      'another amount',
      'a second refund',
    ].includes(word);
    if (mayBePaid) expect(STATES[to].reserves || isCalled).toBe(true);
    // Whoever had been told of another end is told of this one.
    if (STATES[to].public !== STATES[state].public && STATES[to].public !== 'PENDING')
      expect(told.length).toBeGreaterThan(0);
  });
});

test('people are called once for one thing', () => {
  const before = refund('succeeded', { gatewayRefundId: 'rf_0', succeededAt: later(0) });
  const first = decideNews(before, news('succeeded', { gatewayRefundId: 'rf_1' }), at(NOW));
  if ('lookLater' in first) throw new Error('nobody was called');
  const again = { ...before, attention: first.set.attention ?? null };
  expect(decideNews(again, news('succeeded', { gatewayRefundId: 'rf_1' }), at(NOW))).toHaveProperty(
    'lookLater',
  );
  expect(
    decideMisfit(
      refund('queued', { attention: decideMisfit(refund('queued'), 'x', {})!.set.attention! }),
      'x',
      {},
    ),
  ).toBeNull();
});

test('what is asked in other books than it was sent to proves nothing', () => {
  const unknown = refund('unknown', { absences: 1, unanswered: 1, sentTo: BOOKS });
  const asked = (looks: number, identity: string) =>
    decideLook(
      { ...unknown, looks },
      { answer: { kind: 'absent', evidence: {} }, askedAt: NOW, identity },
      at(),
    );
  expect(asked(0, BOOKS)).toMatchObject({ to: 'queued' });
  expect(asked(0, 'acct_2 live')).toHaveProperty('lookLater');
  expect(asked(10, 'acct_2 live')).toMatchObject({ to: 'manual_review' });
});
