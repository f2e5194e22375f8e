-- Batches: files of refunds, or of outcomes of refunds, that are checked as a whole, confirmed, and answered row by row.

create table batches (
  merchant_id text not null,
  batch_id uuid not null,
  kind text not null check (kind in ('refunds', 'status_updates')),
  name text not null,
  status text not null check (status in ('uploading', 'checking', 'checked', 'awaiting_approval', 'waiting', 'running',
                                         'paused', 'finished', 'cancelled')),
  -- Why a file cannot be read as it is.
  problem jsonb,
  -- How its files are read: the unit of amounts, columns under other names, whether the same file may be taken again.
  reading jsonb not null default '{}',
  -- The file that is being taken; those after the first are corrections.
  file_no integer not null default 1,
  -- One more each time that corrected rows have come after a run.
  round integer not null default 1,
  rows_total integer not null default 0,
  rows_checked integer not null default 0,
  rows_bad integer not null default 0,
  rows_look_alike integer not null default 0,
  -- Up to which bucket the check has come; -1 until the rows are dealt into buckets.
  checked_buckets integer not null default -1,
  -- What the check of this round has found: rows and amounts by verdict, gateway and currency.
  findings jsonb not null default '[]',
  -- What was confirmed for this round, by whom, and who approved it.
  confirmation jsonb,
  rows_confirmed integer not null default 0,
  -- Of the rows confirmed in this round: how many were tried, and the last of them.
  rows_tried integer not null default 0,
  tried_row integer not null default 0,
  -- Of all rounds.
  rows_made integer not null default 0,
  rows_refused integer not null default 0,
  approval_expires_at timestamptz,
  starts_at timestamptz,
  -- How many rows had gone out at some moment a little while ago, and how fast they went since.
  pace_at timestamptz,
  pace_sent integer not null default 0,
  pace_per_second double precision,
  created_by jsonb not null,
  event_seq integer not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  checked_at timestamptz,
  started_at timestamptz,
  sent_at timestamptz,
  finished_at timestamptz,
  -- When a worker does its next step; null while it waits for people or is at its end.
  next_step_at timestamptz,
  primary key (merchant_id, batch_id)
);
comment on table batches is
  'A row is a batch: what was decided about it, and how far it has come. '
  'It belongs to a merchant.';
create index batches_due on batches (next_step_at) where next_step_at is not null;
create index batches_paused on batches (batch_id) where status = 'paused';
create index batches_by_time on batches (merchant_id, kind, created_at desc, batch_id desc);

create table batch_files (
  merchant_id text not null,
  batch_id uuid not null,
  file_no integer not null check (file_no > 0),
  name text not null,
  -- Null while nobody has said.
  bytes bigint check (bytes > 0),
  received_bytes bigint not null default 0,
  -- Of the bytes as they came, in hex; null until all are here.
  sha256 text,
  format text check (format in ('csv', 'xlsx')),
  -- The header: each column's own name, and what it is to us.
  columns jsonb not null default '[]',
  -- The sheet whose rows were read; null for a CSV file, and while nobody has said which one is meant.
  sheet text,
  -- The other sheets of a workbook, each with its name and whether it is hidden.
  other_sheets jsonb not null default '[]',
  -- Whether it holds the place of its content: no second such file is taken unless told otherwise.
  holds_place boolean not null default false,
  -- Its bytes held card numbers, and are no longer here.
  bytes_dropped boolean not null default false,
  created_at timestamptz not null,
  primary key (merchant_id, batch_id, file_no),
  foreign key (merchant_id, batch_id) references batches
);
comment on table batch_files is 'A row is a file of a batch. It belongs to a merchant.';
create unique index batch_files_once on batch_files (merchant_id, sha256) where holds_place;
create index batch_files_by_content on batch_files (merchant_id, sha256) where sha256 is not null;

create table batch_chunks (
  merchant_id text not null,
  batch_id uuid not null,
  file_no integer not null,
  at_byte bigint not null,
  bytes bytea not null,
  primary key (merchant_id, batch_id, file_no, at_byte),
  foreign key (merchant_id, batch_id, file_no) references batch_files
);
comment on table batch_chunks is 'A row is a piece of a file, as it came. It belongs to a merchant.';
-- Compressing costs more time than writing.
alter table batch_chunks alter column bytes set storage external;

create table batch_events (
  merchant_id text not null,
  batch_id uuid not null,
  seq integer not null check (seq > 0),
  at timestamptz not null,
  kind text not null,
  -- A person or an API key; null for what happened by itself.
  by jsonb,
  facts jsonb not null,
  primary key (merchant_id, batch_id, seq),
  foreign key (merchant_id, batch_id) references batches
);
comment on table batch_events is
  'A row is something that was done to a batch, and who did it. Rows are only ever inserted. '
  'It belongs to a merchant.';

create table batch_column_names (
  merchant_id text not null,
  kind text not null,
  header text not null,
  field text not null,
  primary key (merchant_id, kind, header)
);
comment on table batch_column_names is
  'A row is another name of a column that a merchant''s files have. '
  'It belongs to a merchant.';

create table batch_rows (
  merchant_id text not null,
  batch_id uuid not null,
  row_no integer not null check (row_no > 0),
  -- As the file has it; empty where it names none.
  order_id text not null,
  -- The order's own spelling, where that is another.
  found_order_id text,
  -- Which rows are checked together: those near each other in the file, and all rows of an order where its first one is.
  bucket integer not null,
  line integer not null,
  -- The file that it comes from.
  file_no integer not null,
  round integer not null,
  -- As they stand in the file. What is read from them follows.
  cells json not null,
  txn_id text,
  unique_request_id text,
  -- Decimal text in major units, or `full`.
  amount text,
  currency text,
  refund_type text,
  note text,
  customer_email text,
  -- Of a status update: the refund, and what became of it.
  refund_id text,
  outcome text,
  arn text,
  evidence text,
  -- How much `full` was when it was checked, where it could become more; and which payment it takes, where the row does not
  -- say it and the order has several.
  sends_amount text,
  sends_txn_id text,
  -- False: it cannot be understood, whatever the facts are.
  readable boolean not null,
  verdict text not null check (verdict in ('good', 'look_alike', 'bad')),
  -- Its code, its column, and what its sentence tells.
  problem jsonb,
  -- Written where it was refused, or updated a status; the refund that it has become says so itself.
  state text not null default 'left' check (state in ('left', 'made', 'refused')),
  primary key (merchant_id, batch_id, row_no)
);
comment on table batch_rows is 'A row is a row of a file. It belongs to a merchant.';
create index batch_rows_to_check on batch_rows (batch_id, bucket);
create index batch_rows_troubled on batch_rows (batch_id, row_no) where verdict <> 'good' or state = 'refused';
create index batch_rows_without_order on batch_rows (batch_id) where order_id = '';
