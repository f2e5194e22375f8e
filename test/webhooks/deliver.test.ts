import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { expect, test, vi } from 'vitest';
import { newId } from '../../src/lib/ids.ts';
import { LEASE_MS } from '../../src/webhooks/deliver.ts';
import { deleteEndpoint, readEndpoint, rotateSecret, updateEndpoint } from '../../src/webhooks/endpoints.ts';
import { FRESH, FRESH_ROOM } from '../../src/webhooks/pace.ts';
import { claimDue, recordTries } from '../../src/webhooks/store.ts';
import {
  afterTest,
  openScene,
  type Received,
  type Receiver,
  type Scene,
  startReceiver,
  status,
} from './support.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Looks again and again until it holds. */
const until = <Value>(check: () => Value | Promise<Value>) =>
  vi.waitFor(check, { timeout: 45_000, interval: 20 });

/** Waits until nothing is left to spread or under way, and every pending delivery waits for a later time. */
async function settled(scene: Scene): Promise<void> {
  await until(async () => {
    const [left] = await scene.db.query<{ count: number }>(
      `select (select count(*) from notifications where spread_at is not null)
            + (select count(*) from deliveries where state = 'pending' and (try_id is not null or next_try_at <= $1))
         as count`,
      [scene.clock.now()],
    );
    expect(left!.count).toBe(0);
  });
}

/** A worker takes what is due, and is never heard of again. */
async function killWorkerAtWork(scene: Scene): Promise<void> {
  const { promise: never, reject } = Promise.withResolvers<never>();
  const worker = scene.startWorker({ renderOrder: () => never });
  afterTest(() => reject(new Error('the test is over')));
  await until(async () => expect((await scene.deliveries()).filter((d) => d.try_id)).toHaveLength(1));
  void worker.stop();
}

test('every endpoint that asked gets the envelope, signed, with its own credentials', async () => {
  const scene = await openScene();
  const [mine, plain, other] = [await startReceiver(), await startReceiver(), await startReceiver()];
  const { signingSecret } = await scene.addEndpoint({
    url: mine.url,
    username: 'shop',
    password: 'pä55:word',
    headers: { 'X-Shop-Key': 'abc 123' },
    events: ['REFUND_INITIATED'],
  });
  await scene.addEndpoint({ url: plain.url, events: ['REFUND_INITIATED', 'ORDER_REFUNDED'] });
  await scene.addEndpoint({ url: other.url, events: ['ORDER_REFUNDED'] });
  await scene.addEndpoint({ url: other.url, events: ['REFUND_INITIATED'] }, 'rival');
  const orderId = await scene.addOrder();
  const notificationId = await scene.change(orderId, 'REFUND_INITIATED', { status: 'CHARGED' });
  scene.startWorker();
  await settled(scene);

  expect(other.received).toEqual([]);
  expect(plain.received).toHaveLength(1);
  const [got] = mine.received;
  const eventId = `evt_V2_${notificationId.replaceAll('-', '')}`;
  expect(got!.body).toEqual({
    id: eventId,
    event_name: 'REFUND_INITIATED',
    date_created: `${scene.clock.now().toISOString().slice(0, 19)}Z`,
    sequence: 1,
    content: { order: { order_id: orderId, status: 'CHARGED' } },
  });
  expect(got!.headers).toMatchObject({
    'content-type': 'application/json',
    authorization: `Basic ${Buffer.from('shop:pä55:word').toString('base64')}`,
    'x-shop-key': 'abc 123',
    'webhook-id': eventId,
    'webhook-sequence': '1',
  });
  expect(new Webhook(signingSecret).verify(got!.rawBody, got!.headers as Record<string, string>)).toEqual(
    got!.body,
  );
  expect(plain.received[0]!.headers.authorization).toBeUndefined();
  expect(() =>
    new Webhook(signingSecret).verify(
      plain.received[0]!.rawBody,
      plain.received[0]!.headers as Record<string, string>,
    ),
  ).toThrow();
});

test('an endpoint that chose nothing gets the events that are on by default in the contract', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  const names = [
    'REFUND_INITIATED',
    'ORDER_REFUNDED',
    'ORDER_REFUND_FAILED',
    'REFUND_MANUAL_REVIEW_NEEDED',
    'REFUND_ARN_CAPTURED',
  ];
  for (const name of names) await scene.change(await scene.addOrder(), name);
  scene.startWorker();
  await settled(scene);
  expect(receiver.received.map(({ body }) => body.event_name).sort()).toEqual([
    'ORDER_REFUNDED',
    'ORDER_REFUND_FAILED',
    'REFUND_MANUAL_REVIEW_NEEDED',
  ]);
});

test('only status 200 acknowledges, and redirects are not followed', async () => {
  const scene = await openScene();
  const elsewhere = await startReceiver();
  const outcomes = new Map<string, readonly [string, string, number]>();
  for (const code of [200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 410, 429, 500, 503]) {
    const receiver = await startReceiver(status(code, { location: elsewhere.url }));
    const { endpoint } = await scene.addEndpoint({ url: receiver.url });
    const outcome = code === 200 ? 'acknowledged' : code >= 300 && code < 400 ? 'redirect' : 'refused_status';
    outcomes.set(endpoint.endpointId, [code === 200 ? 'delivered' : 'pending', outcome, code]);
  }
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker();
  await settled(scene);
  const deliveries = await scene.deliveries();
  expect(new Map(deliveries.map((d) => [d.endpoint_id!, [d.state, d.last_outcome, d.last_status]]))).toEqual(
    outcomes,
  );
  expect(elsewhere.received).toEqual([]);
});

test('what is refused is sent sixteen times more by the schedule, then given up', async () => {
  const scene = await openScene();
  const receiver = await startReceiver(status(500));
  await scene.addEndpoint({ url: receiver.url });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  const worker = scene.startWorker();
  const seconds = [60, 300, 300, 600, 600, 600, 600, 600, 3600, 3600, 3600, 3600, 3600, 21600, 21600, 21600];
  for (const [n, delay] of seconds.entries()) {
    await settled(scene);
    const [delivery] = await scene.deliveries();
    expect(delivery).toMatchObject({ state: 'pending', tries: n + 1 });
    const waitMs = delivery!.next_try_at!.getTime() - scene.clock.now().getTime();
    // The delay counts from the answer, a moment after the try began.
    expect(waitMs).toBeGreaterThanOrEqual(delay * 1000);
    expect(waitMs).toBeLessThan(delay * 1000 + 15_000);
    scene.clock.advance(waitMs);
    worker.wake();
    await until(() => expect(receiver.received).toHaveLength(n + 2));
  }
  await settled(scene);
  expect((await scene.deliveries())[0]).toMatchObject({ state: 'given_up', tries: 17, next_try_at: null });
  const [first, ...rest] = receiver.received;
  for (const again of rest) expect(again.body.id).toBe(first!.body.id);
  expect(await scene.tries()).toHaveLength(17);
});

test('a retry tells the state of now, not of then', async () => {
  const scene = await openScene();
  const receiver = await startReceiver((response, _, count) =>
    response.writeHead(count === 1 ? 500 : 200).end(),
  );
  await scene.addEndpoint({ url: receiver.url, events: ['REFUND_INITIATED'] });
  const orderId = await scene.addOrder();
  await scene.change(orderId, 'REFUND_INITIATED', { status: 'before' });
  const worker = scene.startWorker();
  await settled(scene);
  await scene.change(orderId, 'ORDER_REFUNDED', { status: 'after' });
  scene.clock.advance(HOUR_MS);
  worker.wake();
  await until(() => expect(receiver.received).toHaveLength(2));
  const [then, now] = receiver.received.map(({ body }) => body);
  expect([then!.sequence, then!.content.order.status]).toEqual([1, 'before']);
  expect([now!.sequence, now!.content.order.status]).toEqual([2, 'after']);
  expect(now!.id).toBe(then!.id);
});

test('an endpoint that does not answer delays no other, and gets no more than its share at once', async () => {
  const scene = await openScene();
  const hanging: ServerResponse[] = [];
  const slow = await startReceiver((response) => hanging.push(response));
  const fast = await startReceiver();
  await scene.addEndpoint({ url: slow.url });
  await scene.addEndpoint({ url: fast.url });
  for (let n = 0; n < 3 * FRESH_ROOM; n++) await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker();
  await until(() => expect(fast.received).toHaveLength(3 * FRESH_ROOM));
  await until(() => expect(slow.open()).toBe(FRESH_ROOM));
  expect(slow.received).toHaveLength(FRESH_ROOM);
  // What comes now is told at once, too.
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  await until(() => expect(fast.received).toHaveLength(3 * FRESH_ROOM + 1));
  expect(slow.open()).toBe(FRESH_ROOM);
  for (const response of hanging) response.end();
});

test('an endpoint that fails soon gets one try at a time, and more again when it acknowledges', async () => {
  const scene = await openScene();
  const waiting: ServerResponse[] = [];
  let code = 500;
  const receiver = await startReceiver((response) => waiting.push(response));
  await scene.addEndpoint({ url: receiver.url });
  for (let n = 0; n < FRESH_ROOM + 2 + 1 + 2 + 4 + FRESH_ROOM; n++)
    await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker();
  const answerAll = async (count: number) => {
    await until(() => expect(waiting.length).toBe(count));
    for (const response of waiting.splice(0)) response.writeHead(code).end();
  };
  for (const round of [FRESH_ROOM, 1, 1]) await answerAll(round);
  code = 200;
  for (const round of [1, 2, 4, FRESH_ROOM]) await answerAll(round);
  await settled(scene);
});

test('the URL of an order is told too, and gets password and signature only at the origin of an endpoint', async () => {
  const scene = await openScene();
  const [first, second, stranger] = [await startReceiver(), await startReceiver(), await startReceiver()];
  await scene.addEndpoint({ url: first.url, username: 'shop', password: 'secret' });
  scene.clock.advance(1);
  const { signingSecret } = await scene.addEndpoint({
    url: second.url,
    username: 'second',
    password: 'word',
    events: ['REFUND_INITIATED', 'ORDER_REFUNDED'],
    headers: { 'x-key-of-second': '1234' },
  });
  const beside = new URL('/orders', second.url).href;
  const strange = await scene.addOrder({ metadata: { webhook_url: stranger.url } });
  const known = await scene.addOrder({ metadata: { webhook_url: beside } });
  for (const orderId of [strange, known]) {
    await scene.change(orderId, 'ORDER_REFUNDED');
    await scene.change(orderId, 'REFUND_INITIATED');
  }
  scene.startWorker();
  await settled(scene);

  const told = ({ received }: { received: readonly Received[] }, orderId: string) =>
    received.filter(({ body }) => body.content.order.order_id === orderId).map(({ body }) => body.event_name);
  // Nobody's URL silences an endpoint.
  for (const orderId of [strange, known]) expect(told(first, orderId)).toEqual(['ORDER_REFUNDED']);
  expect(told(second, strange).sort()).toEqual(['ORDER_REFUNDED', 'REFUND_INITIATED']);
  expect(told(second, known).sort()).toEqual([
    'ORDER_REFUNDED',
    'ORDER_REFUNDED',
    'REFUND_INITIATED',
    'REFUND_INITIATED',
  ]);
  expect(told(stranger, strange)).toEqual(['ORDER_REFUNDED']);
  expect(stranger.received[0]!.headers).not.toHaveProperty('authorization');
  expect(stranger.received[0]!.headers).not.toHaveProperty('webhook-signature');

  const own = second.received.filter(({ headers }) => headers['x-key-of-second'] === undefined);
  expect(own).toHaveLength(2);
  for (const { headers, rawBody } of own) {
    expect(headers.authorization).toBe(`Basic ${Buffer.from('second:word').toString('base64')}`);
    new Webhook(signingSecret).verify(rawBody, headers as Record<string, string>);
  }
});

test('the URL of an order that is an endpoint’s own is told once; one that is switched off vouches for nothing', async () => {
  const scene = await openScene();
  const shop = await startReceiver();
  const { endpoint } = await scene.addEndpoint({ url: shop.url, username: 'shop', password: 'secret' });
  await scene.change(await scene.addOrder({ metadata: { webhook_url: shop.url } }), 'ORDER_REFUNDED');
  scene.startWorker();
  await settled(scene);
  expect(shop.received).toHaveLength(1);
  expect(shop.received[0]!.headers).toHaveProperty('authorization');

  const deps = { db: scene.db, clock: scene.clock, vault: scene.vault, allowPrivate: true };
  await updateEndpoint(deps, 'acme', endpoint.endpointId, { enabled: false });
  await scene.change(await scene.addOrder({ metadata: { webhook_url: shop.url } }), 'ORDER_REFUNDED');
  await settled(scene);
  expect(shop.received).toHaveLength(2);
  expect(shop.received[1]!.headers).not.toHaveProperty('authorization');
  expect(shop.received[1]!.headers).not.toHaveProperty('webhook-signature');
});

test('the URL of an order works without any endpoint, keeps the address policy, and may be nonsense', async () => {
  const scene = await openScene();
  const own = await startReceiver();
  await scene.change(await scene.addOrder({ metadata: { webhook_url: own.url } }), 'ORDER_REFUNDED');
  await scene.change(await scene.addOrder({ metadata: { webhook_url: 'not a URL' } }), 'ORDER_REFUNDED');
  await scene.change(await scene.addOrder({ metadata: { webhook_url: { a: 1 } } }), 'ORDER_REFUNDED');
  await scene.change(await scene.addOrder({ metadata: { webhook_url: '' } }), 'ORDER_REFUNDED');
  const open = scene.startWorker();
  await settled(scene);
  await open.stop();
  expect(own.received).toHaveLength(1);
  expect(own.received[0]!.headers).not.toHaveProperty('authorization');
  expect(own.received[0]!.headers).not.toHaveProperty('webhook-signature');
  expect((await scene.deliveries()).map((d) => [d.state, d.last_outcome])).toEqual([
    ['delivered', 'acknowledged'],
    ['given_up', 'bad_url'],
    ['given_up', 'bad_url'],
  ]);

  await scene.change(await scene.addOrder({ metadata: { webhook_url: own.url } }), 'ORDER_REFUNDED');
  await scene.change(
    await scene.addOrder({ metadata: { webhook_url: 'http://example.com/' } }),
    'ORDER_REFUNDED',
  );
  scene.startWorker({ allowPrivate: false });
  await settled(scene);
  expect((await scene.deliveries()).slice(3).map((d) => [d.state, d.last_outcome])).toEqual([
    ['pending', 'private_address'],
    ['given_up', 'bad_url'],
  ]);
  expect(own.received).toHaveLength(1);
});

test('private addresses are refused unless they are allowed', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  const { port } = new URL(receiver.url);
  for (const host of [
    '127.0.0.1',
    'localhost',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '2130706433',
    '169.254.169.254',
  ]) {
    await scene.addEndpoint({ url: `https://${host}:${port}/` });
  }
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker({ allowPrivate: false });
  await settled(scene);
  const deliveries = await scene.deliveries();
  expect(deliveries.map((d) => d.last_outcome)).toEqual(Array(6).fill('private_address'));
  expect(receiver.received).toEqual([]);
});

test('network trouble has a name', async () => {
  const scene = await openScene();
  const silent = await startReceiver(() => {});
  const breaking = createTcpServer((socket) =>
    socket.on('data', () => socket.destroy()).on('error', () => {}),
  );
  const notTls = createServer((_, response) => response.end());
  const closed = createTcpServer();
  const portOf = async (server: typeof closed) => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  afterTest(() => [breaking.close(), notTls.close()]);
  const closedPort = await portOf(closed);
  await new Promise((resolve) => closed.close(resolve));
  const expected: Record<string, string> = {
    [silent.url]: 'timeout',
    [`http://127.0.0.1:${await portOf(breaking)}/`]: 'connection_lost',
    [`http://127.0.0.1:${closedPort}/`]: 'connection_refused',
    [`https://127.0.0.1:${await portOf(notTls)}/`]: 'tls',
    'http://no-such-host.invalid/': 'dns',
  };
  for (const url of Object.keys(expected)) await scene.addEndpoint({ url });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker({ timeoutMs: 3_000 });
  await settled(scene);
  const tries = await scene.tries();
  expect(Object.fromEntries(tries.map(({ url, outcome }) => [url, outcome]))).toEqual(expected);
  for (const { detail, status } of tries) {
    expect(detail).toMatch(/\w/);
    expect(status).toBeNull();
  }
});

test('an answer of any length is read to its beginning only, and its status counts', async () => {
  const scene = await openScene();
  const endless = (code: number) => (response: ServerResponse) => {
    response.writeHead(code);
    response.write('a€'.repeat(600));
    const block = Buffer.alloc(65_536, 'x');
    const more = () => {
      while (response.writable && response.write(block));
    };
    response.on('drain', more);
    more();
  };
  const [yes, no] = [await startReceiver(endless(200)), await startReceiver(endless(500))];
  await scene.addEndpoint({ url: yes.url });
  await scene.addEndpoint({ url: no.url });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker();
  await settled(scene);
  expect((await scene.tries()).map((t) => t.outcome).sort()).toEqual(['acknowledged', 'refused_status']);
  for (const { response_excerpt: excerpt } of await scene.tries()) {
    expect(excerpt).toBe('a€'.repeat(512));
  }
});

test('an answer that echoes the request leaves no secret in the log', async () => {
  const scene = await openScene();
  const receiver = await startReceiver((response, { headers }) =>
    response.end(`\0${JSON.stringify(headers)}`),
  );
  await scene.addEndpoint({
    url: receiver.url,
    username: 'shop',
    password: 'correct horse',
    headers: { 'x-key': 'battery-staple' },
  });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.startWorker();
  await settled(scene);
  const excerpt = (await scene.tries())[0]!.response_excerpt;
  expect(excerpt).toContain('x-key');
  expect(excerpt).not.toContain('battery-staple');
  expect(excerpt).not.toContain(Buffer.from('shop:correct horse').toString('base64'));
});

test('while a secret is replaced both verify; after that only the new one', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  const { endpoint, signingSecret: old } = await scene.addEndpoint({ url: receiver.url });
  const worker = scene.startWorker();
  const verifies = async (secret: string) => {
    const before = receiver.received.length;
    await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
    worker.wake();
    await until(() => expect(receiver.received).toHaveLength(before + 1));
    const { rawBody, headers } = receiver.received.at(-1)!;
    const at = new Date(Number(headers['webhook-timestamp']) * 1000);
    return (headers['webhook-signature'] as string)
      .split(' ')
      .includes(new Webhook(secret).sign(headers['webhook-id'] as string, at, rawBody));
  };
  expect(await verifies(old)).toBe(true);
  const { signingSecret: next } = (await rotateSecret(scene, 'acme', endpoint.endpointId, HOUR_MS))!;
  expect([await verifies(old), await verifies(next)]).toEqual([true, true]);
  scene.clock.advance(HOUR_MS);
  expect([await verifies(old), await verifies(next)]).toEqual([false, true]);
  const { signingSecret: last } = (await rotateSecret(scene, 'acme', endpoint.endpointId, 0))!;
  expect([await verifies(next), await verifies(last)]).toEqual([false, true]);
});

test('what a killed worker had in hand is sent by another when its lease has run out', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  const orderId = await scene.addOrder();
  await scene.change(orderId, 'ORDER_REFUNDED', { status: 'one' });
  await killWorkerAtWork(scene);
  const [held] = await scene.deliveries();

  // A second change of the order does not overtake what may still be under way.
  await scene.change(orderId, 'ORDER_REFUND_FAILED', { status: 'two' });
  const second = scene.startWorker();
  await until(async () => expect(await scene.deliveries()).toHaveLength(2));
  expect(receiver.received).toEqual([]);

  scene.clock.advance(LEASE_MS);
  second.wake();
  await until(() => expect(receiver.received).toHaveLength(2));
  await settled(scene);
  expect((await scene.deliveries()).map((d) => d.state)).toEqual(['delivered', 'delivered']);

  // The first worker was only asleep: what it has to say is logged, and changes nothing.
  await recordTries(
    scene.db,
    [
      {
        delivery: {
          merchantId: 'acme',
          orderId,
          deliveryId: held!.delivery_id,
          endpointId: held!.endpoint_id,
        },
        tryId: held!.try_id!,
        state: 'pending',
        nextTryAt: scene.clock.now(),
        result: {
          at: scene.clock.now(),
          durationMs: 5,
          url: receiver.url,
          outcome: 'timeout',
          detail: 'late',
          status: null,
          responseExcerpt: null,
          sequence: 1,
          requestBytes: 10,
          requestSha256: Buffer.alloc(32),
        },
      },
    ],
    scene.clock.now(),
  );
  expect((await scene.deliveries()).map((d) => [d.state, d.tries])).toEqual([
    ['delivered', 1],
    ['delivered', 1],
  ]);
  expect((await scene.tries(held!.delivery_id)).map((t) => t.outcome).sort()).toEqual([
    'acknowledged',
    'timeout',
  ]);
});

test('of an order one address gets one message at a time, and the state that arrives last is true', async () => {
  const scene = await openScene();
  const orders = await Promise.all([1, 2, 3].map(() => scene.addOrder()));
  const last = new Map<string, string>();
  const underWay = new Map<string, number>();
  let most = 0;
  const receiver = await startReceiver((response, { body }, count) => {
    const { order_id: orderId, status: told } = body.content.order;
    underWay.set(orderId, (underWay.get(orderId) ?? 0) + 1);
    most = Math.max(most, underWay.get(orderId)!);
    setTimeout(
      () => {
        underWay.set(orderId, underWay.get(orderId)! - 1);
        if (count % 3 === 0) return response.writeHead(503).end();
        last.set(orderId, told);
        response.end();
      },
      (count * 7) % 23,
    );
  });
  await scene.addEndpoint({ url: receiver.url });
  const workers = [scene.startWorker(), scene.startWorker()];
  // Not while something is under way: its lease would be over before its time.
  const pass = async (ms: number) => {
    await settled(scene);
    scene.clock.advance(ms);
    for (const worker of workers) worker.wake();
  };
  for (let n = 1; n <= 20; n++) {
    await Promise.all(orders.map((id) => scene.change(id, 'ORDER_REFUNDED', { status: `state ${n}` })));
    for (const worker of workers) worker.wake();
    if (n % 5 === 0) await pass(2 * 60_000);
  }
  await until(async () => {
    await pass(10 * 60_000);
    expect((await scene.deliveries()).filter((d) => d.state !== 'delivered')).toEqual([]);
  });
  expect(await scene.deliveries()).toHaveLength(60);
  expect(most).toBe(1);
  expect([...last.values()]).toEqual(Array(3).fill('state 20'));
});

test('several workers share the work and none of it is done twice', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  for (let n = 0; n < 300; n++) await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  for (let n = 0; n < 4; n++) scene.startWorker();
  await settled(scene);
  expect(new Set(receiver.received.map(({ body }) => body.id)).size).toBe(300);
  expect(receiver.received).toHaveLength(300);
});

test('the schema itself keeps two tries of an order to one address apart', async () => {
  const scene = await openScene();
  const receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  const orderId = await scene.addOrder();
  for (let n = 0; n < 2; n++) await scene.change(orderId, 'ORDER_REFUNDED');
  await killWorkerAtWork(scene);
  const claimed = await claimDue(scene.db, {
    now: scene.clock.now(),
    leaseUntil: new Date(scene.clock.now().getTime() + LEASE_MS),
    tryId: newId(),
    free: new Map(),
    otherwiseFree: FRESH,
    limit: FRESH,
    bulkFirst: false,
  });
  expect(claimed).toEqual([]);
  await expect(
    scene.db.query(`update deliveries set try_id = $1 where try_id is null`, [newId()]),
  ).rejects.toMatchObject({ code: '23505', constraint: 'deliveries_one_under_way' });
});

test('an endpoint added later gets nothing old; a removed or switched off one gets nothing more', async () => {
  const scene = await openScene();
  const failing = await startReceiver(status(500));
  const endpointDeps = { ...scene, allowPrivate: true };
  const { endpoint: removed } = await scene.addEndpoint({ url: failing.url });
  const { endpoint: off } = await scene.addEndpoint({ url: failing.url });
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  const worker = scene.startWorker();
  await settled(scene);
  expect(failing.received).toHaveLength(2);

  scene.clock.advance(1);
  const late = await startReceiver();
  await scene.addEndpoint({ url: late.url });
  expect(await deleteEndpoint(scene, 'rival', removed.endpointId)).toBe(false);
  expect(await deleteEndpoint(scene, 'acme', removed.endpointId)).toBe(true);
  await updateEndpoint(endpointDeps, 'acme', off.endpointId, { enabled: false });
  expect((await scene.deliveries()).map((d) => [d.endpoint_id, d.state, d.last_outcome])).toEqual([
    [removed.endpointId, 'given_up', 'endpoint_removed'],
    [off.endpointId, 'given_up', 'endpoint_disabled'],
  ]);

  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  scene.clock.advance(DAY_MS);
  worker.wake();
  await until(() => expect(late.received).toHaveLength(1));
  await settled(scene);
  expect(await scene.deliveries()).toHaveLength(3);
  expect(failing.received).toHaveLength(2);
});

test('an endpoint that fails for days is switched off with its reason, and on again by hand', async () => {
  const scene = await openScene();
  let well = false;
  const receiver = await startReceiver((response) => response.writeHead(well ? 200 : 500).end());
  const { endpoint } = await scene.addEndpoint({ url: receiver.url });
  const worker = scene.startWorker();
  const read = async () => (await readEndpoint(scene, 'acme', endpoint.endpointId))!;
  const failingSince = scene.clock.now();
  for (let day = 0; day < 6; day++) {
    for (let n = 0; n < 4; n++) await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
    worker.wake();
    await settled(scene);
    // A moment after the tries are written, what they say of the endpoint is.
    await until(async () => expect((await read()).enabled).toBe(day < 5));
    scene.clock.advance(DAY_MS);
  }
  const retired = await read();
  expect(retired.failingSince).toEqual(failingSince);
  expect(retired.disabledReason).toContain(failingSince.toISOString().slice(0, 19));
  expect(retired.disabledReason).toContain('refused_status');
  // What was under way in that moment is given up when its turn comes.
  worker.wake();
  await settled(scene);
  expect((await scene.deliveries()).filter((d) => d.state === 'pending')).toEqual([]);

  well = true;
  await updateEndpoint({ ...scene, allowPrivate: true }, 'acme', endpoint.endpointId, { enabled: true });
  const before = receiver.received.length;
  await scene.change(await scene.addOrder(), 'ORDER_REFUNDED');
  worker.wake();
  await until(() => expect(receiver.received).toHaveLength(before + 1));
  await settled(scene);
  expect(await read()).toMatchObject({
    enabled: true,
    disabledReason: null,
    failingSince: null,
    failuresInARow: 0,
    lastSuccessAt: scene.clock.now(),
  });
});

test('an order that cannot be read keeps its delivery; one that is gone ends it', async () => {
  const scene = await openScene();
  const receiver: Receiver = await startReceiver();
  await scene.addEndpoint({ url: receiver.url });
  const [broken, gone] = [await scene.addOrder(), await scene.addOrder()];
  await scene.change(broken, 'ORDER_REFUNDED');
  await scene.change(gone, 'ORDER_REFUNDED');
  let failures = 0;
  const worker = scene.startWorker({
    renderOrder: async (merchantId, orderId) => {
      if (orderId === gone) return null;
      if (failures++ === 0) throw new Error('the database went away');
      return scene.renderOrder(merchantId, orderId);
    },
  });
  await until(async () =>
    expect((await scene.deliveries()).map((d) => d.state)).toEqual(['pending', 'given_up']),
  );
  scene.clock.advance(LEASE_MS);
  worker.wake();
  await until(() => expect(receiver.received).toHaveLength(1));
  await settled(scene);
  expect((await scene.deliveries()).map((d) => d.last_outcome)).toEqual(['acknowledged', 'order_missing']);
});
