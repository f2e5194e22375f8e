import { createHash } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Clock, plusMs, systemClock } from '../../lib/clock.ts';
import { type Database, openDatabase, type Queryable } from '../../lib/db.ts';
import { urlProblem } from '../../lib/http.ts';
import { hexOf, newId } from '../../lib/ids.ts';
import { createLogger, type Logger } from '../../lib/log.ts';
import { migrate } from '../../lib/migrate.ts';
import { exponentOf, formatAmount, MAX_AMOUNT_MINOR } from '../../lib/money.ts';
import { type Behaviour, behaviourOf, TURNED_AWAY_TRIES } from './behaviours.ts';
import { createCourier } from './courier.ts';
import { bookEntry, newArn, newEventId, refundObject, webhookAbout } from './objects.ts';
import { accountIdOf, accountOf, webhookKeyOf } from './signing.ts';
import {
  countTry,
  holdKey,
  insertPayout,
  insertWebhooks,
  listPayouts,
  listPayoutsBackwards,
  type Payout,
  readPayout,
  readStoredAnswer,
  storeAnswer,
  totalPayouts,
  type Webhook,
} from './store.ts';

export interface SandboxOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether all books may be read without a secret key. With one, only that account's are shown. */
  readonly open: boolean;
  /** Origins that webhooks are sent to; none goes elsewhere, so that strangers cannot send the server there. `any`: all. */
  readonly webhookOrigins: 'any' | readonly string[];
  /** Whether this secret key has an account here; when absent, every key of the right form has. */
  readonly admits?: (secretKey: string) => Promise<boolean>;
  /** The secret keys whose books a caller may read who comes without one of them; null: who is that? */
  readonly keysOf?: (request: FastifyRequest) => Promise<readonly string[] | null>;
  /** How long "a second later" is. */
  readonly laterMs?: number;
  /** How long an unanswered connection stays open. */
  readonly silenceMs?: number;
}

/**
 * The sandbox's HTTP API and its courier, as a Fastify plugin; to be registered under the prefix `/sandbox`.
 * Closing the app cuts silent connections and waits for webhooks under way.
 */
export async function sandboxServer(app: FastifyInstance, options: SandboxOptions): Promise<void> {
  const { db } = options;
  const courier = createCourier(options);
  const silence = createSilence(options.silenceMs ?? 5_000);
  app.addHook('onReady', async () => courier.start());
  app.addHook('preClose', async () => silence.end());
  app.addHook('onClose', () => courier.stop());

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, options.log));
  app.setNotFoundHandler(() => {
    throw new SandboxError(404, 'no_such_page', 'The sandbox has no such page.');
  });

  const route = { schema: { hide: true }, config: { public: true }, bodyLimit: MAX_BODY_BYTES };

  app.post('/v1/refunds', route, async (request, reply) => {
    const secretKey = await secretKeyOf(request, options);
    const answer = await create(options, secretKey, readKey(request), request.body as Buffer);
    if (answer.dueAt) courier.expect(answer.dueAt);
    if (answer.tellFirst !== undefined) await courier.deliverNow(answer.tellFirst);
    if (answer.silent) return silence.keep(request, reply);
    if (answer.paged) return reply.code(403).type('text/html').send(PAGE);
    return reply.code(answer.status).headers(answer.headers).type('application/json').send(answer.body);
  });

  // Whose books a key opens is told to whoever has the key; whether it has an account yet does not matter.
  app.get('/v1/account', route, async (request) => {
    return { account: accountIdOf(bearerOf(request)) };
  });

  app.get('/v1/refunds/:id', route, async (request) => {
    const account = accountOf(await secretKeyOf(request, options));
    const { id } = read(z.object({ id: line(100) }), request.params);
    const payout = await readPayout(db, account, id);
    if (payout === null)
      throw new SandboxError(404, 'no_such_refund', 'The sandbox has no such refund.', 'id');
    return refundObject(payout);
  });

  app.get('/v1/refunds', route, async (request) => {
    const account = accountOf(await secretKeyOf(request, options));
    const query = read(LIST_QUERY, request.query);
    requirePayment(query.payment);
    const payouts = await listPayouts(
      db,
      { accounts: [account], gatewayPaymentId: query.payment, refundId: query.refund_id },
      query.after,
      query.limit + 1,
    );
    const page = payouts.slice(0, query.limit);
    return {
      refunds: page.map(refundObject),
      next_after: payouts.length > query.limit ? page.at(-1)!.sandboxRefundId : null,
    };
  });

  app.get('/refunds', route, async (request) => {
    const query = read(BOOKS_QUERY, request.query);
    const filter = {
      accounts: await booksOf(request, options),
      orderId: query.order_id,
      gatewayPaymentId: query.gateway_payment_id,
      refundId: query.refund_id,
    };
    const payouts = await listPayoutsBackwards(db, filter, query.cursor, query.limit + 1);
    const page = payouts.slice(0, query.limit);
    const totals = await totalPayouts(db, filter);
    return {
      refunds: page.map(bookEntry),
      totals: totals.map(({ currency, exponent, status, count, amountMinor }) => ({
        currency,
        status,
        count,
        amount: formatAmount(amountMinor, exponent),
      })),
      next_cursor: payouts.length > query.limit ? page.at(-1)!.sandboxRefundId : null,
    };
  });
}

// Making refunds ----------------------------------------------------------------------------------------

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly silent?: boolean;
  /** A page of somebody else goes out in its place. */
  readonly paged?: boolean;
  /** A webhook that has to arrive before this answer. */
  readonly tellFirst?: string | undefined;
  /** When the courier has something to do for it. */
  readonly dueAt?: Date | undefined;
}

type CreateRequest = z.infer<typeof CREATE_BODY>;

async function create(
  options: SandboxOptions,
  secretKey: string,
  key: string | null,
  rawBody: Buffer | undefined,
): Promise<Answer> {
  const request = readCreateBody(rawBody, options.webhookOrigins);
  requirePayment(request.payment);
  const behaviour = behaviourOf(request.payment);
  const account = accountOf(secretKey);
  const requestHash = createHash('sha256').update(rawBody!).digest();
  const now = options.clock.now();

  return options.db.transaction(async (tx): Promise<Answer> => {
    const stored = key === null ? null : await answerOf(tx, account, key, requestHash);
    if (stored !== null) return { ...stored, headers: REPLAYED, ...instead(behaviour) };
    if (
      behaviour.turnsAway &&
      (await countTry(tx, account, request.payment, request.refund_id)) < TURNED_AWAY_TRIES
    ) {
      return TURNED_AWAY[behaviour.turnsAway];
    }
    if (behaviour.makes === null && behaviour.silent) return NOTHING;

    let answer: Answer = behaviour.refundedElsewhere ? REFUNDED_ELSEWHERE : REFUSED;
    if (behaviour.makes !== null) {
      const payout = payoutOf(request, account, key, behaviour, now, options.laterMs ?? 1_000);
      await insertPayout(tx, payout, webhookKeyOf(secretKey));
      const webhooks = behaviour.tellsBadly ? badTelling(payout, options.laterMs ?? 1_000) : [];
      await insertWebhooks(tx, webhooks, now);
      answer = {
        status: 201,
        headers: {},
        body: JSON.stringify(refundObject(behaviour.tellsBadly ? beforeSuccess(payout) : payout)),
        ...instead(behaviour),
        tellFirst: webhooks[0]?.webhookId,
        dueAt: payout.nextChangeAt ?? webhooks.at(-1)?.dueAt,
      };
    }
    if (key !== null) await storeAnswer(tx, account, key, { ...answer, requestHash }, now);
    return answer;
  });
}

function instead({ silent, paged }: Behaviour): Pick<Answer, 'silent' | 'paged'> {
  return { silent: !!silent, paged: !!paged };
}

function requirePayment(gatewayPaymentId: string): void {
  if (behaviourOf(gatewayPaymentId).noPayment)
    throw new SandboxError(404, 'no_such_payment', 'This account has no such payment.', 'payment');
}

/** What was answered to this request before, once nobody else works on its key; null for a new key. */
async function answerOf(tx: Queryable, account: Buffer, key: string, requestHash: Buffer) {
  if (!(await holdKey(tx, account, key))) {
    throw new SandboxError(409, 'key_in_progress', 'A request with this key is in progress.', KEY_HEADER);
  }
  const stored = await readStoredAnswer(tx, account, key);
  if (stored && !stored.requestHash.equals(requestHash)) {
    throw new SandboxError(422, 'key_reused', 'This key was used with another request.', KEY_HEADER);
  }
  return stored;
}

function payoutOf(
  request: CreateRequest,
  account: Buffer,
  idempotencyKey: string | null,
  behaviour: Behaviour,
  now: Date,
  laterMs: number,
): Payout {
  const succeeds = behaviour.makes === 'succeeded';
  return {
    sandboxRefundId: `sbxr_${hexOf(newId())}`,
    account,
    gatewayPaymentId: request.payment,
    refundId: request.refund_id,
    orderId: request.order_id,
    idempotencyKey,
    amountMinor: request.amount + (behaviour.otherAmount ? 1 : 0),
    currency: request.currency,
    exponent: exponentOf(request.currency)!,
    reason: request.reason ?? null,
    status: succeeds ? 'succeeded' : 'pending',
    failureCode: null,
    failureMessage: null,
    arn: succeeds && !behaviour.arnLater ? newArn() : null,
    webhookUrl: request.webhook_url ?? null,
    nextChange: behaviour.later ?? null,
    nextChangeAt: behaviour.later ? plusMs(now, laterMs) : null,
    createdAt: now,
    // A success that was pending for a moment is newer than its own beginning.
    updatedAt: behaviour.tellsBadly ? plusMs(now, 1) : now,
  };
}

/** As it was a moment ago. */
function beforeSuccess(payout: Payout): Payout {
  return { ...payout, status: 'pending', arn: null, updatedAt: payout.createdAt };
}

/** The success, before the answer; then, late, that it is pending; then the success again. */
function badTelling(payout: Payout, laterMs: number): Webhook[] {
  const success = newEventId();
  return [
    // Sent by the request itself; due later only in case that the program stops right here.
    webhookAbout(payout, plusMs(payout.createdAt, 3 * laterMs), success),
    webhookAbout(payout, plusMs(payout.createdAt, laterMs), success),
    webhookAbout(beforeSuccess(payout), plusMs(payout.createdAt, laterMs / 2), newEventId()),
  ].filter((webhook) => webhook !== null);
}

const KEY_HEADER = 'Idempotency-Key';
const REPLAYED = { 'idempotent-replayed': 'true' };
const NOTHING: Answer = { status: 0, headers: {}, body: '', silent: true };
const REFUSED = errorAnswer(422, 'refund_refused', 'The bank of this payment takes no refunds.');
const REFUNDED_ELSEWHERE = errorAnswer(
  400,
  'already_refunded',
  'This payment has been refunded already, by another way.',
);
const PAGE = '<!doctype html><title>403 Forbidden</title><h1>Blocked by the network policy</h1>\n';
const TURNED_AWAY = {
  402: errorAnswer(402, 'insufficient_balance', 'The balance of the account is too low; no refund was made.'),
  429: {
    ...errorAnswer(429, 'too_many_requests', 'Too many requests; no refund was made.'),
    headers: { 'retry-after': '1' },
  },
};

function errorAnswer(status: number, code: string, message: string): Answer {
  return { status, headers: {}, body: JSON.stringify({ error: { code, message } }) };
}

// Reading requests --------------------------------------------------------------------------------------

const MAX_BODY_BYTES = 16 * 1024;

/** A text of one line that the tables can hold. */
function line(maxLength: number) {
  return z
    .string()
    .min(1)
    .max(maxLength)
    .refine(
      (text) => text.isWellFormed() && !/\p{Cc}/u.test(text),
      'has characters that do not fit into a line',
    );
}

const CREATE_BODY = z.strictObject({
  payment: line(255),
  refund_id: line(255),
  order_id: line(255),
  amount: z.int('is not a whole number of minor units').min(1).max(MAX_AMOUNT_MINOR),
  currency: z.string().refine((code) => exponentOf(code) !== undefined, 'is not an ISO 4217 currency'),
  reason: line(500).nullish(),
  webhook_url: line(500).nullish(),
});

const limit = (most: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'is not a number')
    .default('100')
    .transform(Number)
    .refine((value) => value <= most, `is more than ${most}`);

const LIST_QUERY = z.strictObject({
  payment: line(255),
  refund_id: line(255).optional(),
  limit: limit(100),
  after: line(100).optional(),
});

const BOOKS_QUERY = z.strictObject({
  order_id: line(255).optional(),
  gateway_payment_id: line(255).optional(),
  refund_id: line(255).optional(),
  limit: limit(1000),
  cursor: line(100).optional(),
});

function readCreateBody(
  rawBody: Buffer | undefined,
  origins: SandboxOptions['webhookOrigins'],
): CreateRequest {
  let json: unknown;
  try {
    json = JSON.parse(rawBody!.toString('utf8'));
  } catch {
    throw new SandboxError(400, 'invalid_request', 'The body is not JSON.');
  }
  const request = read(CREATE_BODY, json);
  if (!request.webhook_url) return request;
  const problem = urlProblem(request.webhook_url, true);
  if (problem !== null)
    throw new SandboxError(400, 'invalid_request', `webhook_url: ${problem}.`, 'webhook_url');
  // A request that is repeated after the server has moved still names its old place: it is made, and told to nobody.
  const mayGo = origins === 'any' || origins.includes(new URL(request.webhook_url).origin);
  return mayGo ? request : { ...request, webhook_url: null };
}

function read<Shape>(schema: z.ZodType<Shape>, value: unknown): Shape {
  const reading = schema.safeParse(value);
  if (reading.success) return reading.data;
  const { path, message } = reading.error.issues[0]!;
  const param = path.join('.');
  throw new SandboxError(400, 'invalid_request', param === '' ? message : `${param}: ${message}.`, param);
}

function readKey(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new SandboxError(
    400,
    'invalid_request',
    'An idempotency key is 1 to 255 printable characters.',
    KEY_HEADER,
  );
}

// Keys --------------------------------------------------------------------------------------------------

/** The key, whether it has an account here or not. */
function bearerOf(request: FastifyRequest): string {
  const secretKey = BEARER.exec(request.headers.authorization ?? '')?.[1];
  if (secretKey === undefined) throw badKey();
  return secretKey;
}

function badKey(): SandboxError {
  return new SandboxError(
    401,
    'bad_key',
    'Send "Authorization: Bearer <secret key>" with a key that starts with sbx_sk_ and has an account here.',
  );
}

const BEARER = /^Bearer (sbx_sk_[A-Za-z0-9_-]{5,121})$/;

async function secretKeyOf(request: FastifyRequest, options: SandboxOptions): Promise<string> {
  const secretKey = bearerOf(request);
  if (options.admits && !(await options.admits(secretKey))) throw badKey();
  return secretKey;
}

/** Whose books the caller may read; null: everybody's. */
async function booksOf(request: FastifyRequest, options: SandboxOptions): Promise<Buffer[] | null> {
  if (BEARER.test(request.headers.authorization ?? ''))
    return [accountOf(await secretKeyOf(request, options))];
  if (options.open) return null;
  const secretKeys = (await options.keysOf?.(request)) ?? [await secretKeyOf(request, options)];
  return secretKeys.map(accountOf);
}

// Answers -----------------------------------------------------------------------------------------------

class SandboxError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | undefined;
  constructor(status: number, code: string, message: string, param?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  if (error instanceof SandboxError) {
    const { status, code, message, param } = error;
    return reply.code(status).send({ error: { code, message, ...(param === undefined ? {} : { param }) } });
  }
  const status = (error as { statusCode?: unknown }).statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return reply.code(status).send({ error: { code: 'invalid_request', message: (error as Error).message } });
  }
  log.error({ err: error, url: request.url.split('?', 1)[0] }, 'the sandbox failed');
  return reply.code(500).send({ error: { code: 'internal', message: 'The sandbox failed.' } });
}

const MOST_SILENT = 500;

/** Connections that are kept without a byte for a while and then cut. */
function createSilence(silenceMs: number) {
  const silent = new Map<Socket, NodeJS.Timeout>();
  const cut = (socket: Socket) => {
    clearTimeout(silent.get(socket));
    silent.delete(socket);
    socket.destroy();
  };
  return {
    keep(request: FastifyRequest, reply: FastifyReply): FastifyReply {
      reply.hijack();
      const { socket } = request.raw;
      socket.once('close', () => cut(socket));
      silent.set(
        socket,
        setTimeout(() => cut(socket), silenceMs),
      );
      if (silent.size > MOST_SILENT) cut(silent.keys().next().value!);
      return reply;
    },
    end() {
      for (const socket of silent.keys()) cut(socket);
    },
  };
}

// On its own --------------------------------------------------------------------------------------------

export interface RunningSandbox {
  /** The base URL for SANDBOX accounts. */
  readonly url: string;
  stop(): Promise<void>;
}

/** The sandbox as a program of its own, on a database that it migrates. Any key has an account. */
export async function startSandbox(settings: {
  readonly databaseUrl: string;
  readonly host: string;
  readonly port: number;
  /** Whether its books may be read without a key. */
  readonly open: boolean;
  readonly log?: Logger;
  readonly laterMs?: number;
  readonly silenceMs?: number;
}): Promise<RunningSandbox> {
  const log = settings.log ?? createLogger('info');
  const db = openDatabase({
    connectionString: settings.databaseUrl,
    applicationName: 'refundry sandbox',
    onIdleError: (error) => log.warn({ err: error }, 'a database connection of the sandbox was lost'),
  });
  const app = Fastify({ forceCloseConnections: 'idle' });
  try {
    await migrate(db);
    await app.register(sandboxServer, {
      prefix: '/sandbox',
      ...settings,
      db,
      log,
      clock: systemClock,
      webhookOrigins: 'any',
    });
    await app.listen({ host: settings.host, port: settings.port });
  } catch (error) {
    await app.close();
    await db.close();
    throw error;
  }
  const { port } = app.server.address() as AddressInfo;
  return {
    url: `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}/sandbox`,
    async stop() {
      await app.close();
      await db.close();
    },
  };
}
