-- A role that may write items in SQL must gain no other right. Read docs/security.md, "Someone with SQL".

-- pg_temp is searched first unless the search path names it last. A temporary table "events" would receive
-- the event, and its trigger would run with the rights of the tables' owner.
--
-- A role that may execute these functions could attach them to a table of its own, and so write arbitrary
-- events into the log.
do $$
declare
  name text;
begin
  foreach name in array array[
    'users_revoke_tokens', 'items_before_insert', 'items_before_update', 'items_log'
  ] loop
    execute format('alter function %I() set search_path = %I, pg_temp', name, current_schema());
    execute format('revoke execute on function %I() from public', name);
  end loop;
end
$$;

-- The user that the API sets is trusted only from the service's own role. The functions above call this one
-- with the rights of their owner, so `current_user` is the owner of the tables, and `session_user` is the
-- role that has connected.
create or replace function acting_user() returns text
language sql stable
as $$
  select coalesce(
           case when pg_has_role(session_user, current_user, 'member')
                then nullif(current_setting('silo.actor', true), '')
           end,
           session_user
         )
$$;
