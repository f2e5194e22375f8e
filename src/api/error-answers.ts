import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { holdsCardNumber } from '../lib/card-number.ts';
import { sqlState } from '../lib/db.ts';
import { ApiError, ContractError } from './errors.ts';
import { badRequest, serverError } from './juspay/errors.ts';

/** Paths that are ours; on all others Juspay's clients are listening, and are answered in the contract's words. */
const OWN_PATHS = /^\/(v1|health|docs|openapi\.json|sandbox|gateways)(\/|\?|$)/;

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
  if (answer.status === 401) reply.header('www-authenticate', 'Basic realm="Refundry", charset="UTF-8"');
  if (answer.status === 503) reply.header('retry-after', '1');
  return reply
    .code(answer.status)
    .header('content-type', 'application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(answer instanceof ContractError ? answer.body(request.id) : answer.body());
}

/** A refusal in the words of the path's surface. */
export function refusal(
  inContract: boolean,
  status: number,
  code: string,
  message: string,
): ApiError | ContractError {
  if (!inContract) return new ApiError(status, code, message);
  return status < 500 ? badRequest(status, message) : serverError(status, message);
}

function readError(error: unknown, request: FastifyRequest, inContract: boolean): ApiError | ContractError {
  if (hasZodFastifySchemaValidationErrors(error)) return fieldError(error, request);
  if (isUnavailable(error)) {
    return refusal(inContract, 503, 'unavailable', 'The database cannot be reached. Try again in a moment.');
  }
  const { code, statusCode } = error as Partial<FastifyError>;
  const known = code === undefined ? undefined : KNOWN[code];
  if (known) return refusal(inContract, known.status, known.code, known.message);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return refusal(inContract, statusCode, 'bad_request', (error as Error).message);
  }
  return refusal(inContract, 500, 'internal_error', 'Something went wrong on our side. It has been logged.');
}

const NO_CONNECTION = /ECONN|ENOTFOUND|EPIPE|timeout exceeded when trying to connect|Connection terminated/;
/** Connection failures, no free connection, and a server that is starting or stopping. */
const NO_SERVER = /^(08|57P0[1-3]|53300)/;

function isUnavailable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return NO_SERVER.test(state);
  return (
    error instanceof Error && NO_CONNECTION.test(`${(error as NodeJS.ErrnoException).code} ${error.message}`)
  );
}

const KNOWN: Readonly<Record<string, { status: number; code: string; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    status: 413,
    code: 'body_too_large',
    message: 'The body is larger than the 1 MiB this address accepts.',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    status: 415,
    code: 'unsupported_media_type',
    message: 'The Content-Type is not one this address reads.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    status: 400,
    code: 'bad_content_length',
    message: 'The body is not as long as Content-Length says.',
  },
  FST_ERR_BAD_URL: {
    status: 400,
    code: 'bad_url',
    message: 'The address holds a broken percent-encoding.',
  },
  FST_ERR_MAX_PARAM_LENGTH: {
    status: 414,
    code: 'url_too_long',
    message: 'A part of the address is longer than 512 characters.',
  },
};

type FieldErrors = Parameters<typeof hasZodFastifySchemaValidationErrors>[0] & {
  readonly validation: readonly { instancePath: string; message?: string; params: Record<string, unknown> }[];
  readonly validationContext?: string;
};

const SECRET_FIELD = /password|secret|credential|token|key|authorization|header/i;

/** The first field that a schema refused. Values are shown, except long ones and those that may be secret. */
function fieldError(error: unknown, request: FastifyRequest): ApiError {
  const { validation, validationContext } = error as FieldErrors;
  const issue = validation[0]!;
  const path = issue.instancePath.split('/').filter((part) => part !== '');
  const field = path.join('.');
  const { expected, values, keys, pattern, minimum, maximum } = issue.params;
  const unknown = Array.isArray(keys) ? keys.join(', ').slice(0, 200) : undefined;
  const place = PLACES[validationContext ?? ''];
  const value = place && valueAt(request[place.part], path);
  const where = place?.name ?? 'the request';
  return new ApiError(
    400,
    'invalid_field',
    field === ''
      ? `In ${where}: ${issue.message}.`
      : `The field ${field} of ${where} cannot be used: ${issue.message}.`,
    {
      field: unknown ?? (field || undefined),
      value: SECRET_FIELD.test(field) || !isShowable(value) ? undefined : String(value),
      accepted:
        (Array.isArray(values) && values.join(', ')) ||
        (typeof expected === 'string' && expected) ||
        (typeof pattern === 'string' && pattern) ||
        rangeText(minimum, maximum),
    },
  );
}

const PLACES: Readonly<Record<string, { part: 'body' | 'query' | 'params'; name: string }>> = {
  body: { part: 'body', name: 'the body' },
  querystring: { part: 'query', name: 'the query' },
  params: { part: 'params', name: 'the address' },
};

function valueAt(part: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, name)
        ? (value as Record<string, unknown>)[name]
        : undefined,
    part,
  );
}

function rangeText(minimum: unknown, maximum: unknown): string | undefined {
  if (minimum !== undefined && maximum !== undefined) return `from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `at least ${minimum}`;
  return maximum === undefined ? undefined : `at most ${maximum}`;
}

function isShowable(value: unknown): boolean {
  return (
    (typeof value === 'string' && value.length <= 200 && !holdsCardNumber(value)) ||
    typeof value === 'number' ||
    typeof value === 'boolean'
  );
}
