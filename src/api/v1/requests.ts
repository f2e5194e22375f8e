import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { listRequests, type RequestEntry, type RequestFilter } from '../../access/request-log.ts';
import { isUuid } from '../../lib/ids.ts';
import {
  loggedRequestSchema,
  requestFilterSchema,
  requestPageSchema,
  requestParamsSchema,
} from '../contract/requests.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { pageOf, positionOf } from './pages.ts';

/** Who called which address with which answer. */
export async function requestRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const config = { permission: 'requests.read' } as const;

  app.get(
    '/v1/requests',
    {
      config,
      schema: {
        tags: ['Requests'],
        summary: 'List the requests of your keys and people, newest first',
        description:
          'Both surfaces; what was not let in is not here, nor what people read without being refused. An entry ' +
          'appears within a second or two and is kept for REQUEST_LOG_FOR.',
        querystring: requestFilterSchema,
        response: { 200: requestPageSchema },
      },
    },
    async (request) => {
      const { limit } = request.query;
      const found = await listRequests(deps.db, request.caller.merchantId, filterOf(request.query));
      const { page, next_cursor } = pageOf(found, limit, 'newest', ({ at, requestId }) => ({
        at: at.getTime(),
        id: requestId,
      }));
      return { requests: page.map(requestView), next_cursor };
    },
  );

  app.get(
    '/v1/requests/:request_id',
    {
      config,
      schema: {
        tags: ['Requests'],
        summary: 'Read one request, by the x-request-id of its answer',
        params: requestParamsSchema,
        response: { 200: loggedRequestSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { request_id: requestId } = request.params;
      const [found] = await listRequests(deps.db, request.caller.merchantId, { requestId, limit: 1 });
      if (found) return requestView(found);
      throw new ApiError(404, 'request_not_found', 'The log has no request of yours with this id.', {
        field: 'request_id',
        accepted: 'the x-request-id of an answer, within the time that the log keeps it',
      });
    },
  );
}

function filterOf(query: z.output<typeof requestFilterSchema>): RequestFilter {
  const [least, below] = statusesOf(query.status);
  return {
    least,
    below,
    errorCode: query.error_code,
    path: query.path,
    method: query.method,
    callerId: query.api_key_id ?? query.user_id,
    requestId: query.request_id,
    orderId: query.order_id,
    refundId: query.refund_id,
    from: query.created_from === undefined ? undefined : new Date(query.created_from),
    before: query.created_before === undefined ? undefined : new Date(query.created_before),
    after: query.cursor === undefined ? undefined : after(query.cursor),
    limit: query.limit + 1,
  };
}

function statusesOf(word: z.output<typeof requestFilterSchema>['status']): [number?, number?] {
  if (word === undefined) return [];
  if (word === 'refused') return [400];
  const hundreds = Number(word[0]) * 100;
  return [hundreds, hundreds + 100];
}

function after(cursor: string): { at: Date; requestId: string } {
  const { at, id } = positionOf(cursor, 'newest', isUuid);
  return { at: new Date(at), requestId: id };
}

function requestView(entry: RequestEntry): z.output<typeof loggedRequestSchema> {
  return {
    request_id: entry.requestId,
    at: entry.at.toISOString(),
    method: entry.method,
    route: entry.route,
    path: entry.path,
    status: entry.status,
    duration_ms: entry.durationMs,
    caller: { kind: entry.callerKind, id: entry.callerId, name: entry.callerName },
    error:
      entry.errorCode === null
        ? null
        : { code: entry.errorCode, message: entry.errorMessage ?? '', field: entry.errorField },
    order_id: entry.orderId,
    refund_id: entry.refundId,
    remote_address: entry.remoteAddress,
  };
}
