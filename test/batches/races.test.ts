import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { doNextStep } from '../../src/batches/worker.ts';
import type { Database } from '../../src/lib/db.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { addPerson, type Browser, PAGE, signedIn } from '../support/people.ts';
import { until } from '../support/running.ts';
import { csv, get, HEADER, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  api = await startApi({ clock });
});
afterEach(() => api.close());

/** Holds rows as somebody who is slow does; others have to wait until `release`. */
async function held(lock: string): Promise<{ waiting(n: number): Promise<void>; release(): Promise<void> }> {
  const client = await api.db.connect();
  await client.query('begin');
  await client.query(lock);
  return {
    /** Until so many wait for a lock: all of them are at the critical point. */
    async waiting(n) {
      await until(`${n} to wait`, async () => {
        const [row] = await api.db.query<{ n: number }>(
          `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return row!.n >= n || undefined;
      });
    },
    async release() {
      await client.query('commit');
      client.release();
    },
  };
}

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

describe('one order, asked by two at one moment', () => {
  test('by a batch and by single calls: never more than was paid, and each of them is answered', async () => {
    await orders();
    const id = await confirmed(rows('b', '60.00'), '720.00');
    const lock = await held(ALL_ORDERS);
    const step = doNextStep(api.batches);
    const singles = Array.from({ length: ORDERS }, (_, k) =>
      call(api, '/v1/refunds', { json: { order_id: `o${k}`, unique_request_id: 's', amount: '60.00' } }),
    );
    await lock.waiting(2);
    await lock.release();
    const answers = await Promise.all(singles);
    expect(await step).toBe(true);
    await steps(api);
    const shown = await rowsOf(api, id);
    for (const [k, { state, problem }] of shown.entries()) {
      const single = answers[k]!.status;
      expect([k, state, single]).toEqual([k, state, state === 'made' ? 409 : 201]);
      expect(state === 'made' ? problem : problem.code).toBe(state === 'made' ? null : 'amount_exceeds_rest');
    }
    expect((await perOrder()).map(({ sum }) => sum)).toEqual(Array(ORDERS).fill(6_000));
    const { body } = await get(api, id);
    expect(body.rows.made + body.rows.refused).toBe(ORDERS);
  });

  test('by a batch and by a single call under one unique_request_id: there is one refund', async () => {
    await orders();
    const id = await confirmed(rows('same', '10.00'), '120.00');
    const lock = await held(ALL_ORDERS);
    const step = doNextStep(api.batches);
    const singles = Array.from({ length: ORDERS }, (_, k) =>
      call(api, '/v1/refunds', { json: { order_id: `o${k}`, unique_request_id: 'same', amount: '10.00' } }),
    );
    await lock.waiting(2);
    await lock.release();
    await Promise.all([step, ...singles]);
    await steps(api);
    expect((await perOrder()).map(({ n }) => n)).toEqual(Array(ORDERS).fill(1));
    const { body } = await get(api, id);
    expect(body.rows.made + body.rows.refused).toBe(ORDERS);
  });

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

  test('that is said in time and heard too late approves nothing', async () => {
    await orders(2);
    await call(api, '/v1/settings', {
      method: 'PATCH',
      json: { batch_approval: true, batch_approval_hours: 1 },
    });
    await addPerson(api.db, { role: 'operations', email: 'checker@shop.test' });
    const checker = as(await signedIn(api, 'checker@shop.test'));
    const { body: batch } = await upload(api, rows('a', '10.00', 2));
    const id = batch.batch_id;
    const totals = { INR: '20.00' };
    await post(api, id, 'confirm', { totals });
    clock.pass(59 * 60_000);
    const lock = await held(lockOf(id));
    const approval = say(id, 'approve', { totals, file_sha256: batch.file.sha256 }, checker);
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
    await call(api, '/v1/settings', { method: 'PATCH', json: { batch_approval: true } });
    await addPerson(api.db, { role: 'operations', email: 'checker@shop.test' });
    const checker = as(await signedIn(api, 'checker@shop.test'));
    const { body: batch } = await upload(api, rows('a', '10.00', 2));
    const id = batch.batch_id;
    const totals = { INR: '20.00' };
    await post(api, id, 'confirm', { totals });
    const lock = await held(lockOf(id));
    const both = [1, 2].map(() => say(id, 'approve', { totals, file_sha256: batch.file.sha256 }, checker));
    await lock.waiting(2);
    await lock.release();
    expect(statuses(await Promise.all(both))).toEqual([200, 409]);
    await steps(api);
    expect(await api.db.query('select 1 from refunds')).toHaveLength(2);
    expect((await kindsOf(id)).filter((kind) => kind === 'started')).toHaveLength(1);
  });
});
