import type { TrailEvent } from '../audit/events.ts';
import type { PreparedRequest } from '../gateways/gateway.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import { isUuid } from '../lib/ids.ts';
import type { Change } from './outcome.ts';
import { type Lane, type Refund, refundColumns } from './refund.ts';
import { statesThat } from './states.ts';

/** The refund, or null: another merchant's refund is as absent as one that never was (invariant 8). */
export async function readRefund(
  db: Queryable,
  merchantId: string,
  refundId: string,
): Promise<Refund | null> {
  if (!isUuid(refundId)) return null;
  const rows = await db.query<Refund>(
    `select ${refundColumns('r')} from refunds r where r.merchant_id = $1 and r.refund_id = $2`,
    [merchantId, refundId],
  );
  return rows[0] ?? null;
}

/** All refunds of an order, newest first (contract section 4.1). */
export async function readOrderRefunds(
  db: Queryable,
  merchantId: string,
  orderId: string,
): Promise<Refund[]> {
  return db.query<Refund>(
    `select ${refundColumns('r')} from refunds r where r.merchant_id = $1 and r.order_id = $2
     order by r.created_at desc, r.refund_id desc`,
    [merchantId, orderId],
  );
}

/** All refunds of those orders; of each order the newest first. */
export async function readRefundsOfOrders(
  db: Queryable,
  orders: readonly { readonly merchantId: string; readonly orderId: string }[],
): Promise<Refund[]> {
  return db.query<Refund>(
    `select ${refundColumns('r')}
     from (select distinct * from unnest($1::text[], $2::text[]) as n(merchant_id, order_id)) named
     join refunds r using (merchant_id, order_id)
     order by r.created_at desc, r.refund_id desc`,
    [orders.map((o) => o.merchantId), orders.map((o) => o.orderId)],
  );
}

/** What the trail says of one refund, oldest first. */
export async function readRefundEvents(db: Queryable, refund: Refund): Promise<TrailEvent[]> {
  const rows = await db.query<EventRow>(
    `select seq, body, encode(hash, 'hex') as hash from events
     where merchant_id = $1 and order_id = $2 and body ->> 'refund_id' = $3 order by seq`,
    [refund.merchantId, refund.orderId, refund.refundId],
  );
  return rows.map(eventOf);
}

/** What the trail says of an order and all its refunds, oldest first. */
export async function readOrderEvents(
  db: Queryable,
  merchantId: string,
  orderId: string,
): Promise<TrailEvent[]> {
  const rows = await db.query<EventRow>(
    `select seq, body, encode(hash, 'hex') as hash from events where merchant_id = $1 and order_id = $2 order by seq`,
    [merchantId, orderId],
  );
  return rows.map(eventOf);
}

/** One call to the gateway that asked it to make the refund. */
export interface Attempt {
  readonly attemptNo: number;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly outcome: string | null;
  readonly answer: unknown;
}

export async function readAttempts(db: Queryable, refund: Refund): Promise<Attempt[]> {
  return db.query<Attempt>(
    `select attempt_no as "attemptNo", started_at as "startedAt", finished_at as "finishedAt", outcome, answer
     from attempts where merchant_id = $1 and refund_id = $2 order by attempt_no`,
    [refund.merchantId, refund.refundId],
  );
}

/** The bytes of the refund's first send, which every later one repeats. Throws when it was never sent. */
export async function readAttemptRequest(db: Queryable, refund: Refund): Promise<PreparedRequest> {
  const rows = await db.query<{ request: PreparedRequest }>(
    'select request from attempts where merchant_id = $1 and refund_id = $2 and attempt_no = 1',
    [refund.merchantId, refund.refundId],
  );
  if (!rows[0]) throw new Error(`refund ${refund.refundId} has no recorded send`);
  return rows[0].request;
}

/** A refund that a gateway's webhook speaks of, by whichever id it gave us. */
export async function findByGatewayWords(
  db: Queryable,
  gatewayAccountId: string,
  words: { readonly refundId: string | null; readonly gatewayRefundId: string | null },
  merchantId: string,
): Promise<Refund | null> {
  if (words.refundId) {
    const refund = await readRefund(db, merchantId, words.refundId);
    if (refund?.gatewayAccountId === gatewayAccountId) return refund;
  }
  if (!words.gatewayRefundId) return null;
  const rows = await db.query<Refund>(
    `select ${refundColumns('r')} from refunds r
     where r.gateway_account_id = $1 and r.gateway_refund_id = $2 and r.merchant_id = $3 limit 2`,
    [gatewayAccountId, words.gatewayRefundId, merchantId],
  );
  return rows.length === 1 ? rows[0]! : null;
}

/** How many refunds of a lane of an account a worker may take now. */
export interface LaneRoom {
  readonly gatewayAccountId: string;
  readonly lane: Lane;
  readonly room: number;
  /** Over all lanes of the account. */
  readonly accountRoom: number;
  /** How long a claimed refund is held. */
  readonly holdMs: number;
}

/**
 * Takes due refunds, those of one lane first and then lower lanes first, and holds them: their next look moves to the
 * end of the hold, so a worker that dies lets go by itself. Of the stopped batches, and of accounts that are held, none
 * that waits to be sent is taken.
 */
export async function claimDue(
  db: Queryable,
  clock: Clock,
  rooms: readonly LaneRoom[],
  first: Lane,
  stopped: readonly string[] = [],
): Promise<Refund[]> {
  return db.query<Refund>(
    `with room as (
       select * from unnest($2::text[], $3::smallint[], $4::int[], $5::int[], $6::int[])
         as r(account, lane, room, account_room, hold_ms)
     ), candidate as (
       select c.*, row_number() over (
         partition by c.account order by c.lane <> $7, c.lane, c.next_look_at) as place
       from (
         select room.account, room.account_room, room.hold_ms, d.*
         from room cross join lateral (
           select merchant_id, order_id, refund_id, lane, next_look_at from refunds
           where gateway_account_id = room.account and lane = room.lane and next_look_at <= $1
             and state <> 'sending' and (room.lane <> 2 or batch_id <> all($8::uuid[]))
             and (state <> 'queued' or not exists (
                   select from account_holds h
                   where h.gateway_account_id = room.account and h.released_at is null))
           order by next_look_at limit room.room
           for no key update skip locked) d
       ) c
     )
     update refunds r set next_look_at = $1::timestamptz + make_interval(secs => c.hold_ms / 1000.0)
     from candidate c
     where c.place <= c.account_room
       and r.merchant_id = c.merchant_id and r.order_id = c.order_id and r.refund_id = c.refund_id
     returning ${refundColumns('r')}`,
    [
      clock.now(),
      rooms.map((r) => r.gatewayAccountId),
      rooms.map((r) => r.lane),
      rooms.map((r) => r.room),
      rooms.map((r) => r.accountRoom),
      rooms.map((r) => r.holdMs),
      first,
      stopped,
    ],
  );
}

/** How many ended refunds of an account a worker may ask about again now. */
export interface RecheckRoom {
  readonly gatewayAccountId: string;
  readonly room: number;
  readonly holdMs: number;
}

/** Takes ended refunds that are due to be asked about again, and holds them as `claimDue` does. */
export async function claimRechecks(
  db: Queryable,
  clock: Clock,
  rooms: readonly RecheckRoom[],
): Promise<Refund[]> {
  return db.query<Refund>(
    `with candidate as (
       select room.hold_ms, d.*
       from unnest($2::text[], $3::int[], $4::int[]) as room(account, room, hold_ms)
       cross join lateral (
         select merchant_id, order_id, refund_id from refunds
         where gateway_account_id = room.account and recheck_at <= $1
         order by recheck_at limit room.room
         for no key update skip locked) d
     )
     update refunds r set recheck_at = $1::timestamptz + make_interval(secs => c.hold_ms / 1000.0)
     from candidate c
     where r.merchant_id = c.merchant_id and r.order_id = c.order_id and r.refund_id = c.refund_id
     returning ${refundColumns('r')}`,
    [clock.now(), rooms.map((r) => r.gatewayAccountId), rooms.map((r) => r.room), rooms.map((r) => r.holdMs)],
  );
}

/**
 * Has ended refunds of an account asked about soon, spread over a while, because what the gateway told of them may be lost.
 * Those that are due within that while anyway stay as they are. Returns how many there were, at most `limit`.
 */
export async function bringRechecksForward(
  db: Queryable,
  clock: Clock,
  gatewayAccountId: string,
  { spreadMs, limit }: { readonly spreadMs: number; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    `update refunds r set recheck_at = $2::timestamptz + make_interval(secs => $3::float / 1000 * d.place / d.count)
     from (select l.*, row_number() over (order by recheck_at, refund_id) as place, count(*) over () as count
           from (select merchant_id, order_id, refund_id, recheck_at from refunds
                 where gateway_account_id = $1 and recheck_at > $2::timestamptz + make_interval(secs => $3::float / 1000)
                 order by recheck_at limit $4 for no key update skip locked) l) d
     where r.merchant_id = d.merchant_id and r.order_id = d.order_id and r.refund_id = d.refund_id
     returning 1`,
    [gatewayAccountId, clock.now(), spreadMs, limit],
  );
  return rows.length;
}

/** Sets only when an ended refund is asked about next; null: never. */
export async function postponeRecheck(db: Queryable, refund: Refund, recheckAt: Date | null): Promise<void> {
  await db.query(
    `update refunds set recheck_at = $5
     where merchant_id = $1 and order_id = $2 and refund_id = $3 and event_seq = $4 and recheck_at is not null`,
    [refund.merchantId, refund.orderId, refund.refundId, refund.eventSeq, recheckAt],
  );
}

/** Refunds that a worker was sending when its hold ran out. */
export async function readLostHolds(db: Queryable, clock: Clock, limit: number): Promise<Refund[]> {
  return db.query<Refund>(
    `select ${refundColumns('r')} from refunds r where r.state = 'sending' and r.next_look_at <= $1
     order by r.next_look_at limit $2`,
    [clock.now(), limit],
  );
}

/** Refunds whose outcome should have been known by now. */
export async function readOverdue(db: Queryable, clock: Clock, limit: number): Promise<Refund[]> {
  return db.query<Refund>(
    `select ${refundColumns('r')} from refunds r
     where r.state in (${statesThat(({ ages }) => ages)}) and r.review_at <= $1 order by r.review_at limit $2`,
    [clock.now(), limit],
  );
}

/** Sets only when the refund is looked at next and how often it has been; the state and its event stay. */
export async function postponeLook(
  db: Queryable,
  refund: Refund,
  nextLookAt: Date,
  looks: number,
): Promise<void> {
  await db.query(
    `update refunds set next_look_at = $5, looks = $6
     where merchant_id = $1 and order_id = $2 and refund_id = $3 and event_seq = $4 and next_look_at is not null`,
    [refund.merchantId, refund.orderId, refund.refundId, refund.eventSeq, nextLookAt, looks],
  );
}

/** Brings the next question to the gateway forward; what waits to be sent, or is being sent, stays as it is. */
export async function bringLookForward(db: Queryable, refund: Refund, at: Date): Promise<void> {
  await db.query(
    `update refunds set next_look_at = $4
     where merchant_id = $1 and order_id = $2 and refund_id = $3 and next_look_at > $4
       and state in (${statesThat(({ followed }) => followed)})`,
    [refund.merchantId, refund.orderId, refund.refundId, at],
  );
}

/**
 * Writes changes, each with its event, in one statement and one commit. The answer to each is the refund as it
 * is now, or null where it had moved on since the change was decided and nothing was written.
 */
export async function writeChanges(
  db: Queryable,
  clock: Clock,
  changes: readonly Change[],
): Promise<(Refund | null)[]> {
  const items = changes.map((change, idx) => ({
    idx,
    merchant_id: change.refund.merchantId,
    order_id: change.refund.orderId,
    refund_id: change.refund.refundId,
    decided_on: change.refund.eventSeq,
    to_state: change.to,
    kind: change.kind,
    changes: change.set,
    cause: change.cause,
    evidence: change.evidence,
    notify: change.notify,
    attempt: change.attempt ?? null,
    attempt_end: change.attemptEnd ?? null,
  }));
  const rows = await db.query<Refund & { readonly idx: number }>(
    `select m.idx, ${refundColumns('(m.refund)')} from move_refunds($1, $2) m`,
    [clock.now(), jsonbOf(items)],
  );
  const written = new Map(rows.map(({ idx, ...refund }) => [idx, refund]));
  return changes.map((_, idx) => written.get(idx) ?? null);
}

type EventRow = { seq: number; body: Record<string, unknown>; hash: string };

export function eventOf(row: EventRow): TrailEvent {
  const body = row.body;
  return {
    seq: row.seq,
    at: body['at'] as string,
    kind: body['kind'] as string,
    refundId: body['refund_id'] as string | null,
    from: body['from'] as string | null,
    to: body['to'] as string | null,
    cause: body['cause'] as TrailEvent['cause'],
    evidence: body['evidence'] as TrailEvent['evidence'],
    hash: row.hash,
  };
}
