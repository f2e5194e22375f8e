import type { GatewayRegistry } from '../../gateways/registry.ts';
import { hexOf } from '../../lib/ids.ts';
import { amountNumber } from '../../lib/money.ts';
import type { Order, Transaction } from '../../orders/order.ts';
import { isSent, type Refund } from '../../refunds/refund.ts';
import { STATES } from '../../refunds/states.ts';
import type { Wait, WaitOf } from '../../refunds/waits.ts';
import type { OrderObject, RefundEntry, RefundObject } from './schemas.ts';

/** Statuses of orders and transactions and their numbers (contract section 4.3). */
export const STATUS_IDS: Readonly<Record<string, number>> = {
  CREATED: 1,
  NEW: 10,
  STARTED: 20,
  CHARGED: 21,
  JUSPAY_DECLINED: 22,
  PENDING_VBV: 23,
  VBV_SUCCESSFUL: 24,
  AUTHORIZED: 25,
  AUTHENTICATION_FAILED: 26,
  AUTHORIZATION_FAILED: 27,
  AUTHORIZING: 28,
  COD_INITIATED: 29,
  VOIDED: 31,
  VOID_INITIATED: 32,
  CAPTURE_INITIATED: 33,
  CAPTURE_FAILED: 34,
  VOID_FAILED: 35,
  AUTO_REFUNDED: 36,
  PARTIAL_CHARGED: 37,
  NOT_FOUND: 40,
  ERROR: -1,
};

export interface OrderObjectOptions {
  /** The caller's `version` header; webhooks have none. */
  readonly version?: string | undefined;
  /** Where the outside reaches us, for the payment links. */
  readonly publicUrl: string;
  readonly gateways: GatewayRegistry;
  /** What holds a refund up as this is asked; a webhook tells what has changed, and leaves it out. */
  readonly waitOf?: WaitOf;
}

/**
 * The order as the contract shows it (sections 4.1 to 4.3): the same in order status, in a refund's answer and in
 * webhooks. `transactions` are oldest first, `refunds` newest first. With several charged transactions the totals
 * are sums over them, and the first is the one in the order's own transaction keys.
 */
export function orderObject(
  order: Order,
  transactions: readonly Transaction[],
  refunds: readonly Refund[],
  options: OrderObjectOptions,
): OrderObject {
  const { waitOf = () => null } = options;
  const charged = transactions.filter((transaction) => transaction.status === 'CHARGED');
  const main = charged[0] ?? transactions.at(-1);
  const refundedMinor = sum(refunds.map(reservedBy));
  const effectiveMinor =
    charged.length === 0 ? order.amountMinor : sum(charged.map((transaction) => transaction.effectiveMinor));
  const number = (minor: number) => amountNumber(minor, order.exponent);
  const status = answersInOldWords(options.version) && order.status === 'NEW' ? 'CREATED' : order.status;
  const id = `ordeh_${hexOf(order.orderUuid)}`;
  return {
    id,
    order_id: order.orderId,
    merchant_id: order.merchantId,
    status,
    status_id: STATUS_IDS[status] ?? STATUS_IDS['ERROR']!,
    amount: number(order.amountMinor),
    currency: order.currency,
    date_created: timeText(order.createdAt),
    last_updated: timeText(order.updatedAt),
    customer_id: order.customerId,
    customer_email: order.customerEmail,
    customer_phone: order.customerPhone,
    return_url: detail(order, 'return_url'),
    product_id: detail(order, 'product_id'),
    description: detail(order, 'description'),
    udf1: detail(order, 'udf1') ?? '',
    udf2: detail(order, 'udf2') ?? '',
    udf3: detail(order, 'udf3') ?? '',
    udf4: detail(order, 'udf4') ?? '',
    udf5: detail(order, 'udf5') ?? '',
    udf6: detail(order, 'udf6') ?? '',
    udf7: detail(order, 'udf7') ?? '',
    udf8: detail(order, 'udf8') ?? '',
    udf9: detail(order, 'udf9') ?? '',
    udf10: detail(order, 'udf10') ?? '',
    payment_links: paymentLinks(options.publicUrl, id),
    metadata: { ...order.metadata },
    offers: [],
    rewards_breakup: null,
    refunded: charged.length > 0 && refundedMinor >= effectiveMinor,
    amount_refunded: number(refundedMinor),
    effective_amount: number(effectiveMinor),
    maximum_eligible_refund_amount: number(effectiveMinor - refundedMinor),
    ...(main && transactionKeys(order, main, refunds, options.gateways)),
    ...(refunds.length > 0 && { refunds: refunds.map((refund) => refundEntry(refund, waitOf(refund))) }),
    ...(charged.length > 1 && {
      txn_list: charged.map((transaction) =>
        listedTransaction(order, transaction, refunds, options.gateways, waitOf),
      ),
    }),
  };
}

/** One refund as an entry of its order's `refunds` (contract section 2.3). */
export function refundEntry(refund: Refund, wait: Wait | null): RefundEntry {
  return {
    unique_request_id: refund.uniqueRequestId,
    amount: amountNumber(refund.amountMinor, refund.exponent),
    status: STATES[refund.state].public,
    sent_to_gateway: isSent(refund),
    created: timeText(refund.createdAt),
    id: refund.gatewayRefundId,
    ref: refund.gatewayReference ?? refund.gatewayRefundId,
    initiated_by: refund.initiatedBy,
    refund_source: refund.gateway,
    refund_type: refund.refundType,
    error_message: errorText(refund, wait) ?? '',
    error_code: refund.errorCode,
    last_updated: timeText(refund.updatedAt),
    expected_refund_credit_time: timeText(refund.dueAt),
    ...(refund.arn !== null && { arn: refund.arn }),
    ...(refund.succeededAt && { pg_processed_at: timeText(refund.succeededAt) }),
    ...(refund.failedAt && { pg_declined_at: timeText(refund.failedAt) }),
  };
}

/** One refund as `POST /refunds` answers it (contract section 3). */
export function refundObject(refund: Refund, wait: Wait | null): RefundObject {
  return {
    unique_request_id: refund.uniqueRequestId,
    order_id: refund.orderId,
    txn_id: refund.txnId,
    amount: amountNumber(refund.amountMinor, refund.exponent),
    currency: refund.currency,
    status: STATES[refund.state].public,
    sent_to_gateway: isSent(refund),
    refund_type: refund.refundType,
    refund_source: refund.gateway,
    gateway: refund.gateway,
    initiated_by: refund.initiatedBy,
    reference_id: refund.gatewayReference ?? refund.gatewayRefundId,
    epg_txn_id: refund.gatewayRefundId,
    refund_arn: refund.arn,
    authorization_id: null,
    response_code: refund.errorCode,
    error_message: errorText(refund, wait),
    created: timeText(refund.createdAt),
    expected_refund_credit_time: timeText(refund.dueAt),
  };
}

/** Versions of 2016 know a new order as CREATED (contract section 1.2). */
export function answersInOldWords(version: string | undefined): boolean {
  return version !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(version) && version < '2017-01-01';
}

/** The links are those of the order's id at our own address; Refundry itself takes no payments. */
function paymentLinks(publicUrl: string, id: string): OrderObject['payment_links'] {
  const link = `${publicUrl}/payment-page/order/${id}`;
  return { web: link, mobile: link, iframe: link };
}

function transactionKeys(
  order: Order,
  transaction: Transaction,
  refunds: readonly Refund[],
  gateways: GatewayRegistry,
) {
  return {
    txn_id: transaction.txnId,
    txn_uuid: transaction.txnUuid,
    payment_method_type: transaction.paymentMethodType,
    payment_method: transaction.paymentMethod,
    auth_type: null,
    gateway_id: gateways.get(transaction.gateway)?.gatewayId ?? null,
    gateway_reference_id: null,
    bank_error_code: '',
    bank_error_message: '',
    bank_pg: null,
    resp_code: null,
    resp_message: null,
    resp_category: null,
    txn_detail: txnDetail(order, transaction, refundsOf(transaction, refunds), gateways),
    payment_gateway_response: paymentGatewayResponse(transaction),
  };
}

function listedTransaction(
  order: Order,
  transaction: Transaction,
  allRefunds: readonly Refund[],
  gateways: GatewayRegistry,
  waitOf: WaitOf,
) {
  const refunds = refundsOf(transaction, allRefunds);
  return {
    txn_id: transaction.txnId,
    txn_uuid: transaction.txnUuid,
    status: transaction.status,
    payment_method_type: transaction.paymentMethodType,
    payment_method: transaction.paymentMethod,
    amount_refunded: amountNumber(sum(refunds.map(reservedBy)), order.exponent),
    txn_detail: txnDetail(order, transaction, refunds, gateways),
    payment_gateway_response: paymentGatewayResponse(transaction),
    ...(refunds.length > 0 && { refunds: refunds.map((refund) => refundEntry(refund, waitOf(refund))) }),
  };
}

/** What is left follows from the refunds shown beside it, so that one answer never contradicts itself. */
function txnDetail(
  order: Order,
  transaction: Transaction,
  refunds: readonly Refund[],
  gateways: GatewayRegistry,
) {
  const number = (minor: number) => amountNumber(minor, order.exponent);
  const refundableMinor =
    transaction.status === 'CHARGED' ? transaction.effectiveMinor - sum(refunds.map(reservedBy)) : 0;
  return {
    txn_id: transaction.txnId,
    order_id: order.orderId,
    txn_uuid: transaction.txnUuid,
    status: transaction.status,
    error_code: null,
    error_message: '',
    net_amount: number(transaction.effectiveMinor),
    surcharge_amount: number(transaction.surchargeMinor),
    offer_deduction_amount: number(transaction.offerMinor),
    txn_amount: number(transaction.amountMinor),
    remaining_refundable_amount: number(refundableMinor),
    currency: order.currency,
    gateway: transaction.gateway,
    gateway_id: gateways.get(transaction.gateway)?.gatewayId ?? null,
    created: timeText(transaction.createdAt),
    last_updated: timeText(transaction.updatedAt),
  };
}

function paymentGatewayResponse(transaction: Transaction) {
  return {
    epg_txn_id: transaction.gatewayPaymentId,
    txn_id: transaction.txnId,
    created: timeText(transaction.chargedAt ?? transaction.createdAt),
    resp_code: null,
    resp_message: null,
    rrn: null,
    auth_id_code: null,
  };
}

function refundsOf(transaction: Transaction, refunds: readonly Refund[]): Refund[] {
  return refunds.filter((refund) => refund.txnId === transaction.txnId);
}

/** What counts as refunded: everything but what failed, was cancelled or taken back (contract section 4.2). */
function reservedBy(refund: Refund): number {
  return STATES[refund.state].reserves ? refund.amountMinor : 0;
}

/** What holds it up now, or the gateway's words, else ours where the state needs some. */
function errorText(refund: Refund, wait: Wait | null): string | null {
  if (wait !== null) return wait.says;
  if (refund.errorMessage !== null) return refund.errorMessage;
  const { public: status, says } = STATES[refund.state];
  return status === 'FAILURE' || status === 'MANUAL_REVIEW' ? says : null;
}

function detail(order: Order, name: string): string | null {
  const value = order.details[name];
  return typeof value === 'string' ? value : null;
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

/** UTC without fractions of a second, as the contract writes times. */
function timeText(at: Date): string {
  return `${at.toISOString().slice(0, 19)}Z`;
}
