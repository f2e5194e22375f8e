import type { Queryable } from '../lib/db.ts';
import { formatAmount } from '../lib/money.ts';

/** An order that the start page's example can refund, and how much of it, as decimal text in major units. */
export interface ExampleOrder {
  readonly orderId: string;
  readonly amount: string;
}

/** The newest untouched order of a merchant whose payment id starts so; null when all have been refunded. */
export async function readExampleOrder(
  db: Queryable,
  merchantId: string,
  paymentIdStartsWith: string,
): Promise<ExampleOrder | null> {
  const [row] = await db.query<{ orderId: string; effectiveMinor: number; exponent: number }>(
    `select t.order_id as "orderId", t.effective_minor as "effectiveMinor", o.exponent
     from transactions t join orders o using (merchant_id, order_id)
     where t.merchant_id = $1 and t.status = 'CHARGED' and t.reserved_minor = 0
       and starts_with(t.gateway_payment_id, $2)
     order by t.created_at desc, t.order_id limit 1`,
    [merchantId, paymentIdStartsWith],
  );
  if (!row) return null;
  // A part of it in whole major units, so that there is something left for a second one.
  const unit = 10 ** row.exponent;
  const part = Math.min(row.effectiveMinor, Math.max(unit, Math.floor(row.effectiveMinor / 4 / unit) * unit));
  return { orderId: row.orderId, amount: formatAmount(part, row.exponent) };
}
