-- What a merchant's people look back on: who changed who may do what, what waits for a second person, who asked what with
-- which answer, and the views that people keep.

create table access_log (
  merchant_id text not null,
  entry_id uuid not null,
  at timestamptz not null,
  -- Who did it: a person's id, and what to call whoever it was.
  by_user_id uuid,
  by_name text not null,
  action text not null,
  -- Whom it was done to.
  user_id uuid,
  email text not null,
  details jsonb not null default '{}',
  request_id text,
  primary key (merchant_id, entry_id)
);
comment on table access_log is
  'A row is one change of who may do what. Rows are only ever inserted. '
  'It belongs to a merchant.';
create index access_log_by_merchant on access_log (merchant_id, at desc, entry_id desc);

create table waiting_changes (
  merchant_id text not null,
  change_id uuid not null,
  -- As PATCH /v1/settings takes them.
  changes jsonb not null,
  -- The person or the API key that asked, by id and by name.
  asked_by_kind text not null check (asked_by_kind in ('user', 'key')),
  asked_by_id uuid not null,
  asked_by text not null,
  asked_at timestamptz not null,
  -- It takes effect by itself then; null while another admin is there to confirm it.
  takes_effect_at timestamptz,
  -- If nothing has happened by then, nothing will.
  lapses_at timestamptz not null,
  ended_at timestamptz,
  ended_as text check (ended_as in ('confirmed', 'took_effect', 'stopped', 'lapsed', 'replaced')),
  ended_by text,
  primary key (merchant_id, change_id),
  check ((ended_at is null) = (ended_as is null))
);
comment on table waiting_changes is
  'A row is a change of settings that would turn a guard off. It waits for another admin or, where there is none, for its '
  'time; until then anyone who may can stop it. '
  'It belongs to a merchant.';
create index waiting_changes_open on waiting_changes (merchant_id, asked_at) where ended_at is null;

-- Written in slices behind the requests, kept for some days.
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
comment on table request_log is 'A row is one request that was let in and its answer. It belongs to a merchant.';
create index request_log_by_time on request_log (merchant_id, at desc, request_id desc);
create index request_log_by_caller on request_log (merchant_id, caller_id, at desc, request_id desc);
create index request_log_refused on request_log (merchant_id, at desc, request_id desc) where status >= 400;
create index request_log_by_order on request_log (merchant_id, lower(order_id), at desc) where order_id is not null;
create index request_log_by_refund on request_log (merchant_id, refund_id, at desc) where refund_id is not null;
create index request_log_by_age on request_log using brin (at);

create table saved_views (
  merchant_id text not null,
  view_id uuid not null,
  -- The id of the person, or of the key, that made it, and what to call whoever that was.
  made_by_id text not null,
  made_by text not null,
  name text not null,
  page text not null check (page in ('orders', 'refunds')),
  query text not null check (length(query) <= 2000),
  columns text[],
  shared boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (merchant_id, view_id)
);
comment on table saved_views is 'A row is a saved view of a list. It belongs to a merchant.';
create index saved_views_by_merchant on saved_views (merchant_id, made_by_id);
create index saved_views_shared on saved_views (merchant_id) where shared;
