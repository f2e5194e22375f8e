import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { createSignIn } from '../access/sign-in.ts';
import { createTraces } from '../access/traces.ts';
import { newId } from '../lib/ids.ts';
import { readJson, unstorableAt } from '../lib/json.ts';
import { guardRoutes } from './auth.ts';
import { serveDashboard } from './dashboard.ts';
import type { ApiDeps } from './deps.ts';
import { serveDocs } from './docs.ts';
import { answerError, refusal, speaksContract } from './error-answers.ts';
import { ApiError, ContractError } from './errors.ts';
import { gatewayWebhookRoutes } from './gateway-webhooks.ts';
import { serveHealth } from './health.ts';
import { juspayRoutes } from './juspay/routes.ts';
import { createRequestLimits, type RequestLimits } from './limits.ts';
import { keepRequestLog } from './request-log.ts';
import { signInRoutes } from './sign-in.ts';
import { apiKeyRoutes } from './v1/api-keys.ts';
import { batchFileRoutes } from './v1/batch-files.ts';
import { batchRoutes } from './v1/batches.ts';
import { exportRoutes } from './v1/exports.ts';
import { figureRoutes } from './v1/figures.ts';
import { gatewayAccountRoutes } from './v1/gateway-accounts.ts';
import { meRoutes } from './v1/me.ts';
import { orderRoutes } from './v1/orders.ts';
import { refundPreviewRoutes } from './v1/refund-preview.ts';
import { refundRoutes } from './v1/refunds.ts';
import { requestRoutes } from './v1/requests.ts';
import { searchRoutes } from './v1/search.ts';
import { settingsRoutes } from './v1/settings.ts';
import { streamRoutes } from './v1/stream.ts';
import { teamRoutes } from './v1/team.ts';
import { transactionRoutes } from './v1/transactions.ts';
import { viewRoutes } from './v1/views.ts';
import { webhookEndpointRoutes } from './v1/webhook-endpoints.ts';
import { validate } from './validate.ts';

const BODY_BYTES = 1024 * 1024;
const HEADER_BYTES = 16 * 1024;
const FIRST_LINE_BYTES = 4 * 1024;
const HEADERS_MS = 15_000;
const BODY_MS = 30_000;
const SWALLOWED_BYTES = 32 * 1024 * 1024;
const SWALLOWED_MS = 10_000;
const IDLE_SOCKET_MS = 75_000;
const YEAR_SECONDS = 365 * 24 * 60 * 60;

/**
 * The HTTP server with every route, not yet listening. `close()` refuses new requests, lets those under way
 * finish and then resolves. Whatever is sent to it, it answers; a bad request never ends in a 5xx.
 */
export async function buildServer(deps: ApiDeps): Promise<FastifyInstance> {
  const headers = secureHeaders(deps.settings.publicUrl);
  const app = fastify({
    loggerInstance: deps.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: newId,
    bodyLimit: BODY_BYTES,
    // Bodies have their own limit below, because a streamed import may rightly take longer.
    requestTimeout: 0,
    connectionTimeout: IDLE_SOCKET_MS,
    keepAliveTimeout: IDLE_SOCKET_MS,
    http: { maxHeaderSize: HEADER_BYTES, headersTimeout: HEADERS_MS },
    routerOptions: { maxParamLength: 512 },
    trustProxy: deps.settings.trustedProxies.length > 0 && [...deps.settings.trustedProxies],
    // No hook runs for these: the address could not be read.
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket, headers),
    frameworkErrors: (error, request, reply) => {
      secureReply(headers, request, reply);
      answerError(error, request, reply);
      logRequest(request, reply);
    },
  });
  app.setErrorHandler(async (error, request, reply) => {
    await swallowBody(request.raw);
    return answerError(error, request, reply);
  });
  app.setValidatorCompiler(validate);
  app.setSerializerCompiler(serializerCompiler);
  const traces = createTraces(deps);
  app.addHook('onReady', async () => traces.loop.start());
  app.addHook('onClose', () => traces.loop.stop());
  const limits = createRequestLimits(deps.settings, traces);
  guardRequests(app, limits);
  logRequests(app);
  keepRequestLog(app, deps);
  setSecurityHeaders(app, headers);
  answerUnknown(app);
  closeConnections(app);
  await serveDocs(app, deps);
  serveHealth(app, deps);
  await serveDashboard(app);

  await app.register(async (keyed) => {
    const signIn = createSignIn({ ...deps, ...deps.settings });
    guardRoutes(keyed, deps, { signIn, limits, traces });
    await keyed.register(async (juspay) => juspayRoutes(juspay, deps));
    await keyed.register(async (own) => {
      readStrictJson(own);
      await own.register(async (open) => signInRoutes(open, deps, signIn, traces));
      await meRoutes(own, deps, signIn, traces);
      await teamRoutes(own, deps);
      await gatewayAccountRoutes(own, deps);
      await refundRoutes(own, deps);
      await batchRoutes(own, deps);
      await batchFileRoutes(own, deps);
      await figureRoutes(own, deps);
      await searchRoutes(own, deps);
      await exportRoutes(own, deps);
      await orderRoutes(own, deps);
      await transactionRoutes(own, deps);
      await settingsRoutes(own, deps);
      await apiKeyRoutes(own, deps);
      await requestRoutes(own, deps);
      await viewRoutes(own, deps);
      await refundPreviewRoutes(own, deps);
      await streamRoutes(own, deps);
      await webhookEndpointRoutes(own, deps);
    });
    await gatewayWebhookRoutes(keyed, deps, { limits, traces });
  });
  return app;
}

/** What is refused before anyone reads it, and the clock on bodies that trickle in. */
function guardRequests(app: FastifyInstance, limits: RequestLimits): void {
  app.addHook('onRequest', async (request) => {
    if (isForStrangers(request)) limits.requireRoomForStranger(request);
    const inContract = speaksContract(request.url);
    // Whatever follows "#" would be lost on the way to the fields: perhaps the amount.
    if (request.url.includes('#')) throw refusal(inContract, 400, 'bad_url', 'The address holds a "#".');
    if (/%00/.test(request.url)) throw refusal(inContract, 400, 'bad_url', 'The address holds a NUL byte.');
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      throw refusal(
        inContract,
        415,
        'unsupported_encoding',
        'Compressed bodies are not read; send it as it is.',
      );
    }
    if (request.routeOptions.config.streaming || !hasBody(request)) return;
    const tooSlow = setTimeout(() => request.raw.destroy(), BODY_MS).unref();
    request.raw.once('close', () => clearTimeout(tooSlow));
  });
}

/**
 * Whether whoever asks for this shows no key: the page and its files, sign-in, /health, what is not there. Gateways come
 * in bursts of their own making; of theirs, what proves nothing is limited.
 */
function isForStrangers({ routeOptions, url }: FastifyRequest): boolean {
  return routeOptions.config.permission === undefined && !/^\/(gateways|sandbox)\//.test(url);
}

/**
 * Reads on to the end of a body that nobody wants, within limits: a client that is still sending when the
 * connection closes sees a broken pipe instead of our answer.
 */
async function swallowBody(raw: IncomingMessage): Promise<void> {
  if (raw.complete || raw.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const tooSlow = setTimeout(resolve, SWALLOWED_MS);
  let bytes = 0;
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > SWALLOWED_BYTES) resolve();
  });
  raw.once('close', resolve).once('end', resolve).resume();
  await promise;
  clearTimeout(tooSlow);
}

function hasBody(request: FastifyRequest): boolean {
  return (
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  );
}

/** JSON for /v1: no name twice, nothing that could not be stored. */
function readStrictJson(scope: FastifyInstance): void {
  scope.removeContentTypeParser(['application/json', 'text/plain']);
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: FastifyRequest, text: string) => {
      const reading = readJson(text);
      if (!reading.ok) {
        throw new ApiError(400, 'invalid_json', `The body cannot be read as JSON: ${reading.why}.`);
      }
      return reading.value;
    },
  );
  scope.addHook('preValidation', async (request) => {
    for (const part of [request.params, request.query, request.body]) {
      const field = isPlain(part) ? unstorableAt(part) : null;
      if (field !== null) {
        throw new ApiError(400, 'invalid_text', 'Text may not hold NUL bytes or half characters.', { field });
      }
    }
  });
}

function isPlain(part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return typeof part === 'string';
  return Array.isArray(part) || [Object.prototype, null].includes(Object.getPrototypeOf(part));
}

/** One line for each request: what was asked and what came of it; no query, no headers, no bodies. */
function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => logRequest(request, reply));
}

function logRequest(request: FastifyRequest, reply: FastifyReply): void {
  if (request.overLimit) return;
  request.log.info(
    {
      method: request.method,
      path: request.url.split('?', 1)[0],
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      address: request.ip,
      merchant: request.caller?.merchantId,
    },
    'request',
  );
}

function setSecurityHeaders(app: FastifyInstance, headers: SecureHeaders): void {
  app.addHook('onSend', async (request, reply, payload) => {
    secureReply(headers, request, reply);
    return payload;
  });
}

type SecureHeaders = Readonly<Record<string, string>>;

/** What every answer carries, unless it says otherwise: a browser may do nothing with it but show it. */
function secureHeaders(publicUrl: string): SecureHeaders {
  return {
    'content-security-policy':
      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    ...(publicUrl.startsWith('https:') && { 'strict-transport-security': `max-age=${YEAR_SECONDS}` }),
  };
}

/** What never became a request, so that no route and no hook ever sees it: no HTTP, too long, or too slow. */
function answerUnreadable(
  error: Error & { readonly code?: string; readonly rawPacket?: unknown },
  socket: Socket,
  secure: SecureHeaders,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const [status, code, message]: [number, string, string] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'headers_too_large', `The headers are longer than ${HEADER_BYTES / 1024} KiB.`]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'too_slow', 'The headers did not arrive in time.']
        : [400, 'not_http', 'This is no HTTP request.'];
  // Whom it was meant for stands in its first line, where that came with the rest.
  const packet = Buffer.isBuffer(error.rawPacket) ? error.rawPacket : Buffer.alloc(0);
  const path = /^[A-Z]+ (\/\S*) /.exec(packet.toString('latin1', 0, FIRST_LINE_BYTES))?.[1];
  const requestId = newId();
  const answer = refusal(path !== undefined && speaksContract(path), status, code, message);
  const body = JSON.stringify(answer instanceof ContractError ? answer.body(requestId) : answer.body());
  const headers = {
    ...secure,
    'x-request-id': requestId,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
  }
  socket.destroy(error);
}

function secureReply(headers: SecureHeaders, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id);
  for (const [name, value] of Object.entries(headers)) if (!reply.hasHeader(name)) reply.header(name, value);
}

/** 404 for addresses we do not serve; 405 with Allow, or an answer to OPTIONS, for those we do. */
function answerUnknown(app: FastifyInstance): void {
  const served: { readonly path: RegExp; readonly method: string }[] = [];
  app.addHook('onRoute', (route) => {
    const path = new RegExp(
      `^${route.url
        .replaceAll('.', '\\.')
        .replace(/:[^/]+/g, '[^/]+')
        .replace('*', '.*')}$`,
    );
    for (const method of [route.method].flat()) served.push({ path, method });
  });
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const methods = [
      ...new Set(served.filter((route) => route.path.test(path)).map((route) => route.method)),
    ];
    // A route of files may answer the method and yet have no such file.
    const wrongMethod = methods.length > 0 && !methods.includes(request.method);
    if (wrongMethod) {
      reply.header('allow', [...methods, 'OPTIONS'].join(', '));
      if (request.method === 'OPTIONS') return reply.code(204).send();
    }
    const [status, code, message] = wrongMethod
      ? ([405, 'method_not_allowed', `This address answers ${methods.join(', ')}.`] as const)
      : ([404, 'not_found', 'There is nothing at this address.'] as const);
    throw refusal(speaksContract(request.url), status, code, message);
  });
}

/**
 * What `close()` does to connections beyond waiting: those that never asked anything end at once, and those with a
 * request under way end with its answer, which says so. Otherwise each would hold the end up for its time-out.
 */
function closeConnections(app: FastifyInstance): void {
  const silent = new Set<Socket>();
  let closing = false;
  app.server.on('connection', (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
  });
  app.addHook('onRequest', async (request) => {
    silent.delete(request.raw.socket);
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    if (closing) reply.header('connection', 'close');
    return payload;
  });
  app.addHook('preClose', async () => {
    closing = true;
    for (const socket of silent) socket.destroy();
    const sweep = setInterval(() => app.server.closeIdleConnections(), 50);
    app.server.once('close', () => clearInterval(sweep));
  });
}
