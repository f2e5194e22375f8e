-- Checks the rows of some buckets of a round against the orders as they are now, and says of how many rows and how
-- much money it came to which verdict. A row that can no longer be sent, or looks like another refund, gets its problem.
--   p_gateways: by gateway word, whether it can do {"partial", "instant"} refunds, and up to how many {"days"} after the payment
-- The plan is held to indexes, as that of record_refunds is.
create or replace function check_refund_rows(p_now timestamptz, p_merchant_id text, p_batch_id uuid, p_round integer,
                                             p_from integer, p_to integer, p_max_refunds integer, p_max_tries integer, p_gateways jsonb)
returns table (verdict text, code text, gateway text, currency text, exponent smallint, row_count bigint, amount_minor numeric)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  return query
  with facts as materialized (
    select r.row_no, r.line, r.readable, r.verdict as was, r.problem as had, r.order_id as written, r.found_order_id as found,
           r.sends_amount as sent_amount, r.sends_txn_id as sent_txn_id,
           r.unique_request_id, r.amount, r.currency as row_currency, r.refund_type, r.customer_email as row_email, r.txn_id as row_txn_id,
           o.order_id as the_order_id, o.currency as order_currency, o.exponent as order_exponent,
           o.customer_email as order_email, t.*, array_position(t.txn_ids, r.txn_id) as named,
           case when r.readable and r.amount <> 'full' and o.exponent is not null and scale(r.amount::numeric) <= o.exponent
                then least(r.amount::numeric * power(10::numeric, o.exponent), 1e15)::bigint end as asked
    from batch_rows r
    left join orders o on r.readable and o.merchant_id = r.merchant_id
      and lower(o.order_id) = lower(coalesce(r.found_order_id, r.order_id))
    left join lateral (
      select array_agg(x.txn_id order by x.charged_at, x.txn_id) as txn_ids,
             array_agg(x.gateway order by x.charged_at, x.txn_id) as gateways,
             array_agg(x.charged_at order by x.charged_at, x.txn_id) as charged,
             array_agg(x.effective_minor order by x.charged_at, x.txn_id) as wholes,
             array_agg(x.effective_minor - x.reserved_minor order by x.charged_at, x.txn_id) as rests,
             array_agg(coalesce((p_gateways -> x.gateway ->> 'partial')::boolean, true) order by x.charged_at, x.txn_id) as parts,
             array_agg(coalesce((p_gateways -> x.gateway ->> 'instant')::boolean, false) order by x.charged_at, x.txn_id) as instants,
             array_agg(x.charged_at < p_now - make_interval(days => (p_gateways -> x.gateway ->> 'days')::integer)
                       order by x.charged_at, x.txn_id) as olds
      from transactions x
      where x.merchant_id = o.merchant_id and x.order_id = o.order_id and x.status = 'CHARGED') t on true
    where r.merchant_id = p_merchant_id and r.batch_id = p_batch_id and r.bucket between p_from and p_to and r.round = p_round
  ), met as (
    select f.*, known.*,
           row_number() over same_id as id_place, first_value(f.line) over same_id as id_line
    from facts f
    cross join lateral (
      select refunds_that_count(count(*) filter (where state_reserves(k.state)), count(*), p_max_refunds, p_max_tries) as refunds,
             bool_or(k.unique_request_id = f.unique_request_id) as has_request_id,
             jsonb_object_agg(k.amount_minor, k.created_at order by k.created_at) filter (where state_reserves(k.state)) as amounts_before
      from refunds k
      where k.order_id = f.the_order_id and k.merchant_id is not distinct from p_merchant_id) known
    window same_id as (partition by f.readable, f.the_order_id, case when f.the_order_id is null then f.row_no end,
                                    f.unique_request_id order by f.row_no)
  ), judged as (
    select m.*, case
      when not m.readable then 'unreadable'
      when m.the_order_id is null then 'order_not_found'
      when m.txn_ids is null or (m.row_txn_id is not null and m.named is null) then 'order_not_charged'
      when m.has_request_id then 'duplicate_request_id'
      when m.id_place > 1 then 'duplicate_in_file'
      when m.row_currency <> m.order_currency then 'currency_mismatch'
      when m.row_email is not null and lower(m.row_email) is distinct from lower(m.order_email) then 'email_mismatch'
      when m.amount <> 'full' and m.asked is null then 'amount_too_many_decimals'
      end as fault
    from met m
  ), taken as (
    select j.*, case when j.fault is null then
             taken_in_turn(j.refunds, p_max_refunds, j.rests, j.wholes, j.parts, j.instants, j.olds, j.named, j.asked,
                           j.refund_type = 'INSTANT')
               filter (where j.fault is null)
               over (partition by j.the_order_id, case when j.the_order_id is null then j.row_no end order by j.row_no) end as turn
    from judged j
  ), picked as (
    select t.*, coalesce(t.turn[2], t.named, 1) as pick, greatest(t.turn[3], 0) as takes,
           coalesce(t.fault, case t.turn[3] when -1 then 'too_many_refunds' when -2 then 'amount_exceeds_rest'
                                            when -3 then 'instant_not_supported' when -4 then 'partial_not_supported'
                                            when -5 then 'too_old' end) as why_not
    from taken t
  ), weighed as (
    select p.*, p.gateways[p.pick] as the_gateway, p.charged[p.pick] as charged_at,
           (p_gateways -> p.gateways[p.pick] ->> 'days')::integer as days,
           row_number() over same_amount as amount_place, first_value(p.line) over same_amount as amount_line
    from picked p
    window same_amount as (partition by p.the_order_id, p.takes, case when coalesce(p.takes, 0) = 0 then p.row_no end order by p.row_no)
  ), verdicts as (
    select w.*, coalesce(w.why_not, case
      when w.amounts_before ? w.takes::text then 'same_amount_before'
      when w.amount_place > 1 then 'same_amount_in_file' end) as code
    from weighed w
  ), ruled as (
    select v.*, case when v.code is null then 'good' when v.code like 'same\_amount\_%' then 'look_alike' else 'bad' end as is_now,
           case v.code
             when 'unreadable' then v.had
             when 'duplicate_in_file' then jsonb_build_object('code', v.code, 'field', 'unique_request_id', 'line', v.id_line)
             when 'same_amount_in_file' then jsonb_build_object('code', v.code, 'field', 'amount', 'line', v.amount_line)
             when 'too_old' then jsonb_build_object('code', v.code, 'at', v.charged_at, 'days', v.days)
             when 'same_amount_before' then jsonb_build_object('code', v.code, 'field', 'amount', 'at', v.amounts_before -> v.takes::text)
             else jsonb_build_object('code', v.code, 'rest_minor', v.rests[v.pick] - v.turn[3 + v.pick], 'currency', v.order_currency,
                                     'exponent', v.order_exponent) end as problem,
           -- What has been promised must not become more, nor another payment's, when other rows are left out or facts change.
           case when v.takes > 0 and v.amount = 'full' and (v.takes < v.wholes[v.pick] or v.named is null and cardinality(v.rests) > 1)
                then round(v.takes / power(10::numeric, v.order_exponent), v.order_exponent)::text end as now_sends_amount,
           case when v.takes > 0 and v.named is null and cardinality(v.rests) > 1 then v.txn_ids[v.pick] end as now_sends_txn_id
    from verdicts v
  ), written as (
    update batch_rows b set
      verdict = w.is_now, problem = case when w.code is not null then w.problem end,
      found_order_id = case when w.the_order_id <> w.written then w.the_order_id end,
      sends_amount = w.now_sends_amount, sends_txn_id = w.now_sends_txn_id
    from ruled w
    where b.merchant_id = p_merchant_id and b.batch_id = p_batch_id and b.row_no = w.row_no
      and b.order_id = w.written
      and (w.is_now <> 'good' or w.was <> 'good' or w.found is distinct from case when w.the_order_id <> w.written then w.the_order_id end
           or w.sent_amount is distinct from w.now_sends_amount or w.sent_txn_id is distinct from w.now_sends_txn_id)
      and w.code is distinct from 'unreadable'
  )
  select w.is_now, case when w.code = 'unreadable' then w.had ->> 'code' else w.code end, w.the_gateway, w.order_currency,
         w.order_exponent, count(*), sum(case when w.is_now = 'bad' then 0 else w.takes end)
  from ruled w group by 1, 2, 3, 4, 5;
end $$;
