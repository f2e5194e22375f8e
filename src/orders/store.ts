import type { Queryable } from '../lib/db.ts';
import { ORDER_ID, type Order, type Transaction } from './order.ts';

/** An order with its payment attempts, oldest first. */
export interface OrderWithTransactions {
  readonly order: Order;
  readonly transactions: Transaction[];
}

/** The merchant's order of that id, compared without case (contract section 5.1); null where there is none. */
export async function readOrder(
  db: Queryable,
  merchantId: string,
  orderId: string,
): Promise<OrderWithTransactions | null> {
  if (!ORDER_ID.test(orderId)) return null;
  const rows = await db.query<OrderRow & TransactionRow>(
    `select ${ORDER_COLUMNS}, ${TRANSACTION_COLUMNS}
     from orders o left join transactions t using (merchant_id, order_id)
     where merchant_id = $1 and lower(order_id) = lower($2)
     order by length(t.txn_id), t.txn_id`,
    [merchantId, orderId],
  );
  return orderOf(rows);
}

/** The orders of those exact ids, in any sequence; without those that do not exist. */
export async function readOrders(
  db: Queryable,
  orders: readonly { readonly merchantId: string; readonly orderId: string }[],
): Promise<OrderWithTransactions[]> {
  const rows = await db.query<OrderRow & TransactionRow>(
    `select ${ORDER_COLUMNS}, ${TRANSACTION_COLUMNS}
     from (select distinct * from unnest($1::text[], $2::text[]) as n(merchant_id, order_id)) named
     join orders o using (merchant_id, order_id)
     left join transactions t using (merchant_id, order_id)
     order by merchant_id, order_id, length(t.txn_id), t.txn_id`,
    [orders.map((o) => o.merchantId), orders.map((o) => o.orderId)],
  );
  const byOrder = Map.groupBy(rows, (row) => row.order_uuid);
  return [...byOrder.values()].map((ofOne) => orderOf(ofOne)!);
}

/** The merchant's order that the transaction belongs to; null where there is none. */
export async function readOrderByTxn(
  db: Queryable,
  merchantId: string,
  txnId: string,
): Promise<OrderWithTransactions | null> {
  if (!TXN_ID.test(txnId)) return null;
  const rows = await db.query<OrderRow & TransactionRow>(
    `select ${ORDER_COLUMNS}, ${TRANSACTION_COLUMNS}
     from orders o join transactions t using (merchant_id, order_id)
     where (merchant_id, order_id) =
       (select named.merchant_id, named.order_id from transactions named
        where named.merchant_id = $1 and named.txn_id = $2)
     order by length(t.txn_id), t.txn_id`,
    [merchantId, txnId],
  );
  return orderOf(rows);
}

const TXN_ID = /^[\x21-\x7e]{1,256}$/;

export const ORDER_COLUMNS = `
  merchant_id, order_id, o.order_uuid, o.status as order_status, o.amount_minor as order_amount_minor,
  o.currency, o.exponent, o.customer_id, o.customer_email, o.customer_phone, o.details, o.metadata,
  o.event_seq, o.created_at as order_created_at, o.updated_at as order_updated_at`;

export const TRANSACTION_COLUMNS = `
  t.txn_id, t.txn_uuid, t.status, t.amount_minor, t.surcharge_minor, t.offer_minor, t.effective_minor,
  t.reserved_minor, t.gateway, t.gateway_account_id, t.gateway_payment_id, t.payment_method_type,
  t.payment_method, t.charged_at, t.created_at, t.updated_at`;

export interface OrderRow {
  readonly merchant_id: string;
  readonly order_id: string;
  readonly order_uuid: string;
  readonly order_status: string;
  readonly order_amount_minor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly customer_id: string | null;
  readonly customer_email: string | null;
  readonly customer_phone: string | null;
  readonly details: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
  readonly event_seq: number;
  readonly order_created_at: Date;
  readonly order_updated_at: Date;
}

export interface TransactionRow {
  readonly txn_id: string | null;
  readonly txn_uuid: string;
  readonly status: string;
  readonly amount_minor: number;
  readonly surcharge_minor: number;
  readonly offer_minor: number;
  readonly effective_minor: number;
  readonly reserved_minor: number;
  readonly gateway: string;
  readonly gateway_account_id: string;
  readonly gateway_payment_id: string;
  readonly payment_method_type: string | null;
  readonly payment_method: string | null;
  readonly charged_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** The rows of one order, one for each of its transactions, or one without a transaction. */
export function orderOf(rows: readonly (OrderRow & TransactionRow)[]): OrderWithTransactions | null {
  const first = rows[0];
  if (!first) return null;
  return {
    order: orderFromRow(first),
    transactions: rows.flatMap((row) => (row.txn_id === null ? [] : [transactionFromRow(row, row.txn_id)])),
  };
}

function orderFromRow(row: OrderRow): Order {
  return {
    merchantId: row.merchant_id,
    orderId: row.order_id,
    orderUuid: row.order_uuid,
    status: row.order_status,
    amountMinor: row.order_amount_minor,
    currency: row.currency,
    exponent: row.exponent,
    customerId: row.customer_id,
    customerEmail: row.customer_email,
    customerPhone: row.customer_phone,
    details: row.details,
    metadata: row.metadata,
    eventSeq: row.event_seq,
    createdAt: row.order_created_at,
    updatedAt: row.order_updated_at,
  };
}

function transactionFromRow(row: TransactionRow, txnId: string): Transaction {
  return {
    txnId,
    txnUuid: row.txn_uuid,
    status: row.status,
    amountMinor: row.amount_minor,
    surchargeMinor: row.surcharge_minor,
    offerMinor: row.offer_minor,
    effectiveMinor: row.effective_minor,
    reservedMinor: row.reserved_minor,
    gateway: row.gateway,
    gatewayAccountId: row.gateway_account_id,
    gatewayPaymentId: row.gateway_payment_id,
    paymentMethodType: row.payment_method_type,
    paymentMethod: row.payment_method,
    chargedAt: row.charged_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
