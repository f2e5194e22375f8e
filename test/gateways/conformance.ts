/**
 * What it means to be a connector: one suite that each of them passes, over real HTTP, against a peer that does
 * what gateways do to people. A connector's test file describes its gateway's words and bodies (a `Dialect`)
 * and calls `conformsTo`; only what is special about the gateway is tested there.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type {
  CreateAnswer,
  FindAnswer,
  Gateway,
  GatewayAccountAccess,
  LookAnswer,
  PreparedRequest,
  RefundFacts,
  RefundNews,
  WebhookReading,
} from '../../src/gateways/gateway.ts';
import { createHttp, type Http } from '../../src/lib/http.ts';

type Json = Record<string, unknown>;

/** How one gateway speaks. All bodies are the gateway's own, written by hand from its documentation. */
export interface Dialect {
  readonly gateway: Gateway;
  /** Credentials of a working account; each secret is text that appears nowhere else. */
  readonly credentials: Readonly<Record<string, string>>;
  /** A refund before its first send (`gatewayRefundId` null) that this gateway could make. */
  readonly facts: RefundFacts;
  /** An id as this gateway gives to refunds. */
  readonly gatewayRefundId: string;
  /** Every status word of a refund that the gateway documents, with its meaning. */
  readonly words: Readonly<Record<string, RefundNews['status']>>;
  /** `[amountMinor, currency, exponent, as the request must carry it]`, the gateway's odd currencies included. */
  readonly amounts: readonly (readonly [number, string, number, string])[];
  /** The amount as this request carries it. */
  readonly amountIn: (prepared: PreparedRequest) => string;
  /** Our idempotency key as this request carries it; null where the gateway has no keys. */
  readonly keyIn: (prepared: PreparedRequest) => string | null;

  /**
   * The gateway's refund object for these facts, its id `gatewayRefundId` unless the facts have one. `word` is put
   * where the status stands, whatever it is: the suite also sends nonsense.
   */
  readonly refund: (word: unknown, facts: RefundFacts) => Json;
  /** The answers in which such objects arrive. */
  readonly created: (refund: Json) => Reply;
  readonly fetched: (refund: Json) => Reply;
  /** One page of a payment's refunds, paged as the gateway does by `request.url`. */
  readonly listed: (refunds: readonly Json[], request: Asked) => Reply;
  /** Whether this GET asks for a list rather than for one refund. */
  readonly asksForList: (request: Asked) => boolean;
  /** Whether this GET asks for a payment, and the answer where the account has it. */
  readonly asksForPayment: (request: Asked) => boolean;
  readonly payment: (facts: RefundFacts) => Reply;
  /** "This account has no such payment", to a create and to any question about the payment. */
  readonly noPayment: Reply;
  /** Answers to whose account this is, and what they all say. */
  readonly account: { readonly replies: readonly Reply[]; readonly identity: string };
  /** "No such refund", to a question by the gateway's id. */
  readonly absent: Reply;
  /** A 4xx with the gateway's own error, with which no refund exists. */
  readonly refusals: readonly {
    readonly name: string;
    readonly reply: Reply;
    readonly errorCode: string | null;
  }[];
  /** Refusals after which the customer may have the money already. */
  readonly maybePaid: readonly {
    readonly reply: Reply;
    readonly because: 'refunded_elsewhere' | 'disputed';
  }[];
  readonly noFunds: readonly Reply[];
  /** "This key is in use right now", "this key was used with another body": a refund may well exist. */
  readonly keyTrouble: readonly Reply[];
  readonly misconfigured: readonly Reply[];
  /** The gateway's own error object, to be sent with statuses that do not mean a refusal. */
  readonly errorBody: Json;

  /** Null: the gateway sends no webhooks about refunds. */
  readonly webhook: WebhookDialect | null;
}

export interface WebhookDialect {
  /** The raw body that tells of this refund. */
  readonly body: (refund: Json) => string;
  /** The headers that prove it, made with `secret`; `sentAt` is the time the gateway writes into them. */
  readonly sign: (rawBody: Buffer, secret: string, sentAt: Date) => Readonly<Record<string, string>>;
  /** The secret that `Dialect.credentials` verifies with. */
  readonly secret: string;
  /** Credentials while the secret is being rotated, and the two secrets that are both good then. */
  readonly rotating: {
    readonly credentials: Readonly<Record<string, string>>;
    readonly secrets: readonly string[];
  };
  /** How old a signed webhook may be; null where the gateway signs no time. */
  readonly toleranceMs: number | null;
}

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object goes out as JSON, declared as such unless `headers` say otherwise. */
  readonly body: Json | string;
}

type Answering = (asked: Asked, response: ServerResponse) => Reply | 'taken over';

const ANSWER_WITHIN_MS = 1_000;
const MAX_ANSWER_BYTES = 1 << 20;

export function conformsTo(name: string, makeDialect: () => Dialect | Promise<Dialect>): void {
  describe(`${name} conforms`, () => {
    let dialect: Dialect;
    let gateway: Gateway;
    let facts: RefundFacts;
    let known: RefundFacts;
    let access: GatewayAccountAccess;
    let http: Http;
    let peer: Peer;

    beforeAll(async () => {
      dialect = await makeDialect();
      gateway = dialect.gateway;
      facts = dialect.facts;
      known = { ...facts, gatewayRefundId: dialect.gatewayRefundId };
      peer = await startPeer();
      http = createHttp({
        allowPrivate: true,
        timeoutMs: ANSWER_WITHIN_MS,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        userAgent: 'conformance',
      });
      access = {
        accountId: 'ga_conformance',
        identity: 'conformance',
        baseUrl: peer.url,
        credentials: dialect.credentials,
      };
      // The first exchange of a process loads what the others find loaded, and is no measure of a peer.
      await http.send({ method: 'GET', url: peer.url, headers: {}, body: null, timeoutMs: 30_000 });
      peer.asked.length = 0;
    });
    afterAll(async () => {
      await peer?.stop();
      await http?.close();
    });
    afterEach(() => {
      peer.asked.length = 0;
    });

    const create = (of = facts, at = access): Promise<CreateAnswer> =>
      gateway.createRefund(gateway.prepareRefund(of), of, at, http.send);
    const fetch = (of: RefundFacts, at = access): Promise<LookAnswer> =>
      gateway.fetchRefund(of, at, http.send);
    const find = (at = access): Promise<FindAnswer> => gateway.findRefunds(facts, at, http.send);
    /** The same refund everywhere: as the answer to a create, alone, and in the payment's list. */
    const holding =
      (...refunds: Json[]): Answering =>
      (asked) => {
        if (asked.method !== 'GET') return dialect.created(refunds[0]!);
        if (dialect.asksForPayment(asked)) return dialect.payment(facts);
        return dialect.asksForList(asked) ? dialect.listed(refunds, asked) : dialect.fetched(refunds[0]!);
      };
    const always =
      (reply: Reply): Answering =>
      () =>
        reply;
    const someWord = (status: RefundNews['status']) =>
      Object.keys(dialect.words).find((word) => dialect.words[word] === status)!;

    describe('prepareRefund', () => {
      const anyFacts = () =>
        fc
          .record({
            refundId: fc.uuid(),
            idempotencyKey: fc.stringMatching(/^[A-Za-z0-9]{22}$/),
            orderId: fc.stringMatching(/^[\x21-\x7e]{1,128}$/),
            reason: fc.option(fc.string({ unit: 'binary', maxLength: 300 })),
            amount: fc.constantFrom(...dialect.amounts),
          })
          .map(({ amount: [amountMinor, currency, exponent], ...rest }): RefundFacts => {
            return { ...facts, ...rest, amountMinor, currency, exponent };
          });

      it('gives equal bytes for equal facts, and changes nothing it was given', () => {
        fc.assert(
          fc.property(anyFacts(), (given) => {
            const before = structuredClone(given);
            const first = gateway.prepareRefund(Object.freeze(given));
            expect(JSON.stringify(gateway.prepareRefund(structuredClone(before)))).toBe(
              JSON.stringify(first),
            );
            expect(given).toEqual(before);
            expect(JSON.parse(JSON.stringify(first))).toEqual(first);
            expectStorable(first);
          }),
        );
      });

      it('carries the key and never depends on what was learnt later', () => {
        const prepared = gateway.prepareRefund(facts);
        expect(dialect.keyIn(prepared)).toBe(
          gateway.capabilities.keyLifeMs === null ? null : facts.idempotencyKey,
        );
        expect(gateway.prepareRefund(known)).toEqual(prepared);
        expect(prepared.path).toMatch(/^\//);
      });

      it('writes amounts in the way of the gateway, exactly', () => {
        for (const [amountMinor, currency, exponent, expected] of dialect.amounts) {
          const prepared = gateway.prepareRefund({ ...facts, amountMinor, currency, exponent });
          expect(dialect.amountIn(prepared), `${amountMinor} ${currency}`).toBe(expected);
        }
      });

      it('is sent as it was prepared, with the credentials added only on the way', async () => {
        peer.answer = holding(dialect.refund(someWord('pending'), facts));
        const prepared = gateway.prepareRefund(facts);
        // What is stored before the first byte comes back from the database at a repeat.
        const stored = JSON.parse(JSON.stringify(prepared)) as PreparedRequest;
        await gateway.createRefund(stored, facts, access, http.send);
        const [asked, ...others] = peer.asked;
        expect(others).toEqual([]);
        expect(asked).toMatchObject({
          method: prepared.method,
          url: prepared.path,
          body: prepared.body ?? '',
        });
        for (const [header, value] of Object.entries(prepared.headers)) {
          expect(asked!.headers[header.toLowerCase()]).toBe(value);
        }
        expectNoSecrets(prepared, dialect);
      });

      it('works below a base URL that has a path', async () => {
        peer.answer = holding(dialect.refund(someWord('pending'), facts));
        await create(facts, { ...access, baseUrl: `${peer.url}/below/here` });
        expect(peer.asked[0]!.url).toBe(`/below/here${gateway.prepareRefund(facts).path}`);
      });
    });

    describe('status words', () => {
      const everyWay = async (word: unknown): Promise<RefundNews[]> => {
        peer.answer = holding(dialect.refund(word, known));
        const found = await find();
        return [
          newsOf(await create()),
          newsOf(await fetch(known)),
          newsOf(await fetch(facts)),
          found.kind === 'found' ? found.refunds[0]!.news : expect.fail(JSON.stringify(found)),
        ];
      };

      it('mean what the documentation says, whichever way they arrive', async () => {
        for (const [word, status] of Object.entries(dialect.words)) {
          for (const news of await everyWay(word)) {
            expect(news, word).toMatchObject({
              status,
              rawStatus: word,
              gatewayRefundId: dialect.gatewayRefundId,
            });
            expect(news.unknownWord ?? false, word).toBe(false);
          }
        }
      });

      it('that are not known stay pending, and say so', async () => {
        const success = someWord('succeeded');
        const swapped = success === success.toUpperCase() ? success.toLowerCase() : success.toUpperCase();
        for (const word of [
          swapped,
          `${success} `,
          `${success}_soon`,
          'constructor',
          '__proto__',
          'toString',
        ]) {
          for (const news of await everyWay(word)) {
            expect(news, word).toMatchObject({ status: 'pending', unknownWord: true, rawStatus: word });
          }
        }
      });

      it('that are not words at all never become an outcome', async () => {
        for (const word of [null, '', 1, true, [someWord('succeeded')], { status: someWord('succeeded') }]) {
          peer.answer = holding(dialect.refund(word, known));
          const created = await create();
          if (created.kind === 'news')
            expect(created.news).toMatchObject({ status: 'pending', unknownWord: true });
          else expect(created.kind).toBe('unknown');
          for (const answer of [await fetch(known), await fetch(facts)]) {
            if (answer.kind === 'news')
              expect(answer.news).toMatchObject({ status: 'pending', unknownWord: true });
            else expect(answer.kind).toBe('no_answer');
          }
        }
      });
    });

    describe('create', () => {
      it('refused by the gateway: no refund exists, and the reason is kept', async () => {
        for (const refusal of dialect.refusals) {
          peer.answer = always(refusal.reply);
          const answer = await create();
          expect(answer, refusal.name).toMatchObject({ kind: 'refused', errorCode: refusal.errorCode });
          if (answer.kind === 'refused') expect(answer.errorMessage.length, refusal.name).toBeGreaterThan(0);
        }
      });

      it('no balance at the gateway', async () => {
        for (const reply of dialect.noFunds) {
          peer.answer = always(reply);
          expect(await create()).toMatchObject({ kind: 'no_funds' });
        }
      });

      it('refused because the customer may have the money already', async () => {
        for (const { reply, because } of dialect.maybePaid) {
          peer.answer = always(reply);
          expect(await create()).toMatchObject({ kind: 'refused', because });
        }
        for (const { reply } of dialect.refusals) {
          peer.answer = always(reply);
          expect(await create()).not.toHaveProperty('because');
        }
      });

      it('no such payment in this account is no refusal of the refund', async () => {
        peer.answer = always(dialect.noPayment);
        expect(await create()).toMatchObject({ kind: 'no_payment', errorMessage: expect.any(String) });
      });

      it('429 of the gateway itself: not made, with the wait that was asked for', async () => {
        peer.answer = always({ status: 429, headers: { 'retry-after': '7' }, body: dialect.errorBody });
        expect(await create()).toMatchObject({ kind: 'busy', retryAfterMs: 7000 });
        peer.answer = always({ status: 429, headers: { 'retry-after': '-1e9' }, body: dialect.errorBody });
        expect(await create()).toMatchObject({ kind: 'busy', retryAfterMs: null });
      });

      it('401 and 403 of the gateway itself: our settings are wrong, which is no refusal', async () => {
        for (const reply of [
          ...dialect.misconfigured,
          { status: 401, body: dialect.errorBody },
          { status: 403, body: dialect.errorBody },
        ]) {
          peer.answer = always(reply);
          expect(await create()).toMatchObject({ kind: 'misconfigured' });
        }
      });

      it('a key in use, or used with another body, is unknown', async () => {
        for (const reply of [...dialect.keyTrouble, { status: 409, body: dialect.errorBody }]) {
          peer.answer = always(reply);
          expect(await create()).toMatchObject({ kind: 'unknown' });
        }
      });

      it('a status that proves nothing is unknown, even with the gateway’s own error', async () => {
        for (const status of [301, 302, 307, 408, 499, 500, 501, 502, 503, 504, 520, 599]) {
          peer.answer = always({ status, headers: { location: '/elsewhere' }, body: dialect.errorBody });
          expect(await create(), String(status)).toMatchObject({ kind: 'unknown' });
        }
        expect(peer.asked.every((asked) => asked.method !== 'GET')).toBe(true);
      });

      it('a 2xx that cannot be read is unknown', async () => {
        for (const reply of await unreadableReplies()) {
          peer.answer = reply;
          expect(await create()).toMatchObject({ kind: 'unknown' });
        }
      });

      it('a 2xx about another refund is unknown', async () => {
        for (const other of others()) {
          peer.answer = holding(dialect.refund(someWord('succeeded'), other));
          expect(await create()).toMatchObject({ kind: 'unknown' });
        }
      });

      it('cut connections and silence are unknown; a connection never made is not sent', async () => {
        for (const [cut, behave] of Object.entries(CUTS)) {
          peer.answer = behave(dialect.created(dialect.refund(someWord('succeeded'), facts)));
          expect(await create(), cut).toMatchObject({ kind: 'unknown' });
        }
        for (const baseUrl of await deadEnds(peer)) {
          expect(await create(facts, { ...access, baseUrl }), baseUrl).toMatchObject({ kind: 'not_sent' });
        }
      });
    });

    describe('a page of somebody else', () => {
      const json = { 'content-type': 'application/json' };
      const pages = (): [name: string, headers: Record<string, string>, body: Reply['body']][] => {
        const own = JSON.stringify(dialect.errorBody);
        const page = { 'content-type': 'text/html' };
        return [
          ['a page', page, '<html><h1>Blocked by the network policy</h1></html>'],
          ['the gateway’s error as a page', page, own],
          ['no type', { 'content-type': '' }, own],
          ['two types', { 'content-type': 'application/json, text/html' }, own],
          ['nothing', json, ''],
          ['a torn error', json, own.slice(0, -1)],
          ['an error with more after it', json, `${own}\n<!-- proxy -->`],
          ['two errors', json, own + own],
          ['no object', json, 'null'],
          ['a list', json, '[]'],
          ['a text', json, '"Forbidden"'],
          ['a proxy’s message', json, { message: 'Forbidden' }],
          ['a proxy’s error', json, { error: 'forbidden' }],
          ['a proxy’s error with a message', json, { error: { message: 'Forbidden' } }],
          [
            'an API’s error',
            json,
            { error: { code: 403, message: 'Forbidden', status: 'PERMISSION_DENIED' } },
          ],
          [
            'an API’s error with words',
            json,
            { error: { type: 'forbidden', code: 'forbidden', message: 'Forbidden' } },
          ],
          ['errors', json, { errors: [{ code: 'forbidden', message: 'Forbidden' }] }],
          [
            'a problem',
            { 'content-type': 'application/problem+json' },
            { type: 'about:blank', title: 'Forbidden', status: 403, detail: 'no' },
          ],
        ];
      };
      const TELLING = [400, 401, 403, 404, 429];
      const OTHERS = [402, 405, 407, 410, 413, 422, 426, 451];

      it('says nothing of a refund, whatever its status, type and body', async () => {
        const cases = [
          ...TELLING.flatMap((status) => pages().map((page) => [status, page] as const)),
          // Of the others it is enough to see that they are no exception.
          ...OTHERS.flatMap((status) =>
            [pages()[0]!, pages().at(-1)!].map((page) => [status, page] as const),
          ),
        ];
        for (const [status, [name, headers, body]] of cases) {
          peer.answer = always({ status, headers, body });
          const what = `${status} with ${name}`;
          const [created, checked, ...answers] = await Promise.all([
            create(),
            gateway.checkAccess(access, http.send),
            fetch(known),
            fetch(facts),
            find(),
            gateway.identify(access, http.send),
          ]);
          expect(created, what).toMatchObject({ kind: 'unknown' });
          for (const answer of [checked.answer, ...answers]) expect(answer.kind, what).toBe('no_answer');
        }
      });

      it('that is cut by its own length is none either', async () => {
        const body = JSON.stringify(dialect.errorBody);
        peer.answer = always({ status: 403, headers: { ...json, 'content-length': '9' }, body });
        expect(await create()).toMatchObject({ kind: 'unknown' });
      });

      it('is an answer all the same, unless it says that something is broken', async () => {
        for (const [status, answered] of [
          [403, true],
          [404, true],
          [429, true],
          [502, false],
          [503, false],
        ] as const) {
          peer.answer = always({ status, headers: { 'content-type': 'text/html' }, body: '<h1>No</h1>' });
          expect(await create()).toMatchObject({ kind: 'unknown', answered });
          expect(await fetch(known)).toMatchObject({ kind: 'no_answer', answered });
          expect(await find()).toMatchObject({ kind: 'no_answer', answered });
        }
      });

      it('in the place of the answer, before or after the deed: asking tells which', async () => {
        const blocked = { status: 403, headers: { 'content-type': 'text/html' }, body: '<h1>Forbidden</h1>' };
        for (const made of [true, false]) {
          const books = made ? [dialect.refund(someWord('succeeded'), known)] : [];
          peer.answer = (asked) => {
            if (asked.method !== 'GET') return blocked;
            return dialect.asksForPayment(asked) ? dialect.payment(facts) : dialect.listed(books, asked);
          };
          expect(await create()).toMatchObject({ kind: 'unknown', answered: true });
          expect((await fetch(facts)).kind).toBe(made ? 'news' : 'absent');
        }
      });

      it('by a redirect or an empty success is none either', async () => {
        for (const status of [201, 202, 204, 205, 301, 302, 303, 307, 308]) {
          const headers = { location: `${peer.url}/v1/elsewhere` };
          for (const body of ['', status < 300 ? '{}' : JSON.stringify(dialect.errorBody)]) {
            peer.answer = always({ status, headers, body });
            expect(await create(), String(status)).toMatchObject({ kind: 'unknown', answered: true });
            expect(await fetch(known), String(status)).toMatchObject({ kind: 'no_answer', answered: true });
          }
        }
        expect(peer.asked.every(({ url }) => !url.includes('elsewhere'))).toBe(true);
      });
    });

    describe('whose account it is', () => {
      const identify = (at = access) => gateway.identify(at, http.send);

      it('is told the same way by every answer that tells it', async () => {
        for (const reply of dialect.account.replies) {
          peer.answer = always(reply);
          const answer = await identify();
          expect(answer).toMatchObject({ kind: 'told', identity: dialect.account.identity });
          expectNoSecrets(answer, dialect);
          expect(peer.asked.every(({ method }) => method === 'GET')).toBe(true);
        }
      });

      it('is not told by an account that says nothing, and never guessed', async () => {
        for (const reply of [
          { status: 200, body: {} },
          { status: 200, body: { account: 'x y', object: 'account', id: "acct_1'; drop" } },
          { status: 500, body: dialect.errorBody },
          { status: 429, body: dialect.errorBody },
          { status: 401, body: dialect.errorBody },
          { status: 403, body: dialect.errorBody },
          { status: 404, body: dialect.errorBody },
        ]) {
          peer.answer = always(reply);
          expect((await identify()).kind, JSON.stringify(reply)).not.toBe('told');
        }
        for (const baseUrl of await deadEnds(peer))
          expect((await identify({ ...access, baseUrl })).kind).toBe('no_answer');
      });

      it('an account without the payment proves nothing of its refunds', async () => {
        peer.answer = (asked) =>
          dialect.asksForList(asked) || dialect.asksForPayment(asked) ? dialect.noPayment : dialect.absent;
        for (const answer of [await fetch(known), await fetch(facts), await find()])
          expect(answer).toMatchObject({ kind: 'no_answer', answered: true });
        if (gateway.findPayment) {
          expect(await gateway.findPayment(facts, access, http.send)).toMatchObject({ kind: 'unknown' });
          peer.answer = holding(dialect.refund(someWord('pending'), known));
          expect(await gateway.findPayment(facts, access, http.send)).toMatchObject({ kind: 'known' });
        }
      });
    });

    describe('checkAccess', () => {
      const check = (at = access) => gateway.checkAccess(at, http.send);

      it('asks once for something that changes nothing, and works where refunds can be listed', async () => {
        peer.answer = (asked) => dialect.listed([dialect.refund(someWord('pending'), known)], asked);
        const { tried, answer } = await check();
        expect(answer.kind).toBe('works');
        expect(peer.asked).toHaveLength(1);
        expect(`${peer.asked[0]!.method} ${peer.asked[0]!.url}`).toBe(tried);
        expect(peer.asked[0]!.method).toBe('GET');
        expectNoSecrets({ tried, answer }, dialect);
        peer.answer = (asked) => dialect.listed([], asked);
        expect((await check()).answer.kind).toBe('works');
      });

      it('tells refused credentials from a gateway that is busy, silent or somebody else', async () => {
        for (const reply of dialect.misconfigured) {
          peer.answer = always(reply);
          expect((await check()).answer).toMatchObject({ kind: 'misconfigured' });
        }
        peer.answer = always({ status: 429, body: dialect.errorBody });
        expect((await check()).answer.kind).toBe('busy');
        for (const reply of [
          { status: 500, body: dialect.errorBody },
          { status: 200, body: { hello: 'world' } },
          { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Parked</h1>' },
        ]) {
          peer.answer = always(reply);
          expect((await check()).answer.kind, JSON.stringify(reply)).toBe('no_answer');
        }
        for (const baseUrl of await deadEnds(peer)) {
          expect((await check({ ...access, baseUrl })).answer.kind).toBe('no_answer');
        }
      });

      it('is described for a form: each field once, each pattern one that compiles, and where to read more', () => {
        const names = gateway.credentialFields.map((field) => field.name);
        expect(new Set(names).size).toBe(names.length);
        for (const { name, label, help, pattern, required } of gateway.credentialFields) {
          expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
          expect(label).not.toBe('');
          expect(help).not.toBe('');
          if (pattern !== undefined && required) {
            expect(dialect.credentials[name]).toMatch(new RegExp(`^(?:${pattern})$`));
          }
        }
        if (gateway.movesRealMoney) expect(gateway.docsUrl).toMatch(/^https:\/\//);
      });
    });

    describe('fetch and find', () => {
      it('absent only when the gateway itself says so', async () => {
        peer.answer = (asked) => {
          if (dialect.asksForPayment(asked)) return dialect.payment(facts);
          return dialect.asksForList(asked) ? dialect.listed([], asked) : dialect.absent;
        };
        expect(await fetch(known)).toMatchObject({ kind: 'absent' });
        expect(await fetch(facts)).toMatchObject({ kind: 'absent' });
        expect(await find()).toMatchObject({ kind: 'found', refunds: [] });
      });

      it('refunds of others under the same payment are listed, and are not ours', async () => {
        peer.answer = holding(...others().map((other) => dialect.refund(someWord('succeeded'), other)));
        expect(await fetch(facts)).toMatchObject({ kind: 'absent' });
        const found = await find();
        expect(found.kind === 'found' ? found.refunds.length : found).toBe(others().length);
      });

      it('finds ours on whichever page of a long list it stands', async () => {
        const strangers = Array.from({ length: 249 }, (_, n) =>
          dialect.refund(someWord('succeeded'), {
            ...others()[0]!,
            gatewayRefundId: `${dialect.gatewayRefundId}${n}`,
          }),
        );
        const ours = dialect.refund(someWord('failed'), known);
        for (const list of [
          [...strangers, ours],
          [ours, ...strangers],
        ]) {
          peer.answer = (asked) => dialect.listed(list, asked);
          expect(newsOf(await fetch(facts)).status).toBe('failed');
          const found = await find();
          expect(found.kind === 'found' ? found.refunds.length : found).toBe(250);
        }
      });

      it('a list that breaks off proves nothing', async () => {
        const strangers = Array.from({ length: 249 }, (_, n) =>
          dialect.refund(someWord('succeeded'), {
            ...others()[0]!,
            gatewayRefundId: `${dialect.gatewayRefundId}${n}`,
          }),
        );
        peer.answer = (asked) =>
          peer.asked.length > 1 ? { status: 500, body: dialect.errorBody } : dialect.listed(strangers, asked);
        const answer = await fetch(facts);
        // Where the gateway can look for our id itself, the first page is all there is.
        expect(answer.kind).toBe(peer.asked.length > 1 ? 'no_answer' : 'absent');
        peer.asked.length = 0;
        expect(await find()).toMatchObject({ kind: 'no_answer' });
      });

      it('anything else teaches nothing', async () => {
        const page = { 'content-type': 'text/html' };
        const nothing: Answering[] = [
          ...[301, 400, 404, 405, 408, 409, 410, 422, 499, 500, 502, 503].map((status) =>
            always({ status, headers: page, body: '<html>no such refund</html>' }),
          ),
          ...[404, 410].map((status) => always({ status, body: { message: 'no such route' } })),
          ...[408, 409, 499, 500, 502, 503].map((status) => always({ status, body: dialect.absent.body })),
          ...(await unreadableReplies()),
          ...Object.values(CUTS).map((cut) =>
            cut(dialect.fetched(dialect.refund(someWord('succeeded'), known))),
          ),
        ];
        for (const behave of nothing) {
          peer.answer = behave;
          for (const answer of await Promise.all([fetch(known), fetch(facts), find()])) {
            expect(answer, String(behave)).toMatchObject({ kind: 'no_answer' });
          }
        }
        for (const baseUrl of await deadEnds(peer)) {
          expect(await fetch(known, { ...access, baseUrl })).toMatchObject({ kind: 'no_answer' });
          expect(await find({ ...access, baseUrl })).toMatchObject({ kind: 'no_answer' });
        }
      });

      it('429, 401 and 403 are told apart', async () => {
        peer.answer = always({ status: 429, headers: { 'retry-after': '3' }, body: dialect.errorBody });
        expect(await fetch(known)).toMatchObject({ kind: 'busy', retryAfterMs: 3000 });
        expect(await find()).toMatchObject({ kind: 'busy', retryAfterMs: 3000 });
        for (const status of [401, 403]) {
          peer.answer = always({ status, body: dialect.errorBody });
          expect(await fetch(known)).toMatchObject({ kind: 'misconfigured' });
          expect(await fetch(facts)).toMatchObject({ kind: 'misconfigured' });
          expect(await find()).toMatchObject({ kind: 'misconfigured' });
        }
      });

      it('our refund of another amount, currency or payment does not fit', async () => {
        const other = facts.currency === 'USD' ? 'EUR' : 'USD';
        for (const changes of [
          { amountMinor: facts.amountMinor + 100 },
          { amountMinor: 1 },
          { currency: other },
        ]) {
          peer.answer = holding(dialect.refund(someWord('succeeded'), { ...known, ...changes }));
          for (const answer of [await create(), await fetch(known), await fetch(facts)]) {
            expect(answer).toMatchObject({
              kind: 'misfit',
              why: expect.stringContaining(dialect.gatewayRefundId),
            });
            expect(answer.kind === 'misfit' && JSON.stringify(answer.evidence)).toContain(
              dialect.gatewayRefundId,
            );
          }
        }
        const gatewayPaymentId = `${facts.gatewayPaymentId}9`;
        peer.answer = holding(dialect.refund(someWord('succeeded'), { ...known, gatewayPaymentId }));
        expect(await create()).toMatchObject({ kind: 'misfit' });
        expect(await fetch(known)).toMatchObject({ kind: 'misfit' });
        // In the list of one payment it is out of place altogether.
        expect(['misfit', 'no_answer']).toContain((await fetch(facts)).kind);
      });

      it('of several that name ours, one that fits is ours, whatever was written into the others', async () => {
        const stranger = dialect.refund(someWord('succeeded'), {
          ...known,
          amountMinor: facts.amountMinor + 100,
          gatewayRefundId: `${dialect.gatewayRefundId.slice(0, -1)}9`,
        });
        const ours = dialect.refund(someWord('failed'), known);
        for (const listed of [
          [stranger, ours],
          [ours, stranger],
        ]) {
          peer.answer = (asked) => dialect.listed(listed, asked);
          expect(newsOf(await fetch(facts))).toMatchObject({ gatewayRefundId: dialect.gatewayRefundId });
        }
      });

      it('of several refunds that name ours, one that failed does not stand for one that may be paid', async () => {
        const second = { ...known, gatewayRefundId: `${dialect.gatewayRefundId.slice(0, -1)}9` };
        for (const status of ['succeeded', 'pending'] as const) {
          const word = someWord(status);
          const refunds = [dialect.refund(someWord('failed'), known), dialect.refund(word, second)];
          for (const listed of [refunds, refunds.toReversed()]) {
            peer.answer = (asked) => dialect.listed(listed, asked);
            expect(await fetch(facts)).toMatchObject({ kind: 'news', news: { status, rawStatus: word } });
          }
        }
      });

      it('a refund that names ours where it cannot be read proves no absence', async () => {
        const text = JSON.stringify(dialect.refund(someWord('succeeded'), known));
        for (const instead of [`["${facts.refundId}"]`, `"${facts.refundId} (late)"`]) {
          const mangled = JSON.parse(text.replaceAll(`"${facts.refundId}"`, instead)) as Json;
          // Listed although a filter by our id would leave it out.
          peer.answer = (asked) => dialect.listed([mangled], { ...asked, url: '/?limit=100' });
          expect(await fetch(facts)).toMatchObject({ kind: 'no_answer' });
        }
      });

      it('a second refund at the gateway, made for the same refund of ours, is no news of the first', async () => {
        const second = { ...known, gatewayRefundId: `${dialect.gatewayRefundId.slice(0, -1)}9` };
        peer.answer = always(dialect.fetched(dialect.refund(someWord('succeeded'), second)));
        expect(await fetch(known)).toMatchObject({ kind: 'no_answer' });
      });

      it('an answer about another refund is no news of ours', async () => {
        for (const other of others()) {
          peer.answer = always(dialect.fetched(dialect.refund(someWord('succeeded'), other)));
          expect(await fetch(known)).toMatchObject({ kind: 'no_answer' });
        }
      });
    });

    describe('evidence', () => {
      const allAnswers = async () => [await create(), await fetch(known), await fetch(facts), await find()];

      it('never holds credentials, even when the gateway echoes them', async () => {
        const echo = (status: number, as: (asked: Asked) => Reply['body']): Answering => {
          return (asked) => ({ status, body: as(asked) });
        };
        for (const behave of [
          echo(200, (asked) => ({ ...dialect.refund(someWord('pending'), known), echoed: asked.headers })),
          echo(400, (asked) => ({
            ...dialect.errorBody,
            request: { headers: asked.headers, credentials: dialect.credentials },
          })),
          echo(
            500,
            (asked) => `Request was: ${JSON.stringify(asked.headers)} ${JSON.stringify(dialect.credentials)}`,
          ),
        ]) {
          peer.answer = behave;
          for (const answer of await allAnswers()) expectNoSecrets(answer, dialect, peer.asked);
        }
      });

      it('never holds card or bank data', async () => {
        const bankData = {
          card: { number: '4242424242424242', cvc: '735', exp_month: 12, exp_year: 2031, last4: '4242' },
          PAN: '4242 4242 4242 4242',
          note: 'paid with 5555-5555-5555-4444 by asha.rao@okhdfcbank',
          bank: {
            accountNumber: '50100238119417',
            account_number: 50100238119417,
            ifsc: 'HDFC0000240',
            iban: 'DE89370400440532013000',
          },
          payer: { vpa: 'asha.rao@okhdfcbank', email: 'asha.rao@example.com' },
        };
        const privates = /4242|5555-|735|2031|asha|50100238|HDFC0|DE89/;
        const behaviours = [
          holding({ ...dialect.refund(someWord('pending'), known), ...bankData }),
          always({ status: 400, body: { ...dialect.errorBody, ...bankData } }),
          always({ status: 500, body: `Oops: ${JSON.stringify(bankData)}` }),
        ];
        for (const behave of behaviours) {
          peer.answer = behave;
          for (const answer of await allAnswers()) expect(JSON.stringify(answer)).not.toMatch(privates);
        }
      });

      it('keeps what was said, in a form the database can store', async () => {
        peer.answer = holding({ ...dialect.refund(someWord('pending'), known), remark: 'kept\0 \ud800' });
        for (const answer of await allAnswers()) {
          expect(JSON.stringify(answer)).toContain('kept');
          expectStorable(answer);
        }
      });
    });

    describe('mutated answers', () => {
      it('never throw, and never become an outcome that the body does not state', async () => {
        await fc.assert(
          fc.asyncProperty(
            anyMutation(dialect),
            fc.constantFrom(200, 201, 202, 204, 400, 404, 500),
            async (body, status) => {
              peer.answer = (asked) =>
                asked.method === 'GET' && dialect.asksForList(asked) && typeof body === 'object'
                  ? dialect.listed([body], asked)
                  : { status, headers: { 'content-type': 'application/json' }, body };
              const answers = [await create(), await fetch(known), await fetch(facts), await find()];
              const states = answers.flatMap((answer) =>
                answer.kind === 'news'
                  ? [answer.news]
                  : answer.kind === 'found'
                    ? answer.refunds.map((refund) => refund.news)
                    : [],
              );
              for (const news of states) expect(['pending', meaningOf(body, dialect)]).toContain(news.status);
              for (const answer of answers) expectStorable(answer);
            },
          ),
          { numRuns: 150 },
        );
      });
    });

    describe('webhooks', () => {
      const at = new Date('2026-11-23T10:00:00.000Z');
      const spoken = (): WebhookDialect | null => dialect.webhook;
      const read = (
        rawBody: Buffer | string,
        headers: Readonly<Record<string, string>>,
        receivedAt = at,
        credentials = dialect.credentials,
      ): WebhookReading =>
        gateway.readWebhook(
          { headers, rawBody: Buffer.from(rawBody), receivedAt },
          { ...access, credentials },
        );
      /** A webhook about our refund in this word, signed with this secret at this time. */
      const written = (words: WebhookDialect, word: string, secret = words.secret, sentAt = at) => {
        const rawBody = Buffer.from(words.body(dialect.refund(word, known)));
        return { rawBody, headers: words.sign(rawBody, secret, sentAt) };
      };

      it('that are authentic tell which refund it is and what became of it', () => {
        const words = spoken();
        if (!words) return expect(gateway.capabilities.webhookProof).toBe('none');
        for (const [word, status] of Object.entries(dialect.words)) {
          const { rawBody, headers } = written(words, word);
          const reading = read(rawBody, headers);
          expect(reading.kind, JSON.stringify(reading)).toBe(
            gateway.capabilities.webhookProof === 'signed' ? 'authentic' : 'unproven',
          );
          const [event] = reading.kind === 'rejected' ? [] : reading.events;
          expect(event, word).toBeDefined();
          if (event?.refundId) expect(event.refundId).toBe(facts.refundId);
          else expect(event?.gatewayRefundId).toBe(dialect.gatewayRefundId);
          if (event?.news) expect(event.news, word).toMatchObject({ status, rawStatus: word });
          expectNoSecrets(reading, dialect);
        }
      });

      it('about another refund that carries the id of ours do not fit it', () => {
        const words = spoken();
        if (!words) return;
        const misfits = (told: RefundFacts) => {
          const rawBody = Buffer.from(words.body(dialect.refund(someWord('succeeded'), told)));
          const reading = read(rawBody, words.sign(rawBody, words.secret, at));
          const events = reading.kind === 'rejected' ? [] : reading.events;
          return events.filter(({ news }) => news !== null).map(({ misfit }) => misfit?.(facts));
        };
        for (const misfit of misfits(known)) expect(misfit).toBeNull();
        for (const other of [
          { ...known, amountMinor: facts.amountMinor + 100 },
          { ...known, gatewayPaymentId: `${facts.gatewayPaymentId}9` },
        ])
          for (const misfit of misfits(other)) expect(misfit).toContain(dialect.gatewayRefundId);
      });

      it('with an unknown word stay pending', () => {
        const words = spoken();
        if (!words) return;
        const { rawBody, headers } = written(words, 'refunded_maybe');
        const reading = read(rawBody, headers);
        for (const event of reading.kind === 'rejected' ? [] : reading.events) {
          if (event.news) expect(event.news).toMatchObject({ status: 'pending', unknownWord: true });
        }
      });

      it('that are not proved are rejected: tampered, wrong secret, no proof, too old, too new', () => {
        const words = spoken();
        if (words === null || gateway.capabilities.webhookProof !== 'signed') return;
        const { rawBody, headers } = written(words, someWord('succeeded'));
        expect(read(rawBody, headers).kind).toBe('authentic');

        for (let place = 0; place < rawBody.length; place += 7) {
          const tampered = Buffer.from(rawBody);
          tampered[place] = tampered[place]! ^ 1;
          expect(read(tampered, headers).kind, `byte ${place}`).toBe('rejected');
        }
        expect(read(Buffer.concat([rawBody, Buffer.from(' ')]), headers).kind).toBe('rejected');
        expect(read(rawBody, {}).kind).toBe('rejected');
        const forged = written(words, someWord('succeeded'), `${words.secret}x`);
        expect(read(forged.rawBody, forged.headers).kind).toBe('rejected');
        const emptySecret = written(words, someWord('succeeded'), '');
        expect(read(emptySecret.rawBody, emptySecret.headers).kind).toBe('rejected');
        if (words.toleranceMs !== null) {
          const { toleranceMs } = words;
          const received = (lateMs: number) => read(rawBody, headers, new Date(at.getTime() + lateMs)).kind;
          expect(received(toleranceMs - 1000)).toBe('authentic');
          expect(received(toleranceMs + 1000)).toBe('rejected');
          expect(received(-toleranceMs - 1000)).toBe('rejected');
        }
      });

      it('are taken under every secret while one is being rotated', () => {
        const words = spoken();
        if (words === null || gateway.capabilities.webhookProof !== 'signed') return;
        const { credentials, secrets } = words.rotating;
        expect(new Set(secrets).size).toBeGreaterThan(1);
        for (const secret of secrets) {
          const { rawBody, headers } = written(words, someWord('succeeded'), secret);
          expect(read(rawBody, headers, at, credentials).kind).toBe('authentic');
        }
        const forged = written(words, someWord('succeeded'), 'neither of the two secrets');
        expect(read(forged.rawBody, forged.headers, at, credentials).kind).toBe('rejected');
      });

      it('never throw, whatever arrives', () => {
        const words = spoken();
        const names = words ? Object.keys(written(words, 'x').headers) : ['x-signature'];
        const readings = ['authentic', 'unproven', 'rejected'];
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: 'binary' }), (bytes, value) => {
            const headers = Object.fromEntries(names.map((header) => [header, value]));
            expect(readings).toContain(read(Buffer.from(bytes), headers).kind);
          }),
        );
        if (!words) return;
        // Signed garbage: the gateway's key proves who wrote it, not that it makes sense.
        fc.assert(
          fc.property(
            fc.oneof(fc.json(), fc.string({ unit: 'binary' }), fc.constant('{"'.repeat(5000))),
            (body) => {
              const rawBody = Buffer.from(body);
              const reading = read(rawBody, words.sign(rawBody, words.secret, at));
              expect(readings).toContain(reading.kind);
              for (const event of reading.kind === 'rejected' ? [] : reading.events) {
                expect(event.news?.status ?? 'pending').toBe('pending');
              }
            },
          ),
        );
        fc.assert(
          fc.property(anyMutation(dialect), (body) => {
            const rawBody = Buffer.from(typeof body === 'string' ? body : words.body(body));
            const reading = read(rawBody, words.sign(rawBody, words.secret, at));
            expectStorable(reading);
            for (const event of reading.kind === 'rejected' ? [] : reading.events) {
              if (event.news && typeof body === 'object')
                expect(['pending', meaningOf(body, dialect)]).toContain(event.news.status);
            }
          }),
        );
      });
    });

    /** Facts like ours, of other refunds: each differs in something that must be noticed. */
    const others = (): RefundFacts[] => {
      const stranger = {
        refundId: '0199a1b2-0000-7000-8000-00000000beef',
        gatewayRefundId: `${dialect.gatewayRefundId}9`,
      };
      return [
        { ...facts, ...stranger },
        { ...facts, ...stranger, amountMinor: facts.amountMinor + 1 },
        { ...known, amountMinor: facts.amountMinor + 1, refundId: stranger.refundId },
      ];
    };

    const unreadableReplies = async (): Promise<Answering[]> => {
      const success = dialect.created(dialect.refund(someWord('succeeded'), known));
      const text = typeof success.body === 'string' ? success.body : JSON.stringify(success.body);
      const json = { 'content-type': 'application/json' };
      return [
        { status: 200, headers: json, body: text.slice(0, -2) },
        { status: 200, headers: json, body: '' },
        { status: 204, headers: json, body: '' },
        { status: 200, headers: json, body: 'null' },
        { status: 200, headers: json, body: '[]' },
        { status: 200, headers: json, body: '"succeeded"' },
        { status: 200, headers: json, body: '{}' },
        { status: 200, headers: json, body: '{"message":"OK","status":"success"}' },
        { status: 200, headers: json, body: JSON.stringify(dialect.errorBody) },
        {
          status: 200,
          headers: { 'content-type': 'text/html' },
          body: '<html><h1>Sign in to the hotel network</h1></html>',
        },
        { status: 200, headers: { 'content-type': 'text/html' }, body: text },
        { status: 200, headers: { 'content-type': 'application/octet-stream' }, body: text },
        {
          status: 200,
          headers: json,
          body: `${text.slice(0, -1)},"padding":"${'x'.repeat(2 * MAX_ANSWER_BYTES)}"}`,
        },
      ].map(always);
    };
  });
}

function newsOf(answer: CreateAnswer | LookAnswer): RefundNews {
  return answer.kind === 'news' ? answer.news : expect.fail(JSON.stringify(answer));
}

/** No secret in it, neither as it is nor as it travelled in a header. */
function expectNoSecrets(value: unknown, dialect: Dialect, asked: readonly Asked[] = []): void {
  const text = JSON.stringify(value);
  const secretFields = dialect.gateway.credentialFields
    .filter((field) => field.secret)
    .map((field) => field.name);
  for (const name of secretFields) {
    const secret = dialect.credentials[name];
    if (secret !== undefined) expect(text, name).not.toContain(secret);
  }
  for (const { headers } of asked) {
    const token = headers.authorization?.split(' ').at(-1);
    if (token) expect(text).not.toContain(token);
  }
}

/** PostgreSQL takes no NUL and no half of a surrogate pair; nobody wants a megabyte of evidence. */
function expectStorable(value: unknown): void {
  const texts: string[] = [];
  const text = JSON.stringify(value, (key, entry: unknown) => {
    texts.push(key);
    if (typeof entry === 'string') texts.push(entry);
    return entry;
  });
  for (const part of texts)
    expect(!part.includes('\0') && part.isWellFormed(), JSON.stringify(part)).toBe(true);
  expect(text.length).toBeLessThan(100_000);
}

/** Our refund, pending, with members changed, removed or added somewhere; or text that is nearly that. */
function anyMutation(dialect: Dialect): fc.Arbitrary<Json | string> {
  const words = Object.keys(dialect.words);
  const pending = words.find((word) => dialect.words[word] === 'pending');
  const base = dialect.refund(pending, { ...dialect.facts, gatewayRefundId: dialect.gatewayRefundId });
  const paths = pathsOf(base);
  const odd: unknown[] = [null, true, '', 'SUCCESS', 'pending\0', -1, 0.1, 1e308, '1e3', [], {}, [null]];
  const value = fc.oneof(
    fc.constantFrom(...words),
    fc.constantFrom(...odd),
    fc.jsonValue({ maxDepth: 2 }),
    fc.string({ unit: 'binary' }),
  );
  const changed = fc
    .array(fc.tuple(fc.constantFrom(...paths), fc.option(value, { nil: undefined })), {
      minLength: 1,
      maxLength: 4,
    })
    .map((changes) => {
      const copy = structuredClone(base);
      for (const [path, to] of changes) put(copy, path, to);
      return copy;
    });
  const text = JSON.stringify(base);
  const torn = fc
    .tuple(fc.nat(text.length), fc.nat(20), fc.string({ unit: 'binary', maxLength: 10 }))
    .map(([from, length, put]) => text.slice(0, from) + put + text.slice(from + length));
  return fc.oneof({ weight: 3, arbitrary: changed }, { weight: 1, arbitrary: torn });
}

/** What the body states where the status stands, read by nothing but its place. */
function meaningOf(body: Json | string, dialect: Dialect): RefundNews['status'] | undefined {
  const mark = 'the status stands here';
  const marked = dialect.refund(mark, dialect.facts);
  const path = pathsOf(marked).find((at) => valueAt(marked, at) === mark)!;
  const word = valueAt(typeof body === 'string' ? JSON.parse(body) : body, path);
  return typeof word === 'string' && Object.hasOwn(dialect.words, word) ? dialect.words[word] : undefined;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce((at, key) => (at as Json | null)?.[key], value);
}

function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, entry]) => [[...path, key], ...pathsOf(entry, [...path, key])]);
}

function put(target: Json, path: readonly string[], value: unknown): void {
  const at = valueAt(target, path.slice(0, -1));
  if (typeof at !== 'object' || at === null) return;
  const last = path.at(-1)!;
  if (value === undefined) delete (at as Json)[last];
  else (at as Json)[last] = value;
}

// The peer ---------------------------------------------------------------------------------------------

interface Peer {
  readonly url: string;
  readonly port: number;
  readonly asked: Asked[];
  answer: Answering;
  stop(): Promise<void>;
}

async function startPeer(): Promise<Peer> {
  const sockets = new Set<Socket>();
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const entry: Asked = {
      method: request.method!,
      url: request.url!,
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    asked.push(entry);
    const reply = peer.answer(entry, response);
    if (reply === 'taken over') return;
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const peer: Peer = {
    url: `http://127.0.0.1:${port}`,
    port,
    asked,
    answer: () => ({ status: 500, body: 'nothing was set up' }),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return peer;
}

/** Ways in which an answer does not come, or not whole. */
const CUTS: Readonly<Record<string, (reply: Reply) => Answering>> = {
  'closed without a byte': () => (_asked, response) => {
    response.socket!.destroy();
    return 'taken over';
  },
  reset: () => (_asked, response) => {
    response.socket!.resetAndDestroy();
    return 'taken over';
  },
  silence: () => () => 'taken over',
  'cut in the middle of the body': (reply) => (_asked, response) => {
    const body = JSON.stringify(reply.body);
    response.writeHead(reply.status, { 'content-type': 'application/json', 'content-length': body.length });
    response.write(body.slice(0, -5), () => response.socket!.destroy());
    return 'taken over';
  },
  'headers, then silence': (reply) => (_asked, response) => {
    response.writeHead(reply.status, { 'content-type': 'application/json' });
    response.flushHeaders();
    return 'taken over';
  },
  'a drop at a time, for ever': (reply) => (_asked, response) => {
    response.writeHead(reply.status, { 'content-type': 'application/json' });
    const dripping = setInterval(() => response.write(' '), 20);
    response.on('close', () => clearInterval(dripping));
    return 'taken over';
  },
  'no HTTP at all': () => (_asked, response) => {
    response.socket!.end('220 mail.example.com ESMTP ready\r\n');
    return 'taken over';
  },
};

/** Base URLs at which nothing can receive a request: refused, no such name, no TLS. */
async function deadEnds(peer: Peer): Promise<string[]> {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  return [`http://127.0.0.1:${port}`, 'http://gateway.invalid', `https://127.0.0.1:${peer.port}`];
}
