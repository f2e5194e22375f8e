import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Cause } from '../../audit/events.ts';
import { listGatewayAccounts } from '../../gateways/accounts.ts';
import { holdsCardNumber } from '../../lib/card-number.ts';
import type { Queryable } from '../../lib/db.ts';
import { isUuid } from '../../lib/ids.ts';
import { ORDER_ID, readOrder } from '../../orders/store.ts';
import { cancelRefund } from '../../refunds/cancel.ts';
import { lookNow } from '../../refunds/look.ts';
import { recordRefund } from '../../refunds/record.ts';
import { resolveRefund } from '../../refunds/resolve.ts';
import { STATE_NAMES } from '../../refunds/states.ts';
import {
  listRefunds,
  type RefundFilter,
  readAttempts,
  readOrderEvents,
  readRefund,
  readRefundEvents,
} from '../../refunds/store.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { nextCursor, pageFields, pageOf, positionOf } from './pages.ts';
import {
  attemptObject,
  attemptView,
  eventObject,
  eventView,
  PUBLIC_STATUSES,
  refundObject,
  refundView,
} from './refund-object.ts';
import {
  notCancelled,
  notLooked,
  notRecorded,
  notResolved,
  orderNotFound,
  refundNotFound,
} from './refusals.ts';

/** As on the contract's surface (section 2.4): the same amount of the same order twice is rarely meant. */
const SAME_AMOUNT_WINDOW_MS = 5_000;
const MAX_METADATA_LENGTH = 16_384;
const AMOUNT_WORDS = 'decimal text in major units, such as "12.50", or "full"';

// What may be sent -----------------------------------------------------------------------------------------

const freeText = (least: number, most: number) =>
  z
    .string()
    .trim()
    .min(least)
    .max(most)
    .refine((text) => !holdsCardNumber(text), 'text without a card number');

const orderId = z.string().regex(ORDER_ID, '1 to 128 visible ASCII characters');

const newRefund = z
  .strictObject({
    order_id: orderId.optional(),
    txn_id: z.string().min(1).max(256).optional().describe('Names the transaction, or the order by it.'),
    unique_request_id: z
      .string()
      .regex(/^[A-Za-z0-9_.:-]{1,255}$/, '1 to 255 letters, digits, _ . : or -')
      .describe('Your key: at most one refund of the order has it.'),
    amount: z
      .string(AMOUNT_WORDS)
      .max(100, AMOUNT_WORDS)
      .describe('Decimal text in major units, such as "12.50", or "full": all that is left.'),
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/, 'an ISO 4217 code, such as INR')
      .optional()
      .describe("Refused unless it is the order's."),
    refund_type: refundObject.shape.refund_type.default('STANDARD'),
    reason: freeText(1, 500).optional(),
    note: freeText(1, 2000).optional(),
    metadata: z
      .record(z.string(), z.unknown())
      .refine(
        (metadata) => JSON.stringify(metadata).length <= MAX_METADATA_LENGTH,
        `a JSON object of at most ${MAX_METADATA_LENGTH} characters`,
      )
      .refine((metadata) => !holdsCardNumber(JSON.stringify(metadata)), 'a JSON object without a card number')
      .optional(),
    expected_remaining: z
      .string()
      .regex(/^\d{1,15}(\.\d{1,4})?$/, 'decimal text in major units, such as "12.50"')
      .optional()
      .describe('What you believe is left to refund. If it is not, nothing is made: somebody was faster.'),
  })
  .meta({
    examples: [
      {
        order_id: 'A-1001',
        unique_request_id: 'A-1001-r1',
        amount: '499.00',
        expected_remaining: '1299.00',
        reason: 'Size too small',
      },
    ],
  });

const resolution = z
  .strictObject({
    outcome: z.enum(['succeeded', 'failed']),
    evidence: freeText(10, 4000).describe(
      'What shows it, for who reads it in years: where you looked, what it said, who told you.',
    ),
    arn: z
      .string()
      .regex(/^[A-Za-z0-9]{6,40}$/, '6 to 40 letters and digits')
      .optional()
      .describe("The bank's reference."),
    gateway_refund_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, '1 to 255 visible ASCII characters')
      .optional(),
  })
  .meta({
    examples: [
      {
        outcome: 'succeeded',
        evidence: 'The bank confirms the credit in its letter of 2 March, kept under case 4711.',
        arn: '74332745678901234567890',
      },
    ],
  });

const cancellation = z
  .strictObject({ reason: freeText(1, 500).optional() })
  .nullish()
  .meta({ examples: [{ reason: 'Wrong order' }] });

const wordList = z.string().regex(/^[A-Za-z_]+(,[A-Za-z_]+)*$/, 'words separated by commas');

const listQuery = z.strictObject({
  status: wordList.optional().describe(`One or more of ${PUBLIC_STATUSES.join(', ')}, separated by commas.`),
  state: wordList.optional().describe(`One or more of ${STATE_NAMES.join(', ')}, separated by commas.`),
  attention: z.literal('true').optional().describe('Only those that need a person.'),
  order_id: orderId.optional(),
  unique_request_id: z.string().max(255).optional(),
  gateway: z.string().max(64).optional(),
  gateway_account_id: z.string().max(64).optional(),
  gateway_refund_id: z.string().max(255).optional(),
  arn: z.string().max(64).optional(),
  ...pageFields,
});

// What is answered -----------------------------------------------------------------------------------------

const refundPage = z
  .object({ refunds: z.array(refundObject), next_cursor: nextCursor })
  .describe('A page of refunds.');

const refundWithHistory = refundObject
  .extend({ attempts: z.array(attemptObject), events: z.array(eventObject) })
  .describe('The refund, every call to the gateway for it, and every change of it.');

const refundLooked = refundObject
  .extend({
    gateway_answer: z
      .enum(['news', 'absent', 'busy', 'misconfigured', 'no_answer'])
      .describe('What the asking came to. Only news, or absence that is proved, changes the refund.'),
  })
  .describe('The refund as it is after the gateway was asked.');

const orderEvents = z
  .object({ order_id: z.string(), events: z.array(eventObject) })
  .describe('Everything that happened, oldest first.');

const named = z.object({ refund_id: z.string().max(64) });
const tags = ['Refunds'];

/** Refunds: made, read, listed, asked about, cancelled, and settled by a person. */
export async function refundRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { db, engine } = deps;

  app.post(
    '/v1/refunds',
    {
      schema: {
        tags,
        summary: 'Make a refund',
        description:
          'Answers once the refund is safely recorded; it is sent to the gateway right after. Sending the same ' +
          '`unique_request_id` again never makes a second refund.',
        body: newRefund,
        response: { 201: refundObject, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const asked = request.body;
      if (asked.order_id === undefined && asked.txn_id === undefined) {
        throw new ApiError(400, 'missing_field', 'The refund names neither an order nor a transaction.', {
          field: 'order_id',
          accepted: 'order_id or txn_id',
        });
      }
      const outcome = await recordRefund(engine, {
        merchantId: request.caller.merchantId,
        orderId: asked.order_id ?? null,
        txnId: asked.txn_id ?? null,
        uniqueRequestId: asked.unique_request_id,
        amount: asked.amount,
        currency: asked.currency ?? null,
        refundType: asked.refund_type,
        reason: asked.reason ?? null,
        note: asked.note ?? null,
        metadata: asked.metadata ?? {},
        initiatedBy: 'API',
        door: 'api',
        batchId: null,
        sameAmountWindowMs: SAME_AMOUNT_WINDOW_MS,
        expectedRemaining: asked.expected_remaining ?? null,
        cause: causeOf(request),
      });
      if (!outcome.ok) throw notRecorded(outcome, asked);
      return reply.code(201).send(refundView(outcome.refund));
    },
  );

  app.get(
    '/v1/refunds',
    {
      schema: {
        tags,
        summary: 'List refunds, newest first',
        querystring: listQuery,
        response: { 200: refundPage },
      },
    },
    async (request) => {
      const { limit } = request.query;
      const { merchantId } = request.caller;
      const gatewayAccountIds = await accountsMeant(db, merchantId, request.query);
      const filter = { ...filterOf(request.query), ...(gatewayAccountIds && { gatewayAccountIds }) };
      const found = await listRefunds(db, merchantId, { ...filter, limit: limit + 1 });
      const { page, next_cursor } = pageOf(found, limit, (refund) => ({ ...refund, id: refund.refundId }));
      return { refunds: page.map(refundView), next_cursor };
    },
  );

  app.get(
    '/v1/refunds/:refund_id',
    {
      schema: {
        tags,
        summary: 'Read a refund with everything that happened to it',
        params: named,
        response: { 200: refundWithHistory, 404: errorSchema },
      },
    },
    async (request) => {
      const refund = await readRefund(db, request.caller.merchantId, request.params.refund_id);
      if (!refund) throw refundNotFound();
      const [attempts, events] = await Promise.all([readAttempts(db, refund), readRefundEvents(db, refund)]);
      return { ...refundView(refund), attempts: attempts.map(attemptView), events: events.map(eventView) };
    },
  );

  app.post(
    '/v1/refunds/:refund_id/sync',
    {
      schema: {
        tags,
        summary: 'Ask the gateway about a refund now',
        description: 'Answers with the refund as it is after the gateway was asked.',
        params: named,
        response: { 200: refundLooked, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const looked = await lookNow(engine, merchantId, request.params.refund_id, causeOf(request));
      if (!looked.ok) throw looked.refusal === 'not_found' ? refundNotFound() : notLooked(looked.refund);
      return { ...refundView(looked.refund), gateway_answer: looked.answer };
    },
  );

  app.post(
    '/v1/refunds/:refund_id/cancel',
    {
      schema: {
        tags,
        summary: 'Cancel a refund that has not been sent',
        params: named,
        body: cancellation,
        response: { 200: refundObject, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const reason = request.body?.reason ?? null;
      const asked = { reason, cause: causeOf(request) };
      const cancelled = await cancelRefund(engine, merchantId, request.params.refund_id, asked);
      if (cancelled.ok) return refundView(cancelled.refund);
      throw cancelled.refusal === 'not_found' ? refundNotFound() : notCancelled(cancelled.refund);
    },
  );

  app.post(
    '/v1/refunds/:refund_id/resolve',
    {
      schema: {
        tags,
        summary: 'Settle a refund in manual review',
        description:
          'For a refund whose outcome the gateway does not tell. Look there first: succeeded means that the ' +
          'customer has the money, failed that nobody has been paid and the amount may be refunded again.',
        params: named,
        body: resolution,
        response: { 200: refundObject, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { outcome, evidence, arn, gateway_refund_id } = request.body;
      const resolved = await resolveRefund(engine, request.caller.merchantId, request.params.refund_id, {
        outcome,
        evidence,
        arn: arn ?? null,
        gatewayRefundId: gateway_refund_id ?? null,
        cause: causeOf(request),
      });
      if (resolved.ok) return refundView(resolved.refund);
      throw resolved.refusal === 'not_found' ? refundNotFound() : notResolved(resolved.refund);
    },
  );

  app.get(
    '/v1/orders/:order_id/events',
    {
      schema: {
        tags: ['Orders'],
        summary: 'Everything that happened to an order and its refunds, oldest first',
        params: z.object({ order_id: z.string().max(512) }),
        response: { 200: orderEvents, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const found = await readOrder(db, merchantId, request.params.order_id);
      if (!found) throw orderNotFound(request.params.order_id);
      const events = await readOrderEvents(db, merchantId, found.order.orderId);
      return { order_id: found.order.orderId, events: events.map(eventView) };
    },
  );
}

function causeOf(request: FastifyRequest): Cause {
  return { by: 'api', key: request.caller.apiKeyName, request_id: request.id };
}

// Pages ----------------------------------------------------------------------------------------------------

function filterOf(query: z.infer<typeof listQuery>): Omit<RefundFilter, 'limit'> {
  const wanted = {
    statuses: query.status && wordsOf('status', query.status, PUBLIC_STATUSES),
    states: query.state && wordsOf('state', query.state, STATE_NAMES),
    needsPerson: query.attention === 'true' || undefined,
    orderId: query.order_id,
    uniqueRequestId: query.unique_request_id,
    gatewayRefundId: query.gateway_refund_id,
    arn: query.arn,
    createdFrom: query.created_from && new Date(query.created_from),
    createdBefore: query.created_before && new Date(query.created_before),
    after: query.cursor && after(query.cursor),
  };
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
}

/** The accounts that the filters by gateway and account leave; null where there are no such filters. */
async function accountsMeant(
  db: Queryable,
  merchantId: string,
  { gateway, gateway_account_id }: z.infer<typeof listQuery>,
): Promise<string[] | null> {
  if (gateway === undefined && gateway_account_id === undefined) return null;
  return (await listGatewayAccounts(db, merchantId))
    .filter((account) => gateway === undefined || account.gateway === gateway)
    .map((account) => account.gatewayAccountId)
    .filter((id) => gateway_account_id === undefined || id === gateway_account_id);
}

function wordsOf<Word extends string>(field: string, text: string, known: readonly Word[]): Word[] {
  return text.split(',').map((asked) => {
    const word = known.find((candidate) => candidate === asked);
    if (word !== undefined) return word;
    throw new ApiError(400, 'invalid_field', `There is no ${field} ${asked.slice(0, 64)}.`, {
      field,
      value: asked.slice(0, 64),
      accepted: known.join(', '),
    });
  });
}

function after(cursor: string): NonNullable<RefundFilter['after']> {
  const { createdAt, id } = positionOf(cursor, isUuid);
  return { createdAt, refundId: id };
}
