import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkpointHash, createSealer, sealEvents } from '../../src/audit/checkpoint.ts';
import { AUDIT_CLEAN, AUDIT_TAMPERED, parseWitness, printAudit } from '../../src/audit/print.ts';
import { type AuditFault, verifyAudit, type Witness } from '../../src/audit/verify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createVault } from '../../src/lib/vault.ts';
import { createOrder } from '../../src/orders/create.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import type { RefundState } from '../../src/refunds/states.ts';
import { writeChanges } from '../../src/refunds/store.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';

const vault = createVault(Buffer.alloc(32, 7));
const log = createLogger('silent');
let fresh: FreshDatabase;

beforeEach(async () => {
  fresh = await freshDatabase();
  for (const merchantId of ['ada', 'bob']) {
    await merchantWithAccount(fresh.db, { merchantId });
    for (const orderId of ['A-1', 'A-2', 'B-1']) await refundedOrder(merchantId, orderId);
  }
});
afterEach(() => fresh.drop());

describe('an untouched trail', () => {
  test('is clean before and after sealing, and while only a part is sealed', async () => {
    expect(await faults()).toEqual([]);
    expect(await seal()).toBe(6);
    expect(await faults()).toEqual([]);
    await refundedOrder('ada', 'C-1');
    expect(await faults()).toEqual([]);
    expect(await seal()).toBe(1);
    expect(await seal()).toBe(0);
    const report = await verifyAudit(fresh.db, vault);
    // 7 orders, each with one refund and the events created, recorded, sending, succeeded.
    expect(report).toMatchObject({ orders: 7, events: 28, refunds: 7, checkpoints: 3, faults: 0 });
    expect(report.newest.map(({ merchantId, checkpointNo }) => [merchantId, checkpointNo])).toEqual([
      ['ada', 2],
      ['bob', 1],
    ]);
  });

  test('stays clean over more orders and events than one page holds', async () => {
    await fresh.db.query(
      `with bodies as (
         select 'X' || n as order_id, event_body('bob', 'X' || n, 1, $1, 'order.created', null, null, 'NEW', '{"by":"api"}', null) as body
         from generate_series(1, 1200) n
       ), made as (
         insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, event_seq,
           event_hash, created_at, updated_at)
         select 'bob', order_id, gen_random_uuid(), 'NEW', 100, 'INR', 2, 1, event_hash('', body), $1, $1 from bodies
       )
       insert into events select 'bob', order_id, 1, $1, body, event_hash('', body) from bodies`,
      [new Date()],
    );
    await longOrder('ada', 'LONG', 4500);
    expect(await faults()).toEqual([]);
    expect(await seal()).toBe(1207);
    const report = await verifyAudit(fresh.db, vault);
    expect(report).toMatchObject({ orders: 1207, events: 24 + 1200 + 4500, checkpoints: 3, faults: 0 });
  });

  test('is checked for one merchant alone', async () => {
    await seal();
    await tamper(`update events set body = body || '{"kind":"other"}' where merchant_id = 'bob' and seq = 1`);
    expect(await verifyAudit(fresh.db, vault, { merchantId: 'ada' })).toMatchObject({ orders: 3, faults: 0 });
    expect((await verifyAudit(fresh.db, vault)).faults).toBe(3);
  });
});

describe('the schema itself refuses', () => {
  test.each([
    `update events set body = '{}'`,
    'delete from events',
    'truncate events',
    `update audit_checkpoints set sealed_at = sealed_at + interval '1 day'`,
    'delete from audit_checkpoints',
    'truncate audit_checkpoints',
    'delete from refunds',
  ])('%s', async (statement) => {
    await seal();
    await expect(fresh.db.query(statement)).rejects.toThrow(/only ever inserted|referenced in a foreign key/);
  });
});

describe('what a superuser does behind its back shows', () => {
  test('a changed event', async () => {
    await tamper(
      `update events set body = jsonb_set(body, '{evidence,amount_minor}', '1') where ${event('ada', 'A-1', 2)}`,
    );
    expect(await faults()).toEqual([
      { ...at('A-1', 2), sentence: expect.stringMatching(/does not fit its hash/) },
      { ...at('A-1', 4), sentence: expect.stringMatching(/is over 25\.00 INR; .* recorded over 0\.01 INR/) },
    ]);
  });

  test('a changed event whose chain was computed anew to the end, by the checkpoint', async () => {
    await tamper(
      `update events set body = jsonb_set(body, '{evidence,reason}', '"forged"') where ${event('ada', 'A-1', 2)}`,
    );
    await rechain('ada', 'A-1');
    // Not yet sealed: the last minute is all that can be rewritten.
    expect(await faults()).toEqual([]);
    await seal();
    await tamper(
      `update events set body = jsonb_set(body, '{evidence,reason}', '"forged again"') where ${event('ada', 'A-1', 2)}`,
    );
    await rechain('ada', 'A-1');
    expect(await faults()).toEqual([
      { ...at('A-1', 4), checkpointNo: 1, sentence: expect.stringMatching(/history was rewritten/) },
    ]);
  });

  test('a deleted event', async () => {
    await tamper(`delete from events where ${event('ada', 'A-1', 2)}`);
    expect(await faults()).toEqual([
      { ...at('A-1', 3), sentence: 'Event 2 is missing.' },
      { ...at('A-1', 4), sentence: expect.stringMatching(/recorded over no amount/) },
    ]);
  });

  test('a deleted event whose followers moved up', async () => {
    await tamper(`delete from events where ${event('ada', 'A-1', 3)}`);
    await tamper(`update events set seq = 3 where ${event('ada', 'A-1', 4)}`);
    expect(await sentences()).toEqual([
      expect.stringMatching(/does not fit its hash/),
      "The event's content says seq 4, its row 3.",
      "The order's head stands at event 4, its events end at 3.",
      expect.stringMatching(/names event 4 as its last; it is 3/),
    ]);
  });

  test('two events that changed places', async () => {
    await tamper(`update events set seq = 99 where ${event('ada', 'A-1', 2)}`);
    await tamper(`update events set seq = 2 where ${event('ada', 'A-1', 3)}`);
    await tamper(`update events set seq = 3 where ${event('ada', 'A-1', 99)}`);
    expect(await sentences()).toEqual([
      expect.stringMatching(/does not fit its hash/),
      "The event's content says seq 3, its row 2.",
      expect.stringMatching(/does not fit its hash/),
      "The event's content says seq 2, its row 3.",
      expect.stringMatching(/does not fit its hash/),
    ]);
  });

  test('a cut tail, by the head; with the head set back, by the refund and the checkpoint', async () => {
    await seal();
    await tamper(`delete from events where ${event('ada', 'A-1', 4)}`);
    expect(await sentences()).toContain("The order's head stands at event 4, its events end at 3.");
    await tamper(
      `update orders o set event_seq = 3, event_hash = e.hash, sealed_seq = 3 from events e
       where o.merchant_id = 'ada' and o.order_id = 'A-1' and e.merchant_id = 'ada' and e.order_id = 'A-1' and e.seq = 3`,
    );
    expect(await faults()).toEqual([
      { ...at('A-1', 3), sentence: expect.stringMatching(/is succeeded, its last event says sending/) },
      { ...at('A-1', 3), sentence: expect.stringMatching(/names event 4 as its last; it is 3/) },
      { ...at('A-1', 4), checkpointNo: 1, sentence: expect.stringMatching(/Event 4, .* is gone/) },
      { ...at('A-1', 3), sentence: expect.stringMatching(/counts as sealed up to event 3/) },
    ]);
  });

  test('an order that is gone with all that hangs on it', async () => {
    await seal();
    for (const table of ['refunds', 'transactions', 'events', 'notifications', 'orders']) {
      await tamper(`delete from ${table} where merchant_id = 'ada' and order_id = 'A-2'`);
    }
    expect(await faults()).toEqual([
      {
        ...at('A-2', 4),
        checkpointNo: 1,
        sentence: 'Event 4, which the checkpoint seals, is gone, and the order with it.',
      },
    ]);
  });

  test('an order that is gone while its events stayed', async () => {
    await tamper(`delete from orders where merchant_id = 'ada' and order_id = 'A-2'`);
    expect(await faults()).toEqual([
      { ...at('A-2', 1), sentence: 'There are events, but the order is gone.' },
    ]);
    await tamper(`delete from orders where merchant_id = 'ada' and order_id = 'B-1'`);
    expect((await faults()).map((fault) => fault.orderId)).toEqual(['A-2', 'B-1']);
  });

  test('an event that was put in', async () => {
    await tamper(
      `insert into events select merchant_id, order_id, 5, at, body || '{"seq":5}', hash from events where ${event('ada', 'A-1', 4)}`,
    );
    expect(await sentences()).toEqual([
      expect.stringMatching(/does not fit its hash/),
      "The order's head stands at event 4, its events end at 5.",
      expect.stringMatching(/names event 4 as its last; it is 5/),
    ]);
  });

  test('an event whose content is no object', async () => {
    await tamper(`update events set body = 'null' where ${event('ada', 'A-1', 4)}`);
    expect(await sentences()).toContainEqual(expect.stringMatching(/content says merchant_id undefined/));
  });

  test('columns that say another time or place than the content', async () => {
    await tamper(`update events set at = at + interval '1 microsecond' where ${event('ada', 'A-1', 1)}`);
    expect(await faults()).toEqual([
      { ...at('A-1', 1), sentence: expect.stringMatching(/content says at .*Z, its row .*Z/) },
    ]);
  });

  test('a refund set to another state, amount or event, or taken away', async () => {
    await tamper(`update refunds set state = 'failed' where merchant_id = 'ada' and order_id = 'A-1'`);
    await tamper(`update refunds set amount_minor = 9900 where merchant_id = 'ada' and order_id = 'A-2'`);
    await tamper(`delete from refunds where merchant_id = 'ada' and order_id = 'B-1'`);
    expect(await faults()).toEqual([
      { ...at('A-1', 4), sentence: expect.stringMatching(/is failed, its last event says succeeded/) },
      { ...at('A-2', 4), sentence: expect.stringMatching(/is over 99\.00 INR; .* recorded over 25\.00 INR/) },
      { ...at('B-1', 4), sentence: expect.stringMatching(/has events, but is gone/) },
      {
        ...at('A-1', null),
        sentence: expect.stringMatching(/holds 25\.00 INR .* come to 0\.00 INR of the 100\.00 INR/),
      },
      {
        ...at('A-2', null),
        sentence: expect.stringMatching(/holds 25\.00 INR .* come to 99\.00 INR of the 100\.00 INR/),
      },
      {
        ...at('B-1', null),
        sentence: expect.stringMatching(/holds 25\.00 INR .* come to 0\.00 INR of the 100\.00 INR/),
      },
    ]);
  });

  test('a refund without any event', async () => {
    await tamper(`insert into refunds select (jsonb_populate_record(r, jsonb_build_object(
      'refund_id', gen_random_uuid(), 'unique_request_id', 'smuggled'))).* from refunds r
      where merchant_id = 'ada' and order_id = 'A-1'`);
    expect(await sentences()).toEqual([
      expect.stringMatching(/^Refund .* has no event/),
      expect.stringMatching(/holds 25\.00 INR .* come to 50\.00 INR/),
    ]);
  });

  test('a checkpoint with another content, and one computed anew without the key', async () => {
    await seal();
    const forged = (
      await fresh.db.query<{ orders: unknown[] }>(
        `select orders from audit_checkpoints where merchant_id = 'ada'`,
      )
    )[0]!.orders.slice(1);
    await tamper(
      `update audit_checkpoints set orders = '${JSON.stringify(forged)}' where merchant_id = 'ada'`,
    );
    expect(await faults()).toEqual([
      { ...nowhere, checkpointNo: 1, sentence: expect.stringMatching(/does not fit its hash/) },
      { ...at('A-1', 4), sentence: expect.stringMatching(/counts as sealed up to event 4 .* none does/) },
    ]);
    const [row] = await fresh.db.query<{ sealedAt: Date }>(
      `select sealed_at as "sealedAt" from audit_checkpoints where merchant_id = 'ada'`,
    );
    const hash = checkpointHash(Buffer.alloc(0), {
      merchantId: 'ada',
      checkpointNo: 1,
      sealedAt: row!.sealedAt,
      orders: forged as never,
    });
    await tamper(
      `update audit_checkpoints set hash = '\\x${hash.toString('hex')}' where merchant_id = 'ada'`,
    );
    await unseal('ada', 'A-1');
    expect(await faults()).toEqual([
      {
        ...nowhere,
        checkpointNo: 1,
        sentence: 'The seal of the checkpoint was not made with this master key.',
      },
    ]);
  });

  test('an order that is kept from being sealed', async () => {
    await tamper(`delete from unsealed_orders where merchant_id = 'ada' and order_id = 'A-1'`);
    expect(await faults()).toEqual([
      { ...at('A-1', 1), sentence: expect.stringMatching(/after event 0, but is not among those that wait/) },
    ]);
  });

  test('a checkpoint that is no list, without stopping the check', async () => {
    await seal();
    await tamper(`update audit_checkpoints set orders = '[["A-1", "x"]]' where merchant_id = 'ada'`);
    expect(await sentences()).toEqual([
      'The content of the checkpoint was changed: it is no list of orders.',
    ]);
  });

  test('a checkpoint taken out of the row, or from its end', async () => {
    await seal();
    for (const orderId of ['C-1', 'C-2']) {
      await refundedOrder('ada', orderId);
      await seal();
    }
    const { newest } = await verifyAudit(fresh.db, vault, { merchantId: 'ada' });
    const [copy] = await fresh.db.query<{ row: unknown }>(
      `select to_jsonb(c) as row from audit_checkpoints c where merchant_id = 'ada' and checkpoint_no = 2`,
    );
    await tamper(`delete from audit_checkpoints where merchant_id = 'ada' and checkpoint_no = 2`);
    expect(await faults()).toEqual([
      { ...nowhere, checkpointNo: 3, sentence: 'Checkpoint 2 is missing.' },
      { ...at('C-1', 4), sentence: expect.stringMatching(/none does/) },
    ]);
    await tamper(
      `insert into audit_checkpoints select (jsonb_populate_record(null::audit_checkpoints, '${JSON.stringify(copy!.row)}')).*`,
    );
    expect(await faults()).toEqual([]);

    await tamper(`delete from audit_checkpoints where merchant_id = 'ada' and checkpoint_no = 3`);
    expect(await faults()).toEqual([{ ...at('C-2', 4), sentence: expect.stringMatching(/none does/) }]);
    // Covering that up leaves no trace inside the database: what was noted down outside tells.
    await unseal('ada', 'C-2');
    expect(await faults()).toEqual([]);
    expect(await faults(newest)).toEqual([
      { ...nowhere, checkpointNo: 3, sentence: 'The checkpoint was noted down, but is gone.' },
    ]);
    await seal();
    expect((await faults(newest)).map((fault) => fault.sentence)).toEqual([
      expect.stringMatching(/was noted down with the hash/),
    ]);
  });

  test('everything, to who has another master key', async () => {
    await seal();
    const found: AuditFault[] = [];
    await verifyAudit(fresh.db, createVault(Buffer.alloc(32, 8)), { onFault: (fault) => found.push(fault) });
    expect(found.map((fault) => fault.sentence)).toEqual([
      'The seal of the checkpoint was not made with this master key.',
      'The seal of the checkpoint was not made with this master key.',
    ]);
  });
});

describe('sealing', () => {
  test('two at once seal each order once, and the chain holds', async () => {
    const counts = await Promise.all([seal(), seal(), seal()]);
    const rest = await seal();
    expect(counts.reduce((a, b) => a + b, rest)).toBe(6);
    expect(await faults()).toEqual([]);
  });

  test('leaves out an order that is being changed, and takes it the next time', async () => {
    const busy = await fresh.db.connect();
    await busy.query('begin');
    await busy.query(`select 1 from orders where merchant_id = 'ada' and order_id = 'A-1' for no key update`);
    expect(await seal()).toBe(5);
    await busy.query('rollback');
    busy.release();
    expect(await seal()).toBe(1);
    expect(await faults()).toEqual([]);
  });

  test('goes on while refunds are recorded, and nothing looks tampered with', async () => {
    const traffic = (async () => {
      for (let n = 0; n < 20; n++) {
        await Promise.all(['ada', 'bob'].map((merchantId) => refundedOrder(merchantId, `N-${n}`)));
      }
      return 'over';
    })();
    let state: string;
    do {
      await seal();
      expect(await faults()).toEqual([]);
      state = await Promise.race([traffic, 'going on']);
    } while (state !== 'over');
    await seal();
    expect(await faults()).toEqual([]);
    const [left] = await fresh.db.query<{ n: number }>(
      'select count(*) as n from orders where sealed_seq < event_seq',
    );
    expect(left!.n).toBe(0);
  });

  test('starts by itself in a worker, and is not hurried by every event', async () => {
    const sealer = createSealer({ db: fresh.db, clock: systemClock, vault, log });
    sealer.start();
    await expect.poll(() => newestNo(), { timeout: 30_000 }).toBe(1);
    await refundedOrder('ada', 'C-1');
    sealer.wake();
    await sealer.stop();
    expect(await newestNo()).toBe(1);
  });
});

describe('the command', () => {
  test('says that all is well, and names the newest checkpoints in the form it takes as a witness', async () => {
    await seal();
    const { status, text } = await run();
    expect(status).toBe(AUDIT_CLEAN);
    expect(text).toMatch(/^Checked 6 orders, 24 events, 6 refunds and 2 checkpoints\.$/m);
    const named = [...text.matchAll(/^Newest checkpoint: (.*)$/gm)].map((match) => parseWitness(match[1]!)!);
    expect(named.map((witness) => witness.merchantId)).toEqual(['ada', 'bob']);
    expect((await run({ witnesses: named })).status).toBe(AUDIT_CLEAN);
    expect((await run({ witnesses: [{ ...named[0]!, checkpointNo: 9 }] })).status).toBe(AUDIT_TAMPERED);
  });

  test('prints each fault with its place and exits with 3', async () => {
    await tamper(`delete from events where ${event('ada', 'A-1', 3)}`);
    const { status, text } = await run();
    expect(status).toBe(AUDIT_TAMPERED);
    expect(text).toMatch(/^merchant ada, order A-1, event 4: Event 3 is missing\.$/m);
    expect(text).toMatch(/^1 fault: this data was changed/m);
  });

  test('prints no more than a person reads', async () => {
    await longOrder('ada', 'LONG', 500);
    await tamper(`update events set hash = '\\x00' where order_id = 'LONG'`);
    const { text } = await run();
    expect(text.split('\n').filter((line) => line.startsWith('merchant ')).length).toBe(200);
    expect(text).toMatch(/^… and 301 more faults$/m);
    expect(text).toMatch(/^501 faults: /m);
  });

  test('does not call a merchant clean that does not exist', async () => {
    await expect(run({ merchantId: 'nobody' })).rejects.toThrow('There is no merchant nobody');
  });

  test.each(['', 'ada', 'ada:1', 'ada:0:00', `ada:1:${'0'.repeat(63)}`, `a b:1:${'0'.repeat(64)}`])(
    'takes no witness %j',
    (text) => {
      expect(parseWitness(text)).toBeNull();
    },
  );
});

// ---------------------------------------------------------------------------------------------------------

const nowhere = { merchantId: 'ada', orderId: null, seq: null };

function at(orderId: string, seq: number | null) {
  return { merchantId: 'ada', orderId, seq, checkpointNo: null };
}

function event(merchantId: string, orderId: string, seq: number): string {
  return `merchant_id = '${merchantId}' and order_id = '${orderId}' and seq = ${seq}`;
}

async function faults(witnesses: readonly Witness[] = []): Promise<AuditFault[]> {
  const found: AuditFault[] = [];
  await verifyAudit(fresh.db, vault, { witnesses, onFault: (fault) => found.push(fault) });
  return found;
}

async function sentences(): Promise<string[]> {
  return (await faults()).map((fault) => fault.sentence);
}

function seal(): Promise<number> {
  return sealEvents({ db: fresh.db, clock: systemClock, vault, log });
}

async function newestNo(): Promise<number | undefined> {
  return (await verifyAudit(fresh.db, vault, { merchantId: 'ada' })).newest[0]?.checkpointNo;
}

/** One statement with every trigger and foreign key switched off, as only a superuser can. */
/** What a forger does who wants an order to be sealed anew. */
async function unseal(merchantId: string, orderId: string): Promise<void> {
  await tamper(
    `update orders set sealed_seq = 0 where merchant_id = '${merchantId}' and order_id = '${orderId}'`,
  );
  await tamper(`insert into unsealed_orders values ('${merchantId}', '${orderId}')`);
}

async function tamper(statement: string): Promise<void> {
  await fresh.db.transaction(async (tx) => {
    await tx.query(`set local session_replication_role = replica`);
    await tx.query(statement);
  });
}

/** What a clever forger does next: every hash of the order and its head computed anew. */
async function rechain(merchantId: string, orderId: string): Promise<void> {
  await tamper(`do $$
    declare
      e record;
      h bytea := '';
    begin
      for e in select seq, body from events where merchant_id = '${merchantId}' and order_id = '${orderId}' order by seq loop
        h := event_hash(h, e.body);
        update events set hash = h where merchant_id = '${merchantId}' and order_id = '${orderId}' and seq = e.seq;
      end loop;
      update orders set event_hash = h where merchant_id = '${merchantId}' and order_id = '${orderId}';
    end $$`);
}

/** An order of 100.00 of which 25.00 went back: events created, recorded, sending, succeeded. */
async function refundedOrder(merchantId: string, orderId: string): Promise<void> {
  await chargedOrder(merchantId, orderId);
  const reason = 'ünïcode “reason” \\ with "quotes"';
  const [outcome] = await recordRefunds(engineDeps(fresh.db), [
    refundRequest({ merchantId, orderId, uniqueRequestId: 'r1', amount: '25', reason }),
  ]);
  if (!outcome?.ok) throw new Error(outcome?.refusal);
  const sending = await move(outcome.refund, 'sending', {});
  await move(sending, 'succeeded', { next_look_at: null, succeeded_at: new Date() });
}

async function chargedOrder(merchantId: string, orderId: string): Promise<void> {
  const created = await createOrder(
    fresh.db,
    systemClock,
    {
      merchantId,
      orderId,
      amountMinor: 10_000,
      currency: 'INR',
      exponent: 2,
      customerId: null,
      customerEmail: null,
      customerPhone: null,
      details: {},
      metadata: {},
    },
    { by: 'api', key: 'test', request_id: 'test' },
  );
  if (!created.ok) throw new Error(created.refusal);
  await putOrder(fresh.db, { merchantId, orderId, amountMinor: 10_000 });
}

async function move(refund: Refund, to: RefundState, set: Record<string, Date | null>): Promise<Refund> {
  const [moved] = await writeChanges(fresh.db, systemClock, [
    {
      refund,
      to,
      set,
      kind: `refund.${to}`,
      evidence: { text: '₹ 25,00 😀' },
      notify: [],
      cause: { by: 'worker', why: 'a test' },
    },
  ]);
  return moved!;
}

async function longOrder(merchantId: string, orderId: string, eventCount: number): Promise<void> {
  await chargedOrder(merchantId, orderId);
  await fresh.db.query(`do $$
    declare
      h bytea;
      b jsonb;
    begin
      select event_hash into h from orders where merchant_id = '${merchantId}' and order_id = '${orderId}';
      for n in 2..${eventCount} loop
        b := event_body('${merchantId}', '${orderId}', n, '2026-01-01', 'order.updated', null, null, null, '{}', null);
        h := event_hash(h, b);
        insert into events values ('${merchantId}', '${orderId}', n, '2026-01-01', b, h);
      end loop;
      update orders set event_seq = ${eventCount}, event_hash = h
      where merchant_id = '${merchantId}' and order_id = '${orderId}';
    end $$`);
}

async function run(options: { merchantId?: string; witnesses?: readonly Witness[] } = {}) {
  let text = '';
  const out = { write: (piece: string) => (text += piece) } as unknown as NodeJS.WritableStream;
  const status = await printAudit(fresh.db, vault, options, out);
  return { status, text };
}
