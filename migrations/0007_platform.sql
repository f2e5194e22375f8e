-- Global -----------------------------------------------------------------------------------------------

-- The one row shows whether a process has the master key that this database's secrets were sealed with: a
-- MAC of a fixed text under that key.
create table master_key_proof (
  only_row boolean primary key default true check (only_row),
  mac bytea not null check (length(mac) = 32),
  created_at timestamptz not null
);
