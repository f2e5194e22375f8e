create or replace function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% are only ever inserted', tg_table_name using errcode = 'check_violation';
end $$;
create or replace trigger events_only_inserted before update or delete or truncate on events
  for each statement execute function refuse_change();
create or replace trigger checkpoints_only_inserted before update or delete or truncate on audit_checkpoints
  for each statement execute function refuse_change();
create or replace trigger refunds_never_deleted before delete or truncate on refunds
  for each statement execute function refuse_change();
create or replace trigger batch_events_only_inserted before update or delete or truncate on batch_events
  for each statement execute function refuse_change();

create or replace function refuse_access_log_change() returns trigger language plpgsql as $$
begin
  raise exception 'entries of the access log are only ever inserted';
end $$;
create or replace trigger access_log_is_insert_only before update or delete on access_log
  for each row execute function refuse_access_log_change();
create or replace trigger access_log_is_never_emptied before truncate on access_log
  for each statement execute function refuse_access_log_change();
