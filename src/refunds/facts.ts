import { type Queryable, textOf } from '../lib/db.ts';
import type { EarlierRefund, OrderFacts, RefundablePayment } from './judge.ts';
import type { Refund } from './refund.ts';
import { STATES } from './states.ts';

/** An order with what is known of it for the judge. */
export interface KnownOrder {
  readonly merchantId: string;
  /** As we spell it. */
  readonly orderId: string;
  readonly customerEmail: string | null;
  /** Whoever accepts a refund puts in the facts that it leaves. */
  facts: OrderFacts<ChargedPayment>;
}

export interface ChargedPayment extends RefundablePayment {
  readonly gatewayAccountId: string;
  readonly gatewayPaymentId: string;
  readonly paymentMethodType: string | null;
}

interface Named {
  readonly merchantId: string;
  /** In any case; null where `txnId` names a payment of it. */
  readonly orderId: string | null;
  readonly txnId: string | null;
}

/**
 * The order that each of these names, null where there is none; the same object for those that name the same. With `lock`
 * nobody else records refunds of these orders until the transaction ends, and the facts are those after whoever held them
 * before.
 */
export async function readOrders(
  tx: Queryable,
  named: readonly Named[],
  { lock }: { readonly lock: boolean },
): Promise<(KnownOrder | null)[]> {
  const orderIds = await orderIdsOf(tx, named);
  const rows = await tx.query<OrderRow>(
    `select q.n, o.merchant_id as "merchantId", o.order_id as "orderId", o.customer_email as "customerEmail",
            o.currency, o.exponent
     from unnest($1::int[], $2::text[], $3::text[]) as q(n, merchant_id, order_id)
     join orders o on o.merchant_id = q.merchant_id and lower(o.order_id) = lower(q.order_id)
     ${lock ? 'order by o.merchant_id, o.order_id for no key update of o' : ''}`,
    [
      named.map((_, n) => n),
      named.map(({ merchantId }) => merchantId),
      orderIds.map((orderId) => orderId && textOf(orderId)),
    ],
  );
  const orders = new Map<string, KnownOrder>();
  const found: (KnownOrder | null)[] = named.map(() => null);
  for (const { n, merchantId, orderId, customerEmail, ...order } of rows) {
    const key = `${merchantId} ${orderId}`;
    const known = orders.get(key) ?? {
      merchantId,
      orderId,
      customerEmail,
      facts: { ...order, payments: [], refunds: [] },
    };
    orders.set(key, known);
    found[n] = known;
  }
  await readFacts(tx, [...orders.values()]);
  return found;
}

interface OrderRow extends Pick<KnownOrder, 'merchantId' | 'orderId' | 'customerEmail'> {
  readonly n: number;
  readonly currency: string;
  readonly exponent: number;
}

/** The ids that are named; of those that name a payment only, that of its order. */
async function orderIdsOf(tx: Queryable, named: readonly Named[]): Promise<(string | null)[]> {
  const orderIds = named.map(({ orderId }) => orderId);
  const byPayment = named.flatMap(({ orderId, txnId, merchantId }, n) =>
    orderId === null && txnId !== null ? [{ n, txnId, merchantId }] : [],
  );
  if (byPayment.length === 0) return orderIds;
  const rows = await tx.query<{ n: number; orderId: string }>(
    `select q.n, t.order_id as "orderId"
     from unnest($1::int[], $2::text[], $3::text[]) as q(n, merchant_id, txn_id)
     cross join lateral (
       select x.order_id from transactions x
       where x.merchant_id = q.merchant_id and x.txn_id = q.txn_id limit 1) t`,
    [
      byPayment.map(({ n }) => n),
      byPayment.map(({ merchantId }) => merchantId),
      byPayment.map(({ txnId }) => textOf(txnId)),
    ],
  );
  for (const { n, orderId } of rows) orderIds[n] = orderId;
  return orderIds;
}

type PaymentRow = ChargedPayment & { readonly n: number };
type EarlierRow = Pick<Refund, 'uniqueRequestId' | 'amountMinor' | 'state' | 'createdAt'> & {
  readonly n: number;
};

/**
 * In statements of their own: one that locks sees, beside the rows it locked, what was there before it waited. Each order is looked
 * up by itself ("offset 0"): of a table whose statistics are old, the planner would rather read all that it holds.
 */
async function readFacts(tx: Queryable, orders: readonly KnownOrder[]): Promise<void> {
  if (orders.length === 0) return;
  const keys = [
    orders.map((_, n) => n),
    orders.map(({ merchantId }) => merchantId),
    orders.map(({ orderId }) => orderId),
  ];
  const [payments, refunds] = await Promise.all([
    tx.query<PaymentRow>(
      `select q.n, t.*
       from unnest($1::int[], $2::text[], $3::text[]) as q(n, merchant_id, order_id)
       cross join lateral (
         select t.txn_id as "txnId", t.gateway, t.gateway_account_id as "gatewayAccountId",
                t.gateway_payment_id as "gatewayPaymentId", t.payment_method_type as "paymentMethodType",
                t.effective_minor as "effectiveMinor", t.effective_minor - t.reserved_minor as "leftMinor",
                t.charged_at as "chargedAt"
         from transactions t
         where t.merchant_id = q.merchant_id and t.order_id = q.order_id and t.status = 'CHARGED' offset 0) t`,
      keys,
    ),
    // Written so that only the index led by order_id fits: while statistics are missing, any index led by merchant_id
    // looks as good to the planner.
    tx.query<EarlierRow>(
      `select q.n, r.*
       from unnest($1::int[], $2::text[], $3::text[]) as q(n, merchant_id, order_id)
       cross join lateral (
         select r.unique_request_id as "uniqueRequestId", r.amount_minor as "amountMinor", r.state,
                r.created_at as "createdAt"
         from refunds r
         where r.order_id = q.order_id and r.merchant_id is not distinct from q.merchant_id offset 0) r`,
      keys,
    ),
  ]);
  const known = orders.map((): { payments: ChargedPayment[]; refunds: EarlierRefund[] } => ({
    payments: [],
    refunds: [],
  }));
  for (const { n, ...payment } of payments) known[n]!.payments.push(payment);
  for (const { n, state, ...refund } of refunds)
    known[n]!.refunds.push({ ...refund, reserves: STATES[state].reserves });
  for (const [n, order] of orders.entries()) order.facts = { ...order.facts, ...known[n]! };
}
