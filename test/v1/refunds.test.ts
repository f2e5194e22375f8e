import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RefundNews } from '../../src/gateways/gateway.ts';
import { newId } from '../../src/lib/ids.ts';
import type { Decision } from '../../src/refunds/outcome.ts';
import { readRefund, writeChanges } from '../../src/refunds/store.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, merchantWithAccount, putOrder } from '../support/engine.ts';
import { addPerson, type Browser, signedIn } from '../support/people.ts';
import { ScriptedGateway } from './scripted-gateway.ts';

const clock = new ManualClock(new Date('2026-03-01T10:00:00.700Z'));
const scripted = new ScriptedGateway();
const ACCOUNT = 'ga_0123456789abcdef0123456789abcdef';
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock, gateways: [scripted.gateway] });
  await merchantWithAccount(api.db, { gateway: 'SCRIPTED', accountId: ACCOUNT });
});
afterAll(() => api.close());

let count = 0;
/** A new charged order of 100.00 INR at the scripted gateway. */
async function charged(order: Partial<Parameters<typeof putOrder>[1]> = {}): Promise<string> {
  const orderId = `Order-${++count}`;
  await putOrder(api.db, { orderId, amountMinor: 10_000, gateway: 'SCRIPTED', accountId: ACCOUNT, ...order });
  return orderId;
}

const post = (json: unknown, as = 'acme') => call(api, '/v1/refunds', { json, as });
const get = (path: string, as = 'acme') => call(api, `/v1/refunds${path}`, { as });
const act = (id: string, verb: string, json?: unknown, as = 'acme') =>
  call(api, `/v1/refunds/${id}/${verb}`, { method: 'POST', as, ...(json !== undefined && { json }) });

async function refunded(asked: Record<string, unknown> = {}): Promise<Answer['body']> {
  const orderId = await charged();
  const answer = await post({
    order_id: orderId,
    unique_request_id: `r-${count}`,
    amount: '25.00',
    ...asked,
  });
  expect(answer.status).toBe(201);
  return answer.body;
}

/** Takes a refund where the engine would take it. */
async function move(refundId: string, ...steps: readonly Pick<Decision, 'to' | 'set'>[]): Promise<void> {
  for (const { to, set } of steps) {
    const refund = await readRefund(api.db, 'acme', refundId);
    const cause = { by: 'worker', why: 'a test' } as const;
    const change = { to, set, kind: `refund.${to}`, evidence: null, notify: [], refund: refund!, cause };
    expect(await writeChanges(api.db, clock, [change])).not.toContain(null);
  }
}

const sent = () =>
  ({ to: 'sending', set: { key_used_at: clock.now(), sent_at: clock.now(), sends: 1 } }) as const;
const submitted = { to: 'submitted', set: {} } as const;
const inReview = { to: 'manual_review', set: { attention: 'Nobody knows.' } } as const;

function news(fields: Partial<RefundNews>): RefundNews {
  return {
    status: 'pending',
    gatewayRefundId: 're_1',
    gatewayReference: null,
    rawStatus: 'pending',
    errorCode: null,
    errorMessage: null,
    arn: null,
    at: null,
    evidence: { said: 'something' },
    ...fields,
  };
}

async function rowsOf(orderId: string): Promise<number> {
  const [row] = await api.db.query<{ n: number }>('select count(*) as n from refunds where order_id = $1', [
    orderId,
  ]);
  return row!.n;
}

describe('POST /v1/refunds', () => {
  test('records the refund and answers with all of it', async () => {
    const orderId = await charged();
    const answer = await post({
      order_id: orderId.toUpperCase(),
      unique_request_id: 'first:1',
      amount: '40.5',
      currency: 'INR',
      reason: 'Too late',
      note: 'ünïcode ₹',
      metadata: { ticket: 7, tags: ['a'] },
      expected_remaining: '100.00',
    });
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      refund_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      order_id: orderId,
      txn_id: `acme-${orderId}-1`,
      unique_request_id: 'first:1',
      amount: '40.50',
      currency: 'INR',
      status: 'PENDING',
      state: 'queued',
      meaning: 'It waits to be sent to the gateway.',
      attention: null,
      refused_because: null,
      waits_for: null,
      sent_to_gateway: false,
      refund_type: 'STANDARD',
      reason: 'Too late',
      note: 'ünïcode ₹',
      metadata: { ticket: 7, tags: ['a'] },
      initiated_by: 'API',
      door: 'api',
      batch_id: null,
      batch_row: null,
      gateway: 'SCRIPTED',
      gateway_account_id: ACCOUNT,
      gateway_payment_id: `pay_${orderId}_1`,
      payment_method_type: 'CARD',
      gateway_refund_id: null,
      gateway_reference: null,
      gateway_status: null,
      arn: null,
      error_code: null,
      error_message: null,
      sends: 0,
      created_at: '2026-03-01T10:00:00.700Z',
      updated_at: '2026-03-01T10:00:00.700Z',
      sent_at: null,
      succeeded_at: null,
      failed_at: null,
      // Ten days for cards, rounded up to the hour.
      due_at: '2026-03-11T11:00:00.000Z',
      next_look_at: '2026-03-01T10:00:00.700Z',
      recheck_at: null,
      settled_by_hand: false,
      proposal: null,
      review_at: '2026-03-11T10:00:00.700Z',
      pending_days: 0,
      overdue: false,
    });
  });

  test('takes all that is left when that is said, and names the transaction when asked by it', async () => {
    const orderId = await charged();
    await post({ order_id: orderId, unique_request_id: 'a', amount: '40' });
    const rest = await post({ txn_id: `acme-${orderId}-1`, unique_request_id: 'b', amount: 'full' });
    expect(rest.body).toMatchObject({ order_id: orderId, amount: '60.00' });
  });

  test.each([
    ['JPY', 0, 500, '500'],
    ['KWD', 3, 12_345, '12.345'],
  ])('%s amounts have its decimals', async (currency, exponent, amountMinor, amount) => {
    const orderId = await charged({ currency, exponent, amountMinor });
    const answer = await post({ order_id: orderId, unique_request_id: 'a', amount, currency });
    expect(answer.body).toMatchObject({ amount, currency });
  });

  test.each<[string, Record<string, unknown>, number, string, string | undefined]>([
    ['no amount', { amount: undefined }, 400, 'invalid_field', 'amount'],
    ['an amount of null', { amount: null }, 400, 'invalid_field', 'amount'],
    ['a number as amount', { amount: 25 }, 400, 'invalid_field', 'amount'],
    ['an empty amount', { amount: '' }, 400, 'invalid_amount', 'amount'],
    ['the word all', { amount: 'all' }, 400, 'invalid_amount', 'amount'],
    ['FULL', { amount: 'FULL' }, 400, 'invalid_amount', 'amount'],
    ['a negative amount', { amount: '-5' }, 400, 'invalid_amount', 'amount'],
    ['an exponent', { amount: '1e1' }, 400, 'invalid_amount', 'amount'],
    ['grouped digits', { amount: '1,000' }, 400, 'invalid_amount', 'amount'],
    ['zero', { amount: '0.00' }, 400, 'invalid_amount', 'amount'],
    ['three decimals', { amount: '1.000' }, 400, 'invalid_amount', 'amount'],
    ['a long number', { amount: '9'.repeat(60) }, 400, 'invalid_amount', 'amount'],
    ['a million digits', { amount: '9'.repeat(900_000) }, 400, 'invalid_field', 'amount'],
    ['more than was paid', { amount: '100.01' }, 409, 'amount_exceeds_rest', 'amount'],
    ['another currency', { currency: 'USD' }, 409, 'currency_mismatch', 'currency'],
    ['no currency', { currency: 'rupees' }, 400, 'invalid_field', 'currency'],
    ['another rest', { expected_remaining: '99.99' }, 409, 'remaining_mismatch', 'expected_remaining'],
    ['an unreadable rest', { expected_remaining: '-1' }, 400, 'invalid_field', 'expected_remaining'],
    ['an unknown type', { refund_type: 'FAST' }, 400, 'invalid_field', 'refund_type'],
    ['an instant refund', { refund_type: 'INSTANT' }, 409, 'instant_not_supported', 'refund_type'],
    ['no request id', { unique_request_id: undefined }, 400, 'invalid_field', 'unique_request_id'],
    ['a request id with blanks', { unique_request_id: 'a b' }, 400, 'invalid_field', 'unique_request_id'],
    ['an unknown order', { order_id: 'nowhere' }, 404, 'order_not_found', 'order_id'],
    ['an order id that cannot be', { order_id: 'ord er' }, 400, 'invalid_field', 'order_id'],
    ['neither order nor transaction', { order_id: undefined }, 400, 'missing_field', 'order_id'],
    ['another order’s transaction', { txn_id: 'acme-x-1' }, 409, 'order_not_charged', 'txn_id'],
    ['a misspelt field', { ammount: '5' }, 400, 'invalid_field', 'ammount'],
    ['a card number as note', { note: 'card 4111 1111 1111 1111' }, 400, 'invalid_field', 'note'],
    ['a card number as metadata', { metadata: { a: '4111111111111111' } }, 400, 'invalid_field', 'metadata'],
    ['metadata that is a list', { metadata: [1] }, 400, 'invalid_field', 'metadata'],
    ['metadata without end', { metadata: { a: 'x'.repeat(17_000) } }, 400, 'invalid_field', 'metadata'],
    ['a NUL byte', { reason: 'a\u0000b' }, 400, 'invalid_text', 'reason'],
  ])('refuses %s by name, and makes nothing', async (_, change, status, code, field) => {
    const orderId = await charged();
    const answer = await post({ order_id: orderId, unique_request_id: 'a', amount: '25.00', ...change });
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatchObject({ code, field });
    expect(answer.body.error.message).toMatch(/^[A-Z].*[.]$/);
    expect(JSON.stringify(answer.body)).not.toMatch(/4111/);
    expect(await rowsOf(orderId)).toBe(0);
  });

  test('refuses what is no object', async () => {
    for (const json of [[], 'text', 7, null]) expect((await post(json)).status).toBe(400);
  });

  test('an order that was not charged, and one that is fully refunded', async () => {
    const fresh = await charged({ status: 'NEW' });
    const unpaid = await post({ order_id: fresh, unique_request_id: 'a', amount: 'full' });
    expect([unpaid.status, unpaid.body.error.code]).toEqual([409, 'order_not_charged']);

    const orderId = await charged();
    await post({ order_id: orderId, unique_request_id: 'a', amount: 'full' });
    const again = await post({ order_id: orderId, unique_request_id: 'b', amount: 'full' });
    expect([again.status, again.body.error.code]).toEqual([409, 'amount_exceeds_rest']);
    expect(again.body.error.message).toContain('Only 0.00 INR');
  });

  test('the same request id never makes a second refund, whatever it asks', async () => {
    const orderId = await charged();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        post({ order_id: orderId, unique_request_id: 'same', amount: `${n + 1}` }),
      ),
    );
    const codes = answers.map((answer) => answer.body.error?.code ?? 'made').sort();
    expect(codes).toEqual([...Array.from({ length: 19 }, () => 'duplicate_request_id'), 'made']);
    expect(await rowsOf(orderId)).toBe(1);
  });

  test('the same amount again within seconds is refused, and taken later', async () => {
    const orderId = await charged();
    const ask = (id: string) => post({ order_id: orderId, unique_request_id: id, amount: '10' });
    await ask('a');
    expect((await ask('b')).body.error.code).toBe('same_amount_again');
    clock.pass(5_001);
    expect((await ask('c')).status).toBe(201);
  });

  test('of fifty full refunds at once one is made', async () => {
    const orderId = await charged();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        post({ order_id: orderId, unique_request_id: `p${n}`, amount: 'full' }),
      ),
    );
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    expect(await rowsOf(orderId)).toBe(1);
  });

  test('another merchant’s order is as absent as none', async () => {
    const orderId = await charged();
    const theirs = await post({ order_id: orderId, unique_request_id: 'a', amount: 'full' }, 'other');
    const nobodys = await post({ order_id: 'Order-none', unique_request_id: 'a', amount: 'full' }, 'other');
    expect(theirs.status).toBe(404);
    expect(theirs.body.error).toEqual({ ...nobodys.body.error, value: orderId });
    const byTxn = await post(
      { txn_id: `acme-${orderId}-1`, unique_request_id: 'a', amount: 'full' },
      'other',
    );
    expect(byTxn.body.error).toMatchObject({ code: 'order_not_found', field: 'txn_id' });
  });
});

describe('GET /v1/refunds/{refund_id}', () => {
  test('shows the refund with its attempts and its timeline', async () => {
    const { refund_id: id, order_id } = await refunded();
    await move(id, sent());
    await api.db.query(
      `insert into attempts (merchant_id, order_id, refund_id, attempt_no, idempotency_key, request, started_at)
       values ('acme', $1, $2, 1, 'k', '{"headers":{}}', $3)`,
      [order_id, id, clock.now()],
    );
    const { status, body } = await get(`/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ refund_id: id, state: 'sending', sent_to_gateway: false });
    expect(body.attempts).toEqual([
      {
        attempt_no: 1,
        started_at: clock.now().toISOString(),
        finished_at: null,
        outcome: null,
        answer: null,
      },
    ]);
    expect(
      body.events.map((event: Record<string, unknown>) => [event['seq'], event['from'], event['to']]),
    ).toEqual([
      [1, null, 'queued'],
      [2, 'queued', 'sending'],
    ]);
    expect(body.events[0].cause).toEqual({ by: 'api', key: 'test', request_id: expect.any(String) });
    expect(body.events[0].hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('another merchant’s refund, none, and no id at all are the same 404', async () => {
    const { refund_id: id } = await refunded();
    const answers = [await get(`/${id}`, 'other'), await get(`/${newId()}`), await get('/not-an-id')];
    for (const answer of answers) {
      expect(answer.status).toBe(404);
      expect(answer.body).toEqual(answers[0]!.body);
    }
    for (const verb of ['sync', 'cancel']) {
      expect((await act(id, verb, undefined, 'other')).body.error.code).toBe('refund_not_found');
    }
    const evidence = { outcome: 'failed', evidence: 'I just want to see' };
    expect((await act(id, 'resolve', evidence, 'other')).body.error.code).toBe('refund_not_found');
  });
});

describe('GET /v1/refunds', () => {
  const ids = (answer: Answer): string[] =>
    answer.body.refunds.map((refund: { unique_request_id: string }) => refund.unique_request_id);
  let orderId: string;
  let made: Answer['body'][];
  let start: Date;

  beforeAll(async () => {
    clock.pass(3_600_000);
    start = clock.now();
    orderId = await charged();
    made = [];
    for (let n = 0; n < 7; n++) {
      made.push((await post({ order_id: orderId, unique_request_id: `list-${n}`, amount: `${n + 1}` })).body);
      // Two share a moment, to be told apart by their ids.
      if (n !== 3) clock.pass(1_000);
    }
    await move(made[1].refund_id, { ...inReview, set: { ...inReview.set, key_used_at: clock.now() } });
    await move(made[2].refund_id, { to: 'cancelled', set: { next_look_at: null } });
    await move(made[4].refund_id, sent(), {
      to: 'succeeded',
      set: { next_look_at: null, gateway_refund_id: 're_list', arn: '74332745678901234567890' },
    });
  });

  test('is newest first, in pages that neither repeat nor skip', async () => {
    const pages: string[][] = [];
    let cursor = '';
    do {
      const answer = await get(`?order_id=${orderId.toLowerCase()}&limit=3${cursor && `&cursor=${cursor}`}`);
      pages.push(ids(answer));
      cursor = answer.body.next_cursor;
    } while (cursor);
    const order = [6, 5, 4, 3, 2, 1, 0].map((n) => `list-${n}`);
    // The two of one moment come by id, newest id first; which that is, is chance within the millisecond.
    if (made[4].refund_id < made[3].refund_id) order.splice(2, 2, 'list-3', 'list-4');
    expect(pages.flat()).toEqual(order);
    expect(pages.map((page) => page.length)).toEqual([3, 3, 1]);
  });

  test.each<[string, number[]]>([
    ['status=PENDING', [6, 5, 3, 0]],
    ['status=SUCCESS,FAILURE', [4, 2]],
    ['status=MANUAL_REVIEW', [1]],
    ['state=queued,cancelled', [6, 5, 3, 2, 0]],
    ['status=PENDING&state=cancelled', []],
    ['attention=true', [1]],
    ['unique_request_id=list-5', [5]],
    ['gateway_refund_id=re_list', [4]],
    ['arn=74332745678901234567890', [4]],
    ['gateway=SCRIPTED', [6, 5, 4, 3, 2, 1, 0]],
    ['gateway=STRIPE', []],
    [`gateway_account_id=${ACCOUNT}`, [6, 5, 4, 3, 2, 1, 0]],
    [`gateway=STRIPE&gateway_account_id=${ACCOUNT}`, []],
    ['gateway_account_id=ga_elsewhere', []],
  ])('%s', async (query, expected) => {
    const answer = await get(`?order_id=${orderId}&${query}`);
    expect(answer.status).toBe(200);
    expect(ids(answer).sort()).toEqual(expected.map((n) => `list-${n}`).sort());
  });

  test('by the time it was made: from is included, before is not', async () => {
    const from = encodeURIComponent(made[2].created_at);
    const before = encodeURIComponent(made[5].created_at.replace('Z', '+00:00'));
    const answer = await get(`?order_id=${orderId}&created_from=${from}&created_before=${before}`);
    expect(ids(answer).sort()).toEqual(['list-2', 'list-3', 'list-4']);
    expect(ids(await get(`?created_before=${start.toISOString()}&order_id=${orderId}`))).toEqual([]);
  });

  test('another merchant sees none of them', async () => {
    const answer = await get(`?order_id=${orderId}`, 'other');
    expect(answer.body).toEqual({ refunds: [], next_cursor: null });
  });

  test.each([
    ['status=DONE', 'status'],
    ['state=PENDING', 'state'],
    ['status=PENDING,,SUCCESS', 'status'],
    ['status=PENDING&status=SUCCESS', 'status'],
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=ten', 'limit'],
    ['created_from=yesterday', 'created_from'],
    ['created_from=2026-03-01', 'created_from'],
    ['cursor=abc', 'cursor'],
    ['attention=maybe', 'attention'],
    ['stauts=PENDING', 'stauts'],
  ])('refuses %s by name', async (query, field) => {
    const answer = await get(`?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error.field).toBe(field);
  });
});

describe('POST /v1/refunds/{refund_id}/cancel', () => {
  test('cancels what was not sent, and gives the amount back to the order', async () => {
    const { refund_id: id, order_id } = await refunded({ amount: 'full' });
    const answer = await act(id, 'cancel', { reason: 'Wrong order' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ status: 'FAILURE', state: 'cancelled', next_look_at: null });
    const again = await post({ order_id, unique_request_id: 'again', amount: 'full' });
    expect(again.body.amount).toBe('100.00');
  });

  test('needs no body, and takes an empty one', async () => {
    expect((await act((await refunded()).refund_id, 'cancel')).status).toBe(200);
    expect((await act((await refunded()).refund_id, 'cancel', {})).status).toBe(200);
  });

  test('is refused once it may have been sent, and changes nothing', async () => {
    const { refund_id: id } = await refunded();
    await move(id, sent());
    const answer = await act(id, 'cancel', {});
    expect(answer.status).toBe(409);
    expect(answer.body.error.code).toBe('cannot_cancel');
    expect(answer.body.error.message).toMatch(/was sent, or may have been/);
    expect((await get(`/${id}`)).body.state).toBe('sending');
  });

  test('is refused at the end, in other words', async () => {
    const { refund_id: id } = await refunded();
    await act(id, 'cancel');
    const answer = await act(id, 'cancel');
    expect(answer.body.error.message).toMatch(/already at its end/);
  });

  test.each([{ why: 'x' }, { reason: 7 }, { reason: '' }, { reason: 'x'.repeat(501) }, []])(
    'refuses %j',
    async (json) => {
      const { refund_id: id } = await refunded();
      expect((await act(id, 'cancel', json)).status).toBe(400);
      expect((await get(`/${id}`)).body.state).toBe('queued');
    },
  );
});

describe('POST /v1/refunds/{refund_id}/resolve', () => {
  const evidence = 'Seen as paid in the gateway’s dashboard, case 17.';
  async function reviewed(): Promise<string> {
    const { refund_id: id } = await refunded();
    await move(id, sent(), submitted, inReview);
    return id;
  }

  test('settles as succeeded, with the reference and the words kept in the trail', async () => {
    const id = await reviewed();
    const answer = await act(id, 'resolve', {
      outcome: 'succeeded',
      evidence,
      arn: '74332745678901234567890',
      gateway_refund_id: 're_found',
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      status: 'SUCCESS',
      attention: null,
      arn: '74332745678901234567890',
      gateway_refund_id: 're_found',
      succeeded_at: clock.now().toISOString(),
    });
    const last = (await get(`/${id}`)).body.events.at(-1);
    expect(last).toMatchObject({ from: 'manual_review', to: 'succeeded', evidence: { statement: evidence } });
    expect(last.cause).toMatchObject({ by: 'api', key: 'test' });
  });

  test('settles as failed, and the amount can be refunded again', async () => {
    const id = await reviewed();
    const answer = await act(id, 'resolve', { outcome: 'failed', evidence });
    expect(answer.body).toMatchObject({ status: 'FAILURE', state: 'failed' });
    const again = await post({ order_id: answer.body.order_id, unique_request_id: 'again', amount: 'full' });
    expect(again.body.amount).toBe('100.00');
  });

  test('of two people at once, one settles it', async () => {
    const id = await reviewed();
    const answers = await Promise.all([
      act(id, 'resolve', { outcome: 'succeeded', evidence }),
      act(id, 'resolve', { outcome: 'failed', evidence }),
    ]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409]);
  });

  test('is refused for a refund that is not in review', async () => {
    const { refund_id: id } = await refunded();
    const answer = await act(id, 'resolve', { outcome: 'succeeded', evidence });
    expect(answer.status).toBe(409);
    expect(answer.body.error.code).toBe('not_in_manual_review');
    expect((await get(`/${id}`)).body.status).toBe('PENDING');
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['no outcome', { evidence }, 'outcome'],
    ['another outcome', { outcome: 'reversed', evidence }, 'outcome'],
    ['no evidence', { outcome: 'failed' }, 'evidence'],
    ['too little evidence', { outcome: 'failed', evidence: 'ok' }, 'evidence'],
    ['blanks as evidence', { outcome: 'failed', evidence: '              ' }, 'evidence'],
    ['a card number', { outcome: 'failed', evidence: 'card 4111111111111111 not paid' }, 'evidence'],
    ['an unreadable ARN', { outcome: 'failed', evidence, arn: 'a b' }, 'arn'],
  ])('refuses %s', async (_, json, field) => {
    const id = await reviewed();
    const answer = await act(id, 'resolve', json);
    expect(answer.status).toBe(400);
    expect(answer.body.error.field).toBe(field);
    expect((await get(`/${id}`)).body.status).toBe('MANUAL_REVIEW');
  });
});

describe('against what the gateway says', () => {
  const evidence = 'The bank’s letter of 2 March, case 17.';
  const before = scripted.look;
  const people = new Map<string, Browser>();
  beforeAll(async () => {
    for (const name of ['first', 'second']) {
      await addPerson(api.db, { role: 'operations', email: `${name}@acme.test` });
      people.set(name, await signedIn(api, `${name}@acme.test`));
    }
  });
  afterEach(() => {
    scripted.look = before;
  });

  async function reviewed(): Promise<string> {
    const { refund_id: id } = await refunded();
    await move(id, sent(), submitted, inReview);
    return id;
  }
  const as = (name: string, id: string, verb: string, json: unknown) =>
    people.get(name)!.ask(`/v1/refunds/${id}/${verb}`, { method: 'POST', json });

  test.each([
    ['failed', { kind: 'news', news: news({ status: 'pending', rawStatus: 'processing' }) }, 'processing'],
    ['succeeded', { kind: 'absent', evidence: {} }, 'no such refund'],
    ['failed', { kind: 'misfit', why: 'refund re_1 is of 9.00 INR', evidence: {} }, 're_1 is of 9.00 INR'],
  ] as const)('"%s" of one alone is refused, with what the gateway said', async (outcome, look, said) => {
    const id = await reviewed();
    scripted.look = look;
    const answer = await act(id, 'resolve', { outcome, evidence });
    expect([answer.status, answer.body.error.code]).toEqual([409, 'gateway_says_otherwise']);
    expect(answer.body.error.message).toContain(said);
    expect((await get(`/${id}`)).body.status).toBe('MANUAL_REVIEW');
  });

  test('the gateway’s own word that it was paid settles it, whatever a person wanted', async () => {
    const id = await reviewed();
    scripted.look = { kind: 'news', news: news({ status: 'succeeded', rawStatus: 'paid' }) };
    const answer = await as('first', id, 'resolve', { outcome: 'failed', evidence });
    expect(answer.body.error.code).toBe('gateway_says_otherwise');
    expect((await get(`/${id}`)).body).toMatchObject({ status: 'SUCCESS', settled_by_hand: false });
  });

  test('where it agrees, one person is enough, and the end is the gateway’s', async () => {
    const id = await reviewed();
    scripted.look = { kind: 'news', news: news({ status: 'succeeded', rawStatus: 'paid' }) };
    const answer = await act(id, 'resolve', { outcome: 'succeeded', evidence });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ status: 'SUCCESS', settled_by_hand: false });
  });

  test('where nobody can be asked, a person’s word counts, and is looked at again', async () => {
    const id = await reviewed();
    const answer = await act(id, 'resolve', { outcome: 'failed', evidence });
    expect(answer.body).toMatchObject({ status: 'FAILURE', settled_by_hand: true });
    expect(Date.parse(answer.body.recheck_at)).toBe(clock.now().getTime() + 3_600_000);
  });

  test('a second person’s yes settles it; the first one’s own does not, nor a key’s', async () => {
    const id = await reviewed();
    scripted.look = { kind: 'absent', evidence: {} };
    const word = { outcome: 'succeeded', evidence, against_gateway: true };
    expect((await act(id, 'resolve', word)).body.error.code).toBe('people_only');
    const proposed = await as('first', id, 'resolve', word);
    expect(proposed.body).toMatchObject({
      status: 'MANUAL_REVIEW',
      proposal: {
        outcome: 'succeeded',
        proposed_by: 'first@acme.test',
        gateway_said: 'it has no such refund',
      },
    });
    const { at } = proposed.body.proposal;
    expect((await as('first', id, 'proposal/confirm', { at })).body.error.code).toBe('same_person');
    expect((await act(id, 'proposal/confirm', { at })).status).toBe(403);
    expect(
      (await as('second', id, 'proposal/confirm', { at: '2020-01-01T00:00:00.000Z' })).body.error.code,
    ).toBe('other_proposal');
    const settled = await as('second', id, 'proposal/confirm', { at });
    expect(settled.body).toMatchObject({ status: 'SUCCESS', settled_by_hand: true, proposal: null });
    const last = (await get(`/${id}`)).body.events.at(-1);
    expect(last).toMatchObject({
      to: 'succeeded',
      evidence: { email: 'first@acme.test', gateway_said: 'it has no such refund' },
    });
    expect(last.cause).toMatchObject({ by: 'user', email: 'second@acme.test' });
  });

  test('a proposal can be withdrawn, and is gone with the gateway’s own word', async () => {
    const id = await reviewed();
    scripted.look = { kind: 'absent', evidence: {} };
    const word = { outcome: 'succeeded', evidence, against_gateway: true };
    const { at } = (await as('first', id, 'resolve', word)).body.proposal;
    const withdrawn = await as('first', id, 'proposal/withdraw', { at });
    expect(withdrawn.body).toMatchObject({ status: 'MANUAL_REVIEW', proposal: null });
    expect((await as('second', id, 'proposal/confirm', { at })).body.error.code).toBe('no_proposal');

    const again = (await as('first', id, 'resolve', word)).body.proposal.at;
    scripted.look = { kind: 'news', news: news({ status: 'failed', rawStatus: 'failed' }) };
    expect((await act(id, 'sync')).body).toMatchObject({ status: 'FAILURE', proposal: null });
    expect((await as('second', id, 'proposal/confirm', { at: again })).body.error.code).toBe('no_proposal');
  });
});

describe('POST /v1/refunds/{refund_id}/sync', () => {
  test('asks the gateway and answers with the refund as it is then', async () => {
    const { refund_id: id } = await refunded();
    await move(id, sent(), submitted);
    scripted.look = {
      kind: 'news',
      news: news({ status: 'succeeded', rawStatus: 'paid', arn: '74332745678901234567891' }),
    };
    const answer = await act(id, 'sync');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      gateway_answer: 'news',
      status: 'SUCCESS',
      gateway_status: 'paid',
      arn: '74332745678901234567891',
    });
  });

  test('says so when the gateway gives no answer, and leaves the refund as it is', async () => {
    const { refund_id: id } = await refunded();
    await move(id, sent(), submitted);
    scripted.look = { kind: 'no_answer', answered: false, why: 'timeout', evidence: {} };
    const answer = await act(id, 'sync');
    expect(answer.body).toMatchObject({ gateway_answer: 'no_answer', status: 'PENDING', state: 'submitted' });
  });

  test('is refused for a refund that was not sent', async () => {
    const { refund_id: id } = await refunded();
    const answer = await act(id, 'sync');
    expect([answer.status, answer.body.error.code]).toEqual([409, 'not_sent']);
  });
});

describe('GET /v1/orders/{order_id}/events', () => {
  test('tells the whole story of an order, oldest first', async () => {
    const { order_id } = await refunded();
    await post({ order_id, unique_request_id: 'second', amount: '1' });
    const answer = await call(api, `/v1/orders/${order_id.toLowerCase()}/events`);
    expect(answer.body.order_id).toBe(order_id);
    expect(answer.body.events.map((event: { seq: number }) => event.seq)).toEqual([1, 2]);
  });

  test('another merchant’s order is not found', async () => {
    const { order_id } = await refunded();
    for (const path of [order_id, 'none', 'a%20b', 'x'.repeat(300)]) {
      const answer = await call(api, `/v1/orders/${path}/events`, { as: 'other' });
      expect([answer.status, answer.body.error.code]).toEqual([404, 'order_not_found']);
    }
  });
});

test('no route of these is open without a key', async () => {
  const { refund_id: id } = await refunded();
  const asked = [
    call(api, '/v1/refunds', { as: null, json: {} }),
    call(api, '/v1/refunds', { as: null }),
    call(api, `/v1/refunds/${id}`, { as: null }),
    ...['sync', 'cancel', 'resolve'].map((verb) =>
      call(api, `/v1/refunds/${id}/${verb}`, { as: null, json: {} }),
    ),
    call(api, '/v1/orders/x/events', { as: null }),
    call(api, '/v1/gateways', { as: null }),
    call(api, '/v1/gateway-accounts', { as: null }),
    call(api, '/v1/gateway-accounts/x', { as: null, method: 'PATCH', json: {} }),
  ];
  for (const answer of await Promise.all(asked)) {
    expect([answer.status, answer.body.error.code]).toEqual([401, 'unauthorized']);
  }
});

test('the OpenAPI page has these routes with what they take', async () => {
  const { body } = await call(api, '/openapi.json', { as: null });
  const made = body.paths['/v1/refunds'].post;
  expect(made.requestBody.content['application/json'].schema.required).toEqual([
    'unique_request_id',
    'amount',
  ]);
  expect(Object.keys(body.paths)).toEqual(
    expect.arrayContaining([
      '/v1/refunds/{refund_id}',
      '/v1/refunds/{refund_id}/sync',
      '/v1/refunds/{refund_id}/cancel',
      '/v1/refunds/{refund_id}/resolve',
      '/v1/orders/{order_id}/events',
      '/v1/gateways',
      '/v1/gateway-accounts',
      '/v1/gateway-accounts/{gateway_account_id}',
      '/gateways/{account}/webhooks',
    ]),
  );
});
