-- Global -----------------------------------------------------------------------------------------------
-- users, user_passwords, sessions, two_factors and verifications are what better-auth reads and writes (its "user",
-- "account", "session", "twoFactor" and "verification"); src/access/sign-in.ts tells it these names.

-- A row is a person who may sign in.
create table users (
  id uuid primary key,
  email text not null unique check (email = lower(email) and length(email) between 3 and 254),
  email_verified boolean not null,
  name text not null check (length(name) between 1 and 100),
  image text,
  -- Whether sign-in asks for a second factor.
  second_factor boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

-- A row is a person's place in a merchant's team. One person has one.
create table members (
  user_id uuid primary key references users on delete cascade,
  merchant_id text not null references merchants,
  role text not null check (role in ('viewer', 'support', 'operations', 'admin')),
  -- From then on the person cannot sign in; null while they can.
  disabled_at timestamptz,
  joined_at timestamptz not null
);
create index members_by_merchant on members (merchant_id, joined_at, user_id);

-- A row is the way a person proves who they are: a password, as scrypt leaves it. Null: only a one-time link helps.
create table user_passwords (
  id uuid primary key,
  user_id uuid not null unique references users on delete cascade,
  account_id uuid not null check (account_id = user_id),
  provider_id text not null check (provider_id = 'credential'),
  password text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

-- A row is a browser that is signed in. Its cookie holds the token and a MAC of it under the master key.
create table sessions (
  id uuid primary key,
  user_id uuid not null references users on delete cascade,
  token text not null unique,
  -- Moves on with use; how long a session lasts at most follows from created_at.
  expires_at timestamptz not null,
  ip_address text,
  user_agent text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index sessions_by_user on sessions (user_id);

-- A row is a person's second factor: its secret and the backup codes, encrypted under the master key.
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

-- A row is a sign-in between the password and the second factor, or the count of its wrong codes.
create table verifications (
  id uuid primary key,
  identifier text not null,
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index verifications_by_identifier on verifications (identifier);

-- A row counts what one address, one e-mail or one browser has tried in a window of time.
create table sign_in_attempts (
  bucket text primary key,
  tries integer not null,
  window_ends_at timestamptz not null
);
create index sign_in_attempts_by_end on sign_in_attempts (window_ends_at);

-- A row is a link that lets one person in once: to join a team, or to choose a new password. Only its token's SHA-256
-- is kept.
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
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- Used, or replaced by a newer one, or withdrawn.
  ended_at timestamptz
);
create index one_time_links_by_merchant on one_time_links (merchant_id, created_at);

-- A row is one change of who may do what. Rows are only ever inserted.
create table access_log (
  entry_id uuid primary key,
  merchant_id text not null,
  at timestamptz not null,
  -- Who did it: a person's id, and what to call whoever it was.
  by_user_id uuid,
  by_name text not null,
  action text not null,
  -- Whom it was done to.
  user_id uuid,
  email text not null,
  details jsonb not null default '{}',
  request_id text
);
create index access_log_by_merchant on access_log (merchant_id, at desc, entry_id desc);

create function refuse_access_log_change() returns trigger language plpgsql as $$
begin
  raise exception 'entries of the access log are only ever inserted';
end $$;
create trigger access_log_is_insert_only before update or delete on access_log
  for each row execute function refuse_access_log_change();
create trigger access_log_is_never_emptied before truncate on access_log
  for each statement execute function refuse_access_log_change();
