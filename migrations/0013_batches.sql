-- Batches: files of refunds, or of outcomes of refunds, that are checked as a whole, confirmed, and answered row by row.

-- Global -----------------------------------------------------------------------------------------------

-- A row is a batch: what was decided about it, and how far it has come.
create table batches (
  merchant_id text not null references merchants,
  batch_id uuid not null,
  kind text not null check (kind in ('refunds', 'status_updates')),
  name text not null,
  status text not null check (status in ('uploading', 'checking', 'checked', 'awaiting_approval', 'waiting', 'running',
                                         'paused', 'finished', 'cancelled')),
  -- Why a file cannot be read as it is.
  problem jsonb,
  -- How its files are read: the unit of amounts, columns under other names, whether the same file may be taken again.
  reading jsonb not null default '{}',
  -- The file that is being taken; those after the first are corrections.
  file_no integer not null default 1,
  -- One more each time that corrected rows have come after a run.
  round integer not null default 1,
  rows_total integer not null default 0,
  rows_checked integer not null default 0,
  rows_bad integer not null default 0,
  rows_look_alike integer not null default 0,
  -- Up to which bucket the check has come; -1 until the rows are dealt into buckets.
  checked_buckets integer not null default -1,
  -- What the check of this round has found: rows and amounts by verdict, gateway and currency.
  findings jsonb not null default '[]',
  -- What was confirmed for this round, by whom, and who approved it.
  confirmation jsonb,
  rows_confirmed integer not null default 0,
  -- Of the rows confirmed in this round: how many were tried, and the last of them.
  rows_tried integer not null default 0,
  tried_row integer not null default 0,
  -- Of all rounds.
  rows_made integer not null default 0,
  rows_refused integer not null default 0,
  approval_expires_at timestamptz,
  starts_at timestamptz,
  -- How many rows had gone out at some moment a little while ago, and how fast they went since.
  pace_at timestamptz,
  pace_sent integer not null default 0,
  pace_per_second double precision,
  created_by jsonb not null,
  event_seq integer not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  checked_at timestamptz,
  started_at timestamptz,
  sent_at timestamptz,
  finished_at timestamptz,
  -- When a worker does its next step; null while it waits for people or is at its end.
  next_step_at timestamptz,
  primary key (merchant_id, batch_id)
);
create index batches_due on batches (next_step_at) where next_step_at is not null;
create index batches_paused on batches (batch_id) where status = 'paused';
create index batches_by_time on batches (merchant_id, kind, created_at desc, batch_id desc);

-- A row is a file of a batch.
create table batch_files (
  merchant_id text not null,
  batch_id uuid not null,
  file_no integer not null check (file_no > 0),
  name text not null,
  -- Null while nobody has said.
  bytes bigint check (bytes > 0),
  received_bytes bigint not null default 0,
  -- Of the bytes as they came, in hex; null until all are here.
  sha256 text,
  format text check (format in ('csv', 'xlsx')),
  -- The header: each column's own name, and what it is to us.
  columns jsonb not null default '[]',
  -- Whether it holds the place of its content: no second such file is taken unless told otherwise.
  holds_place boolean not null default false,
  -- Its bytes held card numbers, and are no longer here.
  bytes_dropped boolean not null default false,
  created_at timestamptz not null,
  primary key (merchant_id, batch_id, file_no),
  foreign key (merchant_id, batch_id) references batches
);
create unique index batch_files_once on batch_files (merchant_id, sha256) where holds_place;
create index batch_files_by_content on batch_files (merchant_id, sha256) where sha256 is not null;

-- A row is a piece of a file, as it came.
create table batch_chunks (
  merchant_id text not null,
  batch_id uuid not null,
  file_no integer not null,
  at_byte bigint not null,
  bytes bytea not null,
  primary key (merchant_id, batch_id, file_no, at_byte),
  foreign key (merchant_id, batch_id, file_no) references batch_files
);
-- Compressing costs more time than writing.
alter table batch_chunks alter column bytes set storage external;

-- A row is something that was done to a batch, and who did it. Rows are only ever inserted.
create table batch_events (
  merchant_id text not null,
  batch_id uuid not null,
  seq integer not null check (seq > 0),
  at timestamptz not null,
  kind text not null,
  -- A person or an API key; null for what happened by itself.
  by jsonb,
  facts jsonb not null,
  primary key (merchant_id, batch_id, seq),
  foreign key (merchant_id, batch_id) references batches
);
create trigger batch_events_only_inserted before update or delete or truncate on batch_events
  for each statement execute function refuse_change();

-- A row is another name of a column that a merchant's files have.
create table batch_column_names (
  merchant_id text not null references merchants,
  kind text not null,
  header text not null,
  field text not null,
  primary key (merchant_id, kind, header)
);

-- Order-scoped -----------------------------------------------------------------------------------------

-- A row is a row of a file.
create table batch_rows (
  merchant_id text not null,
  batch_id uuid not null,
  row_no integer not null check (row_no > 0),
  -- As the file has it; empty where it names none.
  order_id text not null,
  -- The order's own spelling, where that is another.
  found_order_id text,
  -- Which rows are checked together: those near each other in the file, and all rows of an order where its first one is.
  bucket integer not null,
  line integer not null,
  -- The file that it comes from.
  file_no integer not null,
  round integer not null,
  -- As they stand in the file. What is read from them follows.
  cells json not null,
  txn_id text,
  unique_request_id text,
  -- Decimal text in major units, or `full`.
  amount text,
  currency text,
  refund_type text,
  note text,
  customer_email text,
  -- Of a status update: the refund, and what became of it.
  refund_id text,
  outcome text,
  arn text,
  evidence text,
  -- How much `full` was when it was checked, where it could become more; and which payment it takes, where the row does not
  -- say it and the order has several.
  sends_amount text,
  sends_txn_id text,
  -- False: it cannot be understood, whatever the facts are.
  readable boolean not null,
  verdict text not null check (verdict in ('good', 'look_alike', 'bad')),
  -- Its code, its column, and what its sentence tells.
  problem jsonb,
  -- Written where it was refused, or updated a status; the refund that it has become says so itself.
  state text not null default 'left' check (state in ('left', 'made', 'refused')),
  primary key (batch_id, row_no, merchant_id, order_id)
);
create index batch_rows_to_check on batch_rows (batch_id, bucket);
create index batch_rows_troubled on batch_rows (batch_id, row_no) where verdict <> 'good' or state = 'refused';
create index batch_rows_without_order on batch_rows (batch_id) where order_id = '';

-- Of a batch, the refunds that came to nothing, in the order of its file.
create index refunds_failed_of_batch on refunds (merchant_id, batch_id, batch_row)
  where batch_id is not null and state in ('failed', 'cancelled', 'reversed');

-- What becomes of the rows of one order when they are sent one after the other: each takes what it asks for (null: all
-- that is left) of the payment that it names, or else of the first that has so much left, as record_refunds does it.
-- State: how many rows have been taken; the payment of the last row; what that row took, or else why it took nothing;
-- and what all rows together have taken of each payment.
--   refunds: that the order had before; rests, wholes, parts, instants: of each payment, what is left, what was paid, and
--   whether its gateway can do partial and instant refunds; olds: whether it makes none of it any more
create function take_in_turn(state bigint[], refunds bigint, most integer, rests bigint[], wholes bigint[], parts boolean[],
                             instants boolean[], olds boolean[], named integer, asked bigint, instant boolean)
returns bigint[] immutable language plpgsql as $$
declare
  v_pick integer := coalesce(named, 1);
  v_takes bigint;
begin
  if state is null then
    state := array_fill(0::bigint, array[3 + cardinality(rests)]);
  end if;
  if named is null then
    for n in 1 .. cardinality(rests) loop
      if rests[n] - state[3 + n] >= greatest(coalesce(asked, 1), 1) then
        v_pick := n;
        exit;
      end if;
    end loop;
  end if;
  v_takes := coalesce(asked, rests[v_pick] - state[3 + v_pick]);
  state[2] := v_pick;
  state[3] := case
    when refunds + state[1] >= most then -1
    when v_takes < 1 or v_takes > rests[v_pick] - state[3 + v_pick] then -2
    when instant and not instants[v_pick] then -3
    when v_takes < wholes[v_pick] and not parts[v_pick] then -4
    when olds[v_pick] then -5
    else v_takes end;
  if state[3] > 0 then
    state[1] := state[1] + 1;
    state[3 + v_pick] := state[3 + v_pick] + v_takes;
  end if;
  return state;
end $$;
create aggregate taken_in_turn(refunds bigint, most integer, rests bigint[], wholes bigint[], parts boolean[], instants boolean[],
                               olds boolean[], named integer, asked bigint, instant boolean) (sfunc = take_in_turn, stype = bigint[]);

-- Checks the rows of some buckets of a round against the orders as they are now, and says of how many rows and how
-- much money it came to which verdict. A row that can no longer be sent, or looks like another refund, gets its problem.
--   p_gateways: by gateway word, whether it can do {"partial", "instant"} refunds, and up to how many {"days"} after the payment
-- The plan is held to indexes, as those of the verbs in 0002_refunds.sql are.
create function check_refund_rows(p_now timestamptz, p_merchant_id text, p_batch_id uuid, p_round integer, p_from integer, p_to integer,
                                  p_max_refunds integer, p_max_tries integer, p_gateways jsonb)
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

-- The same for rows that tell what became of refunds in manual review.
create function check_status_rows(p_merchant_id text, p_batch_id uuid, p_round integer, p_from integer, p_to integer)
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
        and x.merchant_id = r.merchant_id and x.unique_request_id = r.unique_request_id
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
