import type { Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { createWhere } from '../lib/where.ts';
import type { EndpointKey } from './endpoints.ts';
import type { BatchEventName } from './events.ts';
import type { DeliveryState, GivenUpBecause, TryOutcome } from './outcomes.ts';
import type { TryResult } from './send.ts';

/** Every statement on notifications, deliveries and their tries. */

/** One notification on its way to one address. */
export interface Delivery {
  readonly merchantId: string;
  /** Of what tells of a batch, what stands in its place. */
  readonly orderId: string;
  readonly deliveryId: string;
  readonly notificationId: string;
  readonly eventName: string;
  readonly refundId: string | null;
  /** The batch that it tells of; null where it tells of an order. */
  readonly batchId: string | null;
  /** Null where it goes to the order's own URL. */
  readonly endpointId: string | null;
  readonly orderUrl: string | null;
  readonly state: DeliveryState;
  readonly tries: number;
  readonly nextTryAt: Date | null;
  readonly lastOutcome: TryOutcome | GivenUpBecause | null;
  readonly lastStatus: number | null;
  readonly deliveredAt: Date | null;
  /** When the event happened. */
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const DELIVERY = `
  merchant_id as "merchantId", order_id as "orderId", delivery_id as "deliveryId",
  notification_id as "notificationId", event_name as "eventName", refund_id as "refundId",
  batch_id as "batchId", endpoint_id as "endpointId", order_url as "orderUrl", state, tries, next_try_at as "nextTryAt",
  last_outcome as "lastOutcome", last_status as "lastStatus", delivered_at as "deliveredAt",
  created_at as "createdAt", updated_at as "updatedAt"`;

// Telling -----------------------------------------------------------------------------------------------

/**
 * Has a merchant told of a batch, in the transaction that changes it. `eventSeq` is the batch's own count of its
 * changes after this one. What is sent shows the batch as it is when it is sent.
 */
export async function notifyBatch(
  tx: Queryable,
  input: {
    readonly merchantId: string;
    readonly batchId: string;
    readonly eventName: BatchEventName;
    readonly eventSeq: number;
    readonly now: Date;
  },
): Promise<void> {
  await tx.query(
    `insert into notifications (merchant_id, order_id, notification_id, event_name, batch_id, event_seq,
       created_at, spread_at)
     values ($1, 'batch ' || $2::uuid::text, $3, $4, $2::uuid, $5, $6, $6)`,
    [input.merchantId, input.batchId, newId(), input.eventName, input.eventSeq, input.now],
  );
}

// Spreading ---------------------------------------------------------------------------------------------

export interface Notification {
  readonly merchantId: string;
  readonly orderId: string;
  readonly notificationId: string;
  readonly eventName: string;
  readonly refundId: string | null;
  /** The batch that it tells of; null where it tells of an order. */
  readonly batchId: string | null;
  /** It tells of a refund of a batch: what is not, goes before it. */
  readonly bulk: boolean;
  readonly createdAt: Date;
}

export interface NotificationToSpread extends Notification {
  readonly spreadAt: Date;
  /** `metadata.webhook_url` of the order. */
  readonly orderUrl: string | null;
}

/**
 * Takes what is to be spread, for the rest of the transaction: first up to `single` that are not bulk, then bulk ones up
 * to `limit` in all. Of one event's notifications, that of the order's outcome comes before that of its bank reference.
 */
export async function takeNotifications(
  tx: Queryable,
  now: Date,
  most: { readonly single: number; readonly limit: number },
): Promise<NotificationToSpread[]> {
  return tx.query(
    `with single as materialized (
       select * from notifications where spread_at <= $1 and not bulk order by spread_at limit $2
       for update skip locked
     ), in_bulk as materialized (
       select * from notifications where spread_at <= $1 and bulk order by spread_at
       limit $3 - (select count(*) from single)
       for update skip locked
     ), taken as (
       select * from single union all select * from in_bulk
     )
     select n.merchant_id as "merchantId", n.order_id as "orderId", n.notification_id as "notificationId",
       n.event_name as "eventName", n.refund_id as "refundId", n.batch_id as "batchId", n.bulk, n.created_at as "createdAt",
       n.spread_at as "spreadAt", nullif(o.metadata ->> 'webhook_url', '') as "orderUrl"
     from taken n
     left join orders o on o.merchant_id = n.merchant_id and o.order_id = n.order_id
     order by n.spread_at, n.event_seq, n.event_name`,
    [now, most.single, most.limit],
  );
}

export async function markSpread(tx: Queryable, notifications: readonly Notification[]): Promise<void> {
  await tx.query(
    `update notifications n set spread_at = null
     from unnest($1::text[], $2::text[], $3::uuid[]) as s(merchant_id, order_id, notification_id)
     where n.merchant_id = s.merchant_id and n.order_id = s.order_id and n.notification_id = s.notification_id`,
    [
      notifications.map((n) => n.merchantId),
      notifications.map((n) => n.orderId),
      notifications.map((n) => n.notificationId),
    ],
  );
}

export interface NewDelivery extends Notification {
  readonly deliveryId: string;
  readonly endpointId: string | null;
  readonly orderUrl: string | null;
  readonly lane: string;
  readonly nextTryAt: Date;
}

/** A notification that already goes to a lane is left alone. */
export async function insertDeliveries(
  db: Queryable,
  deliveries: readonly NewDelivery[],
  now: Date,
): Promise<void> {
  await db.query(
    `insert into deliveries (merchant_id, order_id, delivery_id, notification_id, event_name, refund_id,
       batch_id, endpoint_id, order_url, lane, bulk, state, next_try_at, created_at, updated_at)
     select "merchantId", "orderId", "deliveryId", "notificationId", "eventName", "refundId",
       "batchId", "endpointId", "orderUrl", lane, bulk, 'pending', "nextTryAt", "createdAt", $2
     from jsonb_to_recordset($1) as d("merchantId" text, "orderId" text, "deliveryId" uuid,
       "notificationId" uuid, "eventName" text, "refundId" uuid, "batchId" uuid, "endpointId" uuid, "orderUrl" text,
       lane uuid, bulk boolean, "nextTryAt" timestamptz, "createdAt" timestamptz)
     on conflict (merchant_id, order_id, notification_id, lane) do nothing`,
    [JSON.stringify(deliveries), now],
  );
}

// Trying ------------------------------------------------------------------------------------------------

/** How many tries may begin: of any kind, and of these how many bulk ones. */
export interface Places {
  readonly any: number;
  readonly bulk: number;
}

export interface ClaimedDelivery extends Notification {
  readonly deliveryId: string;
  readonly endpointId: string | null;
  readonly orderUrl: string | null;
  readonly lane: string;
  readonly roundTries: number;
}

/**
 * Takes due deliveries for one try each, until `leaseUntil`. Every lane with something due gets its turn before any
 * gets a second one, and none gets more than `free` says for it, or `otherwiseFree`. Bulk ones get what the others leave;
 * when it is their turn, they go first in one half of each lane's places. Of an order, only the first due delivery
 * to an address is taken, the bulk ones last, and none while another is under way there (invariant 7); one whose lease has
 * run out goes before all others.
 */
export async function claimDue(
  db: Queryable,
  input: {
    readonly now: Date;
    readonly leaseUntil: Date;
    readonly tryId: string;
    readonly free: ReadonlyMap<string, Places>;
    readonly otherwiseFree: Places;
    readonly limit: Places;
    readonly bulkFirst: boolean;
  },
): Promise<ClaimedDelivery[]> {
  return db.query(
    `with recursive lanes as (
       (select lane from deliveries where state = 'pending' order by lane limit 1)
       union all
       select (select d.lane from deliveries d where d.state = 'pending' and d.lane > l.lane
               order by d.lane limit 1)
       from lanes l where l.lane is not null
     ), taken as materialized (
       select c.*, p.places, row_number() over (partition by c.lane, c.bulk order by c.next_try_at, c.delivery_id) as place
       from lanes l
       left join unnest($4::uuid[], $5::integer[], $6::integer[]) as f(lane, places, bulk_places) on f.lane = l.lane
       cross join lateral (
         select coalesce(f.places, $7::integer) as places, kind.bulk,
           case when kind.bulk then coalesce(f.bulk_places, $8::integer) else coalesce(f.places, $7::integer) end as most
         from (values (false), (true)) kind(bulk)) p
       cross join lateral (
         select d.merchant_id, d.order_id, d.delivery_id, d.lane, d.bulk, d.next_try_at
         from deliveries d
         where d.lane = l.lane and d.bulk = p.bulk and d.state = 'pending' and d.next_try_at <= $1
           and (d.try_id is not null or not exists (
             select 1 from deliveries o
             where o.order_id = d.order_id and o.merchant_id is not distinct from d.merchant_id
               and o.lane is not distinct from d.lane
               and o.state = 'pending' and o.delivery_id <> d.delivery_id
               and (o.try_id is not null
                 or o.next_try_at <= $1
                   and (o.bulk, o.next_try_at, o.delivery_id) < (d.bulk, d.next_try_at, d.delivery_id))))
         order by d.next_try_at
         limit p.most
         for update skip locked) c
     ), ranked as (
       select t.*, case when not bulk then 1 when $11 and place <= (places + 1) / 2 then 0 else 2 end as rank from taken t
     ), turns as (
       select r.*, row_number() over (partition by lane order by rank, place) as turn from ranked r
     ), chosen as (
       select *
       from (select t.*, row_number() over (partition by bulk order by rank, turn, next_try_at) as nth
             from turns t where turn <= places) t
       where not bulk or nth <= $10
       order by rank, turn, next_try_at limit $9
     )
     update deliveries d set try_id = $3, next_try_at = $2, updated_at = $1
     from chosen c
     where d.merchant_id = c.merchant_id and d.order_id = c.order_id and d.delivery_id = c.delivery_id
     returning d.merchant_id as "merchantId", d.order_id as "orderId", d.delivery_id as "deliveryId",
       d.notification_id as "notificationId", d.event_name as "eventName", d.refund_id as "refundId",
       d.batch_id as "batchId", d.bulk, d.created_at as "createdAt", d.endpoint_id as "endpointId",
       d.order_url as "orderUrl", d.lane, d.round_tries as "roundTries"`,
    [
      input.now,
      input.leaseUntil,
      input.tryId,
      [...input.free.keys()],
      [...input.free.values()].map(({ any }) => any),
      [...input.free.values()].map(({ bulk }) => bulk),
      input.otherwiseFree.any,
      input.otherwiseFree.bulk,
      input.limit.any,
      input.limit.bulk,
      input.bulkFirst,
    ],
  );
}

/** What a try came to, and what becomes of its delivery. */
export interface FinishedTry {
  readonly delivery: Pick<ClaimedDelivery, 'merchantId' | 'orderId' | 'deliveryId' | 'endpointId'>;
  readonly tryId: string;
  readonly result: TryResult;
  readonly state: DeliveryState;
  readonly nextTryAt: Date | null;
}

/**
 * Writes finished tries, and counts them into the hours of their endpoints. One whose lease had run out, so that the
 * delivery is in other hands, is logged and changes nothing else. May be repeated.
 */
export async function recordTries(db: Queryable, finished: readonly FinishedTry[], now: Date): Promise<void> {
  const items = finished.map(({ delivery, tryId, result, state, nextTryAt }) => ({
    merchantId: delivery.merchantId,
    orderId: delivery.orderId,
    deliveryId: delivery.deliveryId,
    endpointId: delivery.endpointId,
    tryId,
    state,
    nextTryAt,
    ...result,
    requestSha256: result.requestSha256.toString('hex'),
  }));
  await db.query(
    `with finished as (
       select * from jsonb_to_recordset($1) as f("merchantId" text, "orderId" text, "deliveryId" uuid,
         "endpointId" uuid, "tryId" uuid, state text, "nextTryAt" timestamptz, at timestamptz, "durationMs" integer, url text, outcome text,
         detail text, status integer, "responseExcerpt" text, sequence bigint, "requestBytes" integer,
         "requestSha256" text)
     ), moved as (
       update deliveries d set state = f.state, next_try_at = f."nextTryAt", try_id = null, tries = d.tries + 1,
         round_tries = d.round_tries + 1, last_outcome = f.outcome, last_status = f.status, updated_at = $2,
         delivered_at = case when f.state = 'delivered' then f.at else d.delivered_at end
       from finished f
       where d.merchant_id = f."merchantId" and d.order_id = f."orderId" and d.delivery_id = f."deliveryId"
         and d.try_id = f."tryId"
     ), logged as (
       insert into delivery_tries (merchant_id, order_id, delivery_id, try_id, at, duration_ms, url, outcome, detail,
         status, response_excerpt, sequence, request_bytes, request_sha256)
       select "merchantId", "orderId", "deliveryId", "tryId", at, "durationMs", url, outcome, detail, status,
         "responseExcerpt", sequence, "requestBytes", decode("requestSha256", 'hex')
       from finished
       on conflict do nothing
       returning delivery_id, try_id, at, outcome
     ), standing as (
       -- One that is being removed in this moment is waited for, and then not counted.
       select merchant_id, endpoint_id from webhook_endpoints
       where (merchant_id, endpoint_id) in (select "merchantId", "endpointId" from finished)
       order by merchant_id, endpoint_id for key share
     )
     insert into endpoint_hours (merchant_id, endpoint_id, hour, delivered, failed)
     select s.merchant_id, s.endpoint_id, date_trunc('hour', l.at, 'UTC'),
       count(*) filter (where l.outcome = 'acknowledged'), count(*) filter (where l.outcome <> 'acknowledged')
     from logged l
     join finished f on f."deliveryId" = l.delivery_id and f."tryId" = l.try_id
     join standing s on s.merchant_id = f."merchantId" and s.endpoint_id = f."endpointId"
     group by 1, 2, 3 order by 1, 2, 3
     on conflict (merchant_id, endpoint_id, hour) do update
       set delivered = endpoint_hours.delivered + excluded.delivered, failed = endpoint_hours.failed + excluded.failed`,
    [JSON.stringify(items), now],
  );
}

/** Ends deliveries that were claimed under `tryId` and cannot be tried. */
export async function giveUpClaimed(
  db: Queryable,
  claimed: readonly Pick<ClaimedDelivery, 'merchantId' | 'orderId' | 'deliveryId'>[],
  input: { readonly tryId: string; readonly why: GivenUpBecause; readonly now: Date },
): Promise<void> {
  await db.query(
    `update deliveries d set state = 'given_up', next_try_at = null, try_id = null, last_outcome = $5,
       last_status = null, updated_at = $6
     from unnest($1::text[], $2::text[], $3::uuid[]) as c(merchant_id, order_id, delivery_id)
     where d.merchant_id = c.merchant_id and d.order_id = c.order_id and d.delivery_id = c.delivery_id
       and d.try_id = $4`,
    [
      claimed.map((d) => d.merchantId),
      claimed.map((d) => d.orderId),
      claimed.map((d) => d.deliveryId),
      input.tryId,
      input.why,
      input.now,
    ],
  );
}

/** Ends all that waits for an endpoint; what is under way ends by itself. */
export async function giveUpLane(db: Queryable, lane: string, why: GivenUpBecause, now: Date): Promise<void> {
  await db.query(
    `update deliveries set state = 'given_up', next_try_at = null, last_outcome = $2, last_status = null,
       updated_at = $3
     where lane = $1 and state = 'pending' and try_id is null`,
    [lane, why, now],
  );
}

// Reading -----------------------------------------------------------------------------------------------

export interface DeliveryFilter {
  readonly endpointId?: string | undefined;
  readonly orderId?: string | undefined;
  readonly refundId?: string | undefined;
  readonly batchId?: string | undefined;
  readonly eventName?: string | undefined;
  readonly state?: DeliveryState | undefined;
  readonly from?: Date | undefined;
  readonly before?: Date | undefined;
  /** The last delivery of the page before. */
  readonly after?: { readonly createdAt: Date; readonly deliveryId: string } | undefined;
  readonly limit: number;
}

/** The merchant's deliveries, newest event first. */
export async function listDeliveries(
  db: Queryable,
  merchantId: string,
  filter: DeliveryFilter,
): Promise<Delivery[]> {
  const where = createWhere();
  const { value, when } = where;
  const merchant = value(merchantId);
  where.and(`merchant_id = ${merchant}`);
  when((place) => `endpoint_id = ${place}`, filter.endpointId);
  when(
    (place) =>
      `order_id = (select order_id from orders where merchant_id = ${merchant} and lower(order_id) = lower(${place}))`,
    filter.orderId,
  );
  when((place) => `refund_id = ${place}`, filter.refundId);
  when((place) => `batch_id = ${place}`, filter.batchId);
  when((place) => `event_name = ${place}`, filter.eventName);
  when((place) => `state = ${place}`, filter.state);
  when((place) => `created_at >= ${place}`, filter.from);
  when((place) => `created_at < ${place}`, filter.before);
  if (filter.after) {
    where.and(
      `(created_at, delivery_id) < (${value(filter.after.createdAt)}, ${value(filter.after.deliveryId)})`,
    );
  }
  return db.query(
    `select ${DELIVERY} from deliveries where ${where.text()}
     order by created_at desc, delivery_id desc limit ${value(filter.limit)}`,
    where.params,
  );
}

/** Null where the merchant has no such delivery (invariant 8). */
export async function readDelivery(
  db: Queryable,
  merchantId: string,
  deliveryId: string,
): Promise<Delivery | null> {
  const [row] = await db.query<Delivery>(
    `select ${DELIVERY} from deliveries where merchant_id = $1 and delivery_id = $2`,
    [merchantId, deliveryId],
  );
  return row ?? null;
}

/** Every finished try of a delivery, oldest first. */
export async function readTries(db: Queryable, delivery: Delivery): Promise<TryResult[]> {
  return db.query(
    `select at, duration_ms as "durationMs", url, outcome, detail, status, response_excerpt as "responseExcerpt",
       sequence, request_bytes as "requestBytes", request_sha256 as "requestSha256"
     from delivery_tries where merchant_id = $1 and order_id = $2 and delivery_id = $3
     order by at, try_id`,
    [delivery.merchantId, delivery.orderId, delivery.deliveryId],
  );
}

/** How the tries to an endpoint went, by the hour, since then; hours without any are left out. */
export async function readHours(
  db: Queryable,
  { merchantId, endpointId }: EndpointKey,
  since: Date,
): Promise<{ hour: Date; delivered: number; failed: number }[]> {
  return db.query(
    `select hour, delivered, failed from endpoint_hours
     where merchant_id = $1 and endpoint_id = $2 and hour >= $3 order by hour`,
    [merchantId, endpointId, since],
  );
}

/** How many deliveries to an endpoint still have a try ahead, counted no further than `most`. */
export async function countWaiting(db: Queryable, endpointId: string, most: number): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `select count(*) from (select 1 from deliveries where lane = $1 and state = 'pending' limit $2) counted`,
    [endpointId, most],
  );
  return row!.count;
}

// Sending again -----------------------------------------------------------------------------------------

/**
 * Makes a delivery due now, at the start of the schedule, and no longer bulk: somebody waits for it. One that is under way
 * stays as it is.
 */
export async function makeDue(db: Queryable, delivery: Delivery, now: Date): Promise<void> {
  await db.query(
    `update deliveries set state = 'pending', bulk = false, next_try_at = $4, round_tries = 0, updated_at = $4
     where merchant_id = $1 and order_id = $2 and delivery_id = $3 and try_id is null`,
    [delivery.merchantId, delivery.orderId, delivery.deliveryId, now],
  );
}

/** What an endpoint was, or might have been, told in a time range. */
export interface ResendRange {
  readonly merchantId: string;
  readonly endpointId: string;
  readonly eventNames: readonly string[];
  readonly from: Date;
  readonly before: Date;
}

// What is not spread yet will be anyway.
const IN_RANGE = `
  from notifications n
  where n.merchant_id = $1 and n.event_name = any($3) and n.created_at >= $4 and n.created_at < $5
    and n.spread_at is null`;

/** How many events the range holds, counted no further than `most`. */
export async function countInRange(db: Queryable, range: ResendRange, most: number): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `select count(*) from (select $2::uuid ${IN_RANGE} limit $6) counted`,
    [range.merchantId, range.endpointId, range.eventNames, range.from, range.before, most],
  );
  return row!.count;
}

/** Where a slice of a range ended. */
export interface ResentSlice {
  /** How many of its events are sent again. */
  readonly count: number;
  /** The last event that was looked at; null at the end of the range. */
  readonly last: { readonly createdAt: Date; readonly notificationId: string } | null;
}

/**
 * Makes the next events of the range due, in the order in which they happened: those that the endpoint was told, and
 * those that never were on their way to it. What is under way stays as it is. Each is due a microsecond after the one
 * before it, the first of the slice `leadUs` microseconds ago, so that they are claimed in this order too.
 */
export async function resendSlice(
  db: Queryable,
  range: ResendRange,
  slice: {
    readonly after: ResentSlice['last'];
    readonly leadUs: number;
    readonly onlyFailed: boolean;
    readonly now: Date;
    /** Ids for deliveries that are not there yet: as many as the slice looks at. */
    readonly newIds: readonly string[];
  },
): Promise<ResentSlice> {
  const [row] = await db.query<{ count: number; createdAt: Date | null; notificationId: string | null }>(
    `with told as materialized (
       select n.merchant_id, n.order_id, n.notification_id, n.event_name, n.refund_id, n.batch_id, n.bulk, n.created_at,
         row_number() over (order by n.created_at, n.notification_id) as place,
         $7::timestamptz - ($8::int - row_number() over (order by n.created_at, n.notification_id))
           * interval '1 microsecond' as due_at
       ${IN_RANGE} and ($9::timestamptz is null or (n.created_at, n.notification_id) > ($9, $10::uuid))
       order by n.created_at, n.notification_id limit cardinality($11::uuid[])
     ), again as (
       update deliveries d set state = 'pending', next_try_at = t.due_at, round_tries = 0, updated_at = $7
       from told t
       where d.merchant_id = t.merchant_id and d.order_id = t.order_id and d.notification_id = t.notification_id
         and d.lane = $2 and d.try_id is null and not ($6 and d.state = 'delivered')
       returning 1
     ), missed as (
       insert into deliveries (merchant_id, order_id, delivery_id, notification_id, event_name, refund_id,
         batch_id, endpoint_id, lane, bulk, state, next_try_at, created_at, updated_at)
       select t.merchant_id, t.order_id, ($11::uuid[])[t.place], t.notification_id, t.event_name, t.refund_id,
         t.batch_id, $2, $2, t.bulk, 'pending', t.due_at, t.created_at, $7
       from told t
       where not exists (
         select 1 from deliveries d
         where d.merchant_id = t.merchant_id and d.order_id = t.order_id
           and d.notification_id = t.notification_id and d.lane = $2)
       on conflict (merchant_id, order_id, notification_id, lane) do nothing
       returning 1
     )
     select (select count(*) from again) + (select count(*) from missed) as count,
       l.created_at as "createdAt", l.notification_id as "notificationId"
     from (select 1) one left join told l on l.place = cardinality($11::uuid[])`,
    [
      range.merchantId,
      range.endpointId,
      range.eventNames,
      range.from,
      range.before,
      slice.onlyFailed,
      slice.now,
      slice.leadUs,
      slice.after?.createdAt ?? null,
      slice.after?.notificationId ?? null,
      slice.newIds,
    ],
  );
  const { count, createdAt, notificationId } = row!;
  return { count, last: createdAt && notificationId ? { createdAt, notificationId } : null };
}
