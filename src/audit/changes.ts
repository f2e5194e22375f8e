import type { Queryable } from '../lib/db.ts';

/** Where an event stands: nothing of what it says. */
export interface EventPlace {
  readonly merchantId: string;
  readonly orderId: string;
  readonly seq: number;
  readonly at: Date;
}

/** What followers of changes are told of an event. */
export interface ChangeNews extends EventPlace {
  readonly kind: string;
  readonly refundId: string | null;
  readonly to: string | null;
}

/** The places of each merchant's events since then, the newest first and no more than `most` of each; index only. */
export async function readPlacesSince(
  db: Queryable,
  merchantIds: readonly string[],
  since: Date,
  most: number,
): Promise<EventPlace[]> {
  return db.query(
    `select e.merchant_id as "merchantId", e.order_id as "orderId", e.seq, e.at
     from unnest($1::text[]) m(merchant_id)
     cross join lateral (
       select merchant_id, order_id, seq, at from events
       where merchant_id = m.merchant_id and at >= $2 order by at desc, order_id desc, seq desc limit $3) e`,
    [merchantIds, since, most],
  );
}

/** What happened at these places, oldest first. */
export async function readChanges(db: Queryable, places: readonly EventPlace[]): Promise<ChangeNews[]> {
  return db.query(
    `select merchant_id as "merchantId", order_id as "orderId", seq, at, body ->> 'kind' as kind,
       body ->> 'refund_id' as "refundId", body ->> 'to' as "to"
     from unnest($1::text[], $2::text[], $3::bigint[]) p(merchant_id, order_id, seq)
     join events using (merchant_id, order_id, seq)
     order by at, order_id, seq`,
    [places.map((p) => p.merchantId), places.map((p) => p.orderId), places.map((p) => p.seq)],
  );
}
