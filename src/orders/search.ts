import type { Queryable } from '../lib/db.ts';
import { prefixRange } from '../lib/where.ts';
import { ORDER_ID } from './order.ts';

/** Something that has the id, address or number that was asked for, or an id that begins so. */
export interface OrderHit {
  readonly kind: 'order' | 'transaction';
  readonly orderId: string;
  readonly txnId: string | null;
  readonly matched: 'order id' | 'e-mail address' | 'phone number' | 'transaction id' | 'gateway payment id';
  /** The whole of what matched. */
  readonly value: string;
  readonly exact: boolean;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly status: string;
  readonly customerEmail: string | null;
  readonly createdAt: Date;
}

const ORDER = `'order' as kind, o.order_id as "orderId", null as "txnId", o.amount_minor as "amountMinor", o.status,
  o.currency, o.exponent, o.customer_email as "customerEmail", o.created_at as "createdAt"`;
const TRANSACTION = `'transaction' as kind, o.order_id as "orderId", t.txn_id as "txnId", t.amount_minor as "amountMinor",
  t.status, o.currency, o.exponent, o.customer_email as "customerEmail", t.created_at as "createdAt"`;

/** Orders whose id begins so, compared without case, or whose e-mail address or phone number is this. */
export async function searchOrders(
  db: Queryable,
  merchantId: string,
  text: string,
  limit: number,
): Promise<OrderHit[]> {
  const [from, before] = ORDER_ID.test(text) ? prefixRange(text.toLowerCase()) : ['', ''];
  return db.query<OrderHit>(
    `(select ${ORDER}, 'order id' as matched, o.order_id as value, lower(o.order_id) = $3 as exact from orders o
      where o.merchant_id = $1 and lower(o.order_id) collate "C" >= $3 and lower(o.order_id) collate "C" < $4
      order by lower(o.order_id) collate "C" limit $5)
     union all
     (select ${ORDER}, 'e-mail address', o.customer_email, true from orders o
      where o.merchant_id = $1 and lower(o.customer_email) = lower($2) order by o.created_at desc limit $5)
     union all
     (select ${ORDER}, 'phone number', o.customer_phone, true from orders o
      where o.merchant_id = $1 and o.customer_phone = $2 order by o.created_at desc limit $5)`,
    [merchantId, text, from, before, limit],
  );
}

/** Transactions whose id, or gateway's payment id, is this. */
export async function searchTransactions(
  db: Queryable,
  merchantId: string,
  text: string,
  limit: number,
): Promise<OrderHit[]> {
  return db.query<OrderHit>(
    `(select ${TRANSACTION}, 'transaction id' as matched, t.txn_id as value, true as exact
      from transactions t join orders o using (merchant_id, order_id)
      where merchant_id = $1 and t.txn_id = $2 limit $3)
     union all
     (select ${TRANSACTION}, 'gateway payment id', t.gateway_payment_id, true
      from transactions t join orders o using (merchant_id, order_id)
      where merchant_id = $1 and t.gateway_payment_id = $2 limit $3)`,
    [merchantId, text, limit],
  );
}
