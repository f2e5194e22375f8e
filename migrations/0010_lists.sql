-- Lists of orders and refunds: for each filter that is offered an index, most of them in the order of the list.

lock table orders, transactions, refunds, events in access exclusive mode;

-- Orders -----------------------------------------------------------------------------------------------

-- A row is an order with events that no checkpoint has sealed yet. It stands apart so that the next event of an order changes
-- no indexed column of its row: whatever indexes the lists need, a refund writes to none of them.
create table unsealed_orders (
  merchant_id text not null,
  order_id text not null,
  primary key (merchant_id, order_id)
);

create function keep_unsealed() returns trigger language plpgsql as $$
begin
  insert into unsealed_orders (merchant_id, order_id) select merchant_id, order_id from new_events
  on conflict do nothing;
  return null;
end $$;
create trigger events_to_seal after insert on events
  referencing new table as new_events for each statement execute function keep_unsealed();

insert into unsealed_orders (merchant_id, order_id)
select merchant_id, order_id from orders where event_seq > sealed_seq;
drop index orders_unsealed;

-- Room on each page for the next version of a row, so that a change stays on its page.
alter table orders set (fillfactor = 85);
alter table transactions set (fillfactor = 85);

-- The gateway of the transaction that was charged, else of the last one; null without a transaction.
alter table orders add column gateway text;
update orders o set gateway = t.gateway
from (select distinct on (merchant_id, order_id) merchant_id, order_id, gateway from transactions
      order by merchant_id, order_id, status = 'CHARGED' desc, length(txn_id) desc, txn_id desc) t
where t.merchant_id = o.merchant_id and t.order_id = o.order_id;

-- The verb that records payments keeps it: as 0004_orders.sql has it, with one more column in its two writes.
do $$
declare
  v_verb text := pg_get_functiondef('record_transactions(timestamptz, text, text[], jsonb)'::regprocedure);
  v_change text[];
begin
  foreach v_change slice 1 in array array[
    ['insert into orders (merchant_id, order_id, order_uuid, status,',
     'insert into orders (merchant_id, order_id, order_uuid, gateway, status,'],
    ['select p_merchant_id, c.the_order_id, c.order_uuid, c.order_status,',
     'select p_merchant_id, c.the_order_id, c.order_uuid, c.gateway, c.order_status,'],
    ['update orders o set status = c.order_status,',
     'update orders o set status = c.order_status, gateway = case
          when c.charged_by is null and ((c.t).txn_id is null or c.status = ''CHARGED'' or (c.t).txn_id = c.last_txn_id)
          then c.gateway else o.gateway end,']]
  loop
    if position(v_change[1] in v_verb) = 0 then
      raise exception 'record_transactions is not what 0004_orders.sql made';
    end if;
    v_verb := replace(v_verb, v_change[1], v_change[2]);
  end loop;
  execute v_verb;
end $$;

drop index orders_by_time;
create index orders_by_time on orders (merchant_id, created_at desc, order_id);
create index orders_by_gateway on orders (merchant_id, gateway, created_at desc, order_id);
create index orders_by_amount on orders (merchant_id, currency, amount_minor desc, order_id);
-- With what lists sort by, so that all that begin so are sorted without reading any of them.
create index orders_by_beginning on orders (merchant_id, (lower(order_id) collate "C"), created_at, order_id);

-- While statistics are missing, as they are in the first minute of an installation, all of these look to the planner as good
-- as the primary key for finding one order, and of equals it takes the one that was made last. So that is the primary key:
-- with another one, each order would be looked for among all of the merchant.
alter table transactions drop constraint transactions_merchant_id_order_id_fkey;
alter table orders drop constraint orders_pkey;
alter table orders add primary key (merchant_id, order_id);
alter table transactions add foreign key (merchant_id, order_id) references orders;

-- Transactions -----------------------------------------------------------------------------------------

-- Led by the id that is asked for. While statistics are missing, any index led by merchant_id looks to the planner as good
-- as the primary key, and it keeps such a plan: a transaction would be looked for among all of the merchant.
create index transactions_by_merchants_payment on transactions (gateway_payment_id, merchant_id);
drop index transactions_by_txn;
create index transactions_by_txn on transactions (txn_id, merchant_id);

-- How much of it is refunded, refunds under way counted; null where nothing is. Beside it the time of its order, so that
-- the refunded orders can be walked as the list has them. Both are kept by the triggers that keep reserved_minor: see
-- 0011_figures.sql.
alter table transactions add column refunded text check (refunded in ('partly', 'fully'));
alter table transactions add column ordered_at timestamptz;
update transactions t set
  refunded = case when t.reserved_minor = t.effective_minor then 'fully' else 'partly' end, ordered_at = o.created_at
from orders o
where t.reserved_minor > 0 and o.merchant_id = t.merchant_id and o.order_id = t.order_id;
create index transactions_refunded on transactions (merchant_id, refunded, ordered_at desc, order_id)
  where refunded is not null;

create function refunded_words(reserved_minor bigint, effective_minor bigint) returns text immutable language sql
  return case when reserved_minor = 0 then null when reserved_minor < effective_minor then 'partly' else 'fully' end;

-- Refunds ----------------------------------------------------------------------------------------------

create index refunds_open_by_due on refunds (merchant_id, due_at, refund_id) where next_look_at is not null;
create index refunds_by_amount on refunds (currency, merchant_id, amount_minor);
create index refunds_by_batch on refunds (merchant_id, batch_id, created_at desc, refund_id desc)
  where batch_id is not null;
-- Most refunds come by API and are nobody's: those that are found by their maker or door are the others.
create index refunds_by_maker on refunds (merchant_id, initiated_by, created_at desc, refund_id desc)
  where initiated_by <> 'API';
create index refunds_by_door on refunds (merchant_id, door, created_at desc, refund_id desc) where door <> 'api';

-- The verb that moves refunds finds them as the one that records them does: by the one index that is led by the order.
do $$
declare
  v_verb text := pg_get_functiondef('move_refunds(timestamptz, jsonb)'::regprocedure);
  v_key text;
begin
  foreach v_key in array array['r.merchant_id = i.merchant_id', 'r.merchant_id = (m.old).merchant_id'] loop
    if position(v_key in v_verb) = 0 then
      raise exception 'move_refunds is not what 0002_refunds.sql made';
    end if;
    v_verb := replace(v_verb, v_key, replace(v_key, '=', 'is not distinct from'));
  end loop;
  execute v_verb;
end $$;
