import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { TROUBLES, troubleOf } from '../lib/database-trouble.ts';
import { ApiError, ContractError, type ErrorDetail } from './errors.ts';
import { badRequest, serverError, tooManyCalls } from './juspay/errors.ts';

/** Paths that are ours; on all others Juspay's clients are listening, and are answered in the contract's words. */
const OWN_PATHS = /^\/(v1|auth|health|docs|openapi\.json|sandbox|gateways)(\/|\?|$)/;

/** Whether errors on this path follow the contract's shapes rather than ours. */
export function speaksContract(url: string): boolean {
  return !OWN_PATHS.test(url);
}

/** Turns whatever was thrown into an answer of the right shape. Nothing of ours (stack, SQL, path) leaves. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const inContract = speaksContract(request.url);
  const answer =
    error instanceof ContractError || error instanceof ApiError
      ? error
      : readError(error, request, inContract);
  if (answer.status >= 500) request.log.error({ err: error }, 'a request failed');
  // At this header a browser asks for name and password by itself, over the page.
  if (answer.status === 401 && request.headers['sec-fetch-site'] === undefined) {
    reply.header('www-authenticate', 'Basic realm="Refundry", charset="UTF-8"');
  }
  const retryAfterMs = answer.retryAfterMs ?? RETRY_AFTER_MS[answer.status];
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1_000)));
  return reply
    .code(answer.status)
    .header('content-type', 'application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(answer instanceof ContractError ? answer.body(request.id) : answer.body());
}

/** Where nobody has said when it may be asked again. */
const RETRY_AFTER_MS: Readonly<Record<number, number>> = { 429: 10_000, 503: 1_000 };

/** The refusal of a request of which too many come; the next may come after `waitMs`. */
export function tooManyRequests(inContract: boolean, waitMs: number, what: string): ApiError | ContractError {
  const seconds = Math.ceil(waitMs / 1_000);
  const message = `Too many ${what}. Nothing was done; try again in ${seconds} second${seconds === 1 ? '' : 's'}.`;
  return inContract
    ? tooManyCalls(message, waitMs)
    : new ApiError(429, 'too_many_requests', message, {}, waitMs);
}

/** A refusal in the words of the path's surface. */
export function refusal(
  inContract: boolean,
  status: number,
  code: string,
  message: string,
  detail?: ErrorDetail,
): ApiError | ContractError {
  if (!inContract) return new ApiError(status, code, message, detail);
  return status < 500 ? badRequest(status, message) : serverError(status, message);
}

function readError(error: unknown, request: FastifyRequest, inContract: boolean): ApiError | ContractError {
  // Nobody hears this; it is told from a lost connection to the database, which is ours to look at.
  const { code: reset } = error as NodeJS.ErrnoException;
  if (reset === 'ECONNRESET' && request.raw.destroyed && !request.raw.complete) {
    return refusal(inContract, 400, 'incomplete_body', 'The connection ended before the body did.');
  }
  const trouble = troubleOf(error);
  if (trouble) return refusal(inContract, 503, 'unavailable', TROUBLES[trouble]);
  const { code, statusCode } = error as Partial<FastifyError>;
  const known = code === undefined ? undefined : KNOWN[code];
  if (known) {
    const { message, detail } = known.says(request);
    return refusal(inContract, known.status, known.code, message, detail);
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return refusal(inContract, statusCode, 'bad_request', (error as Error).message);
  }
  return refusal(inContract, 500, 'internal_error', 'Something went wrong on our side. It has been logged.');
}

interface Known {
  readonly status: number;
  readonly code: string;
  says(request: FastifyRequest): { readonly message: string; readonly detail?: ErrorDetail };
}

const KNOWN: Readonly<Record<string, Known>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    status: 413,
    code: 'body_too_large',
    says: ({ routeOptions }) => {
      const kib = (routeOptions.bodyLimit ?? 0) / 1024;
      const most = kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`;
      return { message: `The body is larger than the ${most} this address accepts.` };
    },
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    status: 415,
    code: 'unsupported_media_type',
    says: ({ routeOptions, headers }) => {
      const { consumes = ['application/json'] } = routeOptions.schema ?? {};
      const accepted = consumes.join(' or ');
      const value = (headers['content-type'] ?? 'none').slice(0, 200).toWellFormed();
      return {
        message: `The Content-Type must be ${accepted}.`,
        detail: { field: 'Content-Type', value, accepted },
      };
    },
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    status: 400,
    code: 'bad_content_length',
    says: () => ({ message: 'The body is not as long as Content-Length says.' }),
  },
  FST_ERR_BAD_URL: {
    status: 400,
    code: 'bad_url',
    says: () => ({ message: 'The address holds a broken percent-encoding.' }),
  },
  FST_ERR_MAX_PARAM_LENGTH: {
    status: 414,
    code: 'url_too_long',
    says: () => ({ message: 'A part of the address is longer than 512 characters.' }),
  },
};
