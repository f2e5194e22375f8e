-- What was read of a workbook with several sheets.

alter table batch_files
  -- The sheet whose rows were read; null for a CSV file, and while nobody has said which one is meant.
  add column sheet text,
  -- The other sheets, each with its name and whether it is hidden.
  add column other_sheets jsonb not null default '[]';
