import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { HOUR, MINUTE, ModelGateway, news, webhook } from '../refunds/model.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { correct, csv, get, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
});
afterEach(() => api.close());

const problems = (rows: { row: number; problem: { code: string } | null }[]) =>
  Object.fromEntries(rows.filter((row) => row.problem).map((row) => [row.row, row.problem!.code]));

describe('a file is checked as a whole before anything is sent', () => {
  test('each row has its verdict, with the other rows of the file counted in', async () => {
    for (const orderId of ['o1', 'o2', 'o3', 'O4']) await putOrder(api.db, { orderId, amountMinor: 10_000 });
    await putOrder(api.db, { orderId: 'unpaid', amountMinor: 10_000, status: 'NEW' });
    const { body: batch } = await upload(
      api,
      csv([
        'o1,a,60.00,INR,',
        'o1,b,50.00,INR,more than is left after the first',
        'o1,c,40.00,INR,just what is left',
        'o1,d,full,INR,nothing is left',
        'o2,a,10.00,USD,',
        'o2,b,10.001,INR,',
        'nowhere,a,10.00,INR,',
        'unpaid,a,10.00,INR,',
        'o3,x,10.00,INR,',
        'o3,x,20.00,INR,the same id',
        'o3,y,10.00,INR,the same amount',
        'o4,z,full,INR,spelled otherwise',
        'o3,,5.00,INR,',
        'o3,q,,INR,',
      ]),
    );
    expect(batch.status).toBe('checked');
    expect(batch.rows).toMatchObject({ total: 14, checked: 14, good: 4, look_alike: 1, bad: 9, made: 0 });
    expect(problems(await rowsOf(api, batch.batch_id))).toEqual({
      2: 'amount_exceeds_rest',
      4: 'amount_exceeds_rest',
      5: 'currency_mismatch',
      6: 'too_many_decimals',
      7: 'order_not_found',
      8: 'order_not_charged',
      10: 'duplicate_in_file',
      11: 'same_amount_in_file',
      13: 'missing_value',
      14: 'empty_amount',
    });
    // 60 + 40 + 10 + 100
    expect(batch.check.totals).toEqual({ INR: '210.00' });
    expect(batch.check.look_alike_totals).toEqual({ INR: '10.00' });
    expect(batch.check.by_gateway).toEqual([
      { gateway: 'MODEL', currency: 'INR', rows: 5, amount: '220.00' },
    ]);
    expect(await api.db.query('select 1 from refunds')).toEqual([]);
  });

  test('what was refunded before is counted in, and a second refund of it is asked about', async () => {
    await putOrder(api.db, { orderId: 'o1', amountMinor: 10_000 });
    const made = await call(api, '/v1/refunds', {
      json: { order_id: 'o1', unique_request_id: 'r1', amount: '30.00' },
    });
    expect(made.status).toBe(201);
    const { body: batch } = await upload(
      api,
      csv(['o1,r1,5.00,INR,', 'o1,r2,30.00,INR,', 'o1,r3,80.00,INR,', 'o1,r4,40.00,INR,']),
    );
    expect(problems(await rowsOf(api, batch.batch_id))).toEqual({
      1: 'duplicate_request_id',
      2: 'same_amount_before',
      3: 'amount_exceeds_rest',
    });
    const undecided = await post(api, batch.batch_id, 'confirm', { totals: { INR: '40.00' } });
    expect([undecided.status, undecided.body.error.code]).toEqual([409, 'look_alikes_undecided']);
    const left = await post(api, batch.batch_id, 'confirm', {
      totals: { INR: '40.00' },
      look_alikes: 'leave',
    });
    expect(left.status).toBe(200);
    expect((await get(api, batch.batch_id)).body.rows).toMatchObject({ made: 1, not_sent: 3, left: 0 });
  });
});

test('what the gateway of a payment cannot do is said beforehand', async () => {
  const { gateway } = new ModelGateway({ partialRefunds: false, refundableDays: 180 });
  const old = await startApi({ gateways: [gateway] });
  try {
    for (const orderId of ['o1', 'o2', 'o3', 'o4']) await putOrder(old.db, { orderId, amountMinor: 10_000 });
    await old.db.query(
      `update transactions set charged_at = now() - interval '181 days' where order_id = 'o3'`,
    );
    await old.db.query(
      `update transactions set charged_at = now() - interval '179 days' where order_id = 'o4'`,
    );
    const file = csv(
      ['o1,a,10.00,INR,', 'o2,a,full,INR,INSTANT', 'o3,a,full,INR,', 'o4,a,100.00,INR,'],
      'order_id,unique_request_id,amount,currency,refund_type',
    );
    const { body: batch } = await upload(old, file);
    expect(problems(await rowsOf(old, batch.batch_id))).toEqual({
      1: 'partial_not_supported',
      2: 'instant_not_supported',
      3: 'too_old',
    });
    expect(batch.check.totals).toEqual({ INR: '100.00' });
  } finally {
    await old.close();
  }
});

describe('nothing is sent but what was confirmed', () => {
  test('the totals must be those that the check has found', async () => {
    await putOrder(api.db, { orderId: 'o1', amountMinor: 10_000 });
    await putOrder(api.db, { orderId: 'o2', amountMinor: 10_000 });
    const { body: batch } = await upload(api, csv(['o1,a,60.00,INR,', 'o2,b,full,INR,']));
    for (const totals of [{ INR: '160.01' }, { USD: '160.00' }, {}, { INR: '160.00', USD: '0' }]) {
      const refused = await post(api, batch.batch_id, 'confirm', { totals });
      expect([refused.status, refused.body.error.code]).toEqual([409, 'other_totals']);
    }
    expect(await api.db.query('select 1 from refunds')).toEqual([]);
    const confirmed = await post(api, batch.batch_id, 'confirm', { totals: { INR: '160' } });
    expect(confirmed.status).toBe(200);
    const refunds = await api.db.query(
      'select order_id, unique_request_id, amount_minor, door, lane, batch_id, batch_row from refunds order by 1',
    );
    expect(refunds).toEqual([
      {
        order_id: 'o1',
        unique_request_id: 'a',
        amount_minor: 6_000,
        door: 'batch',
        lane: 2,
        batch_id: batch.batch_id,
        batch_row: 1,
      },
      {
        order_id: 'o2',
        unique_request_id: 'b',
        amount_minor: 10_000,
        door: 'batch',
        lane: 2,
        batch_id: batch.batch_id,
        batch_row: 2,
      },
    ]);
    const after = await get(api, batch.batch_id);
    expect(after.body).toMatchObject({
      status: 'running',
      rows: { made: 2, left: 0, not_sent: 0 },
      refunds: { by_status: { PENDING: 2 }, by_state: { queued: 2 }, sent: 0 },
    });
    expect(after.body.refunds.amounts).toEqual([{ currency: 'INR', status: 'PENDING', amount: '160.00' }]);
  });

  test('a row whose order has changed since the check is refused by itself', async () => {
    await putOrder(api.db, { orderId: 'o1', amountMinor: 10_000 });
    await putOrder(api.db, { orderId: 'o2', amountMinor: 10_000 });
    const { body: batch } = await upload(api, csv(['o1,a,60.00,INR,', 'o2,b,60.00,INR,']));
    await call(api, '/v1/refunds', { json: { order_id: 'o1', unique_request_id: 'r1', amount: '50.00' } });
    await post(api, batch.batch_id, 'confirm', { totals: { INR: '120.00' } });
    const [first, second] = await rowsOf(api, batch.batch_id);
    expect(first).toMatchObject({ state: 'refused', refund: null, problem: { code: 'amount_exceeds_rest' } });
    expect(first.problem.message).toContain('50.00 INR');
    expect(second).toMatchObject({
      state: 'made',
      problem: null,
      refund: { status: 'PENDING', amount: '60.00' },
    });
    expect((await get(api, batch.batch_id)).body.rows).toMatchObject({ made: 1, refused: 1 });
  });
});

describe('corrected rows', () => {
  test('take the place of those that failed, and only of those', async () => {
    await putOrder(api.db, { orderId: 'o1', amountMinor: 10_000 });
    await putOrder(api.db, { orderId: 'o2', amountMinor: 10_000 });
    const { body: batch } = await upload(api, csv(['o1,a,60.00,INR,', 'o2,b,600.00,INR,', 'o9,c,1.00,INR,']));
    expect(batch.rows).toMatchObject({ good: 1, bad: 2 });
    const file = csv(
      ['2,o2,b,70.00,INR,', '1,o1,a,1.00,INR,good already', '77,o1,z,1.00,INR,'],
      `row,order_id,unique_request_id,amount,currency,note`,
    );
    const unreadable = await correct(api, batch.batch_id, 'that,is,no,correction\n1,2,3,4\n');
    expect([unreadable.status, unreadable.body.error.code]).toEqual([422, 'columns_unmatched']);
    const { body: corrected } = await correct(api, batch.batch_id, file);
    expect(corrected).toMatchObject({ status: 'checked', round: 1, rows: { total: 3, good: 2, bad: 1 } });
    expect(corrected.check.totals).toEqual({ INR: '130.00' });
    const events = (await call(api, `/v1/batches/${batch.batch_id}/events`)).body.events;
    expect(events.find((e: { kind: string }) => e.kind === 'rows_replaced').facts).toMatchObject({
      rows: 3,
      replaced: 1,
      done_before: 1,
      unknown: 1,
    });
    expect((await post(api, batch.batch_id, 'confirm', { totals: { INR: '130.00' } })).status).toBe(200);
    expect(await api.db.query('select order_id, amount_minor from refunds order by 1')).toEqual([
      { order_id: 'o1', amount_minor: 6_000 },
      { order_id: 'o2', amount_minor: 7_000 },
    ]);
  });
});

test('while its refunds wait for their outcomes, a batch is looked at ever more rarely', async () => {
  const clock = new ManualClock();
  const model = new ModelGateway({ pollDelaysMs: [30 * 24 * HOUR] });
  model.create = () => news('pending');
  const slow = await startApi({ clock, gateways: [model.gateway] });
  try {
    await putOrder(slow.db, { orderId: 'o1', amountMinor: 10_000 });
    const { body: batch } = await upload(slow, csv(['o1,a,full,INR,']));
    await post(slow, batch.batch_id, 'confirm', { totals: { INR: '100.00' } });
    const worker = createRefundRounds(slow.batches.engine, () => undefined);
    await worker.tick();
    await worker.drain();
    clock.pass(1_000);
    await steps(slow);
    let waitedMs = 0;
    for (const [afterMs, nextInS] of [
      [MINUTE, 5],
      [10 * MINUTE, 10],
      [HOUR, 60],
      [10 * HOUR, 300],
      [9 * 24 * HOUR, 300],
    ] as const) {
      clock.pass(afterMs - waitedMs);
      waitedMs = afterMs;
      await steps(slow);
      expect(
        await slow.db.query('select extract(epoch from next_step_at - $1)::float as seconds from batches', [
          clock.now(),
        ]),
      ).toEqual([{ seconds: nextInS }]);
    }
    const [refund] = await slow.db.query<{ gateway_account_id: string; refund_id: string }>(
      'select * from refunds',
    );
    const to = { merchantId: 'acme', gatewayAccountId: refund!.gateway_account_id };
    await settleFromWebhook(slow.batches.engine, to, webhook(refund!.refund_id, news('succeeded').news));
    clock.pass(5 * 60_000);
    await steps(slow);
    expect((await get(slow, batch.batch_id)).body.status).toBe('finished');
  } finally {
    await slow.close();
  }
});
