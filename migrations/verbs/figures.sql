-- The quarter of an hour in which it lies.
create or replace function figure_time(at timestamptz) returns timestamptz immutable language sql
  return date_bin('15 minutes', at, 'epoch');

-- Lengths of time in steps of a fourth root of two (19 %): the length is at most 2 ^ (step / 4) seconds.
create or replace function figure_length(from_time timestamptz, to_time timestamptz) returns smallint immutable language sql
  return ceil(4 * ln(greatest(extract(epoch from to_time - from_time), 1)::double precision) / ln(2::double precision))::smallint;

-- What a refund that looks so counts in.
create or replace function figures_of(state text, made_at timestamptz, decided_at timestamptz, took smallint, error_code text)
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
create or replace function figure_decided(state text, succeeded_at timestamptz, failed_at timestamptz) returns timestamptz
immutable language sql
  return case when state in ('succeeded', 'reversed') then succeeded_at when state = 'failed' then failed_at end;

-- Says anew what all refunds add up to, from the refunds themselves. Nobody may change a refund meanwhile.
create or replace function rebuild_figures() returns void language plpgsql as $$
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
