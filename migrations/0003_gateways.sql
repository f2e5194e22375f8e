create table gateway_accounts (
  merchant_id text not null,
  gateway_account_id text not null,
  gateway text not null,
  name text not null,
  -- Null: the gateway's own address.
  base_url text,
  sealed_credentials bytea not null,
  -- What may be shown: per secret field its last four characters, the other fields as they are.
  shown_credentials jsonb not null,
  -- Whose books the credentials open, as the gateway told it: "acct_1A2b live". Null while it has not told;
  -- then a fingerprint of the host and the credentials stands for it, which is made when needed and never stored.
  identity text check (length(identity) between 1 and 200),
  -- When the gateway was last asked for it.
  identity_asked_at timestamptz,
  enabled boolean not null default true,
  max_concurrent integer not null check (max_concurrent between 1 and 1000),
  max_per_second integer not null check (max_per_second between 1 and 10000),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (merchant_id, gateway_account_id),
  unique (merchant_id, gateway, name)
);
comment on table gateway_accounts is
  'A row is one set of credentials at one gateway, sealed with the master key. '
  'It belongs to a merchant.';
-- Gateways call by it alone, and workers go by it through the accounts of all merchants. The program makes no id twice.
create index gateway_accounts_by_id on gateway_accounts (gateway_account_id);

create table gateway_health (
  merchant_id text not null,
  gateway_account_id text not null,
  allowance double precision not null,
  allowance_at timestamptz not null,
  failures_in_a_row integer not null default 0,
  -- While this lies ahead, nothing is sent to the account; then one request tries.
  open_until timestamptz,
  last_error text,
  last_error_at timestamptz,
  -- Refunds in a row that the gateway refused for one and the same reason, and that reason's code.
  refusals_in_a_row integer not null default 0,
  refusal_code text,
  -- When the row of them last became longer, from where on the account rests; and what was said.
  refused_alike_at timestamptz,
  refused_alike_why text,
  -- When a webhook to the account's address was last proved to be the gateway's; written once an hour at the most.
  webhooks_heard_at timestamptz,
  -- When a webhook to the account's address was last rejected, and why; written once a minute at the most.
  webhooks_rejected_at timestamptz,
  webhooks_rejected_why text,
  -- When its refunds were last looked at because of that.
  webhook_trouble_taken_at timestamptz,
  primary key (merchant_id, gateway_account_id),
  foreign key (merchant_id, gateway_account_id) references gateway_accounts
);
comment on table gateway_health is
  'A row is how an account is doing right now, shared by all workers: its send allowance and its breaker. '
  'It belongs to a merchant.';

create table account_holds (
  merchant_id text not null,
  gateway_account_id text not null,
  hold_id uuid not null,
  held_at timestamptz not null,
  why text not null,
  released_at timestamptz,
  released_by text,
  release_reason text,
  -- The person said that another installation refunds through the same account: its ids hold the account no more.
  shared boolean not null default false,
  primary key (merchant_id, gateway_account_id, hold_id),
  check ((released_at is null) = (released_by is null) and (released_at is null) = (release_reason is null))
);
comment on table account_holds is
  'A row is a time in which nothing was sent through a gateway account, because its gateway spoke of refunds of ours that '
  'these books do not know. It ends by a person''s word, or by a restore that says what the books are. '
  'It belongs to a merchant.';
create unique index account_holds_open on account_holds (merchant_id, gateway_account_id) where released_at is null;

create table account_strangers (
  merchant_id text not null,
  gateway_account_id text not null,
  refund_id uuid not null,
  gateway_refund_id text,
  gateway_payment_id text,
  event_id text,
  heard_at timestamptz not null,
  primary key (merchant_id, gateway_account_id, refund_id)
);
comment on table account_strangers is
  'A row is a refund under an id of ours that an account''s gateway has proved to know, and these books do not. '
  'It belongs to a merchant.';
