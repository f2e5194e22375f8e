import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CreateAnswer, LookAnswer, RefundNews } from '../../src/gateways/gateway.ts';
import {
  type Circumstances,
  contradictsFinal,
  type Decision,
  decideAnswer,
  decideFundsRetry,
  decideHoldLost,
  decideLook,
  decideNews,
  decideOverdue,
  decideResolution,
  decideSend,
  type LookLater,
  mayCancel,
  mayResolve,
} from '../../src/refunds/outcome.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import { mayMove, type RefundState, STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { at, BOOKS, HOUR, later, moved, news, refund, T0 } from './some-refund.ts';

/** What a look means that was begun and answered at one moment. */
const look = (of: Refund, answer: LookAnswer, at: Circumstances) =>
  decideLook(of, { answer, askedAt: at.now, identity: BOOKS }, at);

describe('the answer to a send', () => {
  const evidence = { said: 'something' };
  const cases: [string, CreateAnswer, Partial<Refund>, RefundState][] = [
    ['accepted', { kind: 'news', news: news('pending') }, {}, 'submitted'],
    ['done at once', { kind: 'news', news: news('succeeded') }, {}, 'succeeded'],
    ['failed at once', { kind: 'news', news: news('failed') }, {}, 'failed'],
    ['held for want of balance', { kind: 'news', news: news('waiting_for_funds') }, {}, 'waiting_for_funds'],
    ['refused', { kind: 'refused', errorCode: 'x', errorMessage: 'no', evidence }, {}, 'failed'],
    ['no balance', { kind: 'no_funds', errorMessage: 'low', evidence }, {}, 'waiting_for_funds'],
    ['told to wait', { kind: 'busy', retryAfterMs: null, evidence }, {}, 'queued'],
    ['our keys are wrong', { kind: 'misconfigured', errorMessage: 'bad key', evidence }, {}, 'queued'],
    ['nothing was sent', { kind: 'not_sent', why: 'refused', evidence }, {}, 'queued'],
    ['no answer', { kind: 'unknown', answered: false, why: 'timeout', evidence }, {}, 'unknown'],
    [
      'refused after an unanswered send: perhaps by our own success',
      { kind: 'refused', errorCode: 'already_refunded', errorMessage: 'already refunded', evidence },
      { unanswered: 1 },
      'unknown',
    ],
  ];
  test.each(cases)('%s', (_, answer, changes, to) => {
    expect(moved(decideAnswer(refund('sending', changes), answer, 1, at())).to).toBe(to);
  });

  test('a wrong account is not a failure of the refund; a person is called', () => {
    const decision = moved(
      decideAnswer(
        refund('sending'),
        { kind: 'misconfigured', errorMessage: 'bad key', evidence: {} },
        1,
        at(),
      ),
    );
    expect(decision.notify).toEqual([]);
    expect(decision.set.attention).toContain('bad key');
    expect(decision.set.key_used_at).toBeNull();
  });

  test('"come later" says when', () => {
    const decision = moved(
      decideAnswer(refund('sending'), { kind: 'busy', retryAfterMs: 7_000, evidence: {} }, 1, at()),
    );
    expect(decision.set.next_look_at).toEqual(later(7_000));
  });

  test('what was certainly not made leaves the key unused; what may have been made does not', () => {
    const busy: CreateAnswer = { kind: 'busy', retryAfterMs: null, evidence: {} };
    expect(moved(decideAnswer(refund('sending'), busy, 1, at())).set.key_used_at).toBeNull();
    expect(moved(decideAnswer(refund('sending', { unanswered: 1 }), busy, 1, at())).set).not.toHaveProperty(
      'key_used_at',
    );
    const silence: CreateAnswer = { kind: 'unknown', answered: false, why: 'timeout', evidence: {} };
    expect(moved(decideAnswer(refund('sending'), silence, 1, at())).set).toMatchObject({ unanswered: 1 });
  });

  test('an answer that comes after a webhook, or after looks have begun, moves nothing by itself', () => {
    for (const state of ['succeeded', 'submitted', 'unknown', 'failed'] as const) {
      const decision = moved(
        decideAnswer(
          refund(state),
          { kind: 'unknown', answered: false, why: 'timeout', evidence: {} },
          1,
          at(),
        ),
      );
      expect(decision).toMatchObject({ to: state, set: {}, notify: [] });
    }
  });
});

describe('no answer (invariant 3)', () => {
  const absent: LookAnswer = { kind: 'absent', evidence: {} };

  test('one "not found" proves nothing; so many, so far apart, allow the same key again', () => {
    const first = moved(look(refund('unknown', { unanswered: 1 }), absent, at()));
    expect(first).toMatchObject({ to: 'unknown', set: { absences: 1, next_look_at: later(60_000) } });
    const second = moved(look(refund('unknown', { unanswered: 1, absences: 1 }), absent, at()));
    expect(second.to).toBe('queued');
  });

  test('never again once the gateway may have forgotten the key', () => {
    const unknown = refund('unknown', { unanswered: 1, absences: 1 });
    expect(moved(look(unknown, absent, at(later(23 * HOUR)))).to).toBe('queued');
    const late = moved(look(unknown, absent, at(later(24 * HOUR - 60_000))));
    expect(late).toMatchObject({ to: 'manual_review', notify: ['REFUND_MANUAL_REVIEW_NEEDED'] });
    const queued = refund('queued', { sends: 1, unanswered: 1, keyUsedAt: T0 });
    const request = { method: 'POST', path: '/', headers: {}, body: '' } as const;
    expect(decideSend(queued, request, later(1), BOOKS, at(later(25 * HOUR))).to).toBe('manual_review');
    expect(decideFundsRetry(refund('waiting_for_funds'), at(later(25 * HOUR))).to).toBe('manual_review');
  });

  test('a refusal after an unanswered send holds once look-ups have proved that there is no refund', () => {
    const answer: CreateAnswer = {
      kind: 'refused',
      errorCode: 'E9',
      errorMessage: 'no refunds here',
      evidence: {},
    };
    const inDoubt = moved(decideAnswer(refund('sending', { unanswered: 1 }), answer, 1, at()));
    expect(inDoubt).toMatchObject({
      to: 'unknown',
      set: { unanswered: 1, doubtful_refusal: 'no refunds here' },
    });
    const looked = refund('unknown', { unanswered: 1, doubtfulRefusal: 'no refunds here', errorCode: 'E9' });
    expect(moved(look(looked, absent, at())).to).toBe('unknown');
    expect(moved(look({ ...looked, absences: 1 }, absent, at()))).toMatchObject({
      to: 'failed',
      set: { error_code: 'E9', error_message: 'no refunds here' },
    });
    // Nor does it hold when a look-up finds the success that it was the trace of.
    expect(moved(look(looked, { kind: 'news', news: news('succeeded') }, at())).to).toBe('succeeded');
  });

  test('a gateway that cannot prove absence: people decide', () => {
    const blind = at(T0, { absenceProof: null });
    expect(moved(look(refund('unknown', { absences: 1 }), absent, blind)).to).toBe('unknown');
    expect(moved(look(refund('unknown', { absences: 2 }), absent, blind)).to).toBe('manual_review');
  });

  test('a gateway without keys is sent to again only after its look-ups proved absence', () => {
    const keyless = at(later(48 * HOUR), { keyLifeMs: null });
    expect(moved(look(refund('unknown', { absences: 1, unanswered: 1 }), absent, keyless)).to).toBe('queued');
  });

  test('after so many unanswered sends people decide', () => {
    const decision = moved(look(refund('unknown', { absences: 1, unanswered: 3 }), absent, at()));
    expect(decision.to).toBe('manual_review');
  });

  test('a worker that died while sending leaves an unknown outcome', () => {
    expect(decideHoldLost(refund('sending'), at())).toMatchObject({ to: 'unknown', set: { unanswered: 1 } });
  });

  test('silence, 429 and wrong keys teach nothing', () => {
    const answers: LookAnswer[] = [
      { kind: 'no_answer', answered: false, why: 'timeout', evidence: {} },
      { kind: 'busy', retryAfterMs: 1, evidence: {} },
      { kind: 'misconfigured', errorMessage: 'no', evidence: {} },
    ];
    for (const answer of answers) expect(look(refund('unknown'), answer, at())).toHaveProperty('lookLater');
  });
});

describe('news', () => {
  test('success later failed is a reversal, told as a failure, and the amount is free again', () => {
    const decision = moved(decideNews(refund('succeeded'), news('failed'), at()));
    expect(decision).toMatchObject({ to: 'reversed', notify: ['ORDER_REFUND_FAILED'] });
    expect(STATES.reversed.reserves).toBe(false);
  });

  test('a late success of a failed refund goes to a person', () => {
    const decision = moved(decideNews(refund('failed'), news('succeeded'), at()));
    expect(decision).toMatchObject({ to: 'manual_review', notify: ['REFUND_MANUAL_REVIEW_NEEDED'] });
    expect(decision.set.attention).toContain('paid');
  });

  test('older news that arrives later changes nothing', () => {
    const succeeded = refund('succeeded', {
      gatewayAt: later(2_000),
      gatewayRefundId: 'rf_1',
      gatewayStatus: 'done',
    });
    expect(decideNews(succeeded, news('failed', { at: later(1_000) }), at())).toHaveProperty('lookLater');
    expect(moved(decideNews(succeeded, news('failed', { at: later(3_000) }), at())).to).toBe('reversed');
  });

  test('an ARN that comes later is told once', () => {
    const without = refund('succeeded', { gatewayRefundId: 'rf_1', gatewayStatus: 'succeeded' });
    const decision = moved(decideNews(without, news('succeeded', { arn: '74332745000000000000001' }), at()));
    expect(decision).toMatchObject({
      to: 'succeeded',
      kind: 'refund.learnt',
      notify: ['REFUND_ARN_CAPTURED'],
    });
    const again = { ...without, arn: '74332745000000000000001' };
    expect(decideNews(again, news('succeeded', { arn: '74332745000000000000001' }), at())).toHaveProperty(
      'lookLater',
    );
  });

  test('known facts are not replaced by silence', () => {
    const known = refund('submitted', { gatewayRefundId: 'rf_1', arn: '123' });
    const decision = moved(decideNews(known, news('succeeded', { gatewayRefundId: null }), at()));
    expect(decision.set).not.toHaveProperty('gateway_refund_id');
    expect(decision.set).not.toHaveProperty('arn');
  });

  test('what was said on the way to a success is not said of the success', () => {
    const lost = refund('unknown', { errorMessage: 'no answer', unanswered: 1 });
    expect(moved(decideNews(lost, news('succeeded'), at())).set).toMatchObject({
      error_code: null,
      error_message: null,
    });
  });

  test('only news that would move a final refund contradicts it', () => {
    expect(contradictsFinal(refund('succeeded'), news('succeeded'), at())).toBe(false);
    expect(contradictsFinal(refund('succeeded'), news('pending'), at())).toBe(false);
    expect(contradictsFinal(refund('succeeded'), news('failed'), at())).toBe(true);
    expect(contradictsFinal(refund('failed'), news('succeeded'), at())).toBe(true);
    expect(contradictsFinal(refund('submitted'), news('succeeded'), at())).toBe(false);
  });
});

describe('time and people', () => {
  test('the limit runs from the first send, once', () => {
    const accepted = moved(decideAnswer(refund('sending'), { kind: 'news', news: news('pending') }, 1, at()));
    expect(accepted.set).toMatchObject({ sent_at: T0, review_at: later(240 * HOUR) });
    const again = moved(
      decideAnswer(
        refund('sending', { sentAt: T0 }),
        { kind: 'news', news: news('pending') },
        1,
        at(later(HOUR)),
      ),
    );
    expect(again.set).not.toHaveProperty('review_at');
    expect(decideOverdue(refund('submitted'), at())).toMatchObject({ to: 'manual_review' });
  });

  test('only what was certainly never sent may be cancelled', () => {
    expect(mayCancel(refund('queued'))).toBe(true);
    expect(mayCancel(refund('awaiting_approval', { keyUsedAt: null }))).toBe(true);
    expect(mayCancel(refund('queued', { keyUsedAt: T0, unanswered: 1 }))).toBe(false);
    for (const state of STATE_NAMES.filter((s) => s !== 'queued' && s !== 'awaiting_approval')) {
      expect(mayCancel(refund(state))).toBe(false);
    }
  });

  test('a final refund that people were called to is confirmed as what it is, and as nothing else', () => {
    const called = refund('cancelled', { attention: 'The gateway says "succeeded".' });
    expect(mayResolve(called, 'failed')).toBe(true);
    expect(mayResolve(called, 'succeeded')).toBe(false);
    expect(mayResolve(refund('cancelled'), 'failed')).toBe(false);
    expect(mayResolve(refund('submitted', { attention: 'x' }), 'failed')).toBe(false);
    const word = { outcome: 'failed', evidence: 'Looked at it.', arn: null, gatewayRefundId: null } as const;
    expect(decideResolution(called, word, at())).toMatchObject({
      to: 'cancelled',
      set: { attention: null },
      notify: [],
    });
  });

  test('it was sent when the send began, not when its answer came', () => {
    const sending = refund('sending', { updatedAt: later(-700) });
    const answer: CreateAnswer = { kind: 'news', news: news('succeeded', { at: later(-100) }) };
    expect(moved(decideAnswer(sending, answer, 1, at())).set).toMatchObject({
      sent_at: later(-700),
      succeeded_at: later(-100),
    });
  });

  test('what waits says why', () => {
    const answers: CreateAnswer[] = [
      { kind: 'not_sent', why: 'getaddrinfo ENOTFOUND', evidence: {} },
      { kind: 'busy', retryAfterMs: null, evidence: {} },
    ];
    for (const answer of answers) {
      expect(moved(decideAnswer(refund('sending'), answer, 1, at())).set.error_message).toBeTruthy();
    }
  });

  test('a person’s word carries the evidence and is told', () => {
    const word = {
      outcome: 'succeeded',
      evidence: 'Seen in the settlement file.',
      arn: '1'.repeat(23),
      gatewayRefundId: null,
    } as const;
    expect(decideResolution(refund('manual_review'), word, at())).toMatchObject({
      to: 'succeeded',
      evidence: { statement: 'Seen in the settlement file.' },
      notify: ['ORDER_REFUNDED', 'REFUND_ARN_CAPTURED'],
    });
  });
});

test('whatever state, answer, look or news: the move is allowed, and final is what has no next look', () => {
  const word = fc.constantFrom<RefundNews['status']>(
    'pending',
    'waiting_for_funds',
    'succeeded',
    'failed',
    'reversed',
  );
  const anyNews = fc
    .record({
      status: word,
      id: fc.option(fc.constant('rf_2')),
      arn: fc.option(fc.constant('123')),
      ms: fc.option(fc.nat(10_000)),
    })
    .map((n) =>
      news(n.status, { gatewayRefundId: n.id, arn: n.arn, at: n.ms === null ? null : later(n.ms) }),
    );
  const base = { evidence: {} };
  const answer = fc.oneof(
    anyNews.map((n): CreateAnswer => ({ kind: 'news', news: n })),
    fc.constantFrom<CreateAnswer>(
      { kind: 'refused', errorCode: null, errorMessage: 'no', ...base },
      { kind: 'no_funds', errorMessage: 'low', ...base },
      { kind: 'busy', retryAfterMs: 5, ...base },
      { kind: 'misconfigured', errorMessage: 'key', ...base },
      { kind: 'no_payment', errorCode: 'none', errorMessage: 'no such payment', ...base },
      { kind: 'misfit', why: 'of 9 INR, not 10', ...base },
      { kind: 'refused', errorCode: 'already', errorMessage: 'no', because: 'refunded_elsewhere', ...base },
      { kind: 'not_sent', why: 'dns', ...base },
      { kind: 'unknown', answered: false, why: 'timeout', ...base },
    ),
  );
  const lookAnswer = fc.oneof(
    anyNews.map((n): LookAnswer => ({ kind: 'news', news: n })),
    fc.constantFrom<LookAnswer>(
      { kind: 'absent', ...base },
      { kind: 'misfit', why: 'of 9 INR', ...base },
      { kind: 'no_answer', answered: false, why: 'timeout', ...base },
    ),
  );
  const someRefund = fc
    .record({
      state: fc.constantFrom(...STATE_NAMES),
      unanswered: fc.nat(4),
      absences: fc.nat(3),
      gatewayMs: fc.option(fc.nat(10_000)),
      hours: fc.nat(30),
    })
    .map((r) => ({
      refund: refund(r.state, {
        unanswered: r.unanswered,
        absences: r.absences,
        gatewayAt: r.gatewayMs === null ? null : later(r.gatewayMs),
      }),
      at: at(later(r.hours * HOUR)),
    }));
  const judge = (before: Refund, decision: Decision | LookLater) => {
    if ('lookLater' in decision) return;
    if (decision.to !== before.state) expect(mayMove(before.state, decision.to)).toBe(true);
    const nextLook = decision.set.next_look_at === undefined ? before.nextLookAt : decision.set.next_look_at;
    expect(nextLook === null).toBe(STATES[decision.to].final);
    // A public change is told, always and only by its own event.
    const told = decision.notify.filter((name) => name !== 'REFUND_ARN_CAPTURED');
    const changed = STATES[before.state].public !== STATES[decision.to].public;
    const contradicted = decision.kind === 'refund.contradicted';
    expect(told.length).toBe((changed && STATES[decision.to].public !== 'PENDING') || contradicted ? 1 : 0);
    // What has not ended is looked at by its next look, and nothing else (a check in the schema).
    if (decision.set.recheck_at) expect(STATES[decision.to].final).toBe(true);
  };
  fc.assert(
    fc.property(someRefund, answer, lookAnswer, anyNews, ({ refund: r, at: c }, a, l, n) => {
      judge(r, decideAnswer(r, a, 1, c));
      judge(r, look(r, l, c));
      judge(r, decideNews(r, n, c));
    }),
    { numRuns: 2_000 },
  );
});
