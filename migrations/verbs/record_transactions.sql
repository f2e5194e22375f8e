-- Records what agrees with what is known and says of each item what became of it: 'recorded', 'unchanged', or
-- the name of what it contradicts with what is known of that.
--   p_rounds: lists of items, each one payment attempt as the merchant tells it. What is null was not told. A null account is
--             one that could not be told from the gateway's word. No two of one list share an order or a payment, so that
--             each is judged by what the lists before it did, while a list's items go through together
--   p_final:  the statuses that a transaction never leaves
-- Planned anew each time: a plan kept from when the tables were empty records 280 transactions a second in the
-- import that fills them, where a fresh one records 5000.
create or replace function record_transactions(p_now timestamptz, p_merchant_id text, p_final text[], p_rounds jsonb)
returns table (idx integer, outcome text, order_id text, txn_id text, known text)
language plpgsql set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
  v_round jsonb;
begin
  perform take_turn(p_merchant_id, array(
    select k.key
    from jsonb_array_elements(p_rounds) r(items)
    cross join lateral jsonb_to_recordset(r.items) as i(order_id text, gateway_account_id text, gateway_payment_id text)
    cross join lateral (values ('order ' || lower(i.order_id)),
                               ('payment ' || i.gateway_account_id || ' ' || i.gateway_payment_id)) k(key)
    where k.key is not null));

  perform 1 from orders o
  where o.merchant_id = p_merchant_id and lower(o.order_id) = any (array(
    select lower(i.order_id)
    from jsonb_array_elements(p_rounds) r(items)
    cross join lateral jsonb_to_recordset(r.items) as i(order_id text)))
  order by o.merchant_id, o.order_id
  for no key update;

  for v_round in select r.items from jsonb_array_elements(p_rounds) with ordinality r(items, n) order by r.n loop
    return query
    with facts as (
      select i.*, o.order_id as known_order_id, o.amount_minor as known_amount, o.currency as known_currency,
             o.status as known_status, o.customer_id as known_customer_id, o.customer_email as known_email,
             o.customer_phone as known_phone, o.details as known_details, o.metadata as known_metadata,
             coalesce(o.event_seq, 0) as head_seq, coalesce(o.event_hash, '') as head_hash,
             t, a.attempts, a.last_txn_id, a.charged_by, other.order_id as paid_order_id,
             coalesce(t.status = any (p_final), false) as is_final,
             coalesce(i.surcharge_minor, t.surcharge_minor, 0) as new_surcharge,
             coalesce(i.offer_minor, t.offer_minor, 0) as new_offer
      from jsonb_to_recordset(v_round) as i(
        idx integer, order_id text, order_uuid uuid, txn_uuid uuid, amount_minor bigint, currency text, exponent smallint,
        status text, gateway text, gateway_account_id text, account_told boolean, gateway_payment_id text,
        payment_method_type text, payment_method text, surcharge_minor bigint, offer_minor bigint, charged_at timestamptz,
        customer_id text, customer_email text, customer_phone text, details jsonb, metadata jsonb, cause jsonb)
      left join lateral (
        select x.* from orders x
        where x.merchant_id = p_merchant_id and lower(x.order_id) = lower(i.order_id) limit 1) o on true
      left join lateral (
        select x.* from transactions x
        where x.merchant_id = p_merchant_id and x.order_id = o.order_id
          and x.gateway_payment_id = i.gateway_payment_id limit 1) t on true
      cross join lateral (
        select count(*) as attempts,
               (array_agg(x.txn_id order by length(x.txn_id) desc, x.txn_id desc))[1] as last_txn_id,
               max(x.gateway_payment_id) filter (where x.status = 'CHARGED') as charged_by
        from transactions x where x.merchant_id = p_merchant_id and x.order_id = o.order_id) a
      left join lateral (
        select x.order_id from transactions x
        where x.gateway_account_id = i.gateway_account_id and x.gateway_payment_id = i.gateway_payment_id
          and x.merchant_id = p_merchant_id and x.order_id is distinct from o.order_id limit 1) other on true
    ), judged as (
      select f.*, c.name as contradiction, c.known, array_remove(array[
          case when (f.t).txn_id is null then 'gateway_payment_id' end,
          case when f.status is distinct from (f.t).status then 'status' end,
          case when f.surcharge_minor <> (f.t).surcharge_minor then 'surcharge' end,
          case when f.offer_minor <> (f.t).offer_minor then 'offer_discount' end,
          case when f.charged_at <> coalesce((f.t).charged_at, 'infinity') then 'charged_at' end,
          case when f.payment_method_type <> coalesce((f.t).payment_method_type, '') then 'payment_method_type' end,
          case when f.payment_method <> coalesce((f.t).payment_method, '') then 'payment_method' end,
          case when f.customer_id <> coalesce(f.known_customer_id, '') then 'customer_id' end,
          case when f.customer_email <> coalesce(f.known_email, '') then 'customer_email' end,
          case when f.customer_phone <> coalesce(f.known_phone, '') then 'customer_phone' end,
          case when f.known_details || f.details <> f.known_details then 'udf' end,
          case when f.known_metadata || f.metadata <> f.known_metadata then 'metadata' end], null) as changed
      from facts f
      left join lateral (
        select v.name, v.known from (values
          (1, f.known_order_id <> f.order_id, 'order_id', f.known_order_id),
          (2, f.known_currency <> f.currency, 'currency', f.known_currency),
          (3, f.known_amount <> f.amount_minor, 'amount', f.known_amount::text),
          (4, (f.t).gateway <> f.gateway, 'gateway', (f.t).gateway),
          (5, f.account_told and (f.t).gateway_account_id <> f.gateway_account_id,
             'gateway_account', (f.t).gateway_account_id),
          (6, f.is_final and (f.t).status <> f.status, 'status', (f.t).status),
          (7, f.is_final and (f.t).surcharge_minor <> f.surcharge_minor, 'surcharge', (f.t).surcharge_minor::text),
          (8, f.is_final and (f.t).offer_minor <> f.offer_minor, 'offer_discount', (f.t).offer_minor::text),
          (9, f.is_final and (f.t).payment_method_type <> f.payment_method_type,
             'payment_method_type', (f.t).payment_method_type),
          (10, f.is_final and (f.t).payment_method <> f.payment_method, 'payment_method', (f.t).payment_method),
          (11, f.is_final and (f.t).charged_at <> f.charged_at, 'charged_at',
             to_char((f.t).charged_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
          (12, f.charged_by <> f.gateway_payment_id and ((f.t).txn_id is null or f.status = 'CHARGED'),
             'charged_by_other_payment', f.charged_by),
          (13, (f.t).txn_id is null and f.gateway_account_id is null, 'account_untold', null),
          (14, (f.t).txn_id is null and f.paid_order_id is not null, 'payment_of_other_order', f.paid_order_id),
          (15, f.amount_minor + f.new_surcharge - f.new_offer not between 1 and 999999999999999,
             'effective_amount', (f.amount_minor + f.new_surcharge - f.new_offer)::text)
        ) v(rank, holds, name, known)
        where v.holds order by v.rank limit 1) c on true
    ), agreed as (
      select j.*, coalesce(j.known_order_id, j.order_id) as the_order_id,
             coalesce((j.t).txn_id, concat_ws('-', p_merchant_id, coalesce(j.known_order_id, j.order_id),
                                              j.attempts + 1)) as the_txn_id,
             j.head_seq + case when j.known_order_id is null then 2 else 1 end as new_seq,
             case when j.charged_by is not null then 'CHARGED'
                  when (j.t).txn_id is null or j.status = 'CHARGED' or (j.t).txn_id = j.last_txn_id then j.status
                  else j.known_status end as order_status,
             least(p_now, coalesce(j.charged_at, p_now)) as since
      from judged j where j.contradiction is null
    ), changing as (
      select a.*, case when a.known_order_id is null then event_body(
               p_merchant_id, a.the_order_id, 1, p_now, 'order.created', null, null, 'NEW', a.cause,
               jsonb_build_object('amount_minor', a.amount_minor, 'currency', a.currency)) end as created_body,
             event_body(
               p_merchant_id, a.the_order_id, a.new_seq, p_now, 'transaction.recorded', null,
               (a.t).status, a.status, a.cause, jsonb_build_object(
                 'txn_id', a.the_txn_id, 'gateway', a.gateway,
                 'gateway_account_id', coalesce((a.t).gateway_account_id, a.gateway_account_id),
                 'gateway_payment_id', a.gateway_payment_id, 'amount_minor', a.amount_minor,
                 'surcharge_minor', a.new_surcharge, 'offer_minor', a.new_offer, 'currency', a.currency,
                 'changed', a.changed)) as body
      from agreed a where a.changed <> '{}'
    ), chained as materialized (
      select c.*, event_hash('', c.created_body) as created_hash,
             event_hash(coalesce(event_hash('', c.created_body), c.head_hash), c.body) as new_hash
      from changing c
    ), new_orders as (
      insert into orders (merchant_id, order_id, order_uuid, gateway, status, amount_minor, currency, exponent, customer_id,
        customer_email, customer_phone, details, metadata, event_seq, event_hash, created_at, updated_at)
      select p_merchant_id, c.the_order_id, c.order_uuid, c.gateway, c.order_status, c.amount_minor, c.currency, c.exponent,
        c.customer_id, c.customer_email, c.customer_phone, c.details, c.metadata, c.new_seq, c.new_hash, c.since,
        p_now
      from chained c where c.known_order_id is null
    ), changed_orders as (
      update orders o set status = c.order_status, gateway = case
          when c.charged_by is null and ((c.t).txn_id is null or c.status = 'CHARGED' or (c.t).txn_id = c.last_txn_id)
          then c.gateway else o.gateway end, customer_id = coalesce(c.customer_id, o.customer_id),
        customer_email = coalesce(c.customer_email, o.customer_email),
        customer_phone = coalesce(c.customer_phone, o.customer_phone), details = o.details || c.details,
        metadata = o.metadata || c.metadata, event_seq = c.new_seq, event_hash = c.new_hash, updated_at = p_now
      from chained c where o.merchant_id = p_merchant_id and o.order_id = c.known_order_id
    ), new_transactions as (
      insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, surcharge_minor,
        offer_minor, gateway, gateway_account_id, gateway_payment_id, payment_method_type, payment_method,
        charged_at, created_at, updated_at)
      select p_merchant_id, c.the_order_id, c.the_txn_id, c.txn_uuid, c.status, c.amount_minor, c.new_surcharge,
        c.new_offer, c.gateway, c.gateway_account_id, c.gateway_payment_id, c.payment_method_type,
        c.payment_method, c.charged_at, c.since, p_now
      from chained c where (c.t).txn_id is null
    ), changed_transactions as (
      update transactions x set status = c.status, surcharge_minor = c.new_surcharge, offer_minor = c.new_offer,
        payment_method_type = coalesce(c.payment_method_type, x.payment_method_type),
        payment_method = coalesce(c.payment_method, x.payment_method),
        charged_at = coalesce(c.charged_at, x.charged_at), updated_at = p_now
      from chained c
      where x.merchant_id = p_merchant_id and x.order_id = c.known_order_id and x.txn_id = (c.t).txn_id
    ), logged as (
      insert into events (merchant_id, order_id, seq, at, body, hash)
      select p_merchant_id, c.the_order_id, e.seq, p_now, e.body, e.hash
      from chained c
      cross join lateral (values (1::bigint, c.created_body, c.created_hash), (c.new_seq, c.body, c.new_hash))
        e(seq, body, hash)
      where e.body is not null
    )
    select a.idx, case when a.changed = '{}' then 'unchanged' else 'recorded' end, a.the_order_id, a.the_txn_id, null
    from agreed a
    union all
    select j.idx, j.contradiction, null, null, j.known from judged j where j.contradiction is not null;
  end loop;
end $$;
