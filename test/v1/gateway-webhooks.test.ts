import { createHmac, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type {
  IncomingWebhook,
  RefundNews,
  WebhookEvent,
  WebhookReading,
} from '../../src/gateways/gateway.ts';
import { newId } from '../../src/lib/ids.ts';
import { readRefund, writeChanges } from '../../src/refunds/store.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { ScriptedGateway } from './scripted-gateway.ts';

const clock = new ManualClock();
const scripted = new ScriptedGateway();
const SECRET = 'whsec_webhook_tests';
let api: TestApi;
let account: string;
beforeAll(async () => {
  api = await startApi({ clock, gateways: [scripted.gateway] });
  const added = await call(api, '/v1/gateway-accounts', {
    json: {
      gateway: 'SCRIPTED',
      credentials: { secret_key: 'sk_abcdefghij1234', merchant_code: 'S', webhook_secret: SECRET },
    },
  });
  account = added.body.gateway_account_id;
});
afterAll(() => api.close());

let seen: IncomingWebhook | null;
/** Reads `{"kind"?, "events": […]}`, signed with the account's secret over the raw bytes. */
beforeEach(() => {
  seen = null;
  scripted.readWebhook = (webhook, access) => {
    seen = webhook;
    const mac = createHmac('sha256', access.credentials['webhook_secret']!)
      .update(webhook.rawBody)
      .digest('hex');
    if (webhook.headers['x-signature'] !== mac) return { kind: 'rejected', why: 'the signature is wrong' };
    const { kind = 'authentic', events } = JSON.parse(webhook.rawBody.toString()) as {
      kind?: 'authentic' | 'unproven';
      events: WebhookEvent[];
    };
    return { kind, events } as WebhookReading;
  };
});

let count = 0;
/** A refund of 25.00 that was sent and accepted. */
async function submitted(): Promise<string> {
  const orderId = `W-${++count}`;
  await putOrder(api.db, { orderId, amountMinor: 10_000, gateway: 'SCRIPTED', accountId: account });
  const made = await call(api, '/v1/refunds', {
    json: { order_id: orderId, unique_request_id: 'r1', amount: '25' },
  });
  const id: string = made.body.refund_id;
  for (const to of ['sending', 'submitted'] as const) {
    const refund = (await readRefund(api.db, 'acme', id))!;
    const set = { key_used_at: clock.now(), next_look_at: new Date(clock.now().getTime() + 3_600_000) };
    const cause = { by: 'worker', why: 'a test' } as const;
    await writeChanges(api.db, clock, [
      { refund, to, set, kind: `refund.${to}`, evidence: null, notify: [], cause },
    ]);
  }
  return id;
}

function news(fields: Partial<RefundNews> = {}): RefundNews {
  return {
    status: 'succeeded',
    gatewayRefundId: 're_1',
    gatewayReference: null,
    rawStatus: 'paid',
    errorCode: null,
    errorMessage: null,
    arn: null,
    at: null,
    evidence: { said: 'paid' },
    ...fields,
  };
}

function event(fields: Partial<WebhookEvent>): WebhookEvent {
  return {
    eventId: 'evt_1',
    refundId: null,
    gatewayRefundId: null,
    gatewayPaymentId: null,
    news: null,
    ...fields,
  };
}

function send(body: unknown, options: { to?: string; secret?: string; type?: string } = {}): Promise<Answer> {
  const raw = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  return call(api, `/gateways/${options.to ?? account}/webhooks`, {
    method: 'POST',
    as: null,
    body: raw,
    headers: {
      'x-signature': createHmac('sha256', options.secret ?? SECRET)
        .update(raw)
        .digest('hex'),
      'content-type': options.type ?? 'application/json',
    },
  });
}

const shown = async (id: string) => (await call(api, `/v1/refunds/${id}`)).body;

describe('what the gateway can prove', () => {
  test('settles the refund before it is answered, and the trail names the event', async () => {
    const id = await submitted();
    const answer = await send({
      events: [event({ refundId: id, news: news({ arn: '74332745678901234567890' }) })],
    });
    expect([answer.status, answer.body]).toEqual([200, { received: true }]);
    const refund = await shown(id);
    expect(refund).toMatchObject({
      status: 'SUCCESS',
      arn: '74332745678901234567890',
      gateway_refund_id: 're_1',
    });
    expect(refund.events.at(-1)).toMatchObject({
      cause: { by: 'gateway_webhook', event_id: 'evt_1' },
      evidence: { said: 'paid' },
    });
  });

  test('is applied once, however often and however much at once it comes', async () => {
    const id = await submitted();
    const body = { events: [event({ refundId: id, news: news() })] };
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(body)));
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 20 }, () => 200));
    const moves = (await shown(id)).events.filter((entry: { to: string }) => entry.to === 'succeeded');
    expect(moves).toHaveLength(1);
  });

  test('may speak of several refunds, some of which are not ours', async () => {
    const [one, two] = [await submitted(), await submitted()];
    const answer = await send({
      events: [
        event({ refundId: one, news: news({ gatewayRefundId: 're_a' }) }),
        event({ gatewayRefundId: 're_foreign', gatewayPaymentId: 'pay_foreign', news: news() }),
        event({
          refundId: two,
          news: news({ gatewayRefundId: 're_b', status: 'failed', rawStatus: 'failed' }),
        }),
      ],
    });
    expect(answer.status).toBe(200);
    expect([(await shown(one)).status, (await shown(two)).status]).toEqual(['SUCCESS', 'FAILURE']);
    expect(api.logged().join('\n')).toMatch(/re_foreign.*not ours/);
  });

  test('is taken in while the account is switched off', async () => {
    const id = await submitted();
    const path = `/v1/gateway-accounts/${account}`;
    await call(api, path, { method: 'PATCH', json: { enabled: false } });
    expect((await send({ events: [event({ refundId: id, news: news() })] })).status).toBe(200);
    await call(api, path, { method: 'PATCH', json: { enabled: true } });
    expect((await shown(id)).status).toBe('SUCCESS');
  });
});

test('what cannot be proved changes nothing, but the gateway is asked soon', async () => {
  const id = await submitted();
  const before = await shown(id);
  const answer = await send({ kind: 'unproven', events: [event({ refundId: id, news: news() })] });
  expect(answer.status).toBe(200);
  const after = await shown(id);
  expect(after.status).toBe('PENDING');
  expect(after.events).toEqual(before.events);
  expect(before.next_look_at).not.toBe(clock.now().toISOString());
  expect(after.next_look_at).toBe(clock.now().toISOString());
});

test('the raw bytes and all headers reach the connector as they came', async () => {
  const raw = Buffer.from('{"events": [ ],\r\n "x":"\\u00e9é", "n": 1.10}  ');
  for (const type of [
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/vnd.pg+json; v=2',
  ]) {
    expect((await send(raw, { type })).status).toBe(200);
    expect(seen!.rawBody.equals(raw)).toBe(true);
    expect(seen!.headers['content-type']).toBe(type);
    expect(seen!.receivedAt).toEqual(clock.now());
  }
});

describe('strangers', () => {
  test('a wrong signature is a 400 that says nothing, and changes nothing', async () => {
    const id = await submitted();
    const answer = await send({ events: [event({ refundId: id, news: news() })] }, { secret: 'guessed' });
    expect([answer.status, answer.body.error.code]).toEqual([400, 'webhook_rejected']);
    expect(JSON.stringify(answer.body)).not.toMatch(/signature/);
    expect((await shown(id)).status).toBe('PENDING');
    expect(api.logged().join('\n')).toMatch(/the signature is wrong/);
  });

  test('leave account and address in the log, once for however many come', async () => {
    for (let n = 0; n < 5; n++) await send({ events: [] }, { secret: `guess ${n}` });
    const rejected = api
      .logged()
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ attack }) => attack === 'webhook_rejected');
    expect(rejected.filter(({ gateway_account_id: id }) => id === account)).toMatchObject([
      { level: 40, merchant_id: 'acme', address: '127.0.0.1', why: 'the signature is wrong', count: 1 },
    ]);
  });

  test('another merchant’s account cannot speak of our refund', async () => {
    const id = await submitted();
    const theirs = await call(api, '/v1/gateway-accounts', {
      as: 'other',
      json: {
        gateway: 'SCRIPTED',
        credentials: { secret_key: 'sk_abcdefghij1234', merchant_code: 'S', webhook_secret: SECRET },
      },
    });
    const body = {
      events: [event({ refundId: id, news: news() }), event({ gatewayRefundId: 're_1', news: news() })],
    };
    expect((await send(body, { to: theirs.body.gateway_account_id })).status).toBe(200);
    expect((await shown(id)).status).toBe('PENDING');
  });

  test.each([
    'ga_00000000000000000000000000000000',
    'ga_x',
    'x',
    '..%2f..',
    'ga_%00',
    'ga_'.padEnd(60, 'é'),
    'x'.repeat(600),
  ])('account %s is not there', async (to) => {
    const answer = await send({ events: [] }, { to });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(JSON.stringify(answer.body)).not.toMatch(/webhook_rejected/);
  });

  test('garbage of every kind is refused, never an error of ours', async () => {
    const garbage = [
      Buffer.alloc(0),
      Buffer.from('{'),
      Buffer.from('null'),
      Buffer.from('{"events":[{"refundId":"not-an-id","gatewayRefundId":"","gatewayPaymentId":null}]}'),
      Buffer.from([0xff, 0xfe, 0x00]),
      randomBytes(1000),
      Buffer.alloc(256 * 1024, 0x41),
    ];
    for (const raw of garbage) {
      for (const secret of [SECRET, 'guessed']) {
        const { status } = await send(raw, { secret });
        expect([200, 400]).toContain(status);
      }
    }
    for (const type of ['nonsense', '/', 'multipart/form-data; boundary=x']) {
      expect([400, 415]).toContain((await send(Buffer.from('{'), { type })).status);
    }
  });

  test('more than 256 KiB is not read', async () => {
    expect((await send(Buffer.alloc(256 * 1024 + 1, 0x41))).status).toBe(413);
  });

  test('a connector that stumbles is logged, not told', async () => {
    scripted.readWebhook = () => {
      throw new TypeError('cannot read properties of undefined');
    };
    const answer = await send({ events: [] });
    expect([answer.status, answer.body.error.code]).toEqual([400, 'webhook_rejected']);
    expect(JSON.stringify(answer.body)).not.toMatch(/properties/);
    expect(api.logged().join('\n')).toMatch(/the connector failed on a webhook/);
  });

  test('other methods are told which one is served', async () => {
    const answer = await call(api, `/gateways/${account}/webhooks`, { as: null });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
  });

  test('a body without a type is read all the same', async () => {
    const raw = '{"events":[]}';
    const signature = createHmac('sha256', SECRET).update(raw).digest('hex');
    const socket = connect(api.port, '127.0.0.1');
    // Not ended: Node.js takes a half-closed connection for an abandoned one.
    socket.write(
      `POST /gateways/${account}/webhooks HTTP/1.1\r\nhost: x\r\nx-signature: ${signature}\r\n` +
        `content-length: ${raw.length}\r\nconnection: close\r\n\r\n${raw}`,
    );
    let answer = '';
    for await (const chunk of socket) answer += chunk;
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });
});

test('wrongly signed webhooks for one account keep out none for another from the same address', async () => {
  expect((await send({ events: [] })).status).toBe(200);
  const added = await call(api, '/v1/gateway-accounts', {
    json: {
      gateway: 'SCRIPTED',
      name: 'rolled',
      credentials: { secret_key: 'sk_abcdefghij5678', merchant_code: 'R', webhook_secret: SECRET },
    },
  });
  const rolled: string = added.body.gateway_account_id;
  const wrong = async () =>
    (await call(api, `/gateways/${rolled}/webhooks`, { as: null, body: '{"events":[]}' })).status;
  let refused = 0;
  while ((await wrong()) !== 429) expect(++refused).toBeLessThan(1_000);
  expect(refused).toBeGreaterThanOrEqual(200);
  expect((await send({ events: [] })).status).toBe(200);
});

describe('a refund under an id of ours that the books do not know', () => {
  const at = (path = '') => `/v1/gateway-accounts/${account}${path}`;

  test('holds the account until an admin releases it with a reason, which the log keeps', async () => {
    const lost = newId();
    const answer = await send({
      events: [event({ refundId: lost, gatewayRefundId: 're_lost', news: news() })],
    });
    expect(answer.status).toBe(200);
    const { held } = (await call(api, at())).body;
    expect(held).toMatchObject({
      since: clock.now().toISOString(),
      why: expect.stringContaining(lost),
      refunds: [{ refund_id: lost, gateway_refund_id: 're_lost', gateway_payment_id: null }],
    });
    const [listed] = (await call(api, '/v1/gateway-accounts')).body.gateway_accounts.filter(
      (one: { gateway_account_id: string }) => one.gateway_account_id === account,
    );
    expect(listed.held).toEqual(held);
    expect(api.logged().filter((line) => /"level":50.*nothing more is sent through/.test(line))).toHaveLength(
      1,
    );

    expect((await call(api, at('/release'), { json: { reason: '  ' } })).status).toBe(400);
    expect((await call(api, at('/release'), { json: { reason: 'x' }, as: 'other' })).status).toBe(404);
    const released = await call(api, at('/release'), {
      json: { reason: 'It is in the list of the restore.' },
    });
    expect(released).toMatchObject({ status: 200, body: { held: null } });
    const again = await call(api, at('/release'), { json: { reason: 'once more' } });
    expect([again.status, again.body.error.code]).toEqual([409, 'gateway_account_not_held']);
    const kept = await api.db.query(
      `select details ->> 'reason' as reason from access_log where action = 'gateway_account_released'`,
    );
    expect(kept).toEqual([{ reason: 'It is in the list of the restore.' }]);
  });
});
