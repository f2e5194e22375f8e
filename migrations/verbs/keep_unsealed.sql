-- An order whose events have grown is to be sealed.
create or replace function keep_unsealed() returns trigger language plpgsql as $$
begin
  insert into unsealed_orders (merchant_id, order_id) select merchant_id, order_id from new_events
  on conflict do nothing;
  return null;
end $$;
create or replace trigger events_to_seal after insert on events
  referencing new table as new_events for each statement execute function keep_unsealed();
