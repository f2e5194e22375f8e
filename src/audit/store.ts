import type { Queryable } from '../lib/db.ts';

/** Orders whose id sorts after one, and not after the other unless that is null. */
export interface OrderRange {
  readonly after: string;
  readonly upTo: string | null;
}

/** Everyone who has orders or checkpoints, also when the merchant's own row is gone. */
export async function readAuditedMerchants(db: Queryable): Promise<string[]> {
  const registered = await db.query<{ id: string }>('select merchant_id as id from merchants');
  const kept = await db.query<{ id: string }>(
    'select merchant_id as id from orders union select merchant_id from audit_checkpoints',
  );
  return [...new Set([...registered, ...kept].map(({ id }) => id))].sort();
}

/** The end of an order's chain, as the order carries it. */
export interface ChainHead {
  readonly orderId: string;
  readonly eventSeq: number;
  readonly eventHash: Buffer;
}

export async function readChainHeads(
  db: Queryable,
  merchantId: string,
  after: string,
  limit: number,
): Promise<ChainHead[]> {
  return db.query<ChainHead>(
    `select order_id as "orderId", event_seq as "eventSeq", event_hash as "eventHash" from orders
     where merchant_id = $1 and order_id > $2 order by order_id limit $3`,
    [merchantId, after, limit],
  );
}

/** An event as it lies there: `body` is the text its hash was made of, `at` the row's own time in that form. */
export interface ChainedEvent {
  readonly orderId: string;
  readonly seq: number;
  readonly at: string;
  readonly body: string;
  readonly hash: Buffer;
}

export async function readChainedEvents(
  db: Queryable,
  merchantId: string,
  after: { readonly orderId: string; readonly seq: number },
  upTo: string | null,
  limit: number,
): Promise<ChainedEvent[]> {
  return db.query<ChainedEvent>(
    `select order_id as "orderId", seq,
       to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, body::text as body, hash
     from events
     where merchant_id = $1 and (order_id, seq) > ($2, $3) ${upTo === null ? '' : 'and order_id <= $5'}
     order by order_id, seq limit $4`,
    [merchantId, after.orderId, after.seq, limit, ...(upTo === null ? [] : [upTo])],
  );
}

/** What a refund's row says that its events must say too. */
export interface RefundFacts {
  readonly orderId: string;
  readonly refundId: string;
  readonly state: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly eventSeq: number;
}

export async function readRefundFacts(
  db: Queryable,
  merchantId: string,
  range: OrderRange,
): Promise<RefundFacts[]> {
  return db.query<RefundFacts>(
    `select order_id as "orderId", refund_id as "refundId", state, amount_minor as "amountMinor", currency,
       exponent, event_seq as "eventSeq"
     from refunds where merchant_id = $1 and order_id > $2 ${upTo(range, 3)}
     order by order_id, refund_id`,
    [merchantId, ...ends(range)],
  );
}

/** A transaction whose reserve is not what its refunds come to, or is more than was paid (invariant 1). */
export interface WrongReserve {
  readonly orderId: string;
  readonly txnId: string;
  readonly heldMinor: number;
  readonly refundsMinor: number;
  readonly effectiveMinor: number;
  readonly currency: string;
  readonly exponent: number;
}

export async function readWrongReserves(
  db: Queryable,
  merchantId: string,
  range: OrderRange,
): Promise<WrongReserve[]> {
  return db.query<WrongReserve>(
    `select t.order_id as "orderId", t.txn_id as "txnId", t.reserved_minor as "heldMinor",
       coalesce(r.sum, 0)::bigint as "refundsMinor", t.effective_minor as "effectiveMinor", o.currency, o.exponent
     from transactions t join orders o using (merchant_id, order_id)
     left join (
       select order_id, txn_id, sum(amount_minor) as sum from refunds
       where merchant_id = $1 and order_id > $2 ${upTo(range, 3)} and state_reserves(state)
       group by 1, 2) r using (order_id, txn_id)
     where t.merchant_id = $1 and t.order_id > $2 ${upTo(range, 3, 't.')}
       and (t.reserved_minor <> coalesce(r.sum, 0) or t.reserved_minor > t.effective_minor)
     order by 1, 2`,
    [merchantId, ...ends(range)],
  );
}

/** A checkpoint as it lies there; what `orders` holds is not yet checked. */
export interface StoredCheckpoint {
  readonly checkpointNo: number;
  readonly sealedAt: Date;
  readonly orders: unknown;
  readonly hash: Buffer;
  readonly seal: Buffer;
}

export async function readCheckpoints(
  db: Queryable,
  merchantId: string,
  afterNo: number,
  limit: number,
): Promise<StoredCheckpoint[]> {
  return db.query<StoredCheckpoint>(
    `select checkpoint_no as "checkpointNo", sealed_at as "sealedAt", orders, hash, seal from audit_checkpoints
     where merchant_id = $1 and checkpoint_no > $2 order by checkpoint_no limit $3`,
    [merchantId, afterNo, limit],
  );
}

/** A sealed event that is not there any more as it was sealed. */
export interface LostSeal {
  readonly orderId: string;
  readonly seq: number;
  readonly orderExists: boolean;
  readonly eventExists: boolean;
}

export async function readLostSeals(
  db: Queryable,
  merchantId: string,
  sealed: readonly (readonly [orderId: string, seq: number, hash: string])[],
): Promise<LostSeal[]> {
  return db.query<LostSeal>(
    `select s.order_id as "orderId", s.seq, o.order_id is not null as "orderExists", e.seq is not null as "eventExists"
     from unnest($2::text[], $3::bigint[], $4::text[]) as s(order_id, seq, hash)
     left join orders o on o.merchant_id = $1 and o.order_id = s.order_id
     left join events e on e.merchant_id = $1 and e.order_id = s.order_id and e.seq = s.seq
     where o.order_id is null or e.hash is null or encode(e.hash, 'hex') <> s.hash
     order by 1, 2`,
    [
      merchantId,
      sealed.map(([orderId]) => orderId),
      sealed.map(([, seq]) => seq),
      sealed.map(([, , hash]) => hash),
    ],
  );
}

/** An order that counts as sealed up to another event than the last checkpoint that names it says. */
export interface WrongSealClaim {
  readonly orderId: string;
  readonly claimedSeq: number;
  readonly sealedSeq: number;
}

/** Only where every checkpoint's content has the right form. */
export async function readWrongSealClaims(db: Queryable, merchantId: string): Promise<WrongSealClaim[]> {
  return db.query<WrongSealClaim>(
    `select o.order_id as "orderId", o.sealed_seq as "claimedSeq", coalesce(s.seq, 0) as "sealedSeq"
     from orders o
     left join (
       select x ->> 0 as order_id, max((x ->> 1)::bigint) as seq
       from audit_checkpoints c cross join lateral jsonb_array_elements(c.orders) x
       where c.merchant_id = $1 group by 1) s using (order_id)
     where o.merchant_id = $1 and o.sealed_seq <> coalesce(s.seq, 0)
     order by 1 limit 1000`,
    [merchantId],
  );
}

/** An order with events after those that are sealed, which no checkpoint will take in. */
export interface ForgottenOrder {
  readonly orderId: string;
  readonly sealedSeq: number;
}

export async function readForgottenOrders(db: Queryable, merchantId: string): Promise<ForgottenOrder[]> {
  return db.query<ForgottenOrder>(
    `select o.order_id as "orderId", o.sealed_seq as "sealedSeq"
     from orders o left join unsealed_orders u using (merchant_id, order_id)
     where o.merchant_id = $1 and o.event_seq > o.sealed_seq and u.order_id is null
     order by 1 limit 1000`,
    [merchantId],
  );
}

function upTo(range: OrderRange, parameter: number, alias = ''): string {
  return range.upTo === null ? '' : `and ${alias}order_id <= $${parameter}`;
}

function ends(range: OrderRange): string[] {
  return range.upTo === null ? [range.after] : [range.after, range.upTo];
}
