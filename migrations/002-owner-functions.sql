-- Whoever may write items in SQL must not get further than that. Read docs/security.md, "Someone with SQL".

-- A table of a session's own (pg_temp) is found first unless it is named last: one that is called "events" would swallow
-- the event, and its trigger would run with the rights of the tables' owner.
-- And anybody may attach a function that they may execute to a table of their own, and so write into the log what they like.
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

-- The name that the API gives is believed from the service alone. This is called by the functions above, so the current
-- user is the tables' owner, and the session's is whoever has really signed in.
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
