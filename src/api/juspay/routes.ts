import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readMerchant } from '../../access/merchants.ts';
import type { Permission } from '../../access/roles.ts';
import { createOrder } from '../../orders/create.ts';
import { type OrderWithTransactions, readOrder } from '../../orders/store.ts';
import { updateOrder } from '../../orders/update.ts';
import { recordRefund } from '../../refunds/record.ts';
import type { Refund } from '../../refunds/refund.ts';
import { readOrderRefunds } from '../../refunds/store.ts';
import { readWaits } from '../../refunds/waits.ts';
import { causeOf } from '../auth.ts';
import type { ApiDeps, Caller } from '../deps.ts';
import { invalidField, mandatoryFieldMissing, orderNotFound } from './errors.ts';
import { type Fields, optionalText, readFields } from './fields.ts';
import { answersInOldWords, orderObject, refundObject } from './order-object.ts';
import { creationRefused, newOrder, orderChanges } from './order-requests.ts';
import { type RefundTarget, refundRefused, refundRequest } from './refund-requests.ts';
import {
  contractErrorSchema,
  createBodySchema,
  oldCreatedSchema,
  orderObjectSchema,
  refundBodySchema,
  refundByAnyBodySchema,
  refundByOrderBodySchema,
  refundObjectSchema,
  statusBodySchema,
  updateBodySchema,
} from './schemas.ts';

type OrderParams = { Params: { order_id: string } };
type TxnParams = { Params: { txn_id: string } };

/**
 * The addresses that Juspay's merchants already call, answered in the contract's words. Bodies are read by
 * fields.ts; the schemas here describe them on the OpenAPI page and check nothing.
 */
export async function juspayRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);

  const create = async (request: FastifyRequest) => answerCreated(deps, request, await readFields(request));
  app.post('/orders', described('orders.write', 'Create an order', createBodySchema, created), create);
  app.post(
    '/order/create',
    described('orders.write', 'Create an order (old address)', createBodySchema, created),
    create,
  );

  app.post<OrderParams>(
    '/orders/:order_id',
    described('orders.write', 'Change an order', updateBodySchema, orderObjectSchema),
    async (request) => answerUpdated(deps, request, request.params.order_id, await readFields(request)),
  );
  app.get<OrderParams>(
    '/orders/:order_id',
    described('orders.read', 'Status of an order', undefined, orderObjectSchema),
    async (request) => {
      const asked = sameOrder(request.params.order_id, await readFields(request));
      return answerOrder(deps, request, asked);
    },
  );
  const status = async (request: FastifyRequest) =>
    answerOrder(deps, request, namedOrder(await readFields(request)));
  app.get(
    '/order/status',
    described('orders.read', 'Status of an order (old address)', undefined, orderObjectSchema),
    status,
  );
  app.post(
    '/order/status',
    described('orders.read', 'Status of an order (old address)', statusBodySchema, orderObjectSchema),
    status,
  );

  app.post<OrderParams>(
    '/orders/:order_id/refunds',
    described('refunds.create', 'Refund an order', refundBodySchema, orderObjectSchema),
    async (request) => {
      const fields = await readFields(request);
      const target = { orderId: sameOrder(request.params.order_id, fields), txnId: null };
      return answerRefundedOrder(deps, request, fields, target);
    },
  );
  app.post(
    '/order/refund',
    described('refunds.create', 'Refund an order (old address)', refundByOrderBodySchema, orderObjectSchema),
    async (request) => {
      const fields = await readFields(request);
      return answerRefundedOrder(deps, request, fields, { orderId: namedOrder(fields), txnId: null });
    },
  );
  app.post<TxnParams>(
    '/orders/txns/:txn_id/refunds',
    described('refunds.create', 'Refund a transaction', refundBodySchema, orderObjectSchema),
    async (request) => {
      const fields = await readFields(request);
      const orderId = optionalText(fields, 'order_id', MAX_ID) ?? null;
      return answerRefundedOrder(deps, request, fields, { orderId, txnId: request.params.txn_id });
    },
  );
  app.post(
    '/refunds',
    described(
      'refunds.create',
      'Refund an order or a transaction',
      refundByAnyBodySchema,
      refundObjectSchema,
    ),
    async (request) => {
      const fields = await readFields(request);
      const orderId = optionalText(fields, 'order_id', MAX_ID) ?? null;
      const txnId = optionalText(fields, 'txn_id', MAX_ID) ?? null;
      if (orderId === null && txnId === null) throw mandatoryFieldMissing('order_id');
      const refund = await makeRefund(deps, request, fields, { orderId, txnId });
      return refundObject(refund, (await readWaits(deps.engine, [refund]))(refund));
    },
  );
}

const MAX_ID = 1024;
const created = orderObjectSchema.or(oldCreatedSchema).describe('The order.');

function described(permission: Permission, summary: string, body: unknown, answer: unknown) {
  return {
    config: { permission },
    schema: {
      tags: ['Juspay-compatible'],
      summary,
      consumes: ['application/x-www-form-urlencoded', 'application/json', 'multipart/form-data'],
      ...(body !== undefined && { body }),
      response: { 200: answer, 400: contractErrorSchema },
    },
  };
}

/** The order of the address; a body or query that names another one is refused. */
function sameOrder(orderId: string, fields: Fields): string {
  const named = optionalText(fields, 'order_id', MAX_ID);
  if (named !== undefined && named.toLowerCase() !== orderId.toLowerCase()) {
    throw invalidField('order_id', 'Is not the order of the address');
  }
  return orderId;
}

function namedOrder(fields: Fields): string {
  const orderId = optionalText(fields, 'order_id', MAX_ID);
  if (orderId === undefined) throw mandatoryFieldMissing('order_id');
  return orderId;
}

async function answerCreated(deps: ApiDeps, request: FastifyRequest, fields: Fields) {
  const input = newOrder(fields, request.caller.merchantId);
  const outcome = await createOrder(deps.db, deps.clock, input, causeOf(request));
  if (!outcome.ok) throw creationRefused(outcome.refusal, outcome.existing);
  const answer = await shown(deps, request, outcome);
  if (!answersInOldWords(versionOf(request))) return answer;
  const { status, status_id, id, order_id, payment_links } = answer;
  return { status, status_id, id, order_id, payment_links };
}

async function answerUpdated(deps: ApiDeps, request: FastifyRequest, askedId: string, fields: Fields) {
  const orderId = sameOrder(askedId, fields);
  const { merchantId } = request.caller;
  const before = await readOrder(deps.db, merchantId, orderId);
  if (!before) throw orderNotFound(orderId);
  const changes = orderChanges(fields, before);
  const outcome = await updateOrder(deps.db, deps.clock, merchantId, orderId, changes, causeOf(request));
  if (outcome.ok) return shown(deps, request, outcome);
  if (outcome.refusal === 'order_not_found') throw orderNotFound(orderId);
  throw invalidField('amount', 'Can change only while the order is NEW');
}

async function answerOrder(deps: ApiDeps, request: FastifyRequest, orderId: string) {
  const found = await readOrder(deps.db, request.caller.merchantId, orderId);
  if (!found) throw orderNotFound(orderId);
  return shown(deps, request, found);
}

/** Contract section 2.2: the answer to a refund is the whole order. */
async function answerRefundedOrder(
  deps: ApiDeps,
  request: FastifyRequest,
  fields: Fields,
  target: RefundTarget,
) {
  const refund = await makeRefund(deps, request, fields, target);
  return answerOrder(deps, request, refund.orderId);
}

async function makeRefund(
  deps: ApiDeps,
  request: FastifyRequest,
  fields: Fields,
  target: RefundTarget,
): Promise<Refund> {
  const caller = fields.has('amount') ? request.caller : await withFreshSettings(deps, request.caller);
  const asked = refundRequest(fields, target, caller, causeOf(request));
  const outcome = await recordRefund(deps.engine, asked);
  if (!outcome.ok) throw refundRefused(outcome, target);
  return outcome.refund;
}

/** A caller is remembered for seconds; whether no amount means everything has to be known as it is now. */
async function withFreshSettings(deps: ApiDeps, caller: Caller): Promise<Caller> {
  const merchant = await readMerchant(deps.db, caller.merchantId);
  return { ...caller, merchantSettings: { ...merchant?.settings } };
}

async function shown(deps: ApiDeps, request: FastifyRequest, { order, transactions }: OrderWithTransactions) {
  const refunds = await readOrderRefunds(deps.db, order.merchantId, order.orderId);
  return orderObject(order, transactions, refunds, {
    version: versionOf(request),
    publicUrl: deps.settings.publicUrl,
    gateways: deps.gateways,
    waitOf: await readWaits(deps.engine, refunds),
  });
}

function versionOf(request: FastifyRequest): string | undefined {
  const version = request.headers['version'];
  return typeof version === 'string' ? version : undefined;
}
