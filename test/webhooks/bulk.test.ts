import { expect, test, vi } from 'vitest';
import type { Database } from '../../src/lib/db.ts';
import { newId } from '../../src/lib/ids.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { LEASE_MS } from '../../src/webhooks/deliver.ts';
import { FRESH } from '../../src/webhooks/pace.ts';
import { resendDelivery } from '../../src/webhooks/resend.ts';
import {
  type ClaimedDelivery,
  claimDue,
  markSpread,
  notifyBatch,
  type Places,
  takeNotifications,
} from '../../src/webhooks/store.ts';
import { engineDeps, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';
import { openScene, type Scene, startReceiver, status } from './support.ts';

const until = <Value>(check: () => Value | Promise<Value>) =>
  vi.waitFor(check, { timeout: 60_000, interval: 20 });

/** As `change` writes it, for as many new orders: told of a minute ago. */
async function changeMany(scene: Scene, count: number, bulk: boolean): Promise<void> {
  const at = new Date(scene.clock.now().getTime() - 60_000);
  await scene.db.query(
    `with made as (
       insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, event_seq,
         created_at, updated_at)
       select 'acme', 'bulk-' || $1 || '-' || n, gen_random_uuid(), 'CHARGED', 100, 'INR', 2, 1, $2, $2
       from generate_series(1, $3::int) n
       returning order_id)
     insert into notifications (merchant_id, order_id, notification_id, event_name, event_seq, bulk, created_at,
       spread_at)
     select 'acme', order_id, gen_random_uuid(), 'ORDER_REFUNDED', 1, $4, $2, $2 from made`,
    [newId(), at, count, bulk],
  );
}

/** Deliveries of changes of that many new orders, spread long ago. */
async function waitAt(db: Database, lane: string, count: number, input: { bulk: boolean; at: Date }) {
  await db.query(
    `with told as (
       insert into notifications (merchant_id, order_id, notification_id, event_name, event_seq, bulk, created_at)
       select 'acme', 'waits-' || $5 || '-' || n, gen_random_uuid(), 'ORDER_REFUNDED', 1, $3, $4
       from generate_series(1, $2::int) n
       returning *)
     insert into deliveries (merchant_id, order_id, delivery_id, notification_id, event_name, endpoint_id, lane, bulk,
       state, next_try_at, created_at, updated_at)
     select merchant_id, order_id, gen_random_uuid(), notification_id, event_name, $1, $1, bulk, 'pending', $4, $4, $4
     from told`,
    [lane, count, input.bulk, input.at, newId()],
  );
}

function claim(
  scene: Scene,
  input: { free?: Places; limit?: Places; bulkFirst?: boolean } = {},
): Promise<ClaimedDelivery[]> {
  const now = scene.clock.now();
  return claimDue(scene.db, {
    now,
    leaseUntil: new Date(now.getTime() + LEASE_MS),
    tryId: newId(),
    free: new Map(),
    otherwiseFree: input.free ?? FRESH,
    limit: input.limit ?? { any: 512, bulk: 384 },
    bulkFirst: input.bulkFirst ?? false,
  });
}

test('a single refund is told of at once while 5,000 messages of a batch wait', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url, events: ['ORDER_REFUNDED'] });
  await scene.db.query("update webhook_endpoints set created_at = created_at - interval '1 hour'");
  await changeMany(scene, 5_000, true);
  const single = await scene.addOrder();
  await scene.change(single, 'ORDER_REFUNDED');
  scene.startWorker();
  const tryOf = async () =>
    (
      await scene.db.query<{ try_id: string }>('select try_id from delivery_tries where order_id = $1', [
        single,
      ])
    )[0];
  await until(async () => expect(await tryOf()).toBeDefined());
  // It was in the first claim that took anything: the id of a claim is made when it begins.
  const first = await tryOf();
  const before = await scene.db.query<{ try_id: string }>(
    'select distinct try_id from delivery_tries where try_id < $1',
    [first!.try_id],
  );
  expect(before).toEqual([]);

  // One that comes amidst them waits for none of those that have not begun.
  await until(() => expect(receiver.received.length).toBeGreaterThan(200));
  const late = await scene.addOrder();
  await scene.change(late, 'ORDER_REFUNDED');
  await until(() =>
    expect(receiver.received.some(({ body }) => body.content.order.order_id === late)).toBe(true),
  );
  expect(receiver.received.length).toBeLessThan(5_000);
  await until(() => expect(receiver.received).toHaveLength(5_002));
}, 120_000);

test('what tells of a refund of a batch is bulk from its first message to its last', async () => {
  const scene = await openScene();
  await merchantWithAccount(scene.db);
  const engine = engineDeps(scene.db);
  for (const [orderId, batchId] of [
    ['of-a-batch', newId()],
    ['of-its-own', null],
  ] as const) {
    await putOrder(scene.db, { orderId, amountMinor: 5_000 });
    const [made] = await recordRefunds(engine, [
      refundRequest({
        orderId,
        uniqueRequestId: 'r',
        amount: '10',
        batchId,
        batchRow: batchId === null ? null : 1,
      }),
    ]);
    if (!made?.ok) throw new Error('refused');
    const cause = { by: 'api', key: 'test', request_id: 'r' } as const;
    await cancelRefund(engine, 'acme', made.refund.refundId, { reason: 'a test', cause });
  }
  expect(
    await scene.db.query(
      'select order_id, event_name, bulk, batch_id from notifications order by 1, event_seq',
    ),
  ).toEqual([
    { order_id: 'of-a-batch', event_name: 'REFUND_INITIATED', bulk: true, batch_id: null },
    { order_id: 'of-a-batch', event_name: 'ORDER_REFUND_FAILED', bulk: true, batch_id: null },
    { order_id: 'of-its-own', event_name: 'REFUND_INITIATED', bulk: false, batch_id: null },
    { order_id: 'of-its-own', event_name: 'ORDER_REFUND_FAILED', bulk: false, batch_id: null },
  ]);
});

test('a delivery is bulk when its notification is', async () => {
  const scene = await openScene();
  await scene.addEndpoint({ url: 'http://127.0.0.1:9/', events: ['ORDER_REFUNDED'] });
  for (const bulk of [true, false]) {
    await scene.change(await scene.addOrder({ orderId: `bulk-${bulk}` }), 'ORDER_REFUNDED', { bulk });
  }
  scene.startWorker();
  await until(async () => expect(await scene.deliveries()).toHaveLength(2));
  const rows = await scene.db.query('select order_id, bulk from deliveries order by order_id');
  expect(rows).toEqual([
    { order_id: 'bulk-false', bulk: false },
    { order_id: 'bulk-true', bulk: true },
  ]);
});

test('while single notifications fill every slice, bulk ones keep a share of it', async () => {
  const scene = await openScene();
  await changeMany(scene, 2_000, false);
  await changeMany(scene, 100, true);
  let slices = 0;
  const bulkLeft = async () =>
    (
      await scene.db.query<{ bulk: number; single: number }>(
        `select count(*) filter (where bulk) as bulk, count(*) filter (where not bulk) as single
         from notifications where spread_at is not null`,
      )
    )[0]!;
  for (let left = await bulkLeft(); left.bulk > 0; left = await bulkLeft(), slices++) {
    expect(left.single).toBeGreaterThan(0);
    const taken = await takeNotifications(scene.db, scene.clock.now(), { single: 450, limit: 500 });
    await markSpread(scene.db, taken);
  }
  expect(slices).toBe(2);
  expect((await bulkLeft()).single).toBe(1_100);
});

test('in a lane single ones go first, bulk ones fill what is left, and have their turn', async () => {
  const scene = await openScene();
  const { endpoint } = await scene.addEndpoint({ url: 'https://shop.example.com/hook' });
  const lane = endpoint.endpointId;
  const now = scene.clock.now();
  await waitAt(scene.db, lane, 20, { bulk: true, at: new Date(now.getTime() - 3_600_000) });
  await waitAt(scene.db, lane, 20, { bulk: false, at: now });
  const kinds = async (input: Parameters<typeof claim>[1]) => {
    const claimed = await claim(scene, input);
    return [claimed.filter((d) => !d.bulk).length, claimed.filter((d) => d.bulk).length];
  };
  expect(await kinds({ free: { any: 8, bulk: 6 } })).toEqual([8, 0]);
  expect(await kinds({ free: { any: 8, bulk: 6 }, bulkFirst: true })).toEqual([4, 4]);
  expect(await kinds({ free: { any: 1, bulk: 1 }, bulkFirst: true })).toEqual([0, 1]);
  expect(await kinds({ free: { any: 9, bulk: 6 } })).toEqual([8, 1]);
  expect(await kinds({ free: { any: 8, bulk: 6 } })).toEqual([0, 6]);
  expect(await kinds({ free: { any: 8, bulk: 6 }, limit: { any: 8, bulk: 1 } })).toEqual([0, 1]);
  expect(await kinds({ free: { any: 8, bulk: 0 } })).toEqual([0, 0]);
});

test('few places go to the single ones of all lanes before any bulk one', async () => {
  const scene = await openScene();
  const now = scene.clock.now();
  const lanes: string[] = [];
  for (let n = 0; n < 6; n++) {
    const { endpoint } = await scene.addEndpoint({ url: `https://shop${n}.example.com/hook` });
    lanes.push(endpoint.endpointId);
    await waitAt(scene.db, endpoint.endpointId, 10, { bulk: true, at: new Date(now.getTime() - 1_000) });
  }
  for (const lane of lanes.slice(3)) await waitAt(scene.db, lane, 1, { bulk: false, at: now });
  const claimed = await claim(scene, { limit: { any: 3, bulk: 3 } });
  expect(claimed.map(({ lane, bulk }) => ({ lane, bulk })).sort(byLane)).toEqual(
    lanes
      .slice(3)
      .map((lane) => ({ lane, bulk: false }))
      .sort(byLane),
  );
});

const byLane = (a: { lane: string }, b: { lane: string }) => (a.lane < b.lane ? -1 : 1);

test('of one order, single and bulk messages go one at a time too, and none is left', async () => {
  const scene = await openScene();
  const underWay = new Set<string>();
  let overlaps = 0;
  const told = new Map<string, number[]>();
  const receiver = await startReceiver((response, { body }, count) => {
    const { order_id: orderId } = body.content.order;
    if (underWay.has(orderId)) overlaps++;
    underWay.add(orderId);
    told.set(orderId, [...(told.get(orderId) ?? []), body.sequence]);
    setTimeout(
      () => {
        underWay.delete(orderId);
        response.end();
      },
      (count * 7) % 19,
    );
  });
  await scene.addEndpoint({ url: receiver.url });
  const orders = await Promise.all([1, 2, 3].map(() => scene.addOrder()));
  const workers = [scene.startWorker(), scene.startWorker()];
  for (let n = 0; n < 20; n++) {
    await Promise.all(orders.map((id, k) => scene.change(id, 'ORDER_REFUNDED', { bulk: (n + k) % 3 !== 0 })));
    scene.clock.advance(1);
    for (const worker of workers) worker.wake();
  }
  await until(async () => {
    for (const worker of workers) worker.wake();
    expect((await scene.deliveries()).filter((d) => d.state === 'delivered')).toHaveLength(60);
  });
  expect(overlaps).toBe(0);
  for (const sequences of told.values()) {
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(sequences.at(-1)).toBe(20);
  }
});

test('a bulk message that waits for its next try holds up nothing, nor does a single one', async () => {
  const scene = await openScene();
  const receiver = await startReceiver(status(500));
  await scene.addEndpoint({ url: receiver.url });
  const orderId = await scene.addOrder();
  await scene.change(orderId, 'ORDER_REFUNDED', { bulk: false });
  const worker = scene.startWorker();
  await until(async () => expect((await scene.deliveries())[0]?.last_outcome).toBe('refused_status'));
  await scene.change(orderId, 'ORDER_REFUNDED', { bulk: true });
  worker.wake();
  await until(() => expect(receiver.received).toHaveLength(2));
});

test('a bulk message that a person sends again is no longer one', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED', { bulk: true });
  scene.startWorker();
  await until(async () => expect((await scene.deliveries())[0]?.state).toBe('delivered'));
  const [delivery] = await scene.deliveries();
  await resendDelivery({ ...scene, wake: () => undefined }, 'acme', delivery!.delivery_id);
  expect(await scene.db.query('select bulk from deliveries')).toEqual([{ bulk: false }]);
});

test('with 100,000 bulk messages at one endpoint a claim reads what it takes and little more', async () => {
  const scene = await openScene();
  const { endpoint } = await scene.addEndpoint({ url: 'https://shop.example.com/hook' });
  const lane = endpoint.endpointId;
  const now = scene.clock.now();
  await waitAt(scene.db, lane, 100_000, { bulk: true, at: new Date(now.getTime() - 3_600_000) });
  await waitAt(scene.db, lane, 3, { bulk: false, at: now });
  await scene.db.query(
    `insert into notifications (merchant_id, order_id, notification_id, event_name, event_seq, bulk, created_at, spread_at)
     select 'acme', 'n-' || n, gen_random_uuid(), 'ORDER_REFUNDED', 1, true, $1, $1 from generate_series(1, 100000) n`,
    [now],
  );
  const read = async () => {
    // A connection hands in its counts when it has been idle for a moment, or is asked to.
    await scene.db.query('select pg_stat_force_next_flush()').catch(() => undefined);
    const [row] = await scene.db.query<{ scans: number; rows: number }>(
      `select sum(seq_scan)::int as scans, sum(seq_tup_read + idx_tup_fetch)::int as rows from pg_stat_user_tables
       where relname in ('deliveries', 'notifications')`,
    );
    return row!;
  };
  for (const analyzed of [false, true]) {
    if (analyzed) await scene.db.query('analyze deliveries, notifications');
    const before = await settledCounts(read);
    for (let n = 0; n < 5; n++) expect((await claim(scene)).length).toBeGreaterThanOrEqual(6);
    await takeNotifications(scene.db, now, { single: 450, limit: 500 });
    const after = await settledCounts(read);
    expect(after.scans - before.scans, `analyzed ${analyzed}`).toBe(0);
    expect(after.rows - before.rows, `analyzed ${analyzed}`).toBeLessThan(5_000);
  }
}, 120_000);

/** Counts of the database, once they stand still. */
async function settledCounts(
  read: () => Promise<{ scans: number; rows: number }>,
): Promise<{ scans: number; rows: number }> {
  let last = await read();
  for (let same = 0; same < 4; ) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const next = await read();
    same = next.scans === last.scans && next.rows === last.rows ? same + 1 : 0;
    last = next;
  }
  return last;
}

test('a batch is told of to who asked, as it is when the message is sent', async () => {
  const scene = await openScene();
  const [asked, silent] = [await startReceiver(), await startReceiver()];
  await scene.addEndpoint({ url: asked.url, events: ['BATCH_CHECKED', 'BATCH_FINISHED'] });
  await scene.addEndpoint({ url: silent.url });
  const batchId = newId();
  const tell = (eventName: 'BATCH_CHECKED' | 'BATCH_STARTED' | 'BATCH_FINISHED', eventSeq: number) =>
    notifyBatch(scene.db, { merchantId: 'acme', batchId, eventName, eventSeq, now: scene.clock.now() });
  let batchNow = { status: 'checked', sequence: 1 };
  const worker = scene.startWorker({
    renderBatch: async (merchantId, id) => ({
      batch: { batch_id: id, merchant: merchantId, status: batchNow.status },
      sequence: batchNow.sequence,
    }),
  });
  await tell('BATCH_CHECKED', 1);
  worker.wake();
  await until(() => expect(asked.received).toHaveLength(1));
  batchNow = { status: 'finished', sequence: 9 };
  await tell('BATCH_STARTED', 5);
  await tell('BATCH_FINISHED', 9);
  worker.wake();
  await until(() => expect(asked.received).toHaveLength(2));
  expect(asked.received.map(({ body }) => body)).toEqual([
    {
      id: expect.stringMatching(/^evt_V2_[0-9a-f]{32}$/),
      event_name: 'BATCH_CHECKED',
      date_created: expect.any(String),
      sequence: 1,
      content: { batch: { batch_id: batchId, merchant: 'acme', status: 'checked' } },
    },
    expect.objectContaining({
      event_name: 'BATCH_FINISHED',
      sequence: 9,
      content: { batch: { batch_id: batchId, merchant: 'acme', status: 'finished' } },
    }),
  ]);
  expect(silent.received).toEqual([]);
});

test('a message about a batch that is gone is given up with its reason', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url, events: ['BATCH_CHECKED'] });
  await notifyBatch(scene.db, {
    merchantId: 'acme',
    batchId: newId(),
    eventName: 'BATCH_CHECKED',
    eventSeq: 1,
    now: scene.clock.now(),
  });
  scene.startWorker({ renderBatch: async () => null });
  await until(async () =>
    expect((await scene.deliveries()).map((d) => [d.state, d.last_outcome])).toEqual([
      ['given_up', 'batch_missing'],
    ]),
  );
});
