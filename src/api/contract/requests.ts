import { z } from 'zod';
import { nextCursor, pageFields } from './pages.ts';

/** GET /v1/requests: who called which address with which answer. */

export const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const;

export const requestFilterSchema = z.strictObject({
  status: z
    .enum([...STATUS_CLASSES, 'refused'])
    .optional()
    .describe('refused: 4xx and 5xx together.'),
  error_code: z.string().max(100).optional(),
  path: z.string().max(512).optional().describe('How the path begins, such as /v1/refunds.'),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).optional(),
  api_key_id: z.uuid().optional(),
  user_id: z.string().max(100).optional(),
  request_id: z.uuid().optional(),
  order_id: z.string().max(128).optional(),
  refund_id: z.uuid().optional(),
  ...pageFields,
});

export const requestParamsSchema = z.object({ request_id: z.uuid() });

export const loggedRequestSchema = z
  .object({
    request_id: z.string().describe('As in the header x-request-id of the answer.'),
    at: z.string(),
    method: z.string(),
    route: z.string().describe('The address as the API reference has it.'),
    path: z.string().describe('The path that was called, without its query.'),
    status: z.int(),
    duration_ms: z.int(),
    caller: z.object({
      kind: z.enum(['key', 'user']),
      id: z.string(),
      name: z.string().describe('Of the key, or the e-mail address of the person, as it was then.'),
    }),
    error: z
      .object({ code: z.string(), message: z.string(), field: z.string().nullable() })
      .nullable()
      .describe('As it was answered; on the Juspay-compatible addresses the code is error_code.'),
    order_id: z.string().nullable(),
    refund_id: z.string().nullable(),
    remote_address: z.string(),
  })
  .meta({ id: 'LoggedRequest', description: 'One request and its answer, without bodies and queries.' });

export const requestPageSchema = z
  .object({ requests: z.array(loggedRequestSchema), next_cursor: nextCursor })
  .meta({ id: 'LoggedRequestPage', description: 'A page of requests.' });

export type RequestFilter = z.output<typeof requestFilterSchema>;
export type LoggedRequest = z.infer<typeof loggedRequestSchema>;
export type LoggedRequestPage = z.infer<typeof requestPageSchema>;
