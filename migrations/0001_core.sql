-- The tables that refunds live on. Order-scoped tables carry (merchant_id, order_id) in every key, so that
-- an order and all that hangs on it can live together in one cell; no foreign key or trigger joins them to
-- the few global tables. Ids come from the program. Amounts are minor units of the row's currency.

-- Global -----------------------------------------------------------------------------------------------

-- A row is a tenant: it owns everything that carries its id.
create table merchants (
  merchant_id text primary key check (merchant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name text not null,
  settings jsonb not null default '{}',
  created_at timestamptz not null
);

-- A row is a key a merchant's systems sign in with. Only the key's SHA-256 is kept.
create table api_keys (
  api_key_id uuid primary key,
  merchant_id text not null references merchants,
  name text not null,
  key_hash bytea not null unique check (length(key_hash) = 32),
  last_four text not null,
  created_at timestamptz not null,
  revoked_at timestamptz
);

-- A row is one set of credentials at one gateway, sealed with the master key.
create table gateway_accounts (
  gateway_account_id text primary key,
  merchant_id text not null references merchants,
  gateway text not null,
  name text not null,
  -- Null: the gateway's own address.
  base_url text,
  sealed_credentials bytea not null,
  -- What may be shown: per secret field its last four characters, the other fields as they are.
  shown_credentials jsonb not null,
  enabled boolean not null default true,
  max_concurrent integer not null check (max_concurrent between 1 and 1000),
  max_per_second integer not null check (max_per_second between 1 and 10000),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (merchant_id, gateway, name)
);

-- A row is how an account is doing right now, shared by all workers: its send allowance and its breaker.
create table gateway_health (
  gateway_account_id text primary key references gateway_accounts,
  allowance double precision not null,
  allowance_at timestamptz not null,
  failures_in_a_row integer not null default 0,
  -- While this lies ahead, nothing is sent to the account; then one request tries.
  open_until timestamptz,
  last_error text,
  last_error_at timestamptz
);

-- A row seals the events of all orders of a merchant that changed since the row before it.
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

-- Order-scoped -----------------------------------------------------------------------------------------

-- A row is what a customer bought, and the head of the chain of everything that happened to it.
create table orders (
  merchant_id text not null,
  order_id text not null check (order_id ~ '^[\x21-\x7e]{1,128}$'),
  order_uuid uuid not null,
  status text not null,
  amount_minor bigint not null check (amount_minor between 1 and 999999999999999),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  exponent smallint not null check (exponent between 0 and 4),
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
  updated_at timestamptz not null,
  primary key (merchant_id, order_id)
);
-- Order ids are unique without regard to case (contract section 5.1).
create unique index orders_by_folded_id on orders (merchant_id, lower(order_id));
create index orders_unsealed on orders (merchant_id, order_id) where event_seq > sealed_seq;
create index orders_by_time on orders (merchant_id, created_at desc, order_id desc);

-- A row is one payment attempt of an order at one gateway. Only a CHARGED one can be refunded.
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
  -- The sum of its refunds that are not failed, cancelled or reversed. Kept by the trigger below and by
  -- nothing else, so it cannot drift; the check is invariant 1.
  reserved_minor bigint not null default 0,
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
);
create index transactions_by_txn on transactions (merchant_id, txn_id);
create index transactions_by_payment on transactions (gateway_account_id, gateway_payment_id);

-- A row is one request to give back an amount.
create table refunds (
  merchant_id text not null,
  order_id text not null,
  refund_id uuid not null,
  unique_request_id text not null check (unique_request_id ~ '^[A-Za-z0-9_.:-]{1,255}$'),
  txn_id text not null,
  amount_minor bigint not null check (amount_minor between 1 and 999999999999999),
  currency text not null,
  exponent smallint not null,
  state text not null,
  -- Facts of sending, copied from the transaction so that a worker needs no other row.
  gateway text not null,
  gateway_account_id text not null,
  gateway_payment_id text not null,
  payment_method_type text,
  refund_type text not null check (refund_type in ('STANDARD', 'INSTANT', 'INSTANT_WITH_FALLBACK', 'GATEWAY')),
  idempotency_key text not null check (idempotency_key ~ '^[A-Za-z0-9]{22}$'),
  reason text,
  note text,
  metadata jsonb not null default '{}',
  initiated_by text not null,
  -- Which door it came through: api, dashboard, batch.
  door text not null,
  batch_id uuid,
  batch_row integer,
  -- Which lane its next work runs in: 0 single sends, 1 following up, 2 batch sends. Lower goes first.
  lane smallint not null check (lane between 0 and 2),
  -- Sends so far; the first that may have reached the gateway starts the life of the key.
  sends integer not null default 0,
  -- How many of them got no answer: these are what makes people take over in the end.
  unanswered integer not null default 0,
  key_used_at timestamptz,
  -- Whose books the first send went to, at the gateway: what others do not know of it proves nothing.
  sent_to text,
  -- The gateway's refusal of the last send, while an earlier unanswered one leaves it in doubt.
  doubtful_refusal text,
  -- What that refusal says of the money, where it says that the customer may have it already.
  refused_because text check (refused_because in ('refunded_elsewhere', 'disputed')),
  -- Looks since the last change of state, and how many of them in a row found nothing.
  looks integer not null default 0,
  absences integer not null default 0,
  -- "Not found" proves nothing when it was asked for before this: too soon after the send, or after the one before.
  absence_counts_at timestamptz,
  gateway_refund_id text,
  gateway_reference text,
  gateway_status text,
  -- The gateway's own time of the latest news of it: older news that arrives later changes nothing.
  gateway_at timestamptz,
  arn text,
  error_code text,
  error_message text,
  -- Why a person is needed, while one is.
  attention text,
  -- A person's word ended it, and not the gateway's.
  settled_by_hand boolean not null default false,
  -- What a person says of it against the gateway's word, while it waits for a second person's yes.
  proposal jsonb,
  -- What the gateway said when two people settled it against that: as long as it says no more, it does not open again.
  overruled text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  sent_at timestamptz,
  succeeded_at timestamptz,
  failed_at timestamptz,
  -- When it should have reached the customer.
  due_at timestamptz not null,
  -- When the system looks at it next; while a worker holds it, when that hold ends.
  next_look_at timestamptz,
  -- After its end: when the gateway is asked whether that still holds. While a worker asks, when its hold ends.
  recheck_at timestamptz,
  -- When it goes to manual review if nothing is known by then.
  review_at timestamptz not null,
  -- The order's event that made its present state (invariant 6).
  event_seq bigint not null,
  primary key (merchant_id, order_id, refund_id),
  -- Led by the order: it is also the one way to an order's refunds that no other index can be taken for.
  unique (order_id, merchant_id, unique_request_id),
  constraint every_refund_ends check
    ((state in ('succeeded', 'failed', 'cancelled', 'reversed')) = (next_look_at is null)),
  constraint only_what_has_ended_is_rechecked check (recheck_at is null or next_look_at is null)
);
create index refunds_due on refunds (gateway_account_id, lane, next_look_at) where next_look_at is not null;
create index refunds_rechecks on refunds (gateway_account_id, recheck_at) where recheck_at is not null;
create index refunds_held on refunds (next_look_at) where state = 'sending';
create index refunds_ageing on refunds (review_at)
  where state in ('queued', 'unknown', 'waiting_for_funds', 'submitted');
create index refunds_by_time on refunds (merchant_id, created_at desc, refund_id desc);
create index refunds_by_id on refunds (merchant_id, refund_id);
create index refunds_by_gateway_id on refunds (gateway_account_id, gateway_refund_id)
  where gateway_refund_id is not null;
create index refunds_for_people on refunds (merchant_id, created_at)
  where state = 'manual_review' or attention is not null;

-- A row is one call to a gateway that asks it to make a refund, written before the first byte is sent.
create table attempts (
  merchant_id text not null,
  order_id text not null,
  refund_id uuid not null,
  attempt_no integer not null check (attempt_no > 0),
  idempotency_key text not null,
  -- Method, path, headers (no credentials) and body, as sent; equal at every attempt of a refund.
  request jsonb not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  outcome text,
  answer jsonb,
  primary key (merchant_id, order_id, refund_id, attempt_no),
  foreign key (merchant_id, order_id, refund_id) references refunds
);

-- A row is one change and why it happened. Rows are only ever inserted. Each carries the hash of the one
-- before it in its order: hash = sha256(previous hash ‖ body as text).
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
create index events_by_time on events (merchant_id, at, order_id, seq);

-- A row is something a merchant is told: one webhook event, before it is spread over the endpoints. What it tells of is
-- an order, or a batch: then order_id is 'batch ' and the batch's id, which no order's id can be.
create table notifications (
  merchant_id text not null,
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
create index notifications_to_spread on notifications (bulk, spread_at) where spread_at is not null;
create index notifications_by_time on notifications (merchant_id, created_at, notification_id);

-- Rules the schema keeps -------------------------------------------------------------------------------

create function state_reserves(state text) returns boolean immutable language sql
  return state not in ('failed', 'cancelled', 'reversed');

-- Invariant 1: what is reserved follows from the refunds themselves, once per statement.
create function keep_reserved_on_insert() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_updated bigint;
begin
  update transactions t set reserved_minor = t.reserved_minor + d.delta
  from (select merchant_id, order_id, txn_id, sum(amount_minor) as delta
        from new_refunds where state_reserves(state) group by 1, 2, 3) d
  where t.merchant_id = d.merchant_id and t.order_id = d.order_id and t.txn_id = d.txn_id;
  -- The update has proved that each transaction exists; a foreign key would look each of them up once more.
  get diagnostics v_updated = row_count;
  if v_updated <> (select count(distinct (merchant_id, order_id, txn_id)) from new_refunds) then
    raise exception 'a refund needs a transaction, and holds its amount from the start'
      using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;
create trigger refunds_reserve after insert on refunds
  referencing new table as new_refunds for each statement execute function keep_reserved_on_insert();

create function keep_reserved_on_update() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  update transactions t set reserved_minor = t.reserved_minor + d.delta
  from (select n.merchant_id, n.order_id, n.txn_id,
               sum(n.amount_minor * (state_reserves(n.state)::int - state_reserves(o.state)::int)) as delta
        from new_refunds n
        join old_refunds o using (merchant_id, order_id, refund_id)
        where state_reserves(n.state) <> state_reserves(o.state) group by 1, 2, 3) d
  where t.merchant_id = d.merchant_id and t.order_id = d.order_id and t.txn_id = d.txn_id;
  return null;
end $$;
create trigger refunds_rereserve after update on refunds
  referencing old table as old_refunds new table as new_refunds
  for each statement execute function keep_reserved_on_update();

-- The allowed moves, the same list as src/refunds/states.ts (a test compares them).
create function may_move(from_state text, to_state text) returns boolean immutable language sql
  return (from_state || '>' || to_state) in (
    'awaiting_approval>queued', 'awaiting_approval>cancelled', 'awaiting_approval>manual_review',
    'queued>sending', 'queued>submitted', 'queued>waiting_for_funds', 'queued>succeeded', 'queued>failed',
    'queued>cancelled', 'queued>manual_review', 'queued>unknown',
    'sending>submitted', 'sending>succeeded', 'sending>failed', 'sending>waiting_for_funds',
    'sending>queued', 'sending>unknown', 'sending>manual_review',
    'unknown>submitted', 'unknown>succeeded', 'unknown>failed', 'unknown>waiting_for_funds',
    'unknown>queued', 'unknown>manual_review',
    'waiting_for_funds>queued', 'waiting_for_funds>submitted', 'waiting_for_funds>succeeded',
    'waiting_for_funds>failed', 'waiting_for_funds>manual_review', 'waiting_for_funds>unknown',
    'submitted>succeeded', 'submitted>failed', 'submitted>waiting_for_funds', 'submitted>manual_review',
    'manual_review>succeeded', 'manual_review>failed',
    'succeeded>reversed', 'failed>manual_review', 'cancelled>manual_review', 'reversed>manual_review');

create function guard_refund() returns trigger language plpgsql as $$
begin
  if new.state <> old.state then
    if not may_move(old.state, new.state) then
      raise exception 'refund % may not go from % to %', old.refund_id, old.state, new.state
        using errcode = 'check_violation';
    end if;
    if new.event_seq <= old.event_seq then
      raise exception 'refund % changed its state without an event', old.refund_id
        using errcode = 'check_violation';
    end if;
  end if;
  if (new.amount_minor, new.currency, new.txn_id, new.idempotency_key, new.unique_request_id,
      new.gateway_account_id, new.gateway_payment_id)
     is distinct from
     (old.amount_minor, old.currency, old.txn_id, old.idempotency_key, old.unique_request_id,
      old.gateway_account_id, old.gateway_payment_id) then
    raise exception 'what refund % was asked to do may not change', old.refund_id
      using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger refunds_guard before update on refunds for each row execute function guard_refund();

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% are only ever inserted', tg_table_name using errcode = 'check_violation';
end $$;
create trigger events_only_inserted before update or delete or truncate on events
  for each statement execute function refuse_change();
create trigger checkpoints_only_inserted before update or delete or truncate on audit_checkpoints
  for each statement execute function refuse_change();
create trigger refunds_never_deleted before delete or truncate on refunds
  for each statement execute function refuse_change();

create function event_hash(previous bytea, body jsonb) returns bytea stable language sql
  return sha256(previous || convert_to(body::text, 'UTF8'));
