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
  unique (merchant_id, order_id, unique_request_id),
  constraint every_refund_ends check
    ((state in ('succeeded', 'failed', 'cancelled', 'reversed')) = (next_look_at is null)),
  constraint only_what_has_ended_is_rechecked check (recheck_at is null or next_look_at is null)
);
comment on table refunds is 'A row is one request to give back an amount. It belongs to a merchant.';

-- What workers look for.
create index refunds_due on refunds (gateway_account_id, lane, next_look_at) where next_look_at is not null;
create index refunds_rechecks on refunds (gateway_account_id, recheck_at) where recheck_at is not null;
create index refunds_held on refunds (next_look_at) where state = 'sending';
create index refunds_ageing on refunds (review_at)
  where state in ('queued', 'unknown', 'waiting_for_funds', 'submitted');

-- What people look for: an index for every filter of the list, most of them in its order, newest first.
create index refunds_for_people on refunds (merchant_id, created_at)
  where state = 'manual_review' or attention is not null;
create index refunds_by_time on refunds (merchant_id, created_at desc, refund_id desc);
create index refunds_by_state on refunds (merchant_id, state, created_at desc, refund_id desc);
create index refunds_by_account on refunds (merchant_id, gateway_account_id, created_at desc, refund_id desc);
create index refunds_by_request on refunds (merchant_id, unique_request_id);
create index refunds_by_arn on refunds (merchant_id, arn) where arn is not null;
-- Asked for by people of a merchant, and by webhooks of an account, which names its merchant as well.
create index refunds_by_gateway_id on refunds (merchant_id, gateway_refund_id)
  where gateway_refund_id is not null;
create index refunds_open_by_due on refunds (merchant_id, due_at, refund_id) where next_look_at is not null;
create index refunds_by_amount on refunds (currency, merchant_id, amount_minor);
create index refunds_by_batch on refunds (merchant_id, batch_id, created_at desc, refund_id desc)
  where batch_id is not null;
-- Of a batch, the refunds that came to nothing, in the order of its file.
create index refunds_failed_of_batch on refunds (merchant_id, batch_id, batch_row)
  where batch_id is not null and state in ('failed', 'cancelled', 'reversed');
-- Most refunds come by API and are nobody's: those that are found by their maker or door are the others.
create index refunds_by_maker on refunds (merchant_id, initiated_by, created_at desc, refund_id desc)
  where initiated_by <> 'API';
create index refunds_by_door on refunds (merchant_id, door, created_at desc, refund_id desc) where door <> 'api';

-- The one way to an order's refunds that no other index can be taken for: it is led by the order, and a statement that asks
-- for the merchant with "is not distinct from" fits no index that is led by that. Not unique, and so no key: those begin
-- with the merchant.
create index refunds_of_order on refunds (order_id, merchant_id);

-- Last, as that of orders is, and for the same reason.
alter table refunds add primary key (merchant_id, refund_id);

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
  primary key (merchant_id, refund_id, attempt_no),
  foreign key (merchant_id, refund_id) references refunds
);
comment on table attempts is
  'A row is one call to a gateway that asks it to make a refund, written before the first byte is sent. '
  'It belongs to a merchant.';
