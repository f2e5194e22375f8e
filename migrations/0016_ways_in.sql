-- How people come in: what each session was opened with, and one e-mail in the teams of several merchants.

-- Global -----------------------------------------------------------------------------------------------

alter table sessions
  -- 'password' until a second factor was shown in it: 'code' of an app, or 'backup_code'. 'link': the password was
  -- chosen by a one-time link a moment before.
  add opened_by text not null default 'password' check (opened_by in ('password', 'link', 'code', 'backup_code'));

-- Nobody proves that an e-mail is theirs: a link goes through the hands of the admin who made it. So an e-mail in one
-- merchant's team must not keep it from another's, nor tell them of each other. Whoever is in two teams is two people here.
alter table users
  -- The name by which better-auth knows the person, since the e-mail no longer tells people apart.
  add handle text not null generated always as (id::text || '@refundry.invalid') stored unique;
alter table users drop constraint users_email_key;
create index users_by_email on users (email);

alter table members
  -- The person's e-mail again, so that a team has it once. Null where the version before this one let them in.
  add email text;
update members m set email = u.email from users u where u.id = m.user_id;
create unique index members_by_email on members (merchant_id, email);
