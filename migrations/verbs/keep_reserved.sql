-- How much of a payment is refunded, in a word; null where nothing is.
create or replace function refunded_words(reserved_minor bigint, effective_minor bigint) returns text immutable language sql
  return case when reserved_minor = 0 then null when reserved_minor < effective_minor then 'partly' else 'fully' end;

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
create or replace trigger refunds_reserve after insert on refunds
  referencing new table as new_refunds for each statement execute function keep_reserved_on_insert();

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
create or replace trigger refunds_rereserve after update on refunds
  referencing old table as old_refunds new table as new_refunds
  for each statement execute function keep_reserved_on_update();
