import type { Queryable } from '../lib/db.ts';
import type { RefundState } from './states.ts';

/** A refund that has the id or number that was asked for, or whose id begins so. */
export interface RefundHit {
  readonly orderId: string;
  readonly txnId: string;
  readonly refundId: string;
  readonly matched: 'refund id' | 'unique request id' | 'gateway refund id' | 'ARN';
  /** The whole of what matched. */
  readonly value: string;
  readonly exact: boolean;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly state: RefundState;
  readonly customerEmail: string | null;
  readonly createdAt: Date;
}

/** Of a refund's id so many digits are enough. */
const LEAST_DIGITS = 8;

/** Refunds whose id begins so, or whose unique_request_id, gateway's refund id or ARN is this. */
export async function searchRefunds(
  db: Queryable,
  merchantId: string,
  text: string,
  limit: number,
): Promise<RefundHit[]> {
  const arms = [
    ['unique request id', 'unique_request_id'],
    ['gateway refund id', 'gateway_refund_id'],
    ['ARN', 'arn'],
  ].map(
    ([
      matched,
      column,
    ]) => `(select r.*, '${matched}' as matched, r.${column} as value, true as exact from refunds r
      where r.merchant_id = $1 and r.${column} = $2 order by r.created_at desc limit $5)`,
  );
  const [first, last] = idRange(text) ?? [null, null];
  return db.query<RefundHit>(
    `select r.order_id as "orderId", r.txn_id as "txnId", r.refund_id as "refundId", r.matched, r.value, r.exact,
            r.amount_minor as "amountMinor", r.currency, r.exponent, r.state, o.customer_email as "customerEmail",
            r.created_at as "createdAt"
     from (
       (select r.*, 'refund id' as matched, r.refund_id::text as value, $3::uuid = $4::uuid as exact from refunds r
        where r.merchant_id = $1 and r.refund_id >= $3::uuid and r.refund_id <= $4::uuid
        order by r.refund_id limit $5)
       union all ${arms.join(' union all ')}
     ) r
     join orders o using (merchant_id, order_id)`,
    [merchantId, text, first, last, limit],
  );
}

/** The first and the last id that begins so, with or without dashes; null where none can. */
function idRange(text: string): [first: string, last: string] | null {
  const digits = text.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]+$/.test(digits) || digits.length < LEAST_DIGITS || digits.length > 32) return null;
  return [digits.padEnd(32, '0'), digits.padEnd(32, 'f')];
}
