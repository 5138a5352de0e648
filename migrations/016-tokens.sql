-- A token expires no later than the one that created it, has no higher role, and is revoked with it. Read
-- docs/decisions/0032-tokens-descend-from-what-made-them.md.

-- The credential that created this one; null for sessions, and for tokens that a session created with `keep`.
alter table tokens add column parent_id uuid references tokens on delete cascade;
create index tokens_parent on tokens (parent_id) where parent_id is not null;

-- A token that an earlier demotion of its owner left with a higher role gets the owner's current role.
update tokens t
   set role = u.role
  from users u
 where u.id = t.user_id
   and t.kind = 'api'
   and role_rank(t.role) > role_rank(u.role);

-- A user may have 100 valid API tokens (too_many_tokens in errors.ts). They are counted under the lock of the
-- user's row, so that concurrent inserts are counted one after the other.
create function tokens_before_insert() returns trigger
language plpgsql security definer set search_path from current
as $$
declare
  parent tokens;
begin
  if new.parent_id is not null then
    select * into parent from tokens where id = new.parent_id for share;
    if parent.user_id is distinct from new.user_id then
      raise exception 'the parent of a token is a token of the same user' using errcode = 'integrity_constraint_violation';
    end if;
    new.expires_at := least(new.expires_at, parent.expires_at);
    new.revoked_at := coalesce(new.revoked_at, parent.revoked_at);
    if role_rank(new.role) > role_rank(parent.role) then
      new.role := parent.role;
    end if;
  end if;
  if new.kind = 'api' then
    perform from users where id = new.user_id for no key update;
    if (
      select count(*)
        from tokens
       where user_id = new.user_id
         and kind = 'api'
         and revoked_at is null
         and expires_at > clock_timestamp()
    ) >= 100 then
      raise exception 'the user has 100 API tokens' using errcode = 'SL409';
    end if;
  end if;
  return new;
end
$$;

create trigger tokens_before_insert before insert on tokens
  for each row execute function tokens_before_insert();

-- What revokes a token, or lowers its role or its expiry, applies to its children, and by the same trigger to
-- theirs.
create function tokens_bind_children() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  update tokens
     set revoked_at = coalesce(revoked_at, new.revoked_at),
         expires_at = least(expires_at, new.expires_at),
         role       = case when role_rank(role) > role_rank(new.role) then new.role else role end
   where parent_id = new.id
     and (revoked_at is null and new.revoked_at is not null
          or expires_at > new.expires_at
          or role_rank(role) > role_rank(new.role));
  return null;
end
$$;

create trigger tokens_bind_children after update of revoked_at, expires_at, role on tokens
  for each row when (new.revoked_at is distinct from old.revoked_at
                     or new.expires_at < old.expires_at
                     or role_rank(new.role) < role_rank(old.role))
  execute function tokens_bind_children();

-- A demotion lowers the user's API tokens with a higher role, so that a later promotion does not raise them
-- again. A session always has the role of its user.
create function users_lower_tokens() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  update tokens
     set role = new.role
   where user_id = new.id
     and kind = 'api'
     and role_rank(role) > role_rank(new.role);
  return null;
end
$$;

create trigger users_lower_tokens after update of role on users
  for each row when (role_rank(new.role) < role_rank(old.role))
  execute function users_lower_tokens();

-- As in 001, except for a new password with `silo.keep_tokens`, which leaves API tokens. Those that descend
-- from a session are revoked with it.
create or replace function users_revoke_tokens() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  update tokens
     set revoked_at = clock_timestamp()
   where user_id = new.id
     and revoked_at is null
     and (kind = 'session' or not new.active or current_setting('silo.keep_tokens', true) is distinct from 'on');
  return null;
end
$$;

do $$
declare
  name text;
begin
  foreach name in array array[
    'users_revoke_tokens', 'users_lower_tokens', 'tokens_before_insert', 'tokens_bind_children'
  ] loop
    execute format('alter function %I() set search_path = %I, pg_temp', name, current_schema());
    execute format('revoke execute on function %I() from public', name);
  end loop;
end
$$;
