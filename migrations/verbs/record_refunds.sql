-- Records what can be recorded and says of each item what became of it: the refund for an accepted one, its idx and the reason
-- for a refused one. It takes a list, locks the orders concerned in one order, and works in rounds: the n-th item of each order
-- is judged and written in round n, so that each sees what the ones before it did, while different orders go through together.
-- State, event and notification are written by one statement (invariant 6). move_refunds works in the same way.
--
-- Their plans are kept by each connection. One that was made while the tables were small would read them whole long after they
-- have grown (a list of 500 took a second), so both are held to their indexes. No two of the sets within the statement are
-- joined with each other: the planner takes them for a row or two and would compare every pair.
--   p_items: each one asked-for refund. A null amount means all that is left.
--   p_max_refunds: of an order, those that hold their amount or have paid it; p_max_tries: all that were ever asked for
--   p_gateways: by gateway word, whether it can do {"partial", "instant"} refunds
--   p_due_days: by payment method type, the days until the customer should have the money; '' for others
create or replace function record_refunds(p_now timestamptz, p_review_at timestamptz, p_max_refunds integer,
                                          p_max_tries integer, p_gateways jsonb, p_due_days jsonb, p_items jsonb)
returns table (idx integer, outcome text, order_id text, remaining_minor bigint, currency text,
               exponent smallint, refund refunds)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_items jsonb;
  v_round integer;
begin
  -- Each with the order's own spelling of its id, and its place among those of its order.
  v_items := (
    select jsonb_agg(i.item)
    from (
      select e.item || jsonb_build_object(
               'order_id', k.order_id,
               'round', case when k.order_id is null then 1
                             else row_number() over (partition by e.item ->> 'merchant_id', k.order_id
                                                     order by (e.item ->> 'idx')::integer) end) as item
      from jsonb_array_elements(p_items) e(item)
      left join orders o
        on o.merchant_id = e.item ->> 'merchant_id' and lower(o.order_id) = lower(e.item ->> 'order_id')
      left join lateral (
        select x.order_id from transactions x
        where e.item ->> 'order_id' is null and x.merchant_id = e.item ->> 'merchant_id'
          and x.txn_id = e.item ->> 'txn_id'
        limit 1) t on true
      cross join lateral (select coalesce(o.order_id, t.order_id) as order_id) k) i);

  perform 1 from orders o
  where (o.merchant_id, o.order_id) in (
    select i.merchant_id, i.order_id from jsonb_to_recordset(v_items) as i(merchant_id text, order_id text))
  order by o.merchant_id, o.order_id
  for no key update;

  for v_round in 1 .. coalesce((select max(i.round) from jsonb_to_recordset(v_items) as i(round integer)), 0) loop
    return query
    with facts as (
      select i.*, o.order_uuid, o.status as order_status, o.currency as order_currency, o.exponent as order_exponent,
             o.event_seq + 1 as new_seq, o.event_hash as head,
             t.txn_id as target_txn_id, t.gateway, t.gateway_account_id, t.gateway_payment_id,
             t.payment_method_type, t.effective_minor, t.effective_minor - t.reserved_minor as rest,
             case when i.amount is null then t.effective_minor - t.reserved_minor
                  when scale(i.amount::numeric) <= o.exponent
                  then least(i.amount::numeric * power(10::numeric, o.exponent), 1e15)::bigint end as asked
      from jsonb_to_recordset(v_items) as i(
        idx integer, merchant_id text, order_id text, txn_id text, refund_id uuid, unique_request_id text, amount text,
        currency text, refund_type text, reason text, note text, metadata jsonb, initiated_by text, door text,
        batch_id uuid, batch_row integer, lane smallint, idempotency_key text, window_ms integer,
        expected_remaining text, cause jsonb, round integer)
      left join orders o on o.merchant_id = i.merchant_id and o.order_id = i.order_id
      left join lateral (
        select x.* from transactions x
        where x.merchant_id = i.merchant_id and x.order_id = i.order_id and x.status = 'CHARGED'
          and (i.txn_id is null or x.txn_id = i.txn_id)
        order by (x.effective_minor - x.reserved_minor)
                 >= greatest(coalesce(i.amount::numeric * power(10::numeric, o.exponent), 1), 1) desc,
                 x.charged_at, x.txn_id
        limit 1) t on true
      where i.round = v_round
    ), judged as (
      select f.*, case
        when f.order_uuid is null then 'order_not_found'
        when f.target_txn_id is null then 'order_not_charged'
        when known.has_request_id then 'duplicate_request_id'
        when known.refunds >= p_max_refunds then 'too_many_refunds'
        when f.currency is not null and f.currency <> f.order_currency then 'currency_mismatch'
        when f.asked is null then 'amount_too_many_decimals'
        when f.expected_remaining is not null
         and f.expected_remaining::numeric * power(10::numeric, f.order_exponent) <> f.rest
          then 'remaining_mismatch'
        when f.amount is not null and f.asked <= 0 then 'amount_not_positive'
        when known.has_same_amount then 'same_amount_again'
        when f.asked > f.rest or f.rest = 0 then 'amount_exceeds_rest'
        when f.refund_type = 'INSTANT' and not coalesce((p_gateways -> f.gateway ->> 'instant')::boolean, false)
          then 'instant_not_supported'
        when f.asked < f.effective_minor
         and not coalesce((p_gateways -> f.gateway ->> 'partial')::boolean, true) then 'partial_not_supported'
        else 'accepted' end as verdict
      from facts f
      -- One walk over the order's refunds, of which there are few. The second condition is written so that only the
      -- index led by order_id fits: while statistics are missing, any index led by merchant_id looks as good.
      cross join lateral (
        select refunds_that_count(count(*) filter (where state_reserves(r.state)), count(*), p_max_refunds, p_max_tries) as refunds,
               bool_or(r.unique_request_id = f.unique_request_id) as has_request_id,
               bool_or(r.amount_minor = f.asked and state_reserves(r.state)
                       and r.created_at > p_now - make_interval(secs => f.window_ms / 1000.0)) as has_same_amount
        from refunds r
        where r.order_id = f.order_id and r.merchant_id is not distinct from f.merchant_id) known
    ), accepted as (
      select j.*, event_body(j.merchant_id, j.order_id, j.new_seq, p_now, 'refund.recorded', j.refund_id,
                             null, 'queued', j.cause, jsonb_build_object(
                               'unique_request_id', j.unique_request_id, 'txn_id', j.target_txn_id,
                               'amount_minor', j.asked, 'currency', j.order_currency,
                               'full', j.amount is null, 'door', j.door, 'batch_id', j.batch_id, 'batch_row', j.batch_row)) as body
      from judged j where j.verdict = 'accepted'
    ), chained as (
      select a.*, event_hash(a.head, a.body) as new_hash from accepted a
    ), inserted as (
      insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency,
        exponent, state, gateway, gateway_account_id, gateway_payment_id, payment_method_type, refund_type,
        idempotency_key, reason, note, metadata, initiated_by, door, batch_id, batch_row, lane, created_at, updated_at,
        due_at, next_look_at, review_at, event_seq)
      select a.merchant_id, a.order_id, a.refund_id, a.unique_request_id, a.target_txn_id, a.asked,
        a.order_currency, a.order_exponent, 'queued', a.gateway, a.gateway_account_id, a.gateway_payment_id,
        a.payment_method_type, a.refund_type, a.idempotency_key, a.reason, a.note,
        coalesce(a.metadata, '{}'), a.initiated_by, a.door, a.batch_id, a.batch_row, a.lane, p_now, p_now,
        date_trunc('hour', p_now + interval '59 minutes 59.999 seconds' + make_interval(days =>
          coalesce((p_due_days ->> a.payment_method_type)::integer, (p_due_days ->> '')::integer))),
        p_now, p_review_at, a.new_seq
      from chained a
      returning *
    ), heads as (
      update orders o set event_seq = a.new_seq, event_hash = a.new_hash, updated_at = p_now
      from chained a where o.merchant_id = a.merchant_id and o.order_id = a.order_id
    ), logged as (
      insert into events (merchant_id, order_id, seq, at, body, hash)
      select a.merchant_id, a.order_id, a.new_seq, p_now, a.body, a.new_hash from chained a
    ), told as (
      insert into notifications (merchant_id, order_id, notification_id, event_name, refund_id, event_seq, bulk,
                                 created_at, spread_at)
      select a.merchant_id, a.order_id, gen_random_uuid(), 'REFUND_INITIATED', a.refund_id, a.new_seq,
             a.batch_id is not null, p_now, p_now
      from chained a
    )
    select null::integer, 'accepted', n.order_id, null::bigint, n.currency, n.exponent, n::refunds
    from inserted n
    union all
    select j.idx, j.verdict, j.order_id, j.rest, j.order_currency, j.order_exponent, null::refunds
    from judged j where j.verdict <> 'accepted';
  end loop;
end $$;
