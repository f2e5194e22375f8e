-- What no statement may do to a refund, whatever it means to.
create or replace function guard_refund() returns trigger language plpgsql as $$
begin
  if new.state <> old.state then
    if not may_move(old.state, new.state) then
      raise exception 'refund % may not go from % to %', old.refund_id, old.state, new.state
        using errcode = 'check_violation';
    end if;
    if new.event_seq <= old.event_seq then
      raise exception 'refund % changed its state without an event', old.refund_id
        using errcode = 'check_violation';
    end if;
  end if;
  if (new.amount_minor, new.currency, new.txn_id, new.idempotency_key, new.unique_request_id,
      new.gateway_account_id, new.gateway_payment_id)
     is distinct from
     (old.amount_minor, old.currency, old.txn_id, old.idempotency_key, old.unique_request_id,
      old.gateway_account_id, old.gateway_payment_id) then
    raise exception 'what refund % was asked to do may not change', old.refund_id
      using errcode = 'check_violation';
  end if;
  return new;
end $$;
create or replace trigger refunds_guard before update on refunds for each row execute function guard_refund();
