-- Global -----------------------------------------------------------------------------------------------

-- What a key may do (the words of src/access/roles.ts), and who answers for it. Keys from before, and those that the
-- version before makes meanwhile, may do what a shop's server needs.
alter table api_keys
  add column permissions text[] not null default array[
    'orders.read', 'orders.write', 'refunds.read', 'refunds.create', 'refunds.cancel', 'refunds.look',
    'batches.read', 'batches.run', 'batches.export', 'settings.read'],
  -- From then on it is refused; null for never.
  add column expires_at timestamptz,
  -- The person who made it: where a second person is asked for, the key counts as that one. Null where the command line
  -- or the program made it. No reference: what a person did stays theirs after they left.
  add column made_by_id uuid,
  -- Since the restore that brought it back: it is refused until somebody has said that it was not revoked meanwhile.
  add column asleep_since timestamptz;

-- Until now, keys could make keys, and the maker was kept by name only: an e-mail, or the name of a key.
with recursive makers as (
  select k.api_key_id, u.id as made_by_id
  from api_keys k join members m using (merchant_id) join users u on u.id = m.user_id and u.email = k.created_by
  union
  select k.api_key_id, f.made_by_id
  from makers f join api_keys maker using (api_key_id)
    join api_keys k on k.merchant_id = maker.merchant_id and k.created_by = maker.name
  where k.api_key_id <> maker.api_key_id
)
update api_keys k set made_by_id = m.made_by_id from makers m where m.api_key_id = k.api_key_id;

-- The person who made the link; null where the command line did.
alter table one_time_links add column made_by_id uuid;

-- A row says that a person came in by a link that another one had made, and had in hand: from then until then they count as
-- both where a second person is asked for. No references: it holds also after one of them has left.
create table stand_ins (
  merchant_id text not null references merchants,
  user_id uuid not null,
  counts_as_id uuid not null,
  since timestamptz not null,
  until timestamptz not null check (until > since),
  primary key (merchant_id, user_id, counts_as_id, since)
);

-- A row is a change of settings that would turn a guard off. It waits for another admin or, where there is none, for its
-- time; until then anyone who may can stop it.
create table waiting_changes (
  change_id uuid primary key,
  merchant_id text not null references merchants,
  -- As PATCH /v1/settings takes them.
  changes jsonb not null,
  -- The person or the API key that asked, by id and by name.
  asked_by_kind text not null check (asked_by_kind in ('user', 'key')),
  asked_by_id uuid not null,
  asked_by text not null,
  asked_at timestamptz not null,
  -- It takes effect by itself then; null while another admin is there to confirm it.
  takes_effect_at timestamptz,
  -- If nothing has happened by then, nothing will.
  lapses_at timestamptz not null,
  ended_at timestamptz,
  ended_as text check (ended_as in ('confirmed', 'took_effect', 'stopped', 'lapsed', 'replaced')),
  ended_by text,
  check ((ended_at is null) = (ended_as is null))
);
create index waiting_changes_open on waiting_changes (merchant_id, asked_at) where ended_at is null;
