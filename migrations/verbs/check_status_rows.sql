-- Checks the rows of some buckets of a round that tell what became of refunds in manual review. A refund that is told by its order
-- is found by the one index that is led by the order.
create or replace function check_status_rows(p_merchant_id text, p_batch_id uuid, p_round integer, p_from integer, p_to integer)
returns table (verdict text, code text, gateway text, currency text, exponent smallint, row_count bigint, amount_minor numeric)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  return query
  with facts as materialized (
    select r.*, k.refund_id as the_refund_id, k.state as refund_state, k.gateway as the_gateway, k.currency as refund_currency,
           k.exponent as refund_exponent, k.amount_minor as refund_minor
    from batch_rows r
    left join lateral (
      select x.* from refunds x
      where r.readable and r.refund_id is not null and x.merchant_id = r.merchant_id and x.refund_id = r.refund_id::uuid
      union all
      select x.* from refunds x
      where r.readable and r.refund_id is null and x.order_id = coalesce(r.found_order_id, r.order_id)
        and x.merchant_id is not distinct from r.merchant_id and x.unique_request_id = r.unique_request_id
      limit 1) k on true
    where r.merchant_id = p_merchant_id and r.batch_id = p_batch_id and r.bucket between p_from and p_to and r.round = p_round
  ), placed as (
    select f.*, row_number() over same as place, first_value(f.line) over same as first_line
    from facts f
    window same as (partition by f.the_refund_id, case when f.the_refund_id is null then f.row_no end order by f.row_no)
  ), ruled as (
    select p.*, case
      when not p.readable then 'unreadable'
      when p.the_refund_id is null then 'refund_not_found'
      when p.place > 1 then 'duplicate_in_file'
      when p.refund_state <> 'manual_review' then 'not_in_review'
      end as fault
    from placed p
  ), written as (
    update batch_rows b set
      verdict = case when w.fault is null then 'good' else 'bad' end,
      problem = case when w.fault is not null then jsonb_build_object('code', w.fault, 'line', w.first_line, 'state', w.refund_state) end
    from ruled w
    where b.merchant_id = p_merchant_id and b.batch_id = p_batch_id and b.row_no = w.row_no
      and b.order_id = w.order_id and (w.fault is not null or w.verdict <> 'good') and w.fault is distinct from 'unreadable'
  )
  select case when w.fault is null then 'good' else 'bad' end, case when w.fault = 'unreadable' then w.problem ->> 'code' else w.fault end,
         w.the_gateway, w.refund_currency, w.refund_exponent, count(*), sum(case when w.fault is null then w.refund_minor else 0 end)
  from ruled w group by 1, 2, 3, 4, 5;
end $$;
