-- While statistics are missing, as they are in the first minute of an installation, any index led by merchant_id looks to the
-- planner as good as the primary key for finding one order, of equals it takes the one that was made last, and a connection
-- keeps such a plan. So the primary key of orders is made last: with another one, each order would be looked for among all of
-- the merchant. What else is asked for by its own id has an index that is led by that id.

-- There is room on each page for the next version of a row, so that a change stays on its page.
create table orders (
  merchant_id text not null,
  order_id text not null check (order_id ~ '^[\x21-\x7e]{1,128}$'),
  order_uuid uuid not null,
  status text not null,
  amount_minor bigint not null check (amount_minor between 1 and 999999999999999),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  exponent smallint not null check (exponent between 0 and 4),
  -- The gateway of the transaction that was charged, else of the last one; null without a transaction.
  gateway text,
  customer_id text,
  customer_email text,
  customer_phone text,
  -- product_id, description, return_url, udf1 … udf10, addresses: what the merchant sent and gets back.
  details jsonb not null default '{}',
  metadata jsonb not null default '{}',
  event_seq bigint not null default 0,
  event_hash bytea not null default '',
  sealed_seq bigint not null default 0 check (sealed_seq <= event_seq),
  created_at timestamptz not null,
  updated_at timestamptz not null
) with (fillfactor = 85);
comment on table orders is
  'A row is what a customer bought, and the head of the chain of everything that happened to it. '
  'It belongs to a merchant.';
-- Order ids are unique without regard to case (contract section 5.1).
create unique index orders_by_folded_id on orders (merchant_id, lower(order_id));
-- For the lists of orders: each filter that is offered finds its orders, most of them newest first.
create index orders_by_status on orders (merchant_id, status, created_at desc, order_id);
create index orders_by_email on orders (merchant_id, lower(customer_email), created_at desc)
  where customer_email is not null;
create index orders_by_phone on orders (merchant_id, customer_phone, created_at desc)
  where customer_phone is not null;
create index orders_by_time on orders (merchant_id, created_at desc, order_id);
create index orders_by_gateway on orders (merchant_id, gateway, created_at desc, order_id);
create index orders_by_amount on orders (merchant_id, currency, amount_minor desc, order_id);
-- With what lists sort by, so that all that begin so are sorted without reading any of them.
create index orders_by_beginning on orders (merchant_id, (lower(order_id) collate "C"), created_at, order_id);
alter table orders add primary key (merchant_id, order_id);

create table transactions (
  merchant_id text not null,
  order_id text not null,
  txn_id text not null,
  txn_uuid uuid not null,
  status text not null,
  amount_minor bigint not null check (amount_minor between 1 and 999999999999999),
  surcharge_minor bigint not null default 0 check (surcharge_minor between 0 and 999999999999999),
  offer_minor bigint not null default 0 check (offer_minor between 0 and 999999999999999),
  -- What the customer really paid: the cap on refunds.
  effective_minor bigint not null generated always as (amount_minor + surcharge_minor - offer_minor) stored
    check (effective_minor between 1 and 999999999999999),
  -- The sum of its refunds that are not failed, cancelled or reversed. Kept by the triggers of verbs/keep_reserved.sql and
  -- by nothing else, so it cannot drift; the check is invariant 1.
  reserved_minor bigint not null default 0,
  -- How much of it is refunded, refunds under way counted; null where nothing is. Beside it the time of its order, so that
  -- the refunded orders can be walked as the list has them. Both are kept by the same triggers.
  refunded text check (refunded in ('partly', 'fully')),
  ordered_at timestamptz,
  gateway text not null,
  gateway_account_id text not null,
  gateway_payment_id text not null check (length(gateway_payment_id) between 1 and 255),
  payment_method_type text,
  payment_method text,
  charged_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (merchant_id, order_id, txn_id),
  foreign key (merchant_id, order_id) references orders,
  constraint never_more_than_was_paid check (reserved_minor between 0 and effective_minor),
  constraint only_charged_reserves check (reserved_minor = 0 or status = 'CHARGED')
) with (fillfactor = 85);
comment on table transactions is
  'A row is one payment attempt of an order at one gateway. Only a CHARGED one can be refunded. '
  'It belongs to a merchant.';
create index transactions_by_payment on transactions (gateway_account_id, gateway_payment_id);
create index transactions_by_merchants_payment on transactions (gateway_payment_id, merchant_id);
create index transactions_by_txn on transactions (txn_id, merchant_id);
create index transactions_refunded on transactions (merchant_id, refunded, ordered_at desc, order_id)
  where refunded is not null;

-- Each carries the hash of the one before it in its order: hash = sha256(previous hash ‖ body as text).
create table events (
  merchant_id text not null,
  order_id text not null,
  seq bigint not null check (seq > 0),
  at timestamptz not null,
  -- merchant_id, order_id, seq, at, kind, refund_id, from, to, cause, evidence
  body jsonb not null,
  hash bytea not null,
  primary key (merchant_id, order_id, seq)
);
comment on table events is
  'A row is one change and why it happened. Rows are only ever inserted. '
  'It belongs to a merchant.';
create index events_by_time on events (merchant_id, at, order_id, seq);

-- It stands apart so that the next event of an order changes no indexed column of its row: whatever indexes the lists need, a
-- refund writes to none of them.
create table unsealed_orders (
  merchant_id text not null,
  order_id text not null,
  primary key (merchant_id, order_id)
);
comment on table unsealed_orders is
  'A row is an order with events that no checkpoint has sealed yet. '
  'It belongs to a merchant.';

create table audit_checkpoints (
  merchant_id text not null,
  checkpoint_no bigint not null check (checkpoint_no > 0),
  sealed_at timestamptz not null,
  -- The orders it seals: [order id, last event's sequence number, last event's hash in hex], by order id.
  orders jsonb not null,
  hash bytea not null,
  -- HMAC of the hash under a key derived from the master key: the database alone cannot make a new one.
  seal bytea not null,
  primary key (merchant_id, checkpoint_no)
);
comment on table audit_checkpoints is
  'A row seals the events of all orders of a merchant that changed since the row before it. '
  'It belongs to a merchant.';
