-- The two verbs that write refunds. Both take a list, lock the orders concerned in one order, and work in
-- rounds: the n-th item of each order is judged and written in round n, so that each sees what the ones
-- before it did, while different orders go through together. State, event and notification are written by
-- one statement (invariant 6).
--
-- Their plans are kept by each connection. One that was made while the tables were small would read them whole
-- long after they have grown (a list of 500 took a second), so the verbs are held to their indexes.

-- The event as it is hashed. Times are UTC with microseconds.
create function event_body(merchant_id text, order_id text, seq bigint, at timestamptz, kind text,
                           refund_id uuid, from_state text, to_state text, cause jsonb, evidence jsonb)
returns jsonb stable language sql as $$
  select jsonb_build_object(
    'merchant_id', merchant_id, 'order_id', order_id, 'seq', seq,
    'at', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'kind', kind, 'refund_id', refund_id, 'from', from_state, 'to', to_state,
    'cause', cause, 'evidence', evidence)
$$;

-- An item is one asked-for refund. A null amount means all that is left.
create type refund_request as (
  idx integer, merchant_id text, order_id text, txn_id text, refund_id uuid, unique_request_id text,
  amount text, currency text, refund_type text, reason text, note text, metadata jsonb, initiated_by text,
  door text, batch_id uuid, batch_row integer, lane smallint, idempotency_key text, window_ms integer, expected_remaining text,
  cause jsonb, round integer);

-- How many refunds of an order count against the most that it may have: those that hold their amount or have paid it. Tries
-- that came to nothing count only where there are very many, so that a wrong setting closes no order for good.
create function refunds_that_count(held bigint, tries bigint, most integer, most_tries integer) returns bigint
immutable language sql
  return greatest(held, tries - (most_tries - most));

-- Records what can be recorded and says of each item what became of it: the refund for an accepted one, its
-- idx and the reason for a refused one. No two of the sets within the statement are joined with each other:
-- the planner takes them for a row or two and would compare every pair.
--   p_max_refunds: of an order, those that hold their amount or have paid it; p_max_tries: all that were ever asked for
--   p_gateways: by gateway word, whether it can do {"partial", "instant"} refunds
--   p_due_days: by payment method type, the days until the customer should have the money; '' for others
create function record_refunds(p_now timestamptz, p_review_at timestamptz, p_max_refunds integer,
                               p_max_tries integer, p_gateways jsonb, p_due_days jsonb, p_items jsonb)
returns table (idx integer, outcome text, order_id text, remaining_minor bigint, currency text,
               exponent smallint, refund refunds)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_items refund_request[];
  v_round integer;
begin
  v_items := array(
    select row(i.idx, i.merchant_id, coalesce(o.order_id, t.order_id), i.txn_id, i.refund_id,
               i.unique_request_id, i.amount, i.currency, i.refund_type, i.reason, i.note, i.metadata,
               i.initiated_by, i.door, i.batch_id, i.batch_row, i.lane, i.idempotency_key, i.window_ms,
               i.expected_remaining, i.cause,
               case when coalesce(o.order_id, t.order_id) is null then 1
                    else row_number() over (partition by i.merchant_id, coalesce(o.order_id, t.order_id)
                                            order by i.idx) end)::refund_request
    from jsonb_populate_recordset(null::refund_request, p_items) i
    left join orders o
      on i.order_id is not null and o.merchant_id = i.merchant_id and lower(o.order_id) = lower(i.order_id)
    left join lateral (
      select x.order_id from transactions x
      where i.order_id is null and x.merchant_id = i.merchant_id and x.txn_id = i.txn_id limit 1) t on true);

  perform 1 from orders o
  where (o.merchant_id, o.order_id) in (select i.merchant_id, i.order_id from unnest(v_items) i)
  order by o.merchant_id, o.order_id
  for no key update;

  for v_round in 1 .. coalesce((select max(i.round) from unnest(v_items) i), 0) loop
    return query
    with facts as (
      select i.*, o.order_uuid, o.status as order_status, o.currency as order_currency, o.exponent as order_exponent,
             o.event_seq + 1 as new_seq, o.event_hash as head,
             t.txn_id as target_txn_id, t.gateway, t.gateway_account_id, t.gateway_payment_id,
             t.payment_method_type, t.effective_minor, t.effective_minor - t.reserved_minor as rest,
             case when i.amount is null then t.effective_minor - t.reserved_minor
                  when scale(i.amount::numeric) <= o.exponent
                  then least(i.amount::numeric * power(10::numeric, o.exponent), 1e15)::bigint end as asked
      from unnest(v_items) i
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

-- An item is one change of one refund, decided on the version it names: if the refund has moved on since,
-- nothing is written for it and the caller decides anew.
create type refund_move as (
  idx integer, merchant_id text, order_id text, refund_id uuid, decided_on bigint, to_state text, kind text,
  changes jsonb, cause jsonb, evidence jsonb, notify jsonb, attempt jsonb, attempt_end jsonb, round integer);

create function move_refunds(p_now timestamptz, p_items jsonb)
returns table (idx integer, refund refunds)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_items refund_move[];
  v_round integer;
begin
  v_items := array(
    select row(i.idx, i.merchant_id, i.order_id, i.refund_id, i.decided_on, i.to_state, i.kind, i.changes,
               i.cause, i.evidence, i.notify, i.attempt, i.attempt_end,
               row_number() over (partition by i.merchant_id, i.order_id order by i.idx))::refund_move
    from jsonb_populate_recordset(null::refund_move, p_items) i);

  perform 1 from orders o
  where (o.merchant_id, o.order_id) in (select i.merchant_id, i.order_id from unnest(v_items) i)
  order by o.merchant_id, o.order_id
  for no key update;

  for v_round in 1 .. coalesce((select max(i.round) from unnest(v_items) i), 0) loop
    return query
    with moving as (
      select i.idx, i.to_state, i.kind, i.notify, i.attempt, i.attempt_end, r as old,
             jsonb_populate_record(r, i.changes) as new, o.event_seq + 1 as new_seq, o.event_hash as head,
             event_body(r.merchant_id, r.order_id, o.event_seq + 1, p_now, i.kind, r.refund_id,
                        r.state, i.to_state, i.cause, i.evidence) as body
      from unnest(v_items) i
      join refunds r on r.merchant_id = i.merchant_id and r.order_id = i.order_id
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
        attention = (m.new).attention, settled_by_hand = (m.new).settled_by_hand, proposal = (m.new).proposal, overruled = (m.new).overruled,
        recheck_at = (m.new).recheck_at, sent_at = (m.new).sent_at, succeeded_at = (m.new).succeeded_at,
        failed_at = (m.new).failed_at, next_look_at = (m.new).next_look_at, review_at = (m.new).review_at,
        updated_at = p_now, event_seq = m.new_seq
      from chained m
      where r.merchant_id = (m.old).merchant_id and r.order_id = (m.old).order_id
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
        and a.merchant_id = (m.old).merchant_id and a.order_id = (m.old).order_id
        and a.refund_id = (m.old).refund_id and a.attempt_no = (m.attempt_end ->> 'attempt_no')::integer
    )
    select v.idx, v.refund from moved v;
  end loop;
end $$;
