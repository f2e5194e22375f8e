-- The directory: who the merchants are, and who comes in for them with what. It is the installation's. What belongs to a
-- merchant lies in a cell, and no foreign key, trigger or statement leads from there to here: the directory can lie
-- elsewhere than the cells, and says in time which merchant lives in which.
--
-- The comment of each table says whose it is:
--   a merchant:        it begins with merchant_id, as every key and unique index of it does, and moves with the merchant
--   the cell:          it is about all the merchants' tables that it lies beside, and may be read together with them
--   the installation:  there is one of it, whatever the number of cells
-- Ids come from the program. Amounts are minor units of the row's currency. SQL names no schema.

create table merchants (
  merchant_id text primary key check (merchant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name text not null,
  settings jsonb not null default '{}',
  created_at timestamptz not null
);
comment on table merchants is
  'A row is a tenant: it owns everything that carries its id. '
  'It belongs to the installation.';

create table api_keys (
  api_key_id uuid primary key,
  merchant_id text not null references merchants,
  name text not null,
  key_hash bytea not null unique check (length(key_hash) = 32),
  last_four text not null,
  -- What it may do: the words of src/access/roles.ts. Without a word of it, what a shop's server needs.
  permissions text[] not null default array[
    'orders.read', 'orders.write', 'refunds.read', 'refunds.create', 'refunds.cancel', 'refunds.look',
    'batches.read', 'batches.run', 'batches.export', 'settings.read'],
  -- The e-mail address of the person, or the name of the key, that did it; null where the program did.
  created_by text,
  revoked_by text,
  -- The person who made it: where a second person is asked for, the key counts as that one. Null where the command line
  -- or the program made it. No reference: what a person did stays theirs after they left.
  made_by_id uuid,
  created_at timestamptz not null,
  -- From then on it is refused; null for never.
  expires_at timestamptz,
  -- Since the restore that brought it back: it is refused until somebody has said that it was not revoked meanwhile.
  asleep_since timestamptz,
  revoked_at timestamptz,
  -- To about a minute.
  last_used_at timestamptz
);
comment on table api_keys is
  'A row is a key a merchant''s systems sign in with. Only the key''s SHA-256 is kept. '
  'It belongs to the installation.';

-- users, user_passwords, sessions, two_factors and verifications are what better-auth reads and writes (its "user",
-- "account", "session", "twoFactor" and "verification"); src/access/sign-in.ts tells it these names.

create table users (
  id uuid primary key,
  -- Nobody proves that an e-mail is theirs: a link goes through the hands of the admin who made it. So an e-mail in one
  -- merchant's team must not keep it from another's, nor tell them of each other. Whoever is in two teams is two people here.
  email text not null check (email = lower(email) and length(email) between 3 and 254),
  email_verified boolean not null,
  -- The name by which better-auth knows the person, since the e-mail does not tell people apart.
  handle text not null generated always as (id::text || '@refundry.invalid') stored unique,
  name text not null check (length(name) between 1 and 100),
  image text,
  -- Whether sign-in asks for a second factor.
  second_factor boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table users is 'A row is a person who may sign in. It belongs to the installation.';
create index users_by_email on users (email);

create table members (
  user_id uuid primary key references users on delete cascade,
  merchant_id text not null references merchants,
  -- The person's e-mail again, so that a team has it once.
  email text not null,
  role text not null check (role in ('viewer', 'support', 'operations', 'admin')),
  -- From then on the person cannot sign in; null while they can.
  disabled_at timestamptz,
  joined_at timestamptz not null
);
comment on table members is
  'A row is a person''s place in a merchant''s team. One person has one. '
  'It belongs to the installation.';
create index members_by_merchant on members (merchant_id, joined_at, user_id);
create unique index members_by_email on members (merchant_id, email);

create table user_passwords (
  id uuid primary key,
  user_id uuid not null unique references users on delete cascade,
  account_id uuid not null check (account_id = user_id),
  provider_id text not null check (provider_id = 'credential'),
  -- As scrypt leaves it. Null: only a one-time link helps.
  password text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table user_passwords is
  'A row is the way a person proves who they are: a password. '
  'It belongs to the installation.';

create table sessions (
  id uuid primary key,
  user_id uuid not null references users on delete cascade,
  token text not null unique,
  -- 'password' until a second factor was shown in it: 'code' of an app, or 'backup_code'. 'link': the password was
  -- chosen by a one-time link a moment before.
  opened_by text not null default 'password' check (opened_by in ('password', 'link', 'code', 'backup_code')),
  -- Moves on with use; how long a session lasts at most follows from created_at.
  expires_at timestamptz not null,
  ip_address text,
  user_agent text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table sessions is
  'A row is a browser that is signed in. Its cookie holds the token and a MAC of it under the master key. '
  'It belongs to the installation.';
create index sessions_by_user on sessions (user_id);

create table two_factors (
  id uuid primary key,
  user_id uuid not null unique references users on delete cascade,
  secret text not null,
  backup_codes text not null,
  -- False until the first code has shown that the person's app has the secret.
  verified boolean not null default true,
  failed_verification_count integer not null default 0,
  locked_until timestamptz
);
comment on table two_factors is
  'A row is a person''s second factor: its secret and the backup codes, encrypted under the master key. '
  'It belongs to the installation.';

create table verifications (
  id uuid primary key,
  identifier text not null,
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table verifications is
  'A row is a sign-in between the password and the second factor, or the count of its wrong codes. '
  'It belongs to the installation.';
create index verifications_by_identifier on verifications (identifier);

create table sign_in_attempts (
  bucket text primary key,
  tries integer not null,
  window_ends_at timestamptz not null
);
comment on table sign_in_attempts is
  'A row counts what one address, one e-mail or one browser has tried in a window of time. '
  'It belongs to the installation.';
create index sign_in_attempts_by_end on sign_in_attempts (window_ends_at);

create table one_time_links (
  link_id uuid primary key,
  token_hash bytea not null unique check (length(token_hash) = 32),
  merchant_id text not null references merchants,
  -- The person whose password it sets; null for one who joins.
  user_id uuid references users on delete cascade,
  email text not null,
  name text not null,
  role text not null check (role in ('viewer', 'support', 'operations', 'admin')),
  made_by text not null,
  -- The person who made the link; null where the command line did.
  made_by_id uuid,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- Used, or replaced by a newer one, or withdrawn.
  ended_at timestamptz
);
comment on table one_time_links is
  'A row is a link that lets one person in once: to join a team, or to choose a new password. Only its token''s SHA-256 is '
  'kept. '
  'It belongs to the installation.';
create index one_time_links_by_merchant on one_time_links (merchant_id, created_at);

-- No references to people: it holds also after one of them has left.
create table stand_ins (
  merchant_id text not null references merchants,
  user_id uuid not null,
  counts_as_id uuid not null,
  since timestamptz not null,
  until timestamptz not null check (until > since),
  primary key (merchant_id, user_id, counts_as_id, since)
);
comment on table stand_ins is
  'A row says that a person came in by a link that another one had made, and had in hand: from then until then they count as '
  'both where a second person is asked for. '
  'It belongs to the installation.';

create table master_key_proof (
  only_row boolean primary key default true check (only_row),
  mac bytea not null check (length(mac) = 32),
  created_at timestamptz not null
);
comment on table master_key_proof is
  'The only row shows whether a process has the master key that this database''s secrets were sealed with: a MAC of a fixed '
  'text under that key. '
  'It belongs to the installation.';
