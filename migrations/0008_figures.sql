-- What refunds add up to, kept as they change, so that nobody has to read them all to count them.
--
-- A statement that makes or moves refunds leaves behind by how much it changed which sums (figure_changes); it updates no sum,
-- so no two refunds ever wait for each other over one. A worker folds what was left behind into the sums (figures). Whoever reads
-- adds the two. How a refund counts is said in verbs/figures.sql.

-- It has no key: rows live for seconds, and their place is to be used again as soon.
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
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table figure_changes is
  'A row is a number of refunds that came to look so, or if it is negative, no longer do. '
  'It belongs to a merchant.';

-- By kind:
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
comment on table figures is 'A row is a sum over refunds. It belongs to a merchant.';
-- Of what was made long ago, little has no end yet.
create index figures_open on figures (merchant_id, at)
  where kind = 'made' and word in ('awaiting_approval', 'queued', 'sending', 'unknown', 'waiting_for_funds', 'submitted',
                                   'manual_review');

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
comment on table batch_figures is 'A row is a sum over the refunds of one batch. It belongs to a merchant.';
