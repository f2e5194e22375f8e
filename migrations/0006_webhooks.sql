-- Telling merchants what happened: where they want it, and what was brought there.

create table webhook_endpoints (
  merchant_id text not null,
  endpoint_id uuid not null,
  url text not null check (length(url) between 1 and 2048),
  -- Which events; null means the defaults of src/webhooks/events.ts.
  events text[],
  -- JSON of username, password and headers.
  sealed_credentials bytea not null,
  sealed_secret bytea not null,
  -- Until then, what is sent is signed with the secret before the present one as well.
  sealed_previous_secret bytea,
  previous_secret_until timestamptz,
  enabled boolean not null default true,
  disabled_reason text,
  -- How it is doing: failing since the first failure after the last acknowledgement.
  failing_since timestamptz,
  failures_in_a_row integer not null default 0,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_failure text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (merchant_id, endpoint_id),
  check ((sealed_previous_secret is null) = (previous_secret_until is null)),
  check (enabled = (disabled_reason is null))
);
comment on table webhook_endpoints is
  'A row is an address where a merchant wants to be told. '
  'It belongs to a merchant.';
create index webhook_endpoints_by_merchant on webhook_endpoints (merchant_id, created_at, endpoint_id);

create table endpoint_hours (
  merchant_id text not null,
  endpoint_id uuid not null,
  hour timestamptz not null,
  delivered integer not null default 0,
  failed integer not null default 0,
  primary key (merchant_id, endpoint_id, hour),
  foreign key (merchant_id, endpoint_id) references webhook_endpoints on delete cascade
);
comment on table endpoint_hours is 'A row counts the tries to an endpoint in one hour. It belongs to a merchant.';

create table notifications (
  merchant_id text not null,
  -- What it tells of is an order, or a batch: then this is 'batch ' and the batch's id, which no order's id can be.
  order_id text not null,
  notification_id uuid not null,
  event_name text not null,
  refund_id uuid,
  batch_id uuid,
  -- The order's or batch's event that it tells of.
  event_seq bigint not null,
  -- It tells of a refund of a batch: what is not, goes before it.
  bulk boolean not null default false,
  created_at timestamptz not null,
  -- Until it has been spread, the time at which to do that.
  spread_at timestamptz,
  primary key (merchant_id, order_id, notification_id),
  check (batch_id is null or (order_id = 'batch ' || batch_id::text and refund_id is null))
);
comment on table notifications is
  'A row is something a merchant is told: one webhook event, before it is spread over the endpoints. '
  'It belongs to a merchant.';
create index notifications_to_spread on notifications (bulk, spread_at) where spread_at is not null;
create index notifications_by_time on notifications (merchant_id, created_at, notification_id);

create table deliveries (
  merchant_id text not null,
  -- Of a batch, that of the notification.
  order_id text not null,
  delivery_id uuid not null,
  notification_id uuid not null,
  event_name text not null,
  refund_id uuid,
  batch_id uuid,
  -- The endpoint, or null where the order names its own URL.
  endpoint_id uuid,
  order_url text,
  -- What takes turns: the endpoint's id, or one made from the merchant and the host of the order's own URL.
  lane uuid not null,
  -- As the notification says, until a person asks for it: in its lane, what is not bulk goes first.
  bulk boolean not null default false,
  state text not null check (state in ('pending', 'delivered', 'given_up')),
  tries integer not null default 0,
  -- Tries since it was spread or last resent: where it is in the schedule.
  round_tries integer not null default 0,
  -- When it is tried next; while a worker holds it, when that hold ends.
  next_try_at timestamptz,
  -- The try under way.
  try_id uuid,
  last_outcome text,
  last_status integer,
  delivered_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (merchant_id, order_id, delivery_id),
  unique (merchant_id, order_id, notification_id, lane),
  foreign key (merchant_id, order_id, notification_id) references notifications,
  check ((endpoint_id is null) = (order_url is not null)),
  check ((state = 'pending') = (next_try_at is not null)),
  check (try_id is null or state = 'pending')
);
comment on table deliveries is 'A row is one notification on its way to one address. It belongs to a merchant.';
-- Invariant 7: no two states of an order are on their way to one address at once, so none overtakes another.
create unique index deliveries_one_under_way on deliveries (merchant_id, order_id, lane) where try_id is not null;
-- Led by the order, and the only one that is: while statistics are missing, any other looks as good for finding what waits
-- of one order, and would be read through for each delivery that is claimed.
create index deliveries_pending on deliveries (order_id, merchant_id, lane) where state = 'pending';
create index deliveries_due on deliveries (lane, bulk, next_try_at) where state = 'pending';
create index deliveries_by_time on deliveries (merchant_id, created_at desc, delivery_id desc);
create index deliveries_by_id on deliveries (merchant_id, delivery_id);
create index deliveries_by_endpoint on deliveries (merchant_id, endpoint_id, created_at desc, delivery_id desc);
create index deliveries_by_refund on deliveries (merchant_id, refund_id, created_at desc, delivery_id desc)
  where refund_id is not null;
create index deliveries_by_batch on deliveries (merchant_id, batch_id, created_at desc, delivery_id desc)
  where batch_id is not null;
create index deliveries_by_event on deliveries (merchant_id, event_name, created_at desc, delivery_id desc);
create index deliveries_by_state on deliveries (merchant_id, state, created_at desc, delivery_id desc)
  where state <> 'delivered';

create table delivery_tries (
  merchant_id text not null,
  order_id text not null,
  delivery_id uuid not null,
  try_id uuid not null,
  at timestamptz not null,
  duration_ms integer not null,
  url text not null,
  outcome text not null,
  -- What went wrong, in one sentence.
  detail text,
  status integer,
  response_excerpt text check (octet_length(response_excerpt) <= 2048),
  -- The body that was sent: which state of the order it told, its length, its SHA-256.
  sequence bigint not null,
  request_bytes integer not null,
  request_sha256 bytea not null,
  primary key (merchant_id, order_id, delivery_id, try_id),
  foreign key (merchant_id, order_id, delivery_id) references deliveries
);
comment on table delivery_tries is 'A row is one try and what came of it. It belongs to a merchant.';
