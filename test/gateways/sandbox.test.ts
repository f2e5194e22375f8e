import { spawn } from 'node:child_process';
import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createGatewayAccount } from '../../src/gateways/accounts.ts';
import type { GatewayAccountAccess, RefundFacts } from '../../src/gateways/gateway.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { BEHAVIOURS } from '../../src/gateways/sandbox/behaviours.ts';
import { sandbox } from '../../src/gateways/sandbox/connector.ts';
import { type SandboxOptions, sandboxServer } from '../../src/gateways/sandbox/server.ts';
import { accountOf } from '../../src/gateways/sandbox/signing.ts';
import { holdKey } from '../../src/gateways/sandbox/store.ts';
import { tenantsOf } from '../../src/gateways/sandbox/tenants.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createHttp, type Http } from '../../src/lib/http.ts';
import { newId, shortOf } from '../../src/lib/ids.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createVault } from '../../src/lib/vault.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { conformsTo } from './conformance.ts';
import { sandboxDialect } from './sandbox-dialect.ts';

const KEY = 'sbx_sk_first_merchant';
const OTHER_KEY = 'sbx_sk_other_merchant';
const patiently = { timeout: 20_000, interval: 20 };

describe('the sandbox', () => {
  let database: FreshDatabase;
  let server: { readonly url: string; readonly app: FastifyInstance };
  let receiver: Receiver;
  let http: Http;

  beforeAll(async () => {
    database = await freshDatabase({ maxConnections: 20 });
    receiver = await startReceiver();
    server = await serve();
    http = createHttp({ allowPrivate: true, timeoutMs: 5_000, maxAnswerBytes: 1 << 20, userAgent: 'test' });
  });
  afterAll(async () => {
    await http?.close();
    await server?.app.close();
    await receiver?.stop();
    await database?.drop();
  });
  beforeEach(() => {
    receiver.answer = () => 200;
  });

  async function serve(options: Partial<SandboxOptions> = {}) {
    const app = Fastify();
    await app.register(sandboxServer, {
      prefix: '/sandbox',
      db: database.db,
      clock: systemClock,
      log: createLogger('silent'),
      open: false,
      webhookOrigins: [receiver.origin],
      laterMs: 150,
      silenceMs: 400,
      ...options,
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = app.server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/sandbox`, app };
  }

  const access = (secretKey = KEY): GatewayAccountAccess => ({
    accountId: 'ga_test',
    identity: `key ${secretKey}`,
    baseUrl: server.url,
    credentials: { secret_key: secretKey },
  });
  const factsFor = (startsWith: string, changes: Partial<RefundFacts> = {}): RefundFacts => {
    const refundId = newId();
    return {
      refundId,
      idempotencyKey: shortOf(refundId),
      orderId: `order-${refundId.slice(-8)}`,
      gatewayPaymentId: `${startsWith}_${refundId.slice(-8)}`,
      gatewayRefundId: null,
      amountMinor: 12_345,
      currency: 'INR',
      exponent: 2,
      refundType: 'STANDARD',
      reason: 'Returned',
      webhookUrl: receiver.url,
      ...changes,
    };
  };
  const create = (facts: RefundFacts, secretKey = KEY) =>
    sandbox.createRefund(sandbox.prepareRefund(facts), facts, access(secretKey), http.send);
  const fetchRefund = (facts: RefundFacts, secretKey = KEY) =>
    sandbox.fetchRefund(facts, access(secretKey), http.send);
  const statusOf = async (facts: RefundFacts) => {
    const answer = await fetchRefund(facts);
    return answer.kind === 'news' ? answer.news.status : answer.kind;
  };
  const post = (body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${server.url}/v1/refunds`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const bodyFor = (facts: RefundFacts) =>
    JSON.parse(sandbox.prepareRefund(facts).body!) as Record<string, unknown>;
  const books = async (query: string, secretKey: string | null = KEY, at = server.url) => {
    const headers: Record<string, string> =
      secretKey === null ? {} : { authorization: `Bearer ${secretKey}` };
    const answer = await fetch(`${at}/refunds?${query}`, { headers });
    return { status: answer.status, body: (await answer.json()) as Books };
  };
  const payouts = async (facts: RefundFacts) =>
    (await books(`gateway_payment_id=${facts.gatewayPaymentId}`)).body.refunds;
  /** What has been told of this refund so far: the statuses, in the order of arrival. */
  const told = (facts: RefundFacts) => receiver.about(facts.refundId).map(({ refund }) => refund.status);

  it('answers the question whether a key works', async () => {
    const kindFor = async (key: string) => (await sandbox.checkAccess(access(key), http.send)).answer.kind;
    expect(await kindFor(KEY)).toBe('works');
    expect(await kindFor('wrong_first_merchant')).toBe('misconfigured');
  });

  /** Of all accounts in this database: the sandbox reads them all. */
  const vault = createVault(randomBytes(32));

  it('tells whose account a key is, and nothing of the key', async () => {
    const accountFor = async (key: string) => {
      const answer = await sandbox.identify(access(key), http.send);
      return answer.kind === 'told' ? answer.identity : answer.kind;
    };
    const told = await accountFor(KEY);
    expect(told).toMatch(/^sbxa_[0-9a-f]{32}$/);
    expect(await accountFor(KEY)).toBe(told);
    expect(await accountFor(`${KEY}2`)).not.toBe(told);
    expect(await accountFor('wrong_first_merchant')).toBe('misconfigured');
  });

  it('is one account in Refundry, however often it is added', async () => {
    const deps = {
      db: database.db,
      vault,
      clock: systemClock,
      gateways: registryOf([sandbox]),
      gatewayHttp: http.send,
    };
    await database.db.query(`insert into merchants values ('chen', 'chen', '{}', now())`);
    const add = (name: string, secretKey: string) =>
      createGatewayAccount(
        deps,
        {
          merchantId: 'chen',
          gateway: 'SANDBOX',
          name,
          baseUrl: server.url,
          credentials: { secret_key: secretKey },
        },
        { allowPrivateAddresses: true, allowOtherHosts: false },
      );
    expect(await add('one', 'sbx_sk_chen_one')).toMatchObject({ ok: true });
    expect(await add('two', 'sbx_sk_chen_one')).toMatchObject({
      ok: false,
      refusal: { code: 'same_identity', message: expect.stringContaining('"one"') },
    });
    expect(await add('two', 'sbx_sk_chen_two')).toMatchObject({ ok: true });
  });

  describe('does with a payment what its id says', () => {
    it('sbx_ok, and any other id: succeeds at once, with its ARN', async () => {
      for (const startsWith of ['sbx_ok', 'pay_29QQoUBi66xm2f', 'SBX_FAIL']) {
        const facts = factsFor(startsWith);
        const answer = await create(facts);
        expect(answer).toMatchObject({ kind: 'news', news: { status: 'succeeded', rawStatus: 'succeeded' } });
        expect(answer.kind === 'news' && answer.news.arn).toMatch(/^\d{23}$/);
        expect(await payouts(facts)).toMatchObject([
          {
            order_id: facts.orderId,
            gateway_payment_id: facts.gatewayPaymentId,
            refund_id: facts.refundId,
            idempotency_key: facts.idempotencyKey,
            amount: '123.45',
            amount_minor: 12_345,
            currency: 'INR',
            status: 'succeeded',
          },
        ]);
      }
    });

    it('sbx_slow: pending, then a webhook says success and brings the ARN', async () => {
      const facts = factsFor('sbx_slow');
      const answer = await create(facts);
      expect(answer).toMatchObject({ kind: 'news', news: { status: 'pending', arn: null } });
      await vi.waitFor(() => expect(told(facts)).toEqual(['succeeded']), patiently);
      const [event] = receiver.read(facts.refundId, access());
      expect(event).toMatchObject({ refundId: facts.refundId, news: { status: 'succeeded' } });
      expect(event!.news!.arn).toMatch(/^\d{23}$/);
      expect(await statusOf(facts)).toBe('succeeded');
    });

    it('sbx_fail: pending, then a webhook says failed, and why', async () => {
      const facts = factsFor('sbx_fail');
      expect(await create(facts)).toMatchObject({ kind: 'news', news: { status: 'pending' } });
      await vi.waitFor(() => expect(told(facts)).toEqual(['failed']), patiently);
      expect(await fetchRefund(facts)).toMatchObject({
        kind: 'news',
        news: { status: 'failed', errorCode: 'account_closed', arn: null },
      });
    });

    it('sbx_refuse: refused, and nothing is in the books', async () => {
      const facts = factsFor('sbx_refuse');
      expect(await create(facts)).toMatchObject({ kind: 'refused', errorCode: 'refund_refused' });
      expect(await create(facts)).toMatchObject({ kind: 'refused', errorCode: 'refund_refused' });
      expect(await statusOf(facts)).toBe('absent');
      expect(await payouts(facts)).toEqual([]);
    });

    it('sbx_page: pays, and a page of somebody else stands in the place of each answer', async () => {
      const facts = factsFor('sbx_page');
      for (let send = 0; send < 2; send++) {
        expect(await create(facts)).toMatchObject({ kind: 'unknown', answered: true });
      }
      expect(await statusOf(facts)).toBe('succeeded');
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('sbx_other: pays another amount, which fits nowhere', async () => {
      const facts = factsFor('sbx_other');
      for (const answer of [await create(facts), await create(facts), await fetchRefund(facts)]) {
        expect(answer).toMatchObject({
          kind: 'misfit',
          why: expect.stringContaining('123.46 INR, not 123.45 INR'),
        });
      }
      expect(await payouts(facts)).toMatchObject([{ amount_minor: 12_346 }]);
    });

    it('sbx_refunded: refused, because the customer has the money', async () => {
      const facts = factsFor('sbx_refunded');
      for (let send = 0; send < 2; send++) {
        expect(await create(facts)).toMatchObject({ kind: 'refused', because: 'refunded_elsewhere' });
      }
      expect(await payouts(facts)).toEqual([]);
    });

    it('sbx_unknown: no such payment, and nothing is proved absent', async () => {
      const facts = factsFor('sbx_unknown');
      expect(await create(facts)).toMatchObject({ kind: 'no_payment', errorCode: 'no_such_payment' });
      for (const gatewayRefundId of [null, 'sbxr_0']) {
        expect(await fetchRefund({ ...facts, gatewayRefundId })).toMatchObject({ kind: 'no_answer' });
      }
      expect(await sandbox.findRefunds(facts, access(), http.send)).toMatchObject({ kind: 'no_answer' });
      expect(await sandbox.findPayment!(facts, access(), http.send)).toMatchObject({ kind: 'unknown' });
      expect(await payouts(facts)).toEqual([]);
    });

    it('sbx_stuck: pending, and nothing is planned', async () => {
      const facts = factsFor('sbx_stuck');
      expect(await create(facts)).toMatchObject({ kind: 'news', news: { status: 'pending' } });
      expect(
        await database.db.query('select next_change_at from sandbox_payouts where refund_id = $1', [
          facts.refundId,
        ]),
      ).toEqual([{ next_change_at: null }]);
      expect(await statusOf(facts)).toBe('pending');
    });

    it('sbx_lost: pays, and never answers, however often; look-ups are answered', async () => {
      const facts = factsFor('sbx_lost');
      for (let send = 0; send < 2; send++) {
        const answer = await create(facts);
        expect(answer).toMatchObject({ kind: 'unknown' });
        expect(answer.kind === 'unknown' && answer.why).not.toMatch(/status/);
      }
      expect(await statusOf(facts)).toBe('succeeded');
      expect(await payouts(facts)).toHaveLength(1);
      expect(told(facts)).toEqual([]);
    });

    it('sbx_drop: does nothing, says nothing; look-ups find nothing', async () => {
      const facts = factsFor('sbx_drop');
      expect(await create(facts)).toMatchObject({ kind: 'unknown' });
      expect(await statusOf(facts)).toBe('absent');
      expect(await payouts(facts)).toEqual([]);
    });

    it('sbx_reverse: succeeds, then is taken back', async () => {
      const facts = factsFor('sbx_reverse');
      const answer = await create(facts);
      expect(answer).toMatchObject({ kind: 'news', news: { status: 'succeeded' } });
      await vi.waitFor(() => expect(told(facts)).toEqual(['reversed']), patiently);
      expect(await fetchRefund(facts)).toMatchObject({
        kind: 'news',
        news: { status: 'reversed', errorCode: 'returned_by_bank' },
      });
    });

    it('sbx_funds: no balance twice, nothing made; then a success whose ARN comes by webhook', async () => {
      const facts = factsFor('sbx_funds');
      for (let send = 0; send < 2; send++) {
        expect(await create(facts)).toMatchObject({ kind: 'no_funds' });
        expect(await statusOf(facts)).toBe('absent');
      }
      expect(await create(facts)).toMatchObject({ kind: 'news', news: { status: 'succeeded', arn: null } });
      await vi.waitFor(() => expect(told(facts)).toEqual(['succeeded']), patiently);
      expect(receiver.read(facts.refundId, access())[0]!.news!.arn).toMatch(/^\d{23}$/);
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('sbx_busy: told to come later twice, nothing made; then succeeds', async () => {
      const facts = factsFor('sbx_busy');
      for (let send = 0; send < 2; send++) {
        expect(await create(facts)).toMatchObject({ kind: 'busy', retryAfterMs: 1_000 });
        expect(await statusOf(facts)).toBe('absent');
      }
      expect(await create(facts)).toMatchObject({ kind: 'news', news: { status: 'succeeded' } });
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('sbx_dup: one webhook before the answer, an older one after it, and the first again', async () => {
      const facts = factsFor('sbx_dup');
      const answer = await create(facts);
      expect(told(facts)[0]).toBe('succeeded');
      expect(answer).toMatchObject({ kind: 'news', news: { status: 'pending' } });
      // On a busy machine both are due when the sandbox comes to send them, and either may arrive first.
      await vi.waitFor(
        () => expect(told(facts).toSorted()).toEqual(['pending', 'succeeded', 'succeeded']),
        patiently,
      );
      const [first, ...later] = receiver.read(facts.refundId, access());
      const again = later.filter(({ eventId }) => eventId === first!.eventId);
      const older = later.find(({ eventId }) => eventId !== first!.eventId);
      expect(again).toHaveLength(1);
      expect(older!.news!.at!.getTime()).toBeLessThan(first!.news!.at!.getTime());
      expect(answer.kind === 'news' && answer.news.at).toEqual(older!.news!.at);
      expect(await statusOf(facts)).toBe('succeeded');
      expect(await payouts(facts)).toHaveLength(1);
    });
  });

  describe('keys', () => {
    it('the same request again gets the stored answer, to the byte', async () => {
      const facts = factsFor('sbx_slow');
      const headers = { 'idempotency-key': facts.idempotencyKey };
      const first = await post(bodyFor(facts), headers);
      const firstText = await first.text();
      await vi.waitFor(() => expect(told(facts)).toEqual(['succeeded']), patiently);
      const again = await post(bodyFor(facts), headers);
      expect([again.status, await again.text()]).toEqual([first.status, firstText]);
      expect([first.headers.get('idempotent-replayed'), again.headers.get('idempotent-replayed')]).toEqual([
        null,
        'true',
      ]);
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('another request under the same key is an error, from which nobody concludes that no refund exists', async () => {
      const facts = factsFor('sbx_ok');
      await create(facts);
      const answer = await post(
        { ...bodyFor(facts), amount: 1 },
        { 'idempotency-key': facts.idempotencyKey },
      );
      expect(answer.status).toBe(422);
      expect(await answer.json()).toMatchObject({ error: { code: 'key_reused' } });
      expect(await create({ ...facts, amountMinor: 1 })).toMatchObject({ kind: 'unknown' });
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('50 at once with one key make one payout; those that come too early are told so', async () => {
      const facts = factsFor('sbx_ok');
      const answers = await Promise.all(Array.from({ length: 50 }, () => create(facts)));
      const made = answers.filter(({ kind }) => kind === 'news');
      expect(made.length).toBeGreaterThan(0);
      expect(new Set(made.map((answer) => answer.kind === 'news' && answer.news.gatewayRefundId)).size).toBe(
        1,
      );
      for (const answer of answers) expect(['news', 'unknown']).toContain(answer.kind);
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('a key in use is answered with 409, in whichever process it is used', async () => {
      const facts = factsFor('sbx_ok');
      await database.db.transaction(async (tx) => {
        expect(await holdKey(tx, accountOf(KEY), facts.idempotencyKey)).toBe(true);
        const early = await post(bodyFor(facts), { 'idempotency-key': facts.idempotencyKey });
        expect(early.status).toBe(409);
        expect(await create(facts)).toMatchObject({ kind: 'unknown' });
        expect(await create(facts, OTHER_KEY)).toMatchObject({ kind: 'news' });
      });
      expect(await create(facts)).toMatchObject({ kind: 'news' });
      expect(await payouts(facts)).toHaveLength(1);
    });

    it('without a key every request is a new payout', async () => {
      const facts = factsFor('sbx_ok');
      for (let send = 0; send < 3; send++) expect((await post(bodyFor(facts))).status).toBe(201);
      expect(await payouts(facts)).toHaveLength(3);
      const found = await sandbox.findRefunds(facts, access(), http.send);
      expect(found.kind === 'found' && found.refunds.map(({ refundId }) => refundId)).toEqual(
        Array(3).fill(facts.refundId),
      );
    });

    it('another key is another payout: the books show money sent twice', async () => {
      const facts = factsFor('sbx_ok');
      await create(facts);
      await create({ ...facts, idempotencyKey: shortOf(newId()) });
      expect((await books(`order_id=${facts.orderId}`)).body.totals).toEqual([
        { currency: 'INR', status: 'succeeded', count: 2, amount: '246.90' },
      ]);
    });

    it('the keys of two accounts have nothing to do with each other', async () => {
      const facts = factsFor('sbx_ok');
      await create(facts);
      expect(await create(facts, OTHER_KEY)).toMatchObject({ kind: 'news' });
      expect(await payouts(facts)).toHaveLength(1);
    });
  });

  describe('webhooks', () => {
    it('are signed with a key derived from the secret key', async () => {
      const facts = factsFor('sbx_slow');
      await create(facts);
      await vi.waitFor(() => expect(told(facts)).toEqual(['succeeded']), patiently);
      const [{ headers, rawBody }] = receiver.about(facts.refundId) as [Received];
      const [, seconds, given] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(String(headers['sandbox-signature']))!;
      const key = Buffer.from(hkdfSync('sha256', KEY, '', 'refundry sandbox webhooks', 32));
      const expected = createHmac('sha256', key).update(`${seconds}.${rawBody.toString()}`).digest('hex');
      expect(given).toBe(expected);
      expect(Math.abs(Number(seconds) * 1000 - Date.now())).toBeLessThan(60_000);
    });

    it('are repeated until 200, and only 200', async () => {
      const facts = factsFor('sbx_slow');
      const answers = [204, 302];
      receiver.answer = (event) =>
        event.refund.refund_id === facts.refundId ? (answers.shift() ?? 200) : 200;
      await create(facts);
      await vi.waitFor(() => expect(told(facts)).toHaveLength(3), patiently);
      await vi.waitFor(
        async () =>
          expect(
            await database.db.query('select 1 from sandbox_webhooks where body like $1', [
              `%${facts.refundId}%`,
            ]),
          ).toEqual([]),
        patiently,
      );
      expect(new Set(receiver.read(facts.refundId, access()).map(({ eventId }) => eventId)).size).toBe(1);
    });

    it('go only where they may', async () => {
      for (const webhookUrl of ['file:///etc/passwd', 'no url']) {
        const answer = await post(bodyFor(factsFor('sbx_slow', { webhookUrl })));
        expect(answer.status, webhookUrl).toBe(400);
        expect(await answer.json()).toMatchObject({ error: { param: 'webhook_url' } });
      }
    });

    it.each([
      ['those who want none', () => null],
      ['another place', () => 'http://127.0.0.1:9/hooks'],
      ['a private place', () => 'http://169.254.169.254/latest'],
    ])('are not sent to %s', async (_, webhookUrl) => {
      const facts = factsFor('sbx_slow', { webhookUrl: webhookUrl() });
      await create(facts);
      await vi.waitFor(async () => expect(await statusOf(facts)).toBe('succeeded'), patiently);
      expect(
        await database.db.query('select 1 from sandbox_webhooks where body like $1', [`%${facts.refundId}%`]),
      ).toEqual([]);
    });

    it('and planned changes survive a kill -9 of the sandbox', async () => {
      const own = await freshDatabase();
      const first = await startProgram(own.connectionString);
      const created = async (facts: RefundFacts) => {
        const at = { ...access(), baseUrl: first.url };
        return sandbox.createRefund(sandbox.prepareRefund(facts), facts, at, http.send);
      };
      // One whose webhook is owed when the sandbox dies, and one whose change still lies ahead.
      receiver.answer = () => 503;
      const owed = factsFor('sbx_slow');
      await created(owed);
      await vi.waitFor(() => expect(told(owed).length).toBeGreaterThan(0), patiently);
      const planned = factsFor('sbx_fail');
      expect(await created(planned)).toMatchObject({ kind: 'news', news: { status: 'pending' } });
      await first.kill();

      const before = told(owed).length;
      receiver.answer = () => 200;
      const second = await startProgram(own.connectionString);
      await vi.waitFor(() => {
        expect(told(owed).length).toBeGreaterThan(before);
        expect(told(planned).at(-1)).toBe('failed');
      }, patiently);
      expect(new Set(told(owed))).toEqual(new Set(['succeeded']));
      await vi.waitFor(
        async () => expect(await own.db.query('select 1 from sandbox_webhooks')).toEqual([]),
        patiently,
      );
      expect((await books('', KEY, second.url)).body.refunds.map(({ status }) => status)).toEqual([
        'failed',
        'succeeded',
      ]);
      await second.kill();
      await own.drop();
    });
  });

  describe('the books', () => {
    it('show one account nothing of another', async () => {
      const facts = factsFor('sbx_ok');
      const answer = await create(facts);
      const id = answer.kind === 'news' ? answer.news.gatewayRefundId! : expect.fail();
      expect((await books(`order_id=${facts.orderId}`, OTHER_KEY)).body).toMatchObject({
        refunds: [],
        totals: [],
      });
      expect(await statusOf(facts)).toBe('succeeded');
      expect(await fetchRefund(facts, OTHER_KEY)).toMatchObject({ kind: 'absent' });
      expect(await fetchRefund({ ...facts, gatewayRefundId: id }, OTHER_KEY)).toMatchObject({
        kind: 'absent',
      });
    });

    it('are shown without a key only where they are open, and to whom the program lets in', async () => {
      const facts = factsFor('sbx_ok');
      await create(facts);
      const query = `order_id=${facts.orderId}`;
      expect((await books(query, null)).status).toBe(401);
      expect((await books(query, 'something-else')).status).toBe(401);

      const opened = await serve({ open: true });
      for (const authorization of ['', 'Basic cmtfZGVtb186']) {
        const answer = await fetch(`${opened.url}/refunds?${query}`, { headers: { authorization } });
        expect(((await answer.json()) as Books).refunds).toHaveLength(1);
      }
      expect((await books(query, OTHER_KEY, opened.url)).body.refunds).toHaveLength(0);
      await opened.app.close();

      const mapped = await serve({
        admits: async (secretKey) => secretKey === KEY,
        keysOf: async (request) => (request.headers['x-caller'] === 'first' ? [KEY] : []),
      });
      const seen = async (caller: string) => {
        const answer = await fetch(`${mapped.url}/refunds?${query}`, { headers: { 'x-caller': caller } });
        return ((await answer.json()) as Books).refunds.length;
      };
      expect([await seen('first'), await seen('other')]).toEqual([1, 0]);
      expect((await books(query, OTHER_KEY, mapped.url)).status).toBe(401);
      await mapped.app.close();
    });

    it('are newest first, in pages, with the totals of all pages', async () => {
      const orderId = `pages-${newId().slice(-8)}`;
      const made: string[] = [];
      for (const amountMinor of [100, 200, 300, 400, 500]) {
        const facts = factsFor('sbx_ok', { orderId, amountMinor });
        await create(facts);
        made.unshift(facts.refundId);
      }
      await create(factsFor('sbx_stuck', { orderId, amountMinor: 1_234, currency: 'KWD', exponent: 3 }));
      const seen: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const { body } = await books(
          `order_id=${orderId}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
        );
        expect(body.totals).toEqual([
          { currency: 'INR', status: 'succeeded', count: 5, amount: '15.00' },
          { currency: 'KWD', status: 'pending', count: 1, amount: '1.234' },
        ]);
        expect(body.refunds.length).toBeLessThanOrEqual(2);
        seen.push(...body.refunds.map((refund) => refund.refund_id));
        cursor = body.next_cursor;
      }
      expect(seen.slice(1)).toEqual(made);
    });

    it('are found whole, however long, when a payment is looked up', async () => {
      const facts = factsFor('sbx_ok');
      await Promise.all(
        Array.from({ length: 120 }, () =>
          create({ ...factsFor('sbx_ok'), gatewayPaymentId: facts.gatewayPaymentId }),
        ),
      );
      await create(facts);
      const found = await sandbox.findRefunds(facts, access(), http.send);
      expect(found.kind === 'found' && found.refunds.length).toBe(121);
      expect(await statusOf(facts)).toBe('succeeded');
    });
  });

  describe('bad requests', () => {
    const good = () => bodyFor(factsFor('sbx_ok'));

    it('are refused by the name of the field', async () => {
      const bad: [Record<string, unknown>, string][] = [
        [{ amount: 0 }, 'amount'],
        [{ amount: 1.5 }, 'amount'],
        [{ amount: '100' }, 'amount'],
        [{ amount: 1e15 }, 'amount'],
        [{ currency: 'XXQ' }, 'currency'],
        [{ currency: 'inr' }, 'currency'],
        [{ payment: '' }, 'payment'],
        [{ payment: 'x'.repeat(256) }, 'payment'],
        [{ payment: 'a\0b' }, 'payment'],
        [{ refund_id: undefined }, 'refund_id'],
        [{ order_id: { $ne: 1 } }, 'order_id'],
        [{ reason: '\ud800' }, 'reason'],
      ];
      for (const [change, param] of bad) {
        const answer = await post({ ...good(), ...change });
        expect(answer.status, JSON.stringify(change)).toBe(400);
        expect(await answer.json()).toMatchObject({ error: { code: 'invalid_request', param } });
      }
      expect((await post({ ...good(), surprise: 1 })).status).toBe(400);
      expect((await post('{"payment":')).status).toBe(400);
      expect((await post('null')).status).toBe(400);
      expect((await post(good(), { 'content-type': 'text/plain' })).status).toBe(415);
      expect((await post({ ...good(), reason: 'x'.repeat(20_000) })).status).toBe(413);
      expect((await post(good(), { 'idempotency-key': 'x'.repeat(256) })).status).toBe(400);
      expect(
        (await fetch(`${server.url}/refunds?limit=1001`, { headers: { authorization: `Bearer ${KEY}` } }))
          .status,
      ).toBe(400);
      expect(
        (await fetch(`${server.url}/refunds?order=1`, { headers: { authorization: `Bearer ${KEY}` } }))
          .status,
      ).toBe(400);
      expect((await fetch(`${server.url}/elsewhere`)).status).toBe(404);
    });

    it('a wrong key is our setting, not a refusal', async () => {
      const facts = factsFor('sbx_ok');
      expect(await create(facts, 'not_a_sandbox_key')).toMatchObject({ kind: 'misconfigured' });
      expect(await fetchRefund(facts, 'not_a_sandbox_key')).toMatchObject({ kind: 'misconfigured' });
      expect(await payouts(facts)).toEqual([]);
    });
  });

  it('has every behaviour in its page, in the same words', () => {
    const page = readFileSync(new URL('../../docs/sandbox.md', import.meta.url), 'utf8');
    const rows = page.split('\n').filter((line) => line.startsWith('| `sbx_'));
    expect(rows).toEqual(BEHAVIOURS.map(({ startsWith, says }) => `| \`${startsWith}\` | ${says} |`));
  });

  it('in the main server takes the keys of its merchants only, and shows each merchant their own books', async () => {
    const deps = { db: database.db, vault, clock: systemClock, gateways: registryOf([sandbox]) };
    const open = async (merchantId: string, name: string, secretKey: string) => {
      await database.db.query(`insert into merchants values ($1, $1, '{}', $2) on conflict do nothing`, [
        merchantId,
        new Date(),
      ]);
      const account = { merchantId, gateway: 'SANDBOX', name, credentials: { secret_key: secretKey } };
      const made = await createGatewayAccount(deps, account, {
        allowPrivateAddresses: true,
        allowOtherHosts: false,
      });
      expect(made).toMatchObject({ ok: true });
    };
    const tenants = tenantsOf({
      ...deps,
      merchantOf: async (request) => (request.headers['x-merchant'] as string | undefined) ?? null,
    });
    await open('asha', 'one', 'sbx_sk_asha_one');
    expect(await Promise.all(['sbx_sk_asha_one', 'sbx_sk_stranger'].map(tenants.admits))).toEqual([
      true,
      false,
    ]);
    // Made a moment after the last reading, and used at once.
    await open('asha', 'two', 'sbx_sk_asha_two');
    await open('bela', 'one', 'sbx_sk_bela_one');
    expect(await Promise.all(['sbx_sk_asha_two', 'sbx_sk_bela_one'].map(tenants.admits))).toEqual([
      true,
      true,
    ]);

    const mounted = await serve(tenants);
    const orderId = `tenants-${newId().slice(-8)}`;
    for (const secretKey of ['sbx_sk_asha_one', 'sbx_sk_asha_two', 'sbx_sk_bela_one', 'sbx_sk_stranger']) {
      const facts = factsFor('sbx_ok', { orderId });
      const at = { ...access(secretKey), baseUrl: mounted.url };
      const answer = await sandbox.createRefund(sandbox.prepareRefund(facts), facts, at, http.send);
      expect(answer.kind).toBe(secretKey === 'sbx_sk_stranger' ? 'misconfigured' : 'news');
    }
    const seenBy = async (headers: Record<string, string>) => {
      const answer = await fetch(`${mounted.url}/refunds?order_id=${orderId}`, { headers });
      return answer.status === 200 ? ((await answer.json()) as Books).refunds.length : answer.status;
    };
    expect(await seenBy({ 'x-merchant': 'asha' })).toBe(2);
    expect(await seenBy({ 'x-merchant': 'bela' })).toBe(1);
    expect(await seenBy({ 'x-merchant': 'someone_else' })).toBe(0);
    expect(await seenBy({})).toBe(401);
    expect(await seenBy({ authorization: 'Bearer sbx_sk_asha_two' })).toBe(1);
    await mounted.app.close();
  });

  it('ends silent connections when it stops', async () => {
    const stopped = await serve({ silenceMs: 600_000 });
    const facts = factsFor('sbx_drop');
    const waiting = sandbox.createRefund(
      sandbox.prepareRefund(facts),
      facts,
      { ...access(), baseUrl: stopped.url },
      http.send,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    await stopped.app.close();
    expect(await waiting).toMatchObject({ kind: 'unknown' });
  });
});

conformsTo('SANDBOX', () => sandboxDialect);

interface Books {
  readonly refunds: { readonly refund_id: string; readonly status: string; readonly amount: string }[];
  readonly totals: unknown[];
  readonly next_cursor: string | null;
}

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: Buffer;
  readonly refund: { readonly refund_id: string; readonly status: string };
}

type Receiver = Awaited<ReturnType<typeof startReceiver>>;

/** Takes webhooks as a merchant's Refundry would, and remembers them. */
async function startReceiver() {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const rawBody = Buffer.concat(chunks);
    const { data } = JSON.parse(rawBody.toString()) as { data: Pick<Received, 'refund'> };
    const event = { headers: request.headers, rawBody, refund: data.refund };
    received.push(event);
    response.writeHead(receiver.answer(event), { location: '/elsewhere' }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const about = (refundId: string) => received.filter(({ refund }) => refund.refund_id === refundId);
  const receiver = {
    origin,
    url: `${origin}/gateways/ga_test/webhooks`,
    answer: (_event: Received): number => 200,
    about,
    /** What the connector makes of them. */
    read: (refundId: string, access: GatewayAccountAccess) =>
      about(refundId).flatMap(({ headers, rawBody }) => {
        const reading = sandbox.readWebhook(
          { headers: headers as Record<string, string>, rawBody, receivedAt: new Date() },
          access,
        );
        return reading.kind === 'authentic' ? reading.events : expect.fail(JSON.stringify(reading));
      }),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return receiver;
}

/** The sandbox as a process of its own. */
async function startProgram(databaseUrl: string) {
  const server = new URL('../../src/gateways/sandbox/server.ts', import.meta.url).href;
  const settings = { databaseUrl, host: '127.0.0.1', port: 0, open: false, laterMs: 300 };
  const code = `const { startSandbox } = await import('${server}');
    console.log((await startSandbox(${JSON.stringify(settings)})).url);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    url: url.toString().trim(),
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
