import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { doNextStep } from '../../src/batches/worker.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import type { Database } from '../../src/lib/db.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { ModelGateway, news, webhook } from '../refunds/model.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { hold, inTurn } from '../support/held.ts';
import { addPerson, type Browser, PAGE, signedIn } from '../support/people.ts';
import { csv, get, HEADER, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  api = await startApi({ clock });
});
afterEach(() => api.close());

const held = (lock: string) => hold(api.db, lock);
const ORDERS = 12;
const say = (id: string, verb: string, json: object = {}, options = {}) =>
  call(api, `/v1/batches/${id}/${verb}`, { json, ...options });
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).sort();
const orders = async (n = ORDERS) => {
  for (let k = 0; k < n; k++) await putOrder(api.db, { orderId: `o${k}`, amountMinor: 10_000 });
};
const rows = (id: string, amount: string, n = ORDERS) =>
  csv(Array.from({ length: n }, (_, k) => `o${k},${id},${amount},INR,`));
const confirmed = async (file: string, total: string): Promise<string> => {
  const { body } = await upload(api, file);
  expect((await say(body.batch_id, 'confirm', { totals: { INR: total } })).status).toBe(200);
  return body.batch_id;
};
const ALL_ORDERS = 'select 1 from orders order by merchant_id, order_id for no key update';
const perOrder = () =>
  api.db.query<{ order_id: string; n: number; sum: number }>(
    `select order_id, count(*) as n, sum(amount_minor)::bigint as sum from refunds group by 1 order by 1`,
  );

const single = (key: string, amount: string, k: number) =>
  call(api, '/v1/refunds', { json: { order_id: `o${k}`, unique_request_id: key, amount } });
const EITHER_FIRST = [
  ['batch', 'single'],
  ['single', 'batch'],
] as const;

/** Acts of these names, all begun before the first of them has its orders, which they get in this order. */
const inOrder = (order: readonly string[], acts: Readonly<Record<string, () => Promise<unknown>>>) =>
  inTurn<unknown[]>(
    api.db,
    ALL_ORDERS,
    order.map((name) => acts[name]!),
  );
const nextRows = async () => expect(await doNextStep(api.batches)).toBe(true);

/**
 * The next rows of a batch and a single refund of each order. Of single ones that come together the first goes alone, and is
 * before or behind the rows; the others follow it.
 */
async function withSingles(order: readonly string[], key: string, amount: string): Promise<Answer[]> {
  let answers: Answer[] = [];
  await inOrder(order, {
    batch: nextRows,
    single: async () => {
      answers = await Promise.all(Array.from({ length: ORDERS }, (_, k) => single(key, amount, k)));
    },
  });
  return answers;
}

describe('one order, asked by two at one moment', () => {
  test.each(EITHER_FIRST)(
    'by a batch and by single calls, the %s before the %s: never more than was paid, and each of them is answered',
    async (...order) => {
      await orders();
      const id = await confirmed(rows('b', '60.00'), '720.00');
      const answers = await withSingles(order, 's', '60.00');
      await steps(api);
      const taken = answers.filter(({ status }) => status === 201).length;
      expect(order[0] === 'batch' ? taken === 0 : taken > 0).toBe(true);
      const shown = await rowsOf(api, id);
      for (const [k, { state, problem }] of shown.entries()) {
        const single = answers[k]!.status;
        expect([k, state, single]).toEqual([k, state, state === 'made' ? 409 : 201]);
        expect(state === 'made' ? problem : problem.code).toBe(
          state === 'made' ? null : 'amount_exceeds_rest',
        );
      }
      expect((await perOrder()).map(({ sum }) => sum)).toEqual(Array(ORDERS).fill(6_000));
      const { body } = await get(api, id);
      expect(body.rows.made + body.rows.refused).toBe(ORDERS);
    },
  );

  test.each(EITHER_FIRST)(
    'by a batch and by single calls under one unique_request_id, the %s before the %s: there is one refund',
    async (...order) => {
      await orders();
      const id = await confirmed(rows('same', '10.00'), '120.00');
      const answers = await withSingles(order, 'same', '10.00');
      await steps(api);
      expect((await perOrder()).map(({ n }) => n)).toEqual(Array(ORDERS).fill(1));
      const taken = answers.filter(({ status }) => status === 201).length;
      expect(order[0] === 'batch' ? taken === 0 : taken > 0).toBe(true);
      const { body } = await get(api, id);
      expect(body.rows).toMatchObject({ made: ORDERS - taken, refused: taken, left: 0 });
    },
  );

  test('by two batches: one of each two rows is made, the other is told why not', async () => {
    await orders();
    const batches = [
      (await upload(api, rows('one', '60.00'))).body,
      (await upload(api, rows('two', '70.00'))).body,
    ];
    for (const { batch_id, check } of batches) {
      expect((await say(batch_id, 'confirm', { totals: check.totals })).status).toBe(200);
    }
    const lock = await held(ALL_ORDERS);
    const both = [doNextStep(api.batches), doNextStep(api.batches)];
    await lock.waiting(2);
    await lock.release();
    expect(await Promise.all(both)).toEqual([true, true]);
    await steps(api);
    const [first, second] = await Promise.all(batches.map(({ batch_id }) => rowsOf(api, batch_id)));
    for (const [k, row] of first!.entries()) {
      expect([row.state, second![k].state].sort()).toEqual(['made', 'refused']);
    }
    expect((await perOrder()).map(({ n }) => n)).toEqual(Array(ORDERS).fill(1));
    for (const { batch_id } of batches) {
      const { made, refused, left } = (await get(api, batch_id)).body.rows;
      expect([made + refused, left]).toEqual([ORDERS, 0]);
    }
  });
});

const lockOf = (id: string) => `select 1 from batches where batch_id = '${id}' for no key update`;
const kindsOf = async (id: string): Promise<string[]> => {
  const { events } = (await call(api, `/v1/batches/${id}/events`)).body;
  return events.map(({ kind }: { kind: string }) => kind);
};
const put = (id: string, lines: string[]) =>
  call(api, `/v1/batches/${id}/rows`, {
    method: 'PUT',
    body: csv(lines, `row,${HEADER}`),
    headers: { 'content-type': 'text/csv' },
  });

describe('two decisions at one moment', () => {
  test.each([
    ['confirm', 'check'],
    ['confirm', 'confirm'],
    ['confirm', 'cancel'],
    ['check', 'cancel'],
  ])('%s and %s: one is done, and the other knows of it', async (one, other) => {
    await orders(2);
    const { body: batch } = await upload(api, rows('a', '10.00', 2));
    const id = batch.batch_id;
    const lock = await held(lockOf(id));
    const json = { totals: { INR: '20.00' } };
    const both = [one, other].map((verb) => say(id, verb, verb === 'confirm' ? json : {}));
    await lock.waiting(2);
    await lock.release();
    const answers = await Promise.all(both);
    // What was confirmed, or is checked again, can be cancelled still.
    const mayBoth = other === 'cancel' && answers[1]!.status === 200 && answers[0]!.status === 200;
    expect(mayBoth || statuses(answers).join() === '200,409').toBe(true);
    await steps(api);
    const { body } = await get(api, id);
    const refunds = await api.db.query('select 1 from refunds');
    if (answers[1]!.status === 200 && other === 'cancel') {
      expect([body.status, refunds.length]).toEqual(['cancelled', 0]);
    } else if (answers[0]!.status === 200 || other === 'confirm') {
      expect([body.status, refunds.length]).toEqual(['running', 2]);
    } else expect([body.status, refunds.length]).toEqual(['checked', 0]);
    const kinds = await kindsOf(id);
    expect(kinds.filter((kind) => kind === 'confirmed').length).toBeLessThan(2);
  });

  test('corrected rows and a confirmation: what is confirmed is what was checked', async () => {
    await orders(3);
    const { body: batch } = await upload(api, csv(['o0,a,10.00,INR,', 'o1,a,999.00,INR,']));
    const id = batch.batch_id;
    for (let n = 0; n < 4; n++) {
      const before = (await get(api, id)).body;
      if (before.status !== 'checked') break;
      const lock = await held(lockOf(id));
      const correction = put(id, [`2,o1,a,${11 + n}.00,INR,`]);
      const confirmation = say(id, 'confirm', { totals: before.check.totals });
      await lock.waiting(2);
      await lock.release();
      const [corrected, said] = await Promise.all([correction, confirmation]);
      await steps(api);
      expect([corrected.status, said.status]).toEqual(said.status === 200 ? [409, 200] : [202, 409]);
      const refunds = await api.db.query<{ sum: number }>(
        'select coalesce(sum(amount_minor), 0)::bigint as sum from refunds',
      );
      expect(refunds).toEqual([
        { sum: said.status === 200 ? Math.round(Number(before.check.totals.INR) * 100) : 0 },
      ]);
    }
  });

  test('two files of corrected rows: each is taken as a whole or not at all', async () => {
    await orders(3);
    const { body: batch } = await upload(
      api,
      csv(['o0,a,10.00,INR,', 'o1,a,999.00,INR,', 'o2,a,999.00,INR,']),
    );
    const id = batch.batch_id;
    const lock = await held(lockOf(id));
    const both = [put(id, ['2,o1,a,11.00,INR,']), put(id, ['3,o2,a,12.00,INR,'])];
    await lock.waiting(2);
    await lock.release();
    const answers = await Promise.all(both);
    expect(answers.every(({ status }) => status === 202 || status === 409)).toBe(true);
    expect(answers.some(({ status }) => status === 202)).toBe(true);
    await steps(api);
    const shown = await rowsOf(api, id);
    expect(shown.map(({ verdict }) => verdict)).toEqual([
      'good',
      ...answers.map(({ status }) => (status === 202 ? 'good' : 'bad')),
    ]);
    const taken = answers.filter(({ status }) => status === 202).length;
    const kinds = await kindsOf(id);
    expect(kinds.filter((kind) => kind === 'rows_replaced')).toHaveLength(taken);
    expect((await get(api, id)).body.status).toBe('checked');
    const again = await put(id, ['2,o1,a,11.00,INR,', '3,o2,a,12.00,INR,']);
    expect(again.status).toBe(202);
    await steps(api);
    expect((await get(api, id)).body.check.totals).toEqual({ INR: '33.00' });
  });
});

describe('a slice is on its way', () => {
  test.each(['pause', 'cancel'])(
    'and somebody says %s: the slice is done as a whole, and nothing after it',
    async (verb) => {
      const n = 300;
      await api.db.query(
        `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
       select 'acme', 'o' || n, gen_random_uuid(), 'CHARGED', 10000, 'INR', 2, now(), now() from generate_series(0, ${n - 1}) n`,
      );
      await api.db.query(
        `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
         gateway_payment_id, charged_at, created_at, updated_at)
       select 'acme', 'o' || n, 't' || n, gen_random_uuid(), 'CHARGED', 10000, 'MODEL', 'ga', 'p' || n, now(), now(), now()
       from generate_series(0, ${n - 1}) n`,
      );
      const id = await confirmed(rows('a', '10.00', n), '3000.00');
      const lock = await held(ALL_ORDERS);
      const step = doNextStep(api.batches);
      await lock.waiting(1);
      const said = say(id, verb, {});
      await lock.waiting(2);
      await lock.release();
      expect(await step).toBe(true);
      expect((await said).status).toBe(200);
      clock.pass(1_000);
      await steps(api);
      const states = await api.db.query('select state, count(*) as n from refunds group by 1');
      expect(states).toEqual([{ state: verb === 'pause' ? 'queued' : 'cancelled', n: 250 }]);
      expect((await get(api, id)).body).toMatchObject({
        status: verb === 'pause' ? 'paused' : 'cancelled',
        rows: { made: 250, refused: 0, left: verb === 'pause' ? 50 : 0 },
      });
    },
  );

  test('a file is being read, and it is withdrawn at once, without a row left behind', async () => {
    await orders(2);
    const made = await call(api, '/v1/batches?name=x', {
      body: rows('a', '10.00', 2),
      headers: { 'content-type': 'text/csv' },
    });
    const id = made.body.batch_id;
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: reading, resolve: arrived } = Promise.withResolvers<void>();
    const { engine } = api.batches;
    const slow: Database = {
      ...engine.db,
      async query(text, params) {
        if (text.includes('from batch_chunks')) {
          arrived();
          await gate;
        }
        return engine.db.query(text, params);
      },
    };
    const step = doNextStep({ ...api.batches, engine: { ...engine, db: slow } });
    await reading;
    const cancelled = await say(id, 'cancel', { reason: 'wrong file' });
    expect([cancelled.status, cancelled.body.status]).toEqual([200, 'cancelled']);
    open();
    await step;
    clock.pass(60_000);
    await steps(api);
    expect(await api.db.query('select 1 from batch_rows')).toEqual([]);
    expect((await get(api, id)).body.status).toBe('cancelled');
    expect(await kindsOf(id)).toEqual(['begun', 'uploaded', 'cancelled']);
    // The same file can be uploaded again.
    expect((await upload(api, rows('a', '10.00', 2))).body.status).toBe('checked');
  });

  test('a file is being read by one worker, and no other reads it as well, however long it takes', async () => {
    await orders(2);
    const made = await call(api, '/v1/batches?name=x', {
      body: rows('a', '10.00', 2),
      headers: { 'content-type': 'text/csv' },
    });
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: reading, resolve: arrived } = Promise.withResolvers<void>();
    const { engine } = api.batches;
    let readers = 0;
    const slow: Database = {
      ...engine.db,
      async query(text, params) {
        if (text.includes('from batch_chunks') && params?.[3] === -1) {
          readers++;
          arrived();
          await gate;
        }
        return engine.db.query(text, params);
      },
    };
    const deps = { ...api.batches, engine: { ...engine, db: slow } };
    const step = doNextStep(deps);
    await reading;
    for (let n = 0; n < 3; n++) {
      clock.pass(6_000);
      await doNextStep(deps);
    }
    expect(readers).toBe(1);
    open();
    await step;
    clock.pass(6_000);
    await steps(api);
    expect((await get(api, made.body.batch_id)).body.rows).toMatchObject({ total: 2, good: 2 });
  });
});

describe('a run that has to wait before its first row', () => {
  test('starts once', async () => {
    await orders(2);
    const id = await confirmed(rows('a', '10.00', 2), '20.00');
    for (let n = 0; n < 3; n++) {
      // As if the gateway had enough to do already.
      await doNextStep(api.batches, { runAhead: 0 });
      clock.pass(1_000);
    }
    for (let n = 0; n < 3; n++) await doNextStep(api.batches, { slice: 1 });
    await steps(api);
    expect(await kindsOf(id)).toEqual(['begun', 'uploaded', 'checked', 'confirmed', 'started']);
    expect((await get(api, id)).body.rows).toMatchObject({ made: 2, left: 0 });
  });

  test('of a single row, too', async () => {
    await orders(1);
    const id = await confirmed(rows('a', '10.00', 1), '10.00');
    for (let n = 0; n < 3; n++) await doNextStep(api.batches, { slice: 1 });
    expect(await kindsOf(id)).toEqual(['begun', 'uploaded', 'checked', 'confirmed', 'started']);
  });
});

describe('an approval', () => {
  const as = ({ cookies }: Browser) => ({
    as: null,
    headers: { ...PAGE, cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
  });
  let checker: ReturnType<typeof as>;
  beforeEach(async () => {
    await call(api, '/v1/settings', {
      method: 'PATCH',
      json: { batch_approval: true, batch_approval_hours: 1 },
    });
    await addPerson(api.db, { role: 'operations', email: 'checker@shop.test' });
    checker = as(await signedIn(api, 'checker@shop.test'));
  });
  /** A batch that waits for its second person, and their yes. */
  async function awaiting(file: string, total: string) {
    const { body } = await upload(api, file);
    const totals = { INR: total };
    expect((await post(api, body.batch_id, 'confirm', { totals })).body.status).toBe('awaiting_approval');
    return {
      id: body.batch_id as string,
      approve: () => say(body.batch_id, 'approve', { totals, file_sha256: body.file.sha256 }, checker),
    };
  }
  /** Begins the approval and holds it where it has the batch, and before its commit, while `meanwhile` is done. */
  async function approvedAround(approve: () => Promise<Answer>, meanwhile: () => Promise<unknown>) {
    const lock = await held('lock table batch_events in share mode');
    const approval = approve();
    await lock.waiting(1);
    await meanwhile();
    // Not a row goes out before the commit.
    expect(await doNextStep(api.batches)).toBe(false);
    await lock.release();
    expect((await approval).status).toBe(200);
  }
  /** What is reserved of each payment, beside what its refunds come to that reserve. */
  const reservedOf = async () => {
    const found = await api.db.query<{ reserved: number; sum: number }>(
      `select t.reserved_minor as reserved, coalesce(sum(r.amount_minor) filter (where state_reserves(r.state)), 0)::bigint as sum
       from transactions t left join refunds r using (merchant_id, order_id, txn_id)
       group by t.merchant_id, t.order_id, t.txn_id order by length(t.order_id), t.order_id`,
    );
    expect(found.map(({ sum }) => sum)).toEqual(found.map(({ reserved }) => reserved));
    return found.map(({ reserved }) => reserved);
  };
  const pending = (amount: string) => [{ currency: 'INR', status: 'PENDING', amount }];

  test('that is said in time and heard too late approves nothing', async () => {
    await orders(2);
    const { id, approve } = await awaiting(rows('a', '10.00', 2), '20.00');
    clock.pass(59 * 60_000);
    const lock = await held(lockOf(id));
    const approval = approve();
    await lock.waiting(1);
    clock.pass(2 * 60_000);
    await lock.release();
    expect((await approval).status).toBe(409);
    await steps(api);
    expect((await get(api, id)).body).toMatchObject({ status: 'checked', confirmation: null });
    expect(await api.db.query('select 1 from refunds')).toEqual([]);
    expect(await kindsOf(id)).toEqual(['begun', 'uploaded', 'checked', 'confirmed', 'approval_expired']);
  });

  test('of two at one moment is one, and starts the batch once', async () => {
    await orders(2);
    const { id, approve } = await awaiting(rows('a', '10.00', 2), '20.00');
    const lock = await held(lockOf(id));
    const both = [approve(), approve()];
    await lock.waiting(2);
    await lock.release();
    expect(statuses(await Promise.all(both))).toEqual([200, 409]);
    await steps(api);
    expect(await api.db.query('select 1 from refunds')).toHaveLength(2);
    expect((await kindsOf(id)).filter((kind) => kind === 'started')).toHaveLength(1);
  });

  const twoRowsEach = csv(
    ['a,35.00', 'b,25.00'].flatMap((row) => Array.from({ length: ORDERS }, (_, k) => `o${k},${row},INR,`)),
  );

  test('while single refunds use up the balance before its commit: each row gets what is left, or is refused', async () => {
    await orders();
    const { id, approve } = await awaiting(twoRowsEach, '720.00');
    await approvedAround(approve, async () => {
      const answers = await Promise.all(Array.from({ length: ORDERS }, (_, k) => single('s', '50.00', k)));
      expect(statuses(answers)).toEqual(Array(ORDERS).fill(201));
    });
    await steps(api);
    const shown = await rowsOf(api, id);
    expect(shown.map(({ state }) => state)).toEqual([
      ...Array(ORDERS).fill('made'),
      ...Array(ORDERS).fill('refused'),
    ]);
    for (const { problem } of shown.slice(ORDERS)) expect(problem.message).toContain('15.00 INR');
    expect(await reservedOf()).toEqual(Array(ORDERS).fill(50_00 + 35_00));
    const { body } = await get(api, id);
    expect(body.rows).toMatchObject({ made: ORDERS, refused: ORDERS, left: 0 });
    expect(body.refunds.amounts).toEqual(pending('420.00'));
  });

  test.each(EITHER_FIRST)(
    'and single refunds that use up the balance before its rows run, the %s before the %s: never more than was paid',
    async (...order) => {
      await orders();
      const { id, approve } = await awaiting(twoRowsEach, '720.00');
      expect((await approve()).status).toBe(200);
      const answers = await withSingles(order, 's', '50.00');
      await steps(api);
      const taken = answers.map(({ status }) => status === 201);
      expect(statuses(answers)).toEqual(taken.map((is) => (is ? 201 : 409)).sort());
      expect(order[0] === 'batch' ? !taken.includes(true) : taken.includes(true)).toBe(true);
      expect(await reservedOf()).toEqual(taken.map((is) => (is ? 50_00 + 35_00 : 35_00 + 25_00)));
      const shown = await rowsOf(api, id);
      for (const [k, is] of taken.entries()) {
        const ofOrder = [shown[k], shown[ORDERS + k]];
        expect(ofOrder.map(({ state }) => state)).toEqual(['made', is ? 'refused' : 'made']);
      }
      const refused = taken.filter(Boolean).length;
      const { body } = await get(api, id);
      expect(body.rows).toMatchObject({ made: 2 * ORDERS - refused, refused, left: 0 });
      expect(body.refunds.amounts).toEqual(pending(`${720 - 25 * refused}.00`));
    },
  );

  test.each([
    ['batch', 'cancel'],
    ['cancel', 'batch'],
  ])(
    'sends what it said, and nothing of what comes back meanwhile: the %s before the %s',
    async (...order) => {
      await orders(2);
      const earlier = await Promise.all([0, 1].map((k) => single('earlier', '40.00', k)));
      const { id, approve } = await awaiting(rows('a', 'full', 2), '120.00');
      const cancel = (k: number) =>
        call(api, `/v1/refunds/${earlier[k]!.body.refund_id}/cancel`, { json: {} });
      await approvedAround(approve, async () => expect((await cancel(0)).status).toBe(200));
      await inOrder(order, {
        batch: nextRows,
        cancel: async () => expect((await cancel(1)).status).toBe(200),
      });
      await steps(api);
      expect(await reservedOf()).toEqual([60_00, 60_00]);
      expect((await get(api, id)).body).toMatchObject({
        rows: { made: 2, refused: 0 },
        refunds: { amounts: pending('120.00') },
      });
    },
  );

  test.each([
    ['batch', 'news', [70_00], 'made', 'failed'],
    ['news', 'batch', [60_00], 'refused', 'manual_review'],
  ] as const)(
    'and an earlier failure that was paid after all, the %s before the %s',
    async (one, other, reserved, row, earlier) => {
      await orders(1);
      const model = new ModelGateway();
      const engine = { ...api.batches.engine, gateways: registryOf([model.gateway]) };
      const { body: refund } = await single('earlier', '60.00', 0);
      model.create = () => news('failed');
      const worker = createRefundRounds(engine, () => undefined);
      await worker.tick();
      await worker.drain();
      const { id, approve } = await awaiting(rows('a', '70.00', 1), '70.00');
      expect((await approve()).status).toBe(200);
      model.look = () => news('succeeded');
      const account = { merchantId: 'acme', gatewayAccountId: refund.gateway_account_id };
      await inOrder([one, other], {
        batch: nextRows,
        news: () => settleFromWebhook(engine, account, webhook(refund.refund_id, news('succeeded').news)),
      });
      expect(await reservedOf()).toEqual(reserved);
      expect(await rowsOf(api, id)).toMatchObject([{ state: row }]);
      const [found] = await api.db.query(
        `select state, attention from refunds where unique_request_id = 'earlier'`,
      );
      expect(found).toEqual({ state: earlier, attention: expect.stringContaining('was paid') });
    },
  );

  test.each([
    ['batch', 'facts'],
    ['facts', 'batch'],
  ])(
    'and other facts told of its payments: what was paid stays, and what it left out stays out: the %s before the %s',
    async (...order) => {
      await orders(3);
      for (const orderId of ['late0', 'late1'])
        await putOrder(api.db, { orderId, amountMinor: 100_00, status: 'PENDING_VBV' });
      const file = csv([
        ...[0, 1, 2].map((k) => `o${k},a,60.00,INR,`),
        ...[0, 1].map((k) => `late${k},a,60.00,INR,`),
      ]);
      const { id, approve } = await awaiting(file, '180.00');
      const tell = (orderId: string, told: object) => {
        const payment = { gateway: 'MODEL', gateway_account: 'test', gateway_payment_id: `pay_${orderId}_1` };
        const charge = { order_id: orderId, amount: '100.00', currency: 'INR', status: 'CHARGED' };
        return call(api, '/v1/transactions', { json: { ...charge, ...payment, ...told } });
      };
      await approvedAround(approve, async () => {
        expect((await tell('late0', {})).status).toBe(200);
        expect((await call(api, '/orders/o0', { form: { amount: '1' } })).status).toBe(400);
      });
      const facts = {
        offer: async () => expect((await tell('o1', { offer_discount: '50.00' })).status).toBe(409),
        void: async () => expect((await tell('o2', { status: 'VOIDED' })).status).toBe(409),
        charge: async () => expect((await tell('late1', {})).status).toBe(200),
      };
      await inOrder(
        order.flatMap((name) => (name === 'batch' ? name : Object.keys(facts))),
        { ...facts, batch: nextRows },
      );
      await steps(api);
      const shown = await rowsOf(api, id);
      expect(shown.map(({ state }) => state)).toEqual(['made', 'made', 'made', 'not_sent', 'not_sent']);
      expect(await perOrder()).toEqual([0, 1, 2].map((k) => ({ order_id: `o${k}`, n: 1, sum: 60_00 })));
      expect((await get(api, id)).body).toMatchObject({
        rows: { made: 3, refused: 0, left: 0 },
        refunds: { amounts: pending('180.00') },
      });
    },
  );
});
