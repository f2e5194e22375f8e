-- The sandbox: a small payment gateway of its own that ships with the program. It may share a server with the
-- tables of refunds, never a statement: its books say what the gateway did, whatever anybody else believes.

create table sandbox_accounts (
  account bytea primary key check (length(account) = 32),
  -- Signs its webhooks, also after a restart; derived from the secret key, which cannot be had back from it.
  webhook_key bytea not null check (length(webhook_key) = 32),
  created_at timestamptz not null
);
comment on table sandbox_accounts is
  'A row is an account. An account is its secret key, of which only the SHA-256 is kept. '
  'It belongs to the installation.';

create table sandbox_payouts (
  sandbox_refund_id text primary key,
  account bytea not null,
  gateway_payment_id text not null,
  -- The caller's ids, as the caller gave them.
  refund_id text not null,
  order_id text not null,
  idempotency_key text,
  amount_minor bigint not null check (amount_minor between 1 and 999999999999999),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  exponent smallint not null check (exponent between 0 and 4),
  reason text,
  status text not null check (status in ('pending', 'succeeded', 'failed', 'reversed')),
  failure_code text,
  failure_message text,
  arn text check (arn ~ '^[0-9]{23}$'),
  webhook_url text,
  -- What will happen to it by itself, and when.
  next_change text check (next_change in ('succeed', 'fail', 'reverse', 'capture_arn')),
  next_change_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  check ((next_change is null) = (next_change_at is null))
);
comment on table sandbox_payouts is
  'A row is money that the sandbox paid out, or is about to. There is one for each time it was told to. '
  'It belongs to the installation.';
create index sandbox_payouts_of_account on sandbox_payouts (account, sandbox_refund_id);
create index sandbox_payouts_of_payment on sandbox_payouts (gateway_payment_id, sandbox_refund_id);
create index sandbox_payouts_of_refund on sandbox_payouts (refund_id, sandbox_refund_id);
create index sandbox_payouts_of_order on sandbox_payouts (order_id, sandbox_refund_id);
create index sandbox_payouts_to_change on sandbox_payouts (next_change_at) where next_change_at is not null;

create table sandbox_keys (
  account bytea not null,
  idempotency_key text not null,
  request_hash bytea not null check (length(request_hash) = 32),
  answer_status integer not null,
  answer_body text not null,
  created_at timestamptz not null,
  primary key (account, idempotency_key)
);
comment on table sandbox_keys is
  'A row is an idempotency key that was used, and the answer that every repeat of its request gets. '
  'It belongs to the installation.';

create table sandbox_tries (
  account bytea not null,
  gateway_payment_id text not null,
  refund_id text not null,
  tries integer not null,
  primary key (account, gateway_payment_id, refund_id)
);
comment on table sandbox_tries is
  'A row counts how often a refund was told to come again later (no balance, too busy). '
  'It belongs to the installation.';

create table sandbox_webhooks (
  webhook_id uuid primary key,
  account bytea not null,
  url text not null,
  body text not null,
  tries integer not null default 0,
  -- When it is sent next; while it is on its way, when it is given up for lost.
  due_at timestamptz not null,
  created_at timestamptz not null
);
comment on table sandbox_webhooks is
  'A row is a webhook that has not been acknowledged yet. '
  'It belongs to the installation.';
create index sandbox_webhooks_due on sandbox_webhooks (due_at);
