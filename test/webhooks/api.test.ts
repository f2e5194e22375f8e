import { createHash } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { expect, test, vi } from 'vitest';
import { createRenderBatch } from '../../src/api/v1/render-batch.ts';
import { doNextStep } from '../../src/batches/worker.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createVault } from '../../src/lib/vault.ts';
import { createDeliverer } from '../../src/webhooks/deliver.ts';
import { createWebhookSender } from '../../src/webhooks/send.ts';
import { type Answer, type Call, call, startApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { afterTest, sceneOn, startReceiver, status } from './support.ts';

const HOUR_MS = 3_600_000;

const until = <Value>(check: () => Value | Promise<Value>) =>
  vi.waitFor(check, { timeout: 45_000, interval: 20 });

/** The server with a clock that stands, and a worker beside it. */
async function open(settings: Record<string, string> = { ALLOW_PRIVATE_WEBHOOKS: 'true' }) {
  const clock = new ManualClock(new Date());
  const api = await startApi({ clock, settings });
  afterTest(() => api.close());
  const scene = sceneOn(api.db, clock);
  const sender = createWebhookSender({ clock, allowPrivate: true });
  const worker = createDeliverer({
    db: api.db,
    clock,
    random: () => 0.5,
    log: createLogger('silent'),
    vault: createVault(Buffer.alloc(32, 7)),
    sender,
    renderOrder: scene.renderOrder,
    renderBatch: createRenderBatch(api.db),
  });
  worker.start();
  afterTest(async () => {
    await worker.stop();
    await sender.close();
  });
  const at = (path: string, options?: Call) => call(api, path, options);
  const add = async (json: Record<string, unknown>, as = 'acme') => {
    const answer = await at('/v1/webhook-endpoints', { json, as });
    expect(answer.status).toBe(201);
    return answer.body;
  };
  const told = async (
    eventName: string,
    input?: { refundId?: string; orderId?: string; merchantId?: string },
  ) => {
    const orderId = await scene.addOrder(input);
    await scene.change(orderId, eventName, input);
    worker.wake();
    return orderId;
  };
  const quiet = () =>
    until(async () => {
      const [left] = await api.db.query<{ count: number }>(
        `select (select count(*) from notifications where spread_at is not null)
              + (select count(*) from deliveries where try_id is not null or next_try_at <= $1) as count`,
        [clock.now()],
      );
      expect(left!.count).toBe(0);
    });
  return { api, clock, worker, at, add, told, quiet };
}

test('an endpoint is made, read, changed and removed; its secrets are shown once', async () => {
  const { at, add, api } = await open();
  const made = await add({
    url: 'http://shop.test/hook?a=1',
    username: 'shop',
    password: 'correct horse',
    headers: { 'X-Key': 'battery staple' },
    events: ['REFUND_INITIATED', 'ORDER_REFUNDED'],
  });
  expect(made.signing_secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  const path = `/v1/webhook-endpoints/${made.endpoint_id}`;
  const shown = await at(path);
  expect(shown.status).toBe(200);
  expect(shown.body).toMatchObject({
    endpoint_id: made.endpoint_id,
    url: 'http://shop.test/hook?a=1',
    username: 'shop',
    password: '********',
    headers: { 'X-Key': '********' },
    events: ['ORDER_REFUNDED', 'REFUND_INITIATED'],
    signing_secret: `********${made.signing_secret.slice(-4)}`,
    previous_secret_valid_until: null,
    enabled: true,
    disabled_reason: null,
    failures_in_a_row: 0,
  });
  expect((await at('/v1/webhook-endpoints')).body).toEqual({ endpoints: [shown.body] });

  const changed = await at(path, {
    method: 'PATCH',
    json: { url: 'http://shop.test/other', headers: { 'X-Key': null, 'X-More': 'one' }, events: null },
  });
  expect(changed.body).toMatchObject({
    url: 'http://shop.test/other',
    password: '********',
    headers: { 'X-More': '********' },
    events: ['ORDER_REFUNDED', 'ORDER_REFUND_FAILED', 'REFUND_MANUAL_REVIEW_NEEDED'],
  });
  const off = await at(path, { method: 'PATCH', json: { enabled: false } });
  expect(off.body).toMatchObject({ enabled: false, disabled_reason: 'It was switched off.' });
  const on = await at(path, { method: 'PATCH', json: { enabled: true, username: null } });
  expect(on.body).toMatchObject({ enabled: true, disabled_reason: null, username: null, password: null });

  const [row] = await api.db.query('select * from webhook_endpoints');
  expect(JSON.stringify(row)).not.toContain(Buffer.from('battery staple').toString('hex'));
  expect(JSON.stringify(row)).not.toContain(made.signing_secret);
  expect(api.logged().join('\n')).not.toMatch(/correct horse|battery staple|whsec_/);

  expect((await at(path, { method: 'DELETE' })).status).toBe(204);
  expect((await at(path)).status).toBe(404);
  expect((await at(path, { method: 'DELETE' })).status).toBe(404);
});

test('another host has to be given the secrets again', async () => {
  const { at, add } = await open();
  const made = await add({
    url: 'https://shop.test/',
    username: 'shop',
    password: 'pw',
    headers: { 'x-a': '1', 'x-b': '2' },
  });
  const path = `/v1/webhook-endpoints/${made.endpoint_id}`;
  const move = (json: Record<string, unknown>) =>
    at(path, { method: 'PATCH', json: { url: 'https://elsewhere.test/', ...json } });
  expect((await move({})).body.error).toMatchObject({ code: 'secrets_needed_again', field: 'password' });
  expect((await move({ password: 'pw' })).body.error).toMatchObject({
    code: 'secrets_needed_again',
    field: 'headers',
  });
  expect((await move({ password: 'pw', headers: { 'x-a': '1' } })).status).toBe(400);
  expect((await move({ password: 'pw', headers: { 'x-a': '1', 'x-b': null } })).status).toBe(200);
  expect((await at(path)).body).toMatchObject({
    url: 'https://elsewhere.test/',
    headers: { 'x-a': '********' },
  });
});

const GOOD = { url: 'https://shop.test/hook' };
const refusals: [string, Record<string, unknown>, string][] = [
  ['no URL', {}, 'url'],
  ['an empty URL', { url: '' }, 'url'],
  ['no URL at all', { url: 'shop' }, 'url'],
  ['another protocol', { url: 'ftp://shop.test/' }, 'url'],
  ['a file', { url: 'file:///etc/passwd' }, 'url'],
  ['credentials in the URL', { url: 'https://user:pw@shop.test/' }, 'url'],
  ['a line break in the URL', { url: 'https://shop.test/\r\nX: y' }, 'url'],
  ['a long URL', { url: `https://shop.test/${'a'.repeat(2048)}` }, 'url'],
  ['a number as URL', { url: 7 }, 'url'],
  ['a colon in the user name', { ...GOOD, username: 'a:b' }, 'username'],
  ['an empty user name', { ...GOOD, username: '' }, 'username'],
  ['a password alone', { ...GOOD, password: 'x' }, 'password'],
  ['a line break in the password', { ...GOOD, username: 'a', password: 'x\ny' }, 'password'],
  ['the mask as password', { ...GOOD, username: 'a', password: '********' }, 'password'],
  ['a line break in a header', { ...GOOD, headers: { 'x-a': 'b\r\nx-c: d' } }, 'headers.x-a'],
  ['letters that headers cannot carry', { ...GOOD, headers: { 'x-a': '₹' } }, 'headers.x-a'],
  ['a blank in a header name', { ...GOOD, headers: { 'x a': 'b' } }, 'headers.x a'],
  ['a header twice', { ...GOOD, headers: { 'x-a': 'b', 'X-A': 'c' } }, 'headers.x-a'],
  ['Host', { ...GOOD, headers: { Host: 'b' } }, 'headers.Host'],
  ['Content-Length', { ...GOOD, headers: { 'content-length': '1' } }, 'headers.content-length'],
  [
    'Transfer-Encoding',
    { ...GOOD, headers: { 'Transfer-Encoding': 'chunked' } },
    'headers.Transfer-Encoding',
  ],
  ['webhook-signature', { ...GOOD, headers: { 'Webhook-Signature': 'v1,x' } }, 'headers.Webhook-Signature'],
  [
    'two authorizations',
    { ...GOOD, username: 'a', headers: { Authorization: 'b' } },
    'headers.Authorization',
  ],
  ['a header that is no text', { ...GOOD, headers: { a: 1 } }, 'headers.a'],
  ['an unknown event', { ...GOOD, events: ['ORDER_REFUNDED', 'ORDER_SHIPPED'] }, 'events'],
  ['no event', { ...GOOD, events: [] }, 'events'],
  ['an unknown field', { ...GOOD, urls: [] }, 'urls'],
  [
    'too many headers',
    { ...GOOD, headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`x-${n}`, 'y'])) },
    'headers.x-20',
  ],
];
test('every field that cannot be used is named', async () => {
  const { at } = await open();
  for (const [what, json, field] of refusals) {
    const answer = await at('/v1/webhook-endpoints', { json });
    expect([what, answer.status, answer.body.error?.field]).toEqual([what, 400, field]);
  }
  expect((await at('/v1/webhook-endpoints')).body.endpoints).toEqual([]);
});

test('without the setting only https on the public internet is taken', async () => {
  const { at } = await open({ ALLOW_PRIVATE_WEBHOOKS: 'false' });
  for (const url of [
    'http://shop.example.com/',
    'https://127.0.0.1/',
    'https://localhost/',
    'https://10.1.2.3/',
    'https://[::1]/',
    'https://169.254.169.254/latest',
    'https://0x7f000001/',
  ]) {
    const answer = await at('/v1/webhook-endpoints', { json: { url } });
    expect([url, answer.status, answer.body.error.accepted]).toEqual([
      url,
      400,
      'an https URL on the public internet',
    ]);
  }
  expect((await at('/v1/webhook-endpoints', { json: { url: 'https://shop.example.com/' } })).status).toBe(
    201,
  );
});

test('twenty endpoints and no more, whatever arrives at once', async () => {
  const { at } = await open();
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => at('/v1/webhook-endpoints', { json: { url: 'https://shop.test/' } })),
  );
  const statuses = answers.map((answer) => answer.status).sort();
  expect(statuses).toEqual([...Array(20).fill(201), ...Array(10).fill(409)]);
  expect((await at('/v1/webhook-endpoints', { json: GOOD, as: 'other' })).status).toBe(201);
});

test('a secret is replaced with a grace period, and without', async () => {
  const { at, add, clock } = await open();
  const made = await add(GOOD);
  const path = `/v1/webhook-endpoints/${made.endpoint_id}/rotate-secret`;
  const next = await at(path, { method: 'POST' });
  expect(next.status).toBe(200);
  expect(next.body.signing_secret).toMatch(/^whsec_/);
  expect(next.body.signing_secret).not.toBe(made.signing_secret);
  expect(next.body.previous_secret_valid_until).toBe(
    new Date(clock.now().getTime() + 24 * HOUR_MS).toISOString(),
  );
  const now = await at(path, { json: { grace_hours: 0 } });
  expect(now.body.previous_secret_valid_until).toBeNull();
  expect((await at(path, { json: { grace_hours: 169 } })).body.error.field).toBe('grace_hours');
});

test('a secret that was replaced under an id in capitals can be opened again', async () => {
  const { at, add } = await open();
  const made = await add(GOOD);
  const inCapitals = made.endpoint_id.toUpperCase();
  const replaced = await at(`/v1/webhook-endpoints/${inCapitals}/rotate-secret`, { method: 'POST' });
  expect(replaced.status).toBe(200);
  const listed = await at('/v1/webhook-endpoints');
  expect(listed.body.endpoints[0].signing_secret).toBe(`********${replaced.body.signing_secret.slice(-4)}`);
});

test('a test message says what came back', async () => {
  const { at, add } = await open();
  const receiver = await startReceiver((response, _, count) =>
    response.writeHead(count === 1 ? 200 : 418).end(count === 1 ? 'thanks' : 'teapot'),
  );
  const made = await add({ url: receiver.url, username: 'shop', password: 'pw' });
  const path = `/v1/webhook-endpoints/${made.endpoint_id}/test`;
  const good = await at(path, { method: 'POST' });
  expect(good.body).toMatchObject({
    acknowledged: true,
    outcome: 'acknowledged',
    status: 200,
    response_excerpt: 'thanks',
  });
  const [got] = receiver.received;
  expect(got!.body).toMatchObject({ id: good.body.event_id, event_name: 'WEBHOOK_TEST', sequence: 0 });
  expect(got!.headers.authorization).toBe(`Basic ${Buffer.from('shop:pw').toString('base64')}`);
  new Webhook(made.signing_secret).verify(got!.rawBody, got!.headers as Record<string, string>);
  expect(createHash('sha256').update(got!.rawBody).digest('hex')).toBe(good.body.request_sha256);
  const bad = await at(path, { method: 'POST' });
  expect(bad.body).toMatchObject({ acknowledged: false, outcome: 'refused_status', status: 418 });
  expect((await at('/v1/webhook-deliveries')).body.deliveries).toEqual([]);
  expect((await at(`/v1/webhook-endpoints/${made.endpoint_id}`)).body.failures_in_a_row).toBe(0);
});

test('the log shows each delivery and each of its tries, and filters by all that is offered', async () => {
  const { at, add, told, quiet, clock } = await open();
  const [good, bad] = [await startReceiver(), await startReceiver(status(500))];
  const events = ['ORDER_REFUNDED', 'REFUND_INITIATED'];
  const ok = await add({ url: good.url, events });
  const failing = await add({ url: bad.url, events });
  const start = clock.now();
  const refundId = '01890a5d-ac96-774b-bcce-b302099a8057';
  const first = await told('REFUND_INITIATED', { orderId: 'Order-1', refundId });
  await quiet();
  clock.pass(1000);
  const second = await told('ORDER_REFUNDED');
  await quiet();

  const list = async (query: string) => (await at(`/v1/webhook-deliveries?${query}`)).body.deliveries;
  const all = await list('');
  expect(all.map((d: { order_id: string }) => d.order_id)).toEqual([second, second, first, first]);
  const ids = async (query: string) =>
    (await list(query)).map((d: { delivery_id: string }) =>
      all.findIndex((a: typeof d) => a.delivery_id === d.delivery_id),
    );
  const of = (check: (d: Record<string, unknown>) => boolean) =>
    all.flatMap((d: Record<string, unknown>, n: number) => (check(d) ? [n] : []));
  expect(await ids(`endpoint_id=${failing.endpoint_id}`)).toEqual(
    of((d) => d['endpoint_id'] === failing.endpoint_id),
  );
  expect(await ids('order_id=ORDER-1')).toEqual([2, 3]);
  expect(await ids(`refund_id=${refundId}`)).toEqual([2, 3]);
  expect(await ids('event=ORDER_REFUNDED')).toEqual([0, 1]);
  expect(await ids('state=pending')).toEqual(of((d) => d['endpoint_id'] === failing.endpoint_id));
  expect(await ids(`state=delivered&created_before=${clock.now().toISOString()}`)).toEqual(
    of((d) => d['endpoint_id'] === ok.endpoint_id && d['order_id'] === first),
  );
  expect(await ids(`created_from=${new Date(start.getTime() + 1).toISOString()}`)).toEqual([0, 1]);
  expect(await ids('state=given_up')).toEqual([]);
  expect(
    (await at(`/v1/webhook-endpoints/${ok.endpoint_id}/deliveries?event=REFUND_INITIATED`)).body.deliveries,
  ).toEqual(
    all.filter(
      (d: Record<string, unknown>) => d['endpoint_id'] === ok.endpoint_id && d['order_id'] === first,
    ),
  );

  const pages: Answer['body'][] = [];
  let cursor = '';
  do {
    const { body } = await at(`/v1/webhook-deliveries?limit=1${cursor && `&cursor=${cursor}`}`);
    pages.push(...body.deliveries);
    cursor = body.next_cursor ?? '';
  } while (cursor !== '');
  expect(pages).toEqual(all);

  const failed = all.find(
    (d: Record<string, unknown>) => d['endpoint_id'] === failing.endpoint_id && d['order_id'] === first,
  );
  const { body: one } = await at(`/v1/webhook-deliveries/${failed.delivery_id}`);
  const { tries, ...rest } = one;
  expect(rest).toEqual(failed);
  expect(rest).toMatchObject({
    state: 'pending',
    try_count: 1,
    last_outcome: 'refused_status',
    last_status: 500,
  });
  expect(tries).toMatchObject([
    {
      url: bad.url,
      outcome: 'refused_status',
      acknowledged: false,
      status: 500,
      sequence: 1,
      response_excerpt: '',
    },
  ]);
  expect(tries[0].request_sha256).toBe(createHash('sha256').update(bad.received[0]!.rawBody).digest('hex'));

  for (const query of [
    'state=lost',
    'event=X',
    'limit=0',
    'limit=501',
    'from=yesterday',
    'endpoint_id=7',
    'colour=red',
  ]) {
    expect([query, (await at(`/v1/webhook-deliveries?${query}`)).status]).toEqual([query, 400]);
  }
  for (const bogus of [
    'x',
    'a'.repeat(200),
    Buffer.from(`-271821-04-20T00:00:00.000Z ${refundId}`).toString('base64url'),
  ]) {
    expect((await at(`/v1/webhook-deliveries?cursor=${bogus}`)).body.error.code).toBe('invalid_cursor');
  }
});

test('one delivery is sent again', async () => {
  const { at, add, told, quiet } = await open();
  const receiver = await startReceiver((response, _, count) =>
    response.writeHead(count < 3 ? 500 : 200).end(),
  );
  const made = await add({ url: receiver.url });
  await told('ORDER_REFUNDED');
  await quiet();
  const [{ delivery_id: id }] = (await at('/v1/webhook-deliveries')).body.deliveries;
  for (const expected of ['pending', 'delivered', 'delivered']) {
    const again = await at(`/v1/webhook-deliveries/${id}/resend`, { method: 'POST' });
    expect(again.status).toBe(202);
    await quiet();
    expect((await at(`/v1/webhook-deliveries/${id}`)).body.state).toBe(expected);
  }
  expect(receiver.received).toHaveLength(4);
  expect(new Set(receiver.received.map(({ body }) => body.id)).size).toBe(1);
  expect((await at(`/v1/webhook-deliveries/${id}`)).body).toMatchObject({
    try_count: 4,
    last_outcome: 'acknowledged',
  });

  const path = `/v1/webhook-endpoints/${made.endpoint_id}`;
  await at(path, { method: 'PATCH', json: { enabled: false } });
  expect((await at(`/v1/webhook-deliveries/${id}/resend`, { method: 'POST' })).body.error.code).toBe(
    'endpoint_disabled',
  );
  await at(path, { method: 'DELETE' });
  expect((await at(`/v1/webhook-deliveries/${id}/resend`, { method: 'POST' })).body.error.code).toBe(
    'endpoint_removed',
  );
});

test('the events of a time range are sent again: all, or what was not acknowledged', async () => {
  const { at, add, told, quiet, clock } = await open();
  let code = 200;
  const receiver = await startReceiver((response) => response.writeHead(code).end());
  const made = await add({ url: receiver.url });
  const start = clock.now();
  const minute = (n: number) => new Date(start.getTime() + n * 60_000).toISOString();
  const orders: string[] = [];
  for (let n = 0; n < 6; n++) {
    code = n < 3 ? 200 : 500;
    orders.push(await told('ORDER_REFUNDED'));
    await quiet();
    clock.pass(60_000);
  }
  await told('REFUND_INITIATED');
  await quiet();
  code = 200;
  const resend = async (endpointId: string, json: Record<string, unknown>) => {
    receiver.received.length = 0;
    const answer = await at(`/v1/webhook-endpoints/${endpointId}/resend`, { json });
    await quiet();
    const told = receiver.received.map(({ body }) => orders.indexOf(body.content.order.order_id)).sort();
    return [answer.status, answer.body.resent, told];
  };
  await quiet();
  expect(
    await resend(made.endpoint_id, { created_from: minute(1), created_before: minute(4), only_failed: true }),
  ).toEqual([202, 1, [3]]);
  expect(await resend(made.endpoint_id, { created_from: minute(1), created_before: minute(4) })).toEqual([
    202,
    3,
    [1, 2, 3],
  ]);
  expect(await resend(made.endpoint_id, { created_from: minute(10), created_before: minute(20) })).toEqual([
    202,
    0,
    [],
  ]);
  // An endpoint that was not there at the time gets what it asks for.
  const late = await add({ url: receiver.url });
  expect(
    await resend(late.endpoint_id, { created_from: minute(0), created_before: minute(2), only_failed: true }),
  ).toEqual([202, 2, [0, 1]]);
  expect(
    await resend(late.endpoint_id, { created_from: minute(0), created_before: minute(2), only_failed: true }),
  ).toEqual([202, 0, []]);

  const bad = async (json: Record<string, unknown>) =>
    (await at(`/v1/webhook-endpoints/${late.endpoint_id}/resend`, { json })).body.error?.field;
  expect(await bad({ created_from: minute(2), created_before: minute(2) })).toBe('created_before');
  expect(await bad({ created_from: minute(0), created_before: minute(93 * 24 * 60) })).toBe('created_before');
  expect(await bad({ created_from: 'today', created_before: minute(1) })).toBe('created_from');
  expect(await bad({ created_before: minute(1) })).toBe('created_from');
});

test('thousands of a range are sent again in slices, in the order in which they happened', async () => {
  const { api, at, add, clock, worker } = await open();
  await worker.stop();
  const made = await add({ url: 'https://shop.example.com/hook' });
  const start = clock.now().getTime();
  await api.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
     select 'acme', 'many-' || n, gen_random_uuid(), 'CHARGED', 100, 'INR', 2, $1, $1 from generate_series(1, 2500) n`,
    [new Date(start)],
  );
  // Happened in the sequence of their numbers, several in one moment.
  await api.db.query(
    `insert into notifications (merchant_id, order_id, notification_id, event_name, event_seq, created_at)
     select 'acme', 'many-' || n, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'ORDER_REFUNDED', 1,
       $1::timestamptz + (n / 10) * interval '1 millisecond' from generate_series(1, 2500) n`,
    [new Date(start)],
  );
  const answer = await at(`/v1/webhook-endpoints/${made.endpoint_id}/resend`, {
    json: {
      created_from: new Date(start).toISOString(),
      created_before: new Date(start + 60_000).toISOString(),
    },
  });
  expect(answer.body).toEqual({ resent: 2500 });
  const due = await api.db.query<{ order_id: string }>(
    'select order_id from deliveries where lane = $1 order by next_try_at, delivery_id',
    [made.endpoint_id],
  );
  const left = due.map(({ order_id }) => Number(order_id.slice('many-'.length)));
  expect(left).toEqual([...left].sort((a, b) => a - b));
  expect(left).toHaveLength(2500);
});

test('an endpoint shows its last day by the hour, and what waits', async () => {
  const { api, at, add, told, quiet, clock } = await open();
  let code = 200;
  const receiver = await startReceiver((response) => response.writeHead(code).end());
  const made = await add({ url: receiver.url });
  const path = `/v1/webhook-endpoints/${made.endpoint_id}/health`;
  const fresh = (await at(path)).body;
  expect(fresh).toMatchObject({ delivered: 0, failed: 0, waiting: 0 });
  expect(fresh.hours).toHaveLength(24);
  const hourOf = (ms: number) => new Date(Math.floor(ms / HOUR_MS) * HOUR_MS).toISOString();
  const first = clock.now().getTime();
  for (const next of [200, 200, 500]) {
    code = next;
    await told('ORDER_REFUNDED');
    await quiet();
  }
  expect(fresh.hours.at(-1).from).toBe(hourOf(first));
  expect((await at(path)).body.hours.at(-1)).toEqual({ from: hourOf(first), delivered: 2, failed: 1 });
  clock.pass(2 * HOUR_MS);
  code = 500;
  await quiet();
  const later = (await at(path)).body;
  expect(later.hours.at(-3)).toEqual({ from: hourOf(first), delivered: 2, failed: 1 });
  expect(later.hours.at(-1)).toMatchObject({ delivered: 0, failed: 1 });
  expect(later).toMatchObject({ delivered: 2, failed: 2, waiting: 1 });
  // A test is no delivery.
  await at(`/v1/webhook-endpoints/${made.endpoint_id}/test`, { method: 'POST' });
  expect((await at(path)).body.failed).toBe(2);
  clock.pass(24 * HOUR_MS);
  expect((await at(path)).body.hours.every((hour: { delivered: number }) => hour.delivered === 0)).toBe(true);
  expect((await at(path, { as: 'other' })).status).toBe(404);
  expect(await api.db.query('select 1 from endpoint_hours')).not.toEqual([]);
  await at(`/v1/webhook-endpoints/${made.endpoint_id}`, { method: 'DELETE' });
  expect(await api.db.query('select 1 from endpoint_hours')).toEqual([]);
});

test('an endpoint is switched off with a reason, which goes when it is switched on', async () => {
  const { at, add } = await open();
  const made = await add({ url: 'https://shop.example.com/hook' });
  const patch = (json: Record<string, unknown>) =>
    at(`/v1/webhook-endpoints/${made.endpoint_id}`, { method: 'PATCH', json });
  expect((await patch({ enabled: false, disabled_reason: 'Moving house' })).body).toMatchObject({
    enabled: false,
    disabled_reason: 'Moving house',
  });
  expect((await patch({ enabled: false })).body.disabled_reason).toBe('Moving house');
  expect((await patch({ enabled: true })).body.disabled_reason).toBeNull();
  expect((await patch({ enabled: true, disabled_reason: 'why' })).body.error.field).toBe('disabled_reason');
  expect((await patch({ enabled: false })).body.disabled_reason).toBe('It was switched off.');
});

test('the deliveries of a refund are those of its events', async () => {
  const { api, at, add, worker, quiet } = await open();
  const receiver = await startReceiver();
  await add({ url: receiver.url, events: ['REFUND_INITIATED'] });
  await putOrder(api.db, { orderId: 'own', amountMinor: 1_000 });
  const make = async (key: string) => {
    const json = { order_id: 'own', unique_request_id: key, amount: key === 'a' ? '1.00' : '2.00' };
    return (await at('/v1/refunds', { json })).body.refund_id as string;
  };
  const [a, b] = [await make('a'), await make('b')];
  worker.wake();
  await quiet();
  const found = await at(`/v1/refunds/${a}/deliveries`);
  expect(found.body.deliveries).toMatchObject([
    { refund_id: a, event: 'REFUND_INITIATED', state: 'delivered' },
  ]);
  expect((await at(`/v1/refunds/${b}/deliveries?state=pending`)).body.deliveries).toEqual([]);
  expect((await at(`/v1/refunds/${a}/deliveries`, { as: 'other' })).status).toBe(404);
});

test('another merchant sees nothing of it', async () => {
  const { at, add, told, quiet, clock } = await open();
  const receiver = await startReceiver();
  const made = await add({ url: receiver.url });
  await told('ORDER_REFUNDED', { orderId: 'mine' });
  await quiet();
  const [{ delivery_id: id }] = (await at('/v1/webhook-deliveries')).body.deliveries;
  const range = { created_from: '2020-01-01T00:00:00Z', created_before: '2020-02-01T00:00:00Z' };
  const endpoint = `/v1/webhook-endpoints/${made.endpoint_id}`;
  const strange = '/v1/webhook-endpoints/01890a5d-ac96-774b-bcce-b302099a8057';
  const requests = (path: string): [string, Call][] => [
    [path, {}],
    [path, { method: 'PATCH', json: { enabled: false } }],
    [path, { method: 'DELETE' }],
    [`${path}/rotate-secret`, { method: 'POST' }],
    [`${path}/test`, { method: 'POST' }],
    [`${path}/resend`, { json: range }],
    [`${path}/deliveries`, {}],
  ];
  const theirs = await Promise.all(
    requests(endpoint).map(([path, options]) => at(path, { ...options, as: 'other' })),
  );
  const nobodys = await Promise.all(
    requests(strange).map(([path, options]) => at(path, { ...options, as: 'other' })),
  );
  expect(theirs.map(({ status, body }) => [status, body])).toEqual(
    nobodys.map(({ status, body }) => [status, body]),
  );
  expect(theirs.every(({ status }) => status === 404)).toBe(true);
  for (const path of [`/v1/webhook-deliveries/${id}`, `/v1/webhook-deliveries/${id}/resend`]) {
    const method = path.endsWith('resend') ? 'POST' : 'GET';
    expect((await at(path, { method, as: 'other' })).status).toBe(404);
  }
  expect((await at('/v1/webhook-endpoints', { as: 'other' })).body.endpoints).toEqual([]);
  for (const query of ['', `?endpoint_id=${made.endpoint_id}`, '?order_id=mine']) {
    expect((await at(`/v1/webhook-deliveries${query}`, { as: 'other' })).body.deliveries).toEqual([]);
  }
  expect((await at('/v1/webhook-endpoints', { as: null })).status).toBe(401);
  expect((await at(endpoint)).body).toMatchObject({ enabled: true, updated_at: clock.now().toISOString() });
  expect(receiver.received).toHaveLength(1);
});

test('what is told of a batch is in the log, and is sent again like all else', async () => {
  const { api, clock, worker, at, add, told, quiet } = await open();
  const receiver = await startReceiver();
  const events = ['BATCH_CHECKED', 'ORDER_REFUNDED'];
  const made = await add({ url: receiver.url, events });
  await told('ORDER_REFUNDED');
  const file = 'order_id,unique_request_id,amount,currency\nnowhere,r1,1.00,INR\n';
  const uploaded = await at('/v1/batches', { body: file, headers: { 'content-type': 'text/csv' } });
  expect(uploaded.status, JSON.stringify(uploaded.body)).toBe(201);
  const batchId = uploaded.body.batch_id;
  while (await doNextStep(api.batches));
  worker.wake();
  await until(() => expect(receiver.received).toHaveLength(2));
  await quiet();

  const ofBatch = (await at(`/v1/webhook-deliveries?batch_id=${batchId}`)).body.deliveries;
  expect(ofBatch).toMatchObject([
    {
      event: 'BATCH_CHECKED',
      order_id: null,
      refund_id: null,
      batch_id: batchId,
      endpoint_id: made.endpoint_id,
      state: 'delivered',
    },
  ]);
  expect((await at('/v1/webhook-deliveries')).body.deliveries).toHaveLength(2);
  const path = `/v1/webhook-deliveries/${ofBatch[0].delivery_id}`;
  const [tried] = (await at(path)).body.tries;
  const batch = (await at(`/v1/batches/${batchId}`)).body;
  const got = receiver.received.find(({ body }) => body.event_name === 'BATCH_CHECKED')!;
  expect(got.body.content).toEqual({ batch });
  expect(got.body.sequence).toBe(tried.sequence);
  expect(batch.status).toBe('checked');

  expect((await at(`${path}/resend`, { method: 'POST' })).status).toBe(202);
  await until(() => expect(receiver.received).toHaveLength(3));
  await quiet();
  const start = clock.now().getTime();
  const range = {
    created_from: new Date(start - HOUR_MS).toISOString(),
    created_before: new Date(start + HOUR_MS).toISOString(),
  };
  const resent = await at(`/v1/webhook-endpoints/${made.endpoint_id}/resend`, { json: range });
  expect(resent.body).toEqual({ resent: 2 });
  await until(() => expect(receiver.received).toHaveLength(5));
  expect((await at(`/v1/webhook-deliveries?batch_id=${batchId}`, { as: 'other' })).body.deliveries).toEqual(
    [],
  );
});
