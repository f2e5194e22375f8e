-- What the developers of a merchant look at: who asked what with which answer, which key is in use, how an endpoint
-- did hour by hour, and the views that people keep.

-- Global -----------------------------------------------------------------------------------------------

-- A row is one request that was let in and its answer. Written in slices behind the requests, kept for some days.
create table request_log (
  merchant_id text not null,
  request_id uuid not null,
  at timestamptz not null,
  method text not null,
  -- The address as the reference has it, and as it was called, without its query.
  route text not null,
  path text not null,
  status smallint not null,
  duration_ms integer not null,
  caller_kind text not null check (caller_kind in ('key', 'user')),
  caller_id text not null,
  -- What the caller was called then.
  caller_name text not null,
  -- As it was answered.
  error_code text,
  error_message text,
  error_field text,
  order_id text,
  refund_id uuid,
  remote_address text not null,
  primary key (merchant_id, request_id)
);
create index request_log_by_time on request_log (merchant_id, at desc, request_id desc);
create index request_log_by_caller on request_log (merchant_id, caller_id, at desc, request_id desc);
create index request_log_refused on request_log (merchant_id, at desc, request_id desc) where status >= 400;
create index request_log_by_order on request_log (merchant_id, lower(order_id), at desc) where order_id is not null;
create index request_log_by_refund on request_log (merchant_id, refund_id, at desc) where refund_id is not null;
create index request_log_by_age on request_log using brin (at);

alter table api_keys
  -- The e-mail address of the person, or the name of the key, that did it; null where the program did.
  add created_by text,
  add revoked_by text,
  -- To about a minute.
  add last_used_at timestamptz;

-- A row is a saved view of a list.
create table saved_views (
  view_id uuid primary key,
  merchant_id text not null references merchants,
  -- The id of the person, or of the key, that made it, and what to call whoever that was.
  made_by_id text not null,
  made_by text not null,
  name text not null,
  page text not null check (page in ('orders', 'refunds')),
  query text not null check (length(query) <= 2000),
  columns text[],
  shared boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index saved_views_by_merchant on saved_views (merchant_id, made_by_id);
create index saved_views_shared on saved_views (merchant_id) where shared;

-- A row counts the tries to an endpoint in one hour.
create table endpoint_hours (
  endpoint_id uuid not null references webhook_endpoints on delete cascade,
  hour timestamptz not null,
  delivered integer not null default 0,
  failed integer not null default 0,
  primary key (endpoint_id, hour)
);
