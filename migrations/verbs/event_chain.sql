-- The event as it is hashed. Times are UTC with microseconds.
create or replace function event_body(merchant_id text, order_id text, seq bigint, at timestamptz, kind text,
                                      refund_id uuid, from_state text, to_state text, cause jsonb, evidence jsonb)
returns jsonb stable language sql as $$
  select jsonb_build_object(
    'merchant_id', merchant_id, 'order_id', order_id, 'seq', seq,
    'at', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'kind', kind, 'refund_id', refund_id, 'from', from_state, 'to', to_state,
    'cause', cause, 'evidence', evidence)
$$;

-- The hash of an event that follows on another one of its order; the first follows on nothing.
create or replace function event_hash(previous bytea, body jsonb) returns bytea stable language sql
  return sha256(previous || convert_to(body::text, 'UTF8'));
