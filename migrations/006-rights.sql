-- The statement that uses a right checks it. Read
-- docs/decisions/0031-a-right-is-checked-by-the-statement-that-uses-it.md.

create function role_rank(role text) returns integer
language sql immutable strict parallel safe
as $$ select array_position(array['viewer', 'editor', 'admin'], role) $$;

-- Ends the statement of a credential that lacks the required right. The errors are those of the API: SL401
-- (unauthenticated) if the credential has ended, SL403 (forbidden) if only its role is too low. The
-- credential is read again, because the statement may have waited for a lock since its own snapshot.
create function refuse_right(credential uuid) returns uuid
language plpgsql
as $$
begin
  if exists (
    select
      from tokens t
      join users u on u.id = t.user_id
     where t.id = credential
       and t.revoked_at is null
       and t.expires_at > clock_timestamp()
       and u.active
  ) then
    raise exception 'the role of the credential is too low' using errcode = 'SL403';
  end if;
  raise exception 'the credential has ended' using errcode = 'SL401';
end
$$;

-- Checks the right again at the commit, with a new snapshot: a statement that waited for a row, and a long
-- import, has an old one. The first row of a transaction is checked, and each row that comes 0.1 s or more
-- after the last check.
create function items_check_right() returns trigger
language plpgsql
as $$
declare
  credential uuid    := current_setting('silo.token');
  moment     numeric := extract(epoch from clock_timestamp());
begin
  if moment < current_setting('silo.checked')::numeric + 0.1 then
    return null;
  end if;
  perform set_config('silo.checked', moment::text, true);
  if not exists (
    select
      from tokens t
      join users u on u.id = t.user_id
     where t.id = credential
       and t.revoked_at is null
       and t.expires_at > clock_timestamp()
       and u.active
       and role_rank(current_setting('silo.role')) <= least(role_rank(t.role), role_rank(u.role))
  ) then
    perform refuse_right(credential);
  end if;
  return null;
end
$$;

-- Named to run before `items_log`, so that no id is drawn for a change that is refused. Does not apply to
-- other SQL clients, whose rights are PostgreSQL's.
create constraint trigger items_check_right after insert or update on items
  deferrable initially deferred for each row when (current_setting('silo.token', true) <> '')
  execute function items_check_right();
