-- What refunds add up to, kept as they change, so that nobody has to read them all to count them.
--
-- A statement that makes or moves refunds leaves behind by how much it changed which sums (figure_changes); it updates no sum,
-- so no two refunds ever wait for each other over one. A worker folds what was left behind into the sums (figures). Whoever reads
-- adds the two.
--
-- These tables belong to a cell: they are written by triggers on the refunds that lie beside them, and hold what these add up
-- to. A merchant whose orders lie in several cells has the sum of what each of them says. So there is no order id in their keys.

-- A row is a number of refunds that came to look so, or if it is negative, no longer do.
create table figure_changes (
  merchant_id text not null,
  gateway text not null,
  currency text not null,
  state text not null,
  -- When they were made, and when the gateway decided them, to the quarter of an hour.
  made_at timestamptz not null,
  decided_at timestamptz,
  -- How long that took: see figure_length.
  took smallint,
  -- Why they failed; empty where the gateway gave no reason, null where they did not fail.
  error_code text,
  -- The batch they came by; null where they came by themselves.
  batch_id uuid,
  refunds bigint not null,
  amount_minor numeric not null
);
-- Rows live for seconds. Their place is to be used again as soon.
alter table figure_changes set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- A row is a sum over refunds. By kind:
--   ever:   word is the state, at is the epoch: all refunds
--   made:   word is the state, at is when they were made
--   took:   word is the length that it took, at is when the gateway decided them
--   failed: word is the error code, at is when they were made
-- to the quarter of an hour, where days of any time zone begin. The kinds that name a time have the same sums of as much
-- time at once, counted from the epoch on, so that a year is added up from few rows: what lies between two quarters of an
-- hour is the longest cells within and shorter ones at both ends.
create table figures (
  merchant_id text not null,
  kind text not null check (kind in ('ever', 'made', 'made_3h', 'took', 'took_1d', 'took_30d', 'failed', 'failed_1d',
                                     'failed_30d')),
  at timestamptz not null,
  word text not null,
  gateway text not null,
  currency text not null,
  refunds bigint not null,
  amount_minor numeric not null,
  primary key (merchant_id, kind, at, word, gateway, currency)
);
-- Of what was made long ago, little has no end yet.
create index figures_open on figures (merchant_id, at)
  where kind = 'made' and word in ('awaiting_approval', 'queued', 'sending', 'unknown', 'waiting_for_funds', 'submitted',
                                   'manual_review');

-- A row is a sum over the refunds of one batch.
create table batch_figures (
  merchant_id text not null,
  batch_id uuid not null,
  state text not null,
  gateway text not null,
  currency text not null,
  refunds bigint not null,
  amount_minor numeric not null,
  primary key (merchant_id, batch_id, state, gateway, currency)
);

create function figure_time(at timestamptz) returns timestamptz immutable language sql
  return date_bin('15 minutes', at, 'epoch');

-- Lengths of time in steps of a fourth root of two (19 %): the length is at most 2 ^ (step / 4) seconds.
create function figure_length(from_time timestamptz, to_time timestamptz) returns smallint immutable language sql
  return ceil(4 * ln(greatest(extract(epoch from to_time - from_time), 1)::double precision) / ln(2::double precision))::smallint;

-- What a refund that looks so counts in.
create function figures_of(state text, made_at timestamptz, decided_at timestamptz, took smallint, error_code text)
returns table (kind text, at timestamptz, word text) immutable language sql
begin atomic
  select v.kind, v.at, v.word from (values
    ('ever', timestamptz 'epoch', state),
    ('made', made_at, state),
    ('made_3h', date_bin('3 hours', made_at, 'epoch'), state),
    ('took', decided_at, took::text),
    ('took_1d', date_bin('1 day', decided_at, 'epoch'), took::text),
    ('took_30d', date_bin('30 days', decided_at, 'epoch'), took::text),
    ('failed', made_at, error_code),
    ('failed_1d', date_bin('1 day', made_at, 'epoch'), error_code),
    ('failed_30d', date_bin('30 days', made_at, 'epoch'), error_code)) v(kind, at, word)
  where v.at is not null and v.word is not null;
end;

-- When the gateway decided a refund that looks so; null where it has not.
create function figure_decided(state text, succeeded_at timestamptz, failed_at timestamptz) returns timestamptz
immutable language sql
  return case when state in ('succeeded', 'reversed') then succeeded_at when state = 'failed' then failed_at end;

-- Invariant 1: what is reserved follows from the refunds themselves, once per statement, and so does what they add up to.
-- One statement does both, since one costs less than two, and compares no refund of the statement with another one: the
-- planner takes them for a row or two, and there may be any number.
create or replace function keep_reserved_on_insert() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_all_held boolean;
begin
  with held as (
    select merchant_id, order_id, txn_id, sum(amount_minor) filter (where state_reserves(state))::bigint as delta
    from new_refunds group by 1, 2, 3
  ), reserved as (
    update transactions t set
      reserved_minor = t.reserved_minor + h.delta,
      refunded = refunded_words(t.reserved_minor + h.delta, t.effective_minor),
      ordered_at = coalesce(t.ordered_at, (
        select o.created_at from orders o where o.merchant_id = t.merchant_id and o.order_id = t.order_id))
    from held h
    where t.merchant_id = h.merchant_id and t.order_id = h.order_id and t.txn_id = h.txn_id and h.delta is not null
    returning 1
  ), figured as (
    insert into figure_changes (merchant_id, gateway, currency, state, made_at, decided_at, took, error_code, batch_id,
                                refunds, amount_minor)
    select merchant_id, gateway, currency, state, figure_time(created_at), figure_time(decided_at),
           figure_length(created_at, decided_at), case when state = 'failed' then left(coalesce(error_code, ''), 100) end,
           batch_id, count(*), sum(amount_minor)
    from (select *, figure_decided(state, succeeded_at, failed_at) as decided_at from new_refunds) n
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9
  )
  select (select count(*) from held) = (select count(*) from reserved) into v_all_held;
  -- The update has proved that each transaction exists; a foreign key would look each of them up once more.
  if not v_all_held then
    raise exception 'a refund needs a transaction, and holds its amount from the start'
      using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;

create or replace function keep_reserved_on_update() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  with looks as (
    select merchant_id, order_id, txn_id, gateway, currency, state, created_at, succeeded_at, failed_at, error_code,
           batch_id, amount_minor, 1 as sign from new_refunds
    union all
    select merchant_id, order_id, txn_id, gateway, currency, state, created_at, succeeded_at, failed_at, error_code,
           batch_id, amount_minor, -1 from old_refunds
  ), reserved as (
    update transactions t set
      reserved_minor = t.reserved_minor + d.delta,
      refunded = refunded_words(t.reserved_minor + d.delta, t.effective_minor)
    from (select merchant_id, order_id, txn_id, sum(sign * amount_minor)::bigint as delta
          from looks where state_reserves(state) group by 1, 2, 3 having sum(sign * amount_minor) <> 0) d
    where t.merchant_id = d.merchant_id and t.order_id = d.order_id and t.txn_id = d.txn_id
  )
  insert into figure_changes (merchant_id, gateway, currency, state, made_at, decided_at, took, error_code, batch_id,
                              refunds, amount_minor)
  select merchant_id, gateway, currency, state, figure_time(created_at), figure_time(decided_at),
         figure_length(created_at, decided_at), case when state = 'failed' then left(coalesce(error_code, ''), 100) end,
         batch_id, sum(sign), sum(sign * amount_minor)
  from (select *, figure_decided(state, succeeded_at, failed_at) as decided_at from looks) l
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9
  having sum(sign) <> 0 or sum(sign * amount_minor) <> 0;
  return null;
end $$;

-- Says anew what all refunds add up to, from the refunds themselves. Nobody may change a refund meanwhile.
create function rebuild_figures() returns void language plpgsql as $$
begin
  lock table refunds in share mode;
  delete from figure_changes;
  delete from figures;
  delete from batch_figures;
  insert into batch_figures (merchant_id, batch_id, state, gateway, currency, refunds, amount_minor)
  select merchant_id, batch_id, state, gateway, currency, count(*), sum(amount_minor)
  from refunds where batch_id is not null group by 1, 2, 3, 4, 5;
  insert into figures (merchant_id, kind, at, word, gateway, currency, refunds, amount_minor)
  select r.merchant_id, f.kind, f.at, f.word, r.gateway, r.currency, count(*), sum(r.amount_minor)
  from refunds r
  cross join lateral (select figure_decided(r.state, r.succeeded_at, r.failed_at) as decided_at) d
  cross join lateral figures_of(
    r.state, figure_time(r.created_at), figure_time(d.decided_at), figure_length(r.created_at, d.decided_at),
    case when r.state = 'failed' then left(coalesce(r.error_code, ''), 100) end) f
  group by 1, 2, 3, 4, 5, 6;
end $$;
select rebuild_figures();
