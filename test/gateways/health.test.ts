import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CreateAnswer, LookAnswer, RefundNews } from '../../src/gateways/gateway.ts';
import {
  endRest,
  noteCall,
  noteWebhookTrouble,
  readWorkingAccounts,
  reportOf,
  takeWebhookTrouble,
  wentWell,
} from '../../src/gateways/health.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { ManualClock, merchantWithAccount } from '../support/engine.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let fresh: FreshDatabase;
let clock: ManualClock;
let id: string;
const key = () => ({ merchantId: 'acme', gatewayAccountId: id });
beforeAll(async () => {
  fresh = await freshDatabase();
  id = (await merchantWithAccount(fresh.db)).accountId;
});
beforeEach(async () => {
  clock = new ManualClock();
  await fresh.db.query('delete from gateway_health');
  await fresh.db.query(
    `insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
     values ('acme', $1, 10000, '2020-01-01')`,
    [id],
  );
});
afterAll(() => fresh.drop());

const evidence = {};
const refused = (errorCode: string | null, errorMessage: string, because?: 'disputed'): CreateAnswer => ({
  kind: 'refused',
  errorCode,
  errorMessage,
  ...(because ? { because } : {}),
  evidence,
});
const noPayment: CreateAnswer = {
  kind: 'no_payment',
  errorCode: 'resource_missing',
  errorMessage: "No such charge: 'ch_1'",
  evidence,
};
const page: CreateAnswer = { kind: 'unknown', why: 'the gateway answered 403', answered: true, evidence };
const success: RefundNews = {
  status: 'succeeded',
  gatewayRefundId: 're_1',
  gatewayReference: null,
  rawStatus: 'succeeded',
  errorCode: null,
  errorMessage: null,
  arn: null,
  at: null,
  evidence,
};

/** Tells of a call as the worker does; returns the milliseconds that the account rests because of it. */
const note = (answer: CreateAnswer | LookAnswer, begunAt = clock.now(), sends = 1) =>
  noteCall(fresh.db, clock, key(), { begunAt, ...reportOf(answer, sends) });
const noteMany = async (times: number, answer: CreateAnswer) => {
  let rests = 0;
  for (let n = 0; n < times; n++) rests = await note(answer);
  return rests;
};
const read = async () => {
  const [row] = await fresh.db.query<{
    failures: number;
    refusals: number;
    open_until: Date | null;
    last_error: string | null;
  }>(
    `select failures_in_a_row as failures, refusals_in_a_row as refusals, open_until, last_error
     from gateway_health where gateway_account_id = $1`,
    [id],
  );
  return row!;
};

describe('answers are answers', () => {
  test('pages, errors and "no such refund" never open the breaker; silence and 5xx do', async () => {
    const answers: (CreateAnswer | LookAnswer)[] = [
      { kind: 'no_answer', why: 'the gateway answered 404: no such refund', answered: true, evidence },
      { kind: 'no_answer', why: 'the gateway answered 403', answered: true, evidence },
      { kind: 'absent', evidence },
      { kind: 'busy', retryAfterMs: null, evidence },
      { kind: 'misfit', why: 'another amount', evidence },
    ];
    for (const answer of answers) {
      expect(wentWell(reportOf(answer)), answer.kind).toBe(true);
      for (let n = 0; n < 30; n++) expect(await note(answer)).toBe(0);
    }
    expect(await read()).toMatchObject({ failures: 0, refusals: 0, open_until: null });
    const silent: (CreateAnswer | LookAnswer)[] = [
      { kind: 'no_answer', why: 'reset', answered: false, evidence },
      { kind: 'unknown', why: 'the gateway answered 502', answered: false, evidence },
      { kind: 'not_sent', why: 'refused', evidence },
    ];
    for (const answer of silent) expect(wentWell(reportOf(answer)), answer.kind).toBe(false);
    for (let n = 0; n < 4; n++) expect(await note(silent[0]!)).toBe(0);
    expect(await note(silent[1]!)).toBe(1_000);
    expect(await read()).toMatchObject({ failures: 5, last_error: 'the gateway answered 502' });
  });

  test('credentials that are refused make it rest at once', async () => {
    const report: CreateAnswer = { kind: 'misconfigured', errorMessage: 'no such key', evidence };
    expect(await note(report)).toBe(MINUTE);
    expect((await read()).last_error).toBe('no such key');
  });
});

describe('refunds that are refused alike', () => {
  test('twenty in a row make the account rest, longer each time, up to five minutes; the reason is said', async () => {
    expect(await noteMany(19, noPayment)).toBe(0);
    expect((await read()).open_until).toBeNull();
    let rests = await note(noPayment);
    expect((await read()).last_error).toBe("The last 20 refunds were refused alike: No such charge: 'ch_1'");
    for (const minutes of [1, 2, 4, 5, 5, 5, 5, 5]) {
      expect(rests).toBe(minutes * MINUTE);
      // What was under way when the rest began tells nothing new.
      expect(await note(noPayment, new Date(clock.now().getTime() - 1))).toBe(0);
      const [working] = await readWorkingAccounts(fresh.db, clock);
      expect(working).toMatchObject({ openUntil: new Date(clock.now().getTime() + rests) });
      clock.pass(rests);
      // The one call that is let through after it.
      rests = await note(noPayment);
    }
    expect((await read()).last_error).toMatch(/^The last 28 refunds/);
  });

  test.each<[string, CreateAnswer]>([
    ['a success', { kind: 'news', news: success }],
    ['another reason', refused('charge_expired', 'Too old.')],
    ['a refusal that is about that payment', refused('charge_disputed', 'Disputed.', 'disputed')],
    ['a lack of balance', { kind: 'no_funds', errorMessage: 'none', evidence }],
  ])('%s between them begins the row anew', async (_, between) => {
    for (let n = 0; n < 3; n++) {
      expect(await noteMany(15, noPayment)).toBe(0);
      expect(await note(between)).toBe(0);
    }
    expect((await read()).refusals).toBeLessThanOrEqual(1);
  });

  test('a success after a rest ends it; a look that says nothing of refunds does not', async () => {
    await noteMany(20, refused(null, 'Refunds are switched off for this account.'));
    clock.pass(MINUTE);
    await note({ kind: 'absent', evidence });
    expect((await read()).open_until).not.toBeNull();
    await note({ kind: 'news', news: success });
    expect(await read()).toMatchObject({ refusals: 0, open_until: null });
  });

  test('pages in the place of all answers count too', async () => {
    expect(await noteMany(20, page)).toBe(MINUTE);
    expect((await read()).last_error).toMatch(/the gateway answered 403/);
  });

  test('one refund that is refused again and again, and what was never sent, say nothing of the account', async () => {
    const unsent: CreateAnswer = {
      kind: 'refused',
      errorCode: 'amount_not_payable',
      errorMessage: 'no',
      evidence: { sent: false },
    };
    for (let n = 2; n < 60; n++) {
      expect(await note(noPayment, clock.now(), n)).toBe(0);
      expect(await note(unsent)).toBe(0);
    }
    expect(await read()).toMatchObject({ refusals: 0, open_until: null });
  });

  test('workers that are refused at the same time count each refusal once', async () => {
    await Promise.all(Array.from({ length: 20 }, () => note(noPayment)));
    expect((await read()).refusals).toBe(20);
    expect((await read()).open_until).not.toBeNull();
  });

  test('ends when somebody has put it right', async () => {
    await noteMany(20, noPayment);
    await endRest(fresh.db, key());
    expect(await read()).toMatchObject({ failures: 0, refusals: 0, open_until: null });
  });

  test('an account whose health row is gone works no more, and nothing breaks', async () => {
    await fresh.db.query('delete from gateway_health');
    expect(await note(noPayment)).toBe(0);
    await noteWebhookTrouble(fresh.db, clock, key(), 'forged');
    expect(await readWorkingAccounts(fresh.db, clock)).toEqual([]);
    expect(await takeWebhookTrouble(fresh.db, clock)).toEqual([]);
  });
});

describe('rejected webhooks', () => {
  const taken = async () => (await takeWebhookTrouble(fresh.db, clock)).map(({ why }) => why);

  test('are handed on once, and those that come later after six hours at the soonest', async () => {
    expect(await taken()).toEqual([]);
    await noteWebhookTrouble(fresh.db, clock, key(), 'the first');
    expect(await Promise.all([taken(), taken(), taken()])).toContainEqual(['the first']);
    expect(await taken()).toEqual([]);
    // A stranger who posts rubbish without end.
    let times = 0;
    for (let minutes = 0; minutes < 48 * 60; minutes += 10) {
      clock.pass(10 * MINUTE);
      await noteWebhookTrouble(fresh.db, clock, key(), 'rubbish');
      times += (await taken()).length;
    }
    expect(times).toBe(8);
  });

  test('are written down once a minute at the most', async () => {
    const writes = async () => {
      const [row] = await fresh.db.query<{ at: Date }>(
        'select webhooks_rejected_at as at from gateway_health',
      );
      return row!.at.getTime();
    };
    await noteWebhookTrouble(fresh.db, clock, key(), 'a');
    const first = await writes();
    clock.pass(MINUTE - 1);
    await noteWebhookTrouble(fresh.db, clock, key(), 'b');
    expect(await writes()).toBe(first);
    clock.pass(1);
    await noteWebhookTrouble(fresh.db, clock, key(), 'c');
    expect(await writes()).toBe(clock.now().getTime());
  });

  test('written by a clock that ran ahead are not waited for', async () => {
    const ahead = new ManualClock(new Date(clock.now().getTime() + 24 * HOUR));
    await noteWebhookTrouble(fresh.db, ahead, key(), 'ahead');
    await takeWebhookTrouble(fresh.db, ahead);
    await noteWebhookTrouble(fresh.db, clock, key(), 'now');
    expect(await taken()).toEqual(['now']);
  });
});
