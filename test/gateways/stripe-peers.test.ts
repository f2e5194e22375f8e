/**
 * The Stripe connector against code that others wrote: a stateful stand-in, Stripe's own API description, and
 * Stripe's official SDK as a witness of what goes over the wire.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import * as mockttp from 'mockttp';
import Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { GatewayAccountAccess, RefundFacts } from '../../src/gateways/gateway.ts';
import { stripe } from '../../src/gateways/stripe.ts';
import { createHttp } from '../../src/lib/http.ts';
import { newId, shortOf } from '../../src/lib/ids.ts';
import {
  STAND_IN_KEY,
  type StripeStandIn,
  startStripeStandIn,
  stripeSdk,
} from '../support/stripe-stand-in.ts';

const http = createHttp({
  allowPrivate: true,
  timeoutMs: 20_000,
  maxAnswerBytes: 1_000_000,
  userAgent: 'Refundry/test',
});
afterAll(http.close);

const at = (baseUrl: string, secretKey = STAND_IN_KEY): GatewayAccountAccess => ({
  accountId: 'ga_test',
  identity: `key ${secretKey}`,
  baseUrl,
  credentials: { secret_key: secretKey, webhook_secret: 'whsec_PeersTestSecretPeersTest01' },
});

function factsOf(gatewayPaymentId: string, amountMinor: number): RefundFacts {
  const refundId = newId();
  return {
    refundId,
    idempotencyKey: shortOf(refundId),
    orderId: 'ORDER-1',
    gatewayPaymentId,
    gatewayRefundId: null,
    amountMinor,
    currency: 'USD',
    exponent: 2,
    refundType: 'STANDARD',
    reason: 'requested by customer',
    webhookUrl: null,
  };
}

const create = (facts: RefundFacts, access: GatewayAccountAccess) =>
  stripe.createRefund(stripe.prepareRefund(facts), facts, access, http.send);

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('against stripe-stateful-mock', () => {
  let standIn: StripeStandIn;
  let url: string;
  beforeAll(async () => {
    standIn = await startStripeStandIn();
    url = standIn.url;
  });
  afterAll(() => standIn.stop());

  test('makes a refund that the SDK sees, and finds it by its id and by ours', async () => {
    const facts = factsOf(await standIn.charge(), 4_50);
    const made = await create(facts, at(url));
    const [booked, ...others] = await standIn.booksOf(facts.gatewayPaymentId);
    expect(others).toEqual([]);
    expect(booked).toMatchObject({
      amount: 450,
      currency: 'usd',
      reason: 'requested_by_customer',
      metadata: { refundry_refund_id: facts.refundId, refundry_order_id: 'ORDER-1' },
    });
    const news = { status: 'succeeded', rawStatus: 'succeeded', gatewayRefundId: booked!.id };
    expect(made).toMatchObject({
      kind: 'news',
      news: { ...news, gatewayReference: booked!.balance_transaction },
    });
    expect(await stripe.fetchRefund(facts, at(url), http.send)).toMatchObject({ kind: 'news', news });
    const known = { ...facts, gatewayRefundId: booked!.id };
    expect(await stripe.fetchRefund(known, at(url), http.send)).toMatchObject({ kind: 'news', news });
    expect(await stripe.findRefunds(facts, at(url), http.send)).toMatchObject({
      kind: 'found',
      refunds: [{ refundId: facts.refundId, amountMinor: 450, currency: 'USD', news }],
    });
  });

  test('sent again under its key gives the same refund, five at once too', async () => {
    const facts = factsOf(await standIn.charge(), 2_00);
    const first = await create(facts, at(url));
    const again = await Promise.all(Array.from({ length: 5 }, () => create(facts, at(url))));
    for (const answer of again) {
      expect(answer.kind === 'news' && answer.news.gatewayRefundId).toBe(
        first.kind === 'news' && first.news.gatewayRefundId,
      );
    }
    const together = factsOf(facts.gatewayPaymentId, 3_00);
    await Promise.all(Array.from({ length: 5 }, () => create(together, at(url))));
    expect((await standIn.booksOf(facts.gatewayPaymentId)).map((refund) => refund.amount).sort()).toEqual([
      200, 300,
    ]);
  });

  test('several refunds of one payment are told apart', async () => {
    const payment = await standIn.charge(10_00);
    const mine = [1_00, 2_00, 3_00].map((amount) => factsOf(payment, amount));
    for (const facts of mine) await create(facts, at(url));
    await standIn.sdk.refunds.create({ charge: payment, amount: 50 });
    for (const facts of mine) {
      const look = await stripe.fetchRefund(facts, at(url), http.send);
      const booked = (await standIn.booksOf(payment)).find((refund) => refund.amount === facts.amountMinor);
      expect(look).toMatchObject({ kind: 'news', news: { gatewayRefundId: booked!.id } });
    }
    const found = await stripe.findRefunds(mine[0]!, at(url), http.send);
    expect(found.kind === 'found' && found.refunds.map((one) => one.refundId).sort()).toEqual(
      [...mine.map((facts) => facts.refundId), null].sort(),
    );
    const never = factsOf(payment, 1_00);
    expect(await stripe.fetchRefund(never, at(url), http.send)).toMatchObject({ kind: 'absent' });
  });

  test('refuses more than is left, what is already refunded and unknown payments', async () => {
    const payment = await standIn.charge(10_00);
    expect(await create(factsOf(payment, 10_01), at(url))).toMatchObject({
      kind: 'refused',
      because: 'refunded_elsewhere',
      errorMessage: expect.stringContaining('greater than unrefunded amount'),
    });
    expect(await create(factsOf(payment, 10_00), at(url))).toMatchObject({ kind: 'news' });
    expect(await create(factsOf(payment, 1), at(url))).toMatchObject({
      kind: 'refused',
      errorCode: 'charge_already_refunded',
      because: 'refunded_elsewhere',
    });
    expect(await create(factsOf('ch_unknown', 1), at(url))).toMatchObject({
      kind: 'no_payment',
      errorCode: 'resource_missing',
    });
    const disputed = await standIn.sdk.charges.create({
      amount: 500,
      currency: 'usd',
      source: 'tok_createDispute',
    });
    await vi.waitFor(async () =>
      expect((await standIn.sdk.charges.retrieve(disputed.id)).disputed).toBe(true),
    );
    expect(await create(factsOf(disputed.id, 500), at(url))).toMatchObject({
      kind: 'refused',
      errorCode: 'charge_disputed',
      because: 'disputed',
    });
    expect(await standIn.booksOf(payment)).toHaveLength(1);
  });

  test('a key that was used for something else proves nothing', async () => {
    const facts = factsOf(await standIn.charge(), 1_00);
    await create(facts, at(url));
    expect(await create({ ...facts, amountMinor: 2_00 }, at(url))).toMatchObject({ kind: 'unknown' });
  });

  test('a refused key is our configuration', async () => {
    const facts = factsOf(await standIn.charge(), 1_00);
    expect(await create(facts, at(url, 'rk_live_unknown'))).toMatchObject({
      kind: 'misconfigured',
      errorMessage: expect.stringContaining('Invalid API Key'),
    });
    expect(await stripe.fetchRefund(facts, at(url, 'rk_live_unknown'), http.send)).toMatchObject({
      kind: 'misconfigured',
    });
    expect(await standIn.booksOf(facts.gatewayPaymentId)).toEqual([]);
  });

  test('an account without the payment proves nothing, though it lists no refund of it', async () => {
    const facts = factsOf('ch_of_another_account', 1_00);
    for (const of of [facts, { ...facts, gatewayRefundId: 're_never' }]) {
      expect(await stripe.fetchRefund(of, at(url), http.send)).toMatchObject({
        kind: 'no_answer',
        why: expect.stringContaining('has no payment ch_of_another_account'),
      });
    }
    expect(await stripe.findPayment!(facts, at(url), http.send)).toMatchObject({ kind: 'unknown' });
    const paid = factsOf(await standIn.charge(), 1_00);
    expect(await stripe.findPayment!(paid, at(url), http.send)).toMatchObject({ kind: 'known' });
    expect(await stripe.findPayment!({ ...paid, currency: 'INR' }, at(url), http.send)).toMatchObject({
      kind: 'misfit',
    });
  });

  test('a refund by Stripe’s id that is not there is absent', async () => {
    const facts = { ...factsOf(await standIn.charge(), 1_00), gatewayRefundId: 're_never' };
    expect(await stripe.fetchRefund(facts, at(url), http.send)).toMatchObject({ kind: 'absent' });
  });

  test('an answer lost after Stripe did it: found by looking, same under the same key, paid once', async () => {
    const proxy = mockttp.getLocal();
    await proxy.start();
    try {
      await proxy
        .forPost('/v1/refunds')
        .once()
        .thenForwardTo(url, { beforeResponse: () => 'reset' });
      await proxy.forUnmatchedRequest().thenForwardTo(url);
      const facts = factsOf(await standIn.charge(), 4_00);
      const access = at(proxy.url.replace('localhost', '127.0.0.1'));

      expect(await create(facts, access)).toMatchObject({ kind: 'unknown' });
      const [booked] = await standIn.booksOf(facts.gatewayPaymentId);
      const news = { kind: 'news', news: { status: 'succeeded', gatewayRefundId: booked!.id } };
      expect(await stripe.fetchRefund(facts, access, http.send)).toMatchObject(news);
      expect(await create(facts, access)).toMatchObject(news);
      expect(await standIn.booksOf(facts.gatewayPaymentId)).toHaveLength(1);
    } finally {
      await proxy.stop();
    }
  });
});

describe('against Stripe’s API description in Prism', () => {
  let prism: ChildProcess;
  let url: string;
  beforeAll(async () => {
    const cli = createRequire(import.meta.url).resolve('@stoplight/prism-cli/dist/index.js');
    const description = fileURLToPath(new URL('data/stripe/refunds.json', import.meta.url));
    const options = ['mock', '-h', '127.0.0.1', '-p', '0', '--multiprocess=false', '--errors', description];
    prism = spawn(process.execPath, [cli, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface(prism.stdout!)) {
      const listening = /listening on (http:\/\/[\d.:]+)/.exec(line);
      if (!listening) continue;
      url = listening[1]!;
      prism.stdout!.resume();
      return;
    }
    throw new Error('Prism ended before it listened');
  }, 60_000);
  afterAll(async () => {
    prism.kill();
    if (prism.exitCode === null && prism.signalCode === null) await once(prism, 'exit');
  });

  // The description's example refund is one of 1.00 USD.
  const facts = factsOf('ch_1PgafuB7WZ01zgkWXYmPNZs8', 1_00);

  test('our requests are what it describes, and its answers are what we read', async () => {
    const news = { status: 'succeeded', gatewayRefundId: 're_1Pgc72B7WZ01zgkWqPvrRrPE' };
    expect(await create(facts, at(url))).toMatchObject({ kind: 'news', news });
    const intent = { ...facts, gatewayPaymentId: 'pi_1PgafuB7WZ01zgkW', reason: 'duplicate' };
    expect(await create(intent, at(url))).toMatchObject({ kind: 'news', news });
    const known = { ...facts, gatewayRefundId: news.gatewayRefundId };
    expect(await stripe.fetchRefund(known, at(url), http.send)).toMatchObject({ kind: 'news', news });
    expect(await stripe.findRefunds(facts, at(url), http.send)).toMatchObject({ kind: 'found' });
  });

  test('it would notice a wrong one', async () => {
    const prepared = stripe.prepareRefund(facts);
    for (const [right, wrong] of [
      ['reason=requested_by_customer', 'reason=because'],
      ['amount=100', 'amount=1.5'],
    ] as const) {
      const request = { ...prepared, body: prepared.body!.replace(right, wrong) };
      expect(await stripe.createRefund(request, facts, at(url), http.send), wrong).toMatchObject({
        kind: 'unknown',
        evidence: { http_status: 422 },
      });
    }
  });

  test('its example of every documented error is classified', async () => {
    const withCode = (code: number) =>
      stripe.createRefund(
        {
          ...stripe.prepareRefund(facts),
          headers: { ...stripe.prepareRefund(facts).headers, prefer: `code=${code}` },
        },
        facts,
        at(url),
        http.send,
      );
    // The example is an api_error, which is Stripe's own trouble: whatever its status, a refund may have been made.
    for (const code of [401, 429, 500]) {
      expect(await withCode(code)).toMatchObject({
        kind: 'unknown',
        evidence: { http_status: code, body: { error: { type: 'api_error' } } },
      });
    }
  });
});

describe('beside Stripe’s SDK', () => {
  const seen: { method: string; url: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  const server = createServer(async (request, response) => {
    seen.push({
      method: request.method!,
      url: request.url!,
      body: await text(request),
      headers: request.headers,
    });
    response
      .setHeader('content-type', 'application/json')
      .end('{"object":"list","data":[],"has_more":false}');
  });
  let url: string;
  beforeAll(async () => {
    url = await listen(server);
  });
  afterAll(() => server.close());

  /** What both put on the wire, the fields of a form in any order. */
  const wireOf = async (send: () => Promise<unknown>) => {
    seen.length = 0;
    await send();
    const [{ method, url: target, body, headers }] = seen as [(typeof seen)[number]];
    return {
      method,
      url: target,
      form: [...new URLSearchParams(body)].sort(),
      key: headers['idempotency-key'],
      version: headers['stripe-version'],
      authorization: headers.authorization,
      type: method === 'POST' ? headers['content-type'] : undefined,
    };
  };

  test.each(['ch_1PgafuB7WZ01zgkW', 'pi_1PgafuB7WZ01zgkW'])(
    'our requests for %s are the SDK’s',
    async (payment) => {
      const facts = factsOf(payment, 12_34);
      const parameter = payment.startsWith('pi_') ? { payment_intent: payment } : { charge: payment };
      const sdk = stripeSdk(url);
      expect(await wireOf(() => create(facts, at(url)))).toEqual(
        await wireOf(() =>
          sdk.refunds.create(
            {
              ...parameter,
              amount: 1234,
              reason: 'requested_by_customer',
              metadata: { refundry_refund_id: facts.refundId, refundry_order_id: facts.orderId },
            },
            { idempotencyKey: facts.idempotencyKey },
          ),
        ),
      );
      expect(await wireOf(() => stripe.findRefunds(facts, at(url), http.send))).toEqual(
        await wireOf(() => sdk.refunds.list({ ...parameter, limit: 100 })),
      );
      expect(
        await wireOf(() => stripe.fetchRefund({ ...facts, gatewayRefundId: 're_1' }, at(url), http.send)),
      ).toEqual(await wireOf(() => sdk.refunds.retrieve('re_1')));
    },
  );

  const access = at('https://api.stripe.example');
  const secret = access.credentials['webhook_secret']!;
  const payload = JSON.stringify({
    id: 'evt_1',
    object: 'event',
    type: 'refund.updated',
    created: 1_795_428_100,
    data: {
      object: { id: 're_1', object: 'refund', amount: 100, currency: 'usd', status: 'succeeded', note: '₹' },
    },
  });
  const read = (header: string, receivedAt: Date) =>
    stripe.readWebhook(
      { headers: { 'stripe-signature': header }, rawBody: Buffer.from(payload), receivedAt },
      access,
    ).kind;

  test('we accept what it signs, and refuse what it would refuse', () => {
    const timestamp = 1_795_428_200;
    const header = Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
    expect(read(header, new Date(timestamp * 1000))).toBe('authentic');
    expect(read(header, new Date((timestamp + 299) * 1000))).toBe('authentic');
    expect(read(header, new Date((timestamp + 301) * 1000))).toBe('rejected');
    const forged = Stripe.webhooks.generateTestHeaderString({ payload, secret: `${secret}x`, timestamp });
    expect(read(forged, new Date(timestamp * 1000))).toBe('rejected');
    expect(() => Stripe.webhooks.constructEvent(payload, forged, secret)).toThrow();
  });
});
