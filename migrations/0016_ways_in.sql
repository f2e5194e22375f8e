-- How people come in: what each session was opened with, and one e-mail in the teams of several merchants.

-- Global -----------------------------------------------------------------------------------------------

alter table sessions
  -- 'password' until a second factor was shown in it: 'code' of an app, or 'backup_code'. 'link': the password was
  -- chosen by a one-time link a moment before.
  add opened_by text not null default 'password' check (opened_by in ('password', 'link', 'code', 'backup_code'));
