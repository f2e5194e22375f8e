-- Global -----------------------------------------------------------------------------------------------

-- A row is a restore of this database from a backup: what was refunded between the two times, it does not know.
create table restores (
  restored_at timestamptz primary key,
  backed_up_at timestamptz not null,
  -- Until then, a gateway is asked for a payment's refunds before another one of it is first sent.
  watch_until timestamptz not null
);
