-- What is known of the books as a whole. Books are what can go back in time on its own: the tables of a cell, which one
-- server keeps and one backup holds. So this lies beside them, and whatever is about to send reads it with them.

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
comment on table books is
  'The only row is these books as a whole: which they are, where they lie, and whether they may have gone back in time. '
  'It belongs to the cell.';

create table books_editions (
  edition uuid primary key,
  begun_at timestamptz not null,
  why text not null
);
comment on table books_editions is
  'A row is an edition of the books: their beginning, or a person''s word after a restore or a move. '
  'It belongs to the cell.';

create table books_marks (
  mark_id uuid primary key,
  mark bigint not null check (mark >= 0),
  at timestamptz not null
);
comment on table books_marks is
  'A row is the inside of one mark that is kept outside the database, in a file: its count only ever grows, and the file is '
  'written after the commit. So a file whose count is higher than this one was written by books that went further. '
  'It belongs to the cell.';

create table restores (
  restored_at timestamptz primary key,
  backed_up_at timestamptz not null,
  -- Until then, a gateway is asked for a payment's refunds before another one of it is first sent.
  watch_until timestamptz not null
);
comment on table restores is
  'A row is a restore of these books from a backup: what was refunded between the two times, they do not know. '
  'It belongs to the cell.';
