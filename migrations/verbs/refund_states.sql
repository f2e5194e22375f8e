-- Whether a refund in that state holds its amount of the payment, or has paid it.
create or replace function state_reserves(state text) returns boolean immutable language sql
  return state not in ('failed', 'cancelled', 'reversed');

-- The allowed moves, the same list as src/refunds/states.ts (a test compares them).
create or replace function may_move(from_state text, to_state text) returns boolean immutable language sql
  return (from_state || '>' || to_state) in (
    'awaiting_approval>queued', 'awaiting_approval>cancelled', 'awaiting_approval>manual_review',
    'queued>sending', 'queued>submitted', 'queued>waiting_for_funds', 'queued>succeeded', 'queued>failed',
    'queued>cancelled', 'queued>manual_review', 'queued>unknown',
    'sending>submitted', 'sending>succeeded', 'sending>failed', 'sending>waiting_for_funds',
    'sending>queued', 'sending>unknown', 'sending>manual_review',
    'unknown>submitted', 'unknown>succeeded', 'unknown>failed', 'unknown>waiting_for_funds',
    'unknown>queued', 'unknown>manual_review',
    'waiting_for_funds>queued', 'waiting_for_funds>submitted', 'waiting_for_funds>succeeded',
    'waiting_for_funds>failed', 'waiting_for_funds>manual_review', 'waiting_for_funds>unknown',
    'submitted>succeeded', 'submitted>failed', 'submitted>waiting_for_funds', 'submitted>manual_review',
    'manual_review>succeeded', 'manual_review>failed',
    'succeeded>reversed', 'failed>manual_review', 'cancelled>manual_review', 'reversed>manual_review');
