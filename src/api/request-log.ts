import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createRequestLog } from '../access/request-log.ts';
import { plusMs } from '../lib/clock.ts';
import { isUuid } from '../lib/ids.ts';
import type { ApiDeps, Caller } from './deps.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The refusal as it was answered; there only where it was one. */
    refusal?: Refusal;
  }
}

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly field: string | null;
}

const LONGEST_PATH = 1_000;
const LONGEST_WORDS = 500;
const LONGEST_ERROR = 64 * 1024;

/**
 * Keeps who called which address with which answer. Nobody waits for it. Strangers leave nothing here: what was not
 * let in belongs to no merchant. Nor do people who read without being refused: their pages ask all the time, and what
 * programs ask would be buried under it.
 */
export function keepRequestLog(app: FastifyInstance, deps: ApiDeps): void {
  const requestLog = createRequestLog({ ...deps, keepMs: deps.settings.requestLogMs });
  app.addHook('onReady', async () => requestLog.loop.start());
  app.addHook('onClose', () => requestLog.loop.stop());

  app.addHook('onSend', async (request, reply, payload) => {
    if (reply.statusCode >= 400 && typeof payload === 'string' && payload.length <= LONGEST_ERROR) {
      const refusal = refusalIn(payload);
      if (refusal) request.refusal = refusal;
    }
    return payload;
  });

  app.addHook('onResponse', async (request, reply) => {
    const { caller } = request;
    if (!caller) return;
    const reads = request.method === 'GET' || request.routeOptions.config.onlyReads === true;
    if (caller.kind === 'user' && reads && reply.statusCode < 400) return;
    const durationMs = Math.round(reply.elapsedTime);
    requestLog.note({
      merchantId: caller.merchantId,
      requestId: request.id,
      at: plusMs(deps.clock.now(), -durationMs),
      method: request.method,
      route: routeOf(request),
      path: cut(request.url.split('?', 1)[0]!, LONGEST_PATH)!,
      status: statusOf(reply),
      durationMs,
      ...callerOf(caller),
      errorCode: cut(request.refusal?.code, LONGEST_WORDS),
      errorMessage: cut(request.refusal?.message, LONGEST_WORDS),
      errorField: cut(request.refusal?.field, LONGEST_WORDS),
      orderId: named(request, 'order_id', /^[\x21-\x7e]{1,128}$/),
      refundId: named(request, 'refund_id', { test: isUuid }),
      remoteAddress: request.ip,
    });
  });
}

/** As the API reference writes it. */
function routeOf({ routeOptions, url }: FastifyRequest): string {
  return (routeOptions.url ?? url.split('?', 1)[0]!).replace(/:([^/]+)/g, '{$1}');
}

/** 499 where the caller went away before the answer did, which only we know. */
function statusOf(reply: FastifyReply): number {
  return reply.raw.headersSent ? reply.statusCode : 499;
}

function callerOf(caller: Caller) {
  return caller.kind === 'key'
    ? { callerKind: caller.kind, callerId: caller.apiKeyId, callerName: caller.apiKeyName }
    : { callerKind: caller.kind, callerId: caller.userId, callerName: caller.userEmail };
}

/** An id that the request names in its address, its query or its body. */
function named(request: FastifyRequest, name: string, isId: Pick<RegExp, 'test'>): string | null {
  for (const part of [request.params, request.query, request.body]) {
    if (typeof part !== 'object' || part === null || !Object.hasOwn(part, name)) continue;
    const value = (part as Record<string, unknown>)[name];
    if (typeof value === 'string' && isId.test(value)) return value;
  }
  return null;
}

/** The refusal in either surface's words (contract section 1.4). */
function refusalIn(payload: string): Refusal | null {
  try {
    const body = JSON.parse(payload) as {
      error?: { code?: unknown; message?: unknown; field?: unknown };
      error_code?: unknown;
      error_message?: unknown;
      error_info?: { developer_message?: unknown; fields?: { field_name?: unknown }[] };
    };
    const { error } = body;
    const code = error?.code ?? body.error_code;
    if (typeof code !== 'string') return null;
    const message = error?.message ?? body.error_info?.developer_message ?? body.error_message;
    const field = error?.field ?? body.error_info?.fields?.[0]?.field_name;
    return { code, message: textOr(message, ''), field: textOr(field, null) };
  } catch {
    return null;
  }
}

function textOr<Other>(value: unknown, other: Other): string | Other {
  return typeof value === 'string' ? value : other;
}

function cut(text: string | null | undefined, most: number): string | null {
  return text == null ? null : text.slice(0, most).toWellFormed();
}
