-- Moves refunds that exist. An item is one change of one refund, decided on the version it names: if the refund has moved on
-- since, nothing is written for it and the caller decides anew.
--
-- It locks the orders concerned in one order, and works in rounds: the n-th item of each order is written in round n, since each
-- event carries the hash of the one before it, while different orders go through together. State, event and notification are
-- written by one statement (invariant 6).
--
-- Its plans are kept by each connection. One that was made while the tables were small would read them whole long after they
-- have grown, so it is held to its indexes; refunds are found by the one that is led by the order.
create or replace function move_refunds(p_now timestamptz, p_items jsonb)
returns table (idx integer, refund refunds)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_items jsonb;
  v_round integer;
begin
  -- Each with its place among those of its order.
  v_items := (
    select jsonb_agg(i.item || jsonb_build_object('round', i.round))
    from (
      select e.item, row_number() over (partition by e.item ->> 'merchant_id', e.item ->> 'order_id'
                                        order by (e.item ->> 'idx')::integer) as round
      from jsonb_array_elements(p_items) e(item)) i);

  perform 1 from orders o
  where (o.merchant_id, o.order_id) in (
    select i.merchant_id, i.order_id from jsonb_to_recordset(v_items) as i(merchant_id text, order_id text))
  order by o.merchant_id, o.order_id
  for no key update;

  for v_round in 1 .. coalesce((select max(i.round) from jsonb_to_recordset(v_items) as i(round integer)), 0) loop
    return query
    with moving as (
      select i.idx, i.to_state, i.kind, i.notify, i.attempt, i.attempt_end, r as old,
             jsonb_populate_record(r, i.changes) as new, o.event_seq + 1 as new_seq, o.event_hash as head,
             event_body(r.merchant_id, r.order_id, o.event_seq + 1, p_now, i.kind, r.refund_id,
                        r.state, i.to_state, i.cause, i.evidence) as body
      from jsonb_to_recordset(v_items) as i(
        idx integer, merchant_id text, order_id text, refund_id uuid, decided_on bigint, to_state text, kind text,
        changes jsonb, cause jsonb, evidence jsonb, notify jsonb, attempt jsonb, attempt_end jsonb, round integer)
      join refunds r on r.merchant_id is not distinct from i.merchant_id and r.order_id = i.order_id
                    and r.refund_id = i.refund_id and r.event_seq = i.decided_on
      join orders o on o.merchant_id = i.merchant_id and o.order_id = i.order_id
      where i.round = v_round
        -- Decided a moment ago, a send must not begin once it is known that the books may lack refunds (invariant 3).
        and (i.to_state <> 'sending' or not exists (
              select from account_holds h
              where h.merchant_id = r.merchant_id and h.gateway_account_id = r.gateway_account_id
                and h.released_at is null
              union all
              select from books b where b.doubt is not null))
    ), chained as (
      select m.*, event_hash(m.head, m.body) as new_hash from moving m
    ), moved as (
      update refunds r set
        state = m.to_state, lane = (m.new).lane, sends = (m.new).sends, unanswered = (m.new).unanswered,
        key_used_at = (m.new).key_used_at, sent_to = (m.new).sent_to,
        doubtful_refusal = (m.new).doubtful_refusal, refused_because = (m.new).refused_because,
        looks = (m.new).looks, absences = (m.new).absences, absence_counts_at = (m.new).absence_counts_at,
        gateway_refund_id = (m.new).gateway_refund_id, gateway_reference = (m.new).gateway_reference,
        gateway_status = (m.new).gateway_status, gateway_at = (m.new).gateway_at, arn = (m.new).arn,
        error_code = (m.new).error_code, error_message = (m.new).error_message,
        attention = (m.new).attention, settled_by_hand = (m.new).settled_by_hand,
        proposal = (m.new).proposal, overruled = (m.new).overruled,
        recheck_at = (m.new).recheck_at, sent_at = (m.new).sent_at, succeeded_at = (m.new).succeeded_at,
        failed_at = (m.new).failed_at, next_look_at = (m.new).next_look_at, review_at = (m.new).review_at,
        updated_at = p_now, event_seq = m.new_seq
      from chained m
      where r.merchant_id is not distinct from (m.old).merchant_id and r.order_id = (m.old).order_id
        and r.refund_id = (m.old).refund_id
      returning m.idx, r as refund
    ), heads as (
      update orders o set event_seq = m.new_seq, event_hash = m.new_hash, updated_at = p_now
      from chained m where o.merchant_id = (m.old).merchant_id and o.order_id = (m.old).order_id
    ), logged as (
      insert into events (merchant_id, order_id, seq, at, body, hash)
      select (m.old).merchant_id, (m.old).order_id, m.new_seq, p_now, m.body, m.new_hash from chained m
    ), told as (
      insert into notifications (merchant_id, order_id, notification_id, event_name, refund_id, event_seq, bulk,
                                 created_at, spread_at)
      select (m.old).merchant_id, (m.old).order_id, gen_random_uuid(), n.name, (m.old).refund_id, m.new_seq,
             (m.old).batch_id is not null, p_now, p_now
      from chained m cross join lateral jsonb_array_elements_text(m.notify) n(name)
    ), begun as (
      insert into attempts (merchant_id, order_id, refund_id, attempt_no, idempotency_key, request, started_at)
      select (m.old).merchant_id, (m.old).order_id, (m.old).refund_id, (m.attempt ->> 'attempt_no')::integer,
             (m.old).idempotency_key, m.attempt -> 'request', p_now
      from chained m where jsonb_typeof(m.attempt) = 'object'
    ), ended as (
      update attempts a set finished_at = p_now, outcome = m.attempt_end ->> 'outcome',
                            answer = m.attempt_end -> 'answer'
      from chained m
      where jsonb_typeof(m.attempt_end) = 'object'
        and a.merchant_id = (m.old).merchant_id and a.refund_id = (m.old).refund_id
        and a.attempt_no = (m.attempt_end ->> 'attempt_no')::integer
    )
    select v.idx, v.refund from moved v;
  end loop;
end $$;
