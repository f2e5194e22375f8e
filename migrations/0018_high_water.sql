-- Global -----------------------------------------------------------------------------------------------

-- The only row is these books as a whole: which they are, where they lie, and whether they may have gone back in time.
create table books (
  only_one boolean primary key default true check (only_one),
  -- Stays the same in backups, copies and standbys.
  books_id uuid not null,
  -- Changes each time that somebody said what the books are: the latest row of books_editions.
  edition uuid not null,
  -- PostgreSQL's system identifier and timeline as they were when last compared; null where the server does not tell.
  server_id text,
  timeline bigint,
  -- Why nothing is sent from these books until somebody has said what they are; null while they are trusted.
  doubt jsonb,
  doubted_at timestamptz,
  check ((doubt is null) = (doubted_at is null))
);

-- A row is an edition of the books: their beginning, or a person's word after a restore or a move.
create table books_editions (
  edition uuid primary key,
  begun_at timestamptz not null,
  why text not null
);

-- A row is the inside of one mark that is kept outside the database, in a file: its count only ever grows, and the file
-- is written after the commit. So a file whose count is higher than this one was written by books that went further.
create table books_marks (
  mark_id uuid primary key,
  mark bigint not null check (mark >= 0),
  at timestamptz not null
);

-- Merchants' --------------------------------------------------------------------------------------------

-- A row is a time in which nothing was sent through a gateway account, because its gateway spoke of refunds of ours that
-- these books do not know. It ends by a person's word, or by a restore that says what the books are.
create table account_holds (
  merchant_id text not null,
  gateway_account_id text not null,
  hold_id uuid not null,
  held_at timestamptz not null,
  why text not null,
  released_at timestamptz,
  released_by text,
  release_reason text,
  -- The person said that another installation refunds through the same account: its ids hold the account no more.
  shared boolean not null default false,
  primary key (merchant_id, gateway_account_id, hold_id),
  check ((released_at is null) = (released_by is null) and (released_at is null) = (release_reason is null))
);
create unique index account_holds_open on account_holds (merchant_id, gateway_account_id) where released_at is null;

-- A row is a refund under an id of ours that an account's gateway has proved to know, and these books do not.
create table account_strangers (
  merchant_id text not null,
  gateway_account_id text not null,
  refund_id uuid not null,
  gateway_refund_id text,
  gateway_payment_id text,
  event_id text,
  heard_at timestamptz not null,
  primary key (merchant_id, gateway_account_id, refund_id)
);
