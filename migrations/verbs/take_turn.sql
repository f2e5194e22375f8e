-- Takes turns with others that are about to make an order or a transaction under one of these keys, until the
-- end of the database transaction. Row locks cannot do that, as the rows are not there yet. Turns are taken
-- in buckets, in one order, so that two lists with keys in common wait for each other and never in a circle.
create or replace function take_turn(p_merchant_id text, p_keys text[]) returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext(p_merchant_id), b.bucket)
  from (select distinct hashtext(k.key) & 127 as bucket from unnest(p_keys) k(key) order by 1) b;
end $$;
