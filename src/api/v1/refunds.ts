import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import type { Cause } from '../../audit/events.ts';
import { plusMs } from '../../lib/clock.ts';
import { parseAmount } from '../../lib/money.ts';
import { readOrder } from '../../orders/store.ts';
import { cancelRefund } from '../../refunds/cancel.ts';
import { listRefunds, readRefundOfCustomer } from '../../refunds/list.ts';
import { lookNow } from '../../refunds/look.ts';
import { LOOK_ALIKE_WINDOW_MS, lookAlikesOf } from '../../refunds/preview.ts';
import { type RefundOutcome, recordRefund } from '../../refunds/record.ts';
import type { Refund } from '../../refunds/refund.ts';
import { decideOnProposal, proposeResolution, resolveRefund } from '../../refunds/resolve.ts';
import { readAttempts, readOrderEvents, readOrderRefunds, readRefundEvents } from '../../refunds/store.ts';
import { readWaits } from '../../refunds/waits.ts';
import { causeOf, doorOf } from '../auth.ts';
import { orderParamsSchema } from '../contract/orders.ts';
import {
  cancellationSchema,
  newRefundSchema,
  orderEventsSchema,
  orderRefundsSchema,
  proposalDecisionSchema,
  refundListQuerySchema,
  refundLookedSchema,
  refundPageSchema,
  refundParamsSchema,
  refundSchema,
  refundWithHistorySchema,
  resolutionSchema,
} from '../contract/refunds.ts';
import type { ApiDeps, Caller } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { pageOf } from './pages.ts';
import { refundFilterOf } from './refund-filter.ts';
import { attemptView, eventView, refundInListView, refundView } from './refund-object.ts';
import {
  lookAlike,
  notCancelled,
  notDecided,
  notLooked,
  notRecorded,
  notResolved,
  orderNotFound,
  refundNotFound,
  requireTrustedBooks,
} from './refusals.ts';

/** As on the contract's surface (section 2.4): the same amount of the same order twice is rarely meant. */
const SAME_AMOUNT_WINDOW_MS = 5_000;
const tags = ['Refunds'];

/** Refunds: made, read, listed, asked about, cancelled, and settled by a person. */
export async function refundRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { db, engine } = deps;
  const view = async (refund: Refund) =>
    refundView(refund, deps.clock.now(), (await readWaits(engine, [refund]))(refund));

  app.post(
    '/v1/refunds',
    {
      config: { permission: 'refunds.create' },
      schema: {
        tags,
        summary: 'Make a refund',
        description:
          'Answers once the refund is safely recorded; it is sent to the gateway right after. Sending the same ' +
          '`unique_request_id` again never makes a second refund.',
        body: newRefundSchema,
        response: { 201: refundSchema, 404: errorSchema, 409: errorSchema },
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
      const windowMs = lookAlikeWindowMs(request.caller, asked.confirm_look_alike);
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
        ...doorOf(request.caller),
        batchId: null,
        batchRow: null,
        sameAmountWindowMs: windowMs,
        expectedRemaining: asked.expected_remaining ?? null,
        cause: causeOf(request),
      });
      if (!outcome.ok) {
        const isLookAlike = outcome.refusal === 'same_amount_again' && windowMs === LOOK_ALIKE_WINDOW_MS;
        throw isLookAlike
          ? await lookAlikeRefusal(deps, request.caller.merchantId, outcome, asked)
          : notRecorded(outcome, asked);
      }
      return reply.code(201).send(await view(outcome.refund));
    },
  );

  app.get(
    '/v1/refunds',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags,
        summary: 'List refunds',
        description: 'All filters given must hold.',
        querystring: refundListQuerySchema,
        response: { 200: refundPageSchema },
      },
    },
    async (request) => {
      const { limit, sort } = request.query;
      const filter = await refundFilterOf(db, request.caller.merchantId, request.query, deps.clock.now());
      const found = await listRefunds(db, { ...filter, limit: limit + 1 });
      const { page, next_cursor } = pageOf(found, limit, sort, ({ refund }) => ({
        at: (sort === 'due' ? refund.dueAt : refund.createdAt).getTime(),
        id: refund.refundId,
      }));
      const waitOf = await readWaits(
        engine,
        page.map(({ refund }) => refund),
      );
      const now = deps.clock.now();
      return {
        refunds: page.map((each) => refundInListView(each, now, waitOf(each.refund))),
        next_cursor,
      };
    },
  );

  app.get(
    '/v1/refunds/:refund_id',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags,
        summary: 'Read a refund with everything that happened to it',
        params: refundParamsSchema,
        response: { 200: refundWithHistorySchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const found = await readRefundOfCustomer(db, merchantId, request.params.refund_id);
      if (!found) throw refundNotFound();
      const [attempts, events, waitOf] = await Promise.all([
        readAttempts(db, found.refund),
        readRefundEvents(db, found.refund),
        readWaits(engine, [found.refund]),
      ]);
      return {
        ...refundInListView(found, deps.clock.now(), waitOf(found.refund)),
        attempts: attempts.map(attemptView),
        events: events.map(eventView),
      };
    },
  );

  app.post(
    '/v1/refunds/:refund_id/sync',
    {
      config: { permission: 'refunds.look' },
      schema: {
        tags,
        summary: 'Ask the gateway about a refund now',
        description: 'Answers with the refund as it is after the gateway was asked.',
        params: refundParamsSchema,
        response: { 200: refundLookedSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const looked = await lookNow(engine, merchantId, request.params.refund_id, causeOf(request));
      if (!looked.ok) throw looked.refusal === 'not_found' ? refundNotFound() : notLooked(looked.refund);
      return { ...(await view(looked.refund)), gateway_answer: looked.answer };
    },
  );

  app.post(
    '/v1/refunds/:refund_id/cancel',
    {
      config: { permission: 'refunds.cancel' },
      schema: {
        tags,
        summary: 'Cancel a refund that has not been sent',
        params: refundParamsSchema,
        body: cancellationSchema,
        response: { 200: refundSchema, 404: errorSchema, 409: errorSchema, 503: errorSchema },
      },
    },
    async (request) => {
      await requireTrustedBooks(engine);
      const { merchantId } = request.caller;
      const reason = request.body?.reason ?? null;
      const asked = { reason, cause: causeOf(request) };
      const cancelled = await cancelRefund(engine, merchantId, request.params.refund_id, asked);
      if (cancelled.ok) return view(cancelled.refund);
      throw cancelled.refusal === 'not_found' ? refundNotFound() : notCancelled(cancelled.refund);
    },
  );

  app.post(
    '/v1/refunds/:refund_id/resolve',
    {
      config: { permission: 'refunds.resolve' },
      schema: {
        tags,
        summary: 'Settle a refund in manual review',
        description:
          'For a refund whose outcome the gateway does not tell. Look there first: succeeded means that the ' +
          'customer has the money, failed that nobody has been paid and the amount may be refunded again.',
        params: refundParamsSchema,
        body: resolutionSchema,
        response: { 200: refundSchema, 404: errorSchema, 409: errorSchema, 503: errorSchema },
      },
    },
    async (request) => {
      await requireTrustedBooks(engine);
      const { outcome, evidence, arn, gateway_refund_id, against_gateway } = request.body;
      const { merchantId } = request.caller;
      const word = { outcome, evidence, arn: arn ?? null, gatewayRefundId: gateway_refund_id ?? null };
      const cause = causeOf(request);
      const resolved = against_gateway
        ? await proposeResolution(engine, merchantId, request.params.refund_id, {
            ...word,
            cause: personOf(cause, 'against_gateway'),
          })
        : await resolveRefund(engine, merchantId, request.params.refund_id, { ...word, cause });
      if (!resolved.ok) throw notResolved(resolved);
      return view(resolved.refund);
    },
  );

  for (const verb of ['confirm', 'withdraw'] as const) {
    app.post(
      `/v1/refunds/:refund_id/proposal/${verb}`,
      {
        config: { permission: verb === 'confirm' ? 'refunds.confirm' : 'refunds.resolve' },
        schema: {
          tags,
          summary: verb === 'confirm' ? "Confirm a colleague's proposal" : 'Withdraw a proposal',
          description:
            verb === 'confirm'
              ? "Settles the refund as proposed, against the gateway's word. Who proposed it cannot."
              : 'The refund stays in manual review.',
          params: refundParamsSchema,
          body: proposalDecisionSchema,
          response: { 200: refundSchema, 404: errorSchema, 409: errorSchema },
        },
      },
      async (request) => {
        await requireTrustedBooks(engine);
        const cause = personOf(causeOf(request), 'at');
        const decided = await decideOnProposal(engine, request.caller.merchantId, request.params.refund_id, {
          confirm: verb === 'confirm',
          at: request.body.at,
          cause,
        });
        if (!decided.ok) throw notDecided(decided);
        return view(decided.refund);
      },
    );
  }

  app.get(
    '/v1/orders/:order_id/refunds',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags: ['Orders'],
        summary: 'All refunds of an order, newest first',
        params: orderParamsSchema,
        response: { 200: orderRefundsSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const found = await readOrder(db, merchantId, request.params.order_id);
      if (!found) throw orderNotFound(request.params.order_id);
      const refunds = await readOrderRefunds(db, merchantId, found.order.orderId);
      const waitOf = await readWaits(engine, refunds);
      const now = deps.clock.now();
      return {
        order_id: found.order.orderId,
        refunds: refunds.map((each) => refundView(each, now, waitOf(each))),
      };
    },
  );

  app.get(
    '/v1/orders/:order_id/events',
    {
      config: { permission: 'orders.read' },
      schema: {
        tags: ['Orders'],
        summary: 'Everything that happened to an order and its refunds, oldest first',
        params: orderParamsSchema,
        response: { 200: orderEventsSchema, 404: errorSchema },
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

/** A second person stands behind it, and so does a first: keys are neither. */
function personOf(cause: Cause, field: string): Extract<Cause, { by: 'user' }> {
  if (cause.by === 'user') return cause;
  throw new ApiError(403, 'people_only', 'Only a person may do that, not an API key.', { field });
}

/** A program counts what it asks for; a person may have forgotten, or not know of a colleague's refund. */
function lookAlikeWindowMs(caller: Caller, confirmed: boolean | undefined): number {
  if (confirmed === true) return 0;
  return caller.kind === 'user' || confirmed === false ? LOOK_ALIKE_WINDOW_MS : SAME_AMOUNT_WINDOW_MS;
}

async function lookAlikeRefusal(
  { db, clock }: ApiDeps,
  merchantId: string,
  outcome: Extract<RefundOutcome, { ok: false }>,
  asked: z.output<typeof newRefundSchema>,
): Promise<ApiError> {
  const now = clock.now();
  const refunds = outcome.orderId === null ? [] : await readOrderRefunds(db, merchantId, outcome.orderId);
  const exponent = refunds[0]?.exponent ?? 0;
  const minorOf = (text: string | null) => {
    const parsed = text === null ? null : parseAmount(text, exponent);
    return parsed?.ok ? parsed.amountMinor : 0;
  };
  const restMinor = minorOf(outcome.remaining);
  const amountMinor = asked.amount === 'full' ? restMinor : minorOf(asked.amount);
  // A yes would not help: there is not so much left.
  if (amountMinor > restMinor || restMinor === 0) {
    return notRecorded({ ...outcome, refusal: 'amount_exceeds_rest' }, asked);
  }
  const earlier = lookAlikesOf(refunds, amountMinor, plusMs(now, -LOOK_ALIKE_WINDOW_MS))[0];
  return earlier ? lookAlike(earlier, now) : notRecorded(outcome, asked);
}
