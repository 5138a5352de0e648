-- The schema of the service. Rules that must hold for every writer, the API as well as psql, are enforced
-- here and not in TypeScript. Read docs/decisions/0002-log-written-by-triggers.md first.
--
-- Triggers of one kind run in the order of their names, and some names are chosen for that. The triggers of
-- `items` run in this order:
--
--   before   items_are_bounded      refuses a text that is far too long
--            items_are_in_nfc_…     normalises the texts
--            items_before_insert, items_before_update
--                                   set the revision, the author and the time; drop an update without effect
--            items_comment_in_nfc   normalises the comment
--            items_within_bounds    refuses a text that is too long
--   commit   items_check_right      checks the author's right again
--            items_log              writes the past revision and the events
--
-- The API passes its context in settings of the transaction (store/author.ts, store/users.ts):
--
--   silo.actor        the username to which a change is attributed
--   silo.comment      the comment of the revision
--   silo.writer       `api`: the writer reads the log itself after its commit
--   silo.token        the credential, a `tokens.id`
--   silo.role         the role that the change requires
--   silo.checked      the time of the last check of the right, in seconds since 1970
--   silo.keep_tokens  `on`: a new password leaves API tokens valid

-- Trigrams, for the index of the search.
create extension if not exists pg_trgm;

-- Functions of several tables ---------------------------------------------------------------------------

-- Returns the user to whom a change is attributed: the one that the API has set, otherwise the database user.
--
-- The setting is trusted only from the service's own role. Triggers call this function with the rights of
-- their owner, so `current_user` is the owner of the tables, and `session_user` is the role that has
-- connected.
create function acting_user() returns text
language sql stable
as $$
  select coalesce(
           case when pg_has_role(session_user, current_user, 'member')
                then nullif(current_setting('silo.actor', true), '')
           end,
           session_user
         )
$$;

-- Refuses a statement with the trigger's argument as the message.
create function refuse() returns trigger
language plpgsql
as $$
begin
  raise exception '%', tg_argv[0] using errcode = 'integrity_constraint_violation';
end
$$;

-- Refuses a value that exceeds the bound of its field. The bounds are those of schemas/bounds.ts. See
-- docs/decisions/0036-the-tables-bound-what-they-hold.md.
--
-- Triggers check the bounds, and only those of values that a statement changes. So a row that exceeds a
-- bound, because it was written under a higher bound or without triggers, can still be archived, or changed
-- otherwise.
create function refuse_length(field text, bound integer) returns void
language plpgsql
as $$
begin
  raise exception '% is larger than %', field, bound
    using errcode = 'check_violation', column = field,
          hint = 'characters of a text, bytes of properties as JSON; see docs/SPECIFICATION.md';
end
$$;

-- Text and JSON -----------------------------------------------------------------------------------------
--
-- Each text has one form: it is stored in NFC, and searched in NFKC with case folded. See
-- docs/decisions/0027-one-form-of-text.md.

-- Returns the form in which a text is searched.
--
-- The collation that folds case is fixed, so that a cluster of locale C finds the same as any other: ICU's if
-- the server has it, otherwise PostgreSQL's own (17 and later).
do $$
declare
  casing text := (
    select collname
      from pg_collation
     where collnamespace = 'pg_catalog'::regnamespace
       and collname in ('und-x-icu', 'pg_c_utf8')
     order by collname desc
     limit 1
  );
begin
  execute format($create$
    create function search_form(value text) returns text
    language sql immutable strict parallel safe
    -- ASCII letters differ from their search form in case only.
    return case when octet_length(value) = char_length(value) then lower(value collate "C")
                else replace(replace(
                       lower(replace(normalize(value, NFKC), 'İ', U&'i\0307') collate pg_catalog.%I),
                     'ß', 'ss'), 'ς', 'σ') collate "C"
           end
  $create$, coalesce(casing, 'default'));
end
$$;

-- Returns a JSON value with its texts and names in NFC. Names that become the same are refused, like a name
-- that is given twice.
create function json_in_nfc(value jsonb) returns jsonb
language plpgsql immutable strict set search_path from current
as $$
declare
  result jsonb;
begin
  case jsonb_typeof(value)
    when 'string' then
      return to_jsonb(normalize(value #>> '{}', NFC));
    when 'array' then
      select coalesce(jsonb_agg(json_in_nfc(element) order by index), '[]')
        into result
        from jsonb_array_elements(value) with ordinality as elements (element, index);
      return result;
    when 'object' then
      select coalesce(jsonb_object_agg(normalize(key, NFC), json_in_nfc(inner_value)), '{}')
        into result
        from jsonb_each(value) as members (key, inner_value);
      if (select count(*) from jsonb_object_keys(result))
         < (select count(*) from jsonb_object_keys(value)) then
        raise exception 'two names of % differ only in their Unicode form', left(value::text, 200)
          using errcode = 'integrity_constraint_violation';
      end if;
      return result;
    else
      return value;
  end case;
end
$$;

-- Returns the length of a JSON value in bytes, without the blanks that PostgreSQL prints after colons and
-- commas.
create function compact_length(value jsonb) returns integer
language sql immutable strict parallel safe
return octet_length(regexp_replace(value::text, '("(?:[^"\\]|\\.)*")|([:,]) ', '\1\2', 'g'));

-- Returns whether properties are too large. Blanks make them longer by at most half, so the exact length,
-- which is expensive, is rarely needed.
create function exceeds_bound(properties jsonb) returns boolean
language sql immutable strict parallel safe set search_path from current
as $$
  select case when octet_length(properties::text) <= 65536 then false
              when octet_length(properties::text) > 131072 then true
              else compact_length(properties) > 65536
         end
$$;

-- Users -------------------------------------------------------------------------------------------------

-- Returns the rank of a role: a higher one includes the rights of the lower ones.
create function role_rank(role text) returns integer
language sql immutable strict parallel safe
as $$ select array_position(array['viewer', 'editor', 'admin'], role) $$;

create table users (
  id            uuid primary key default gen_random_uuid(),
  username      text not null check (username ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
  display_name  text not null,
  role          text not null check (role in ('viewer', 'editor', 'admin')),
  password_hash text not null,
  -- An inactive user can't sign in and has no valid token.
  active        boolean not null default true,
  created_at    timestamptz(3) not null default now()
);

-- Usernames that differ only in case are the same.
create unique index users_username on users (lower(username));

-- Normalises the display name.
create function users_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.display_name := normalize(new.display_name, NFC);
  return new;
end
$$;

create trigger users_in_nfc before insert or update of display_name on users
  for each row when (new.display_name is not nfc normalized) execute function users_in_nfc();

-- Refuses a display name that is too long.
create function users_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.display_name is distinct from old.display_name then
    perform refuse_length('display_name', 200);
  end if;
  return new;
end
$$;

create trigger users_within_bounds before insert or update on users
  for each row when (char_length(new.display_name) > 200) execute function users_within_bounds();

-- Sessions and API tokens -------------------------------------------------------------------------------

-- The credentials. A session of a browser and an API token are both a row that can expire and be revoked. The
-- bearer token of a session is a signed JWT with the id of the row; that of an API token is its secret.
create table tokens (
  id           uuid primary key default gen_random_uuid(),
  user_id      uuid not null references users on delete cascade,
  kind         text not null check (kind in ('session', 'api')),
  name         text not null,
  -- The highest role that the credential can have; the lower one of this and the user's role applies. That of
  -- a session is `admin`, so a session always has the role of its user.
  role         text not null check (role in ('viewer', 'editor', 'admin')),
  -- The SHA-256 of the secret of an API token.
  hash         bytea unique check ((hash is null) = (kind = 'session')),
  created_at   timestamptz(3) not null default now(),
  expires_at   timestamptz(3) not null,
  revoked_at   timestamptz(3),
  -- Updated at most once a minute.
  last_used_at timestamptz(3),
  -- The credential that created this one; null for a session, and for a token that a session created with
  -- `keep`.
  parent_id    uuid references tokens on delete cascade
);

create index tokens_user on tokens (user_id);
create index tokens_parent on tokens (parent_id) where parent_id is not null;

-- Normalises the name.
create function tokens_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.name := normalize(new.name, NFC);
  return new;
end
$$;

create trigger tokens_in_nfc before insert or update of name on tokens
  for each row when (new.name is not nfc normalized) execute function tokens_in_nfc();

-- Refuses a name that is too long.
create function tokens_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.name is distinct from old.name then
    perform refuse_length('name', 200);
  end if;
  return new;
end
$$;

create trigger tokens_within_bounds before insert or update on tokens
  for each row when (char_length(new.name) > 200) execute function tokens_within_bounds();

-- Limits a token to its parent: it expires no later, has no higher role, and is revoked with it. See
-- docs/decisions/0032-tokens-descend-from-what-made-them.md.
--
-- Also limits a user to 100 valid API tokens (too_many_tokens in errors.ts). They are counted under the lock
-- of the user's row, so that concurrent inserts are counted one after the other.
create function tokens_before_insert() returns trigger
language plpgsql security definer set search_path from current
as $$
declare
  parent tokens;
begin
  if new.parent_id is not null then
    select * into parent from tokens where id = new.parent_id for share;
    if parent.user_id is distinct from new.user_id then
      raise exception 'the parent of a token is a token of the same user'
        using errcode = 'integrity_constraint_violation';
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

-- Applies a revocation of a token, a lower role and an earlier expiry to its children. The same trigger then
-- applies it to their children.
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

-- Revokes the sessions and tokens of a user whose password was changed, or who was disabled. A new password
-- with `silo.keep_tokens` leaves the API tokens, except those that descend from a session: they are revoked
-- with it.
--
-- As a statement of its own the update has a newer snapshot than the change, so it also sees a session that
-- was committed while the change waited for the user's row.
create function users_revoke_tokens() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  update tokens
     set revoked_at = clock_timestamp()
   where user_id = new.id
     and revoked_at is null
     and (kind = 'session'
          or not new.active
          or current_setting('silo.keep_tokens', true) is distinct from 'on');
  return null;
end
$$;

create trigger users_revoke_tokens after update of password_hash, active on users
  for each row when (new.password_hash <> old.password_hash or not new.active)
  execute function users_revoke_tokens();

-- Lowers the API tokens of a demoted user that have a higher role, so that a later promotion does not raise
-- them again.
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

-- Fails the statement of a credential that lacks the required right. The SQLSTATE corresponds to the error of
-- the API: SL401 (unauthenticated) if the credential has ended, SL403 (forbidden) if only its role is too
-- low.
--
-- The statement that uses a right checks it, and calls this function. The credential is read again here,
-- because the statement may have waited for a lock since its own snapshot. See
-- docs/decisions/0031-a-right-is-checked-by-the-statement-that-uses-it.md.
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

-- Items -------------------------------------------------------------------------------------------------

-- The items, each with its current revision.
create table items (
  id               uuid primary key default gen_random_uuid(),
  part_number      text collate "C" not null check (part_number ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  item_type        text not null default 'part'
                   check (item_type in ('part', 'assembly', 'drawing', 'document', 'tool', 'consumable')),
  description      text not null default '',
  long_description text not null default '',
  sourcing_type    text check (sourcing_type in ('manufactured', 'purchased')),
  properties       jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
  -- The number of the current revision, which was made at `updated_at` by `updated_by`.
  revision         integer not null default 1,
  -- The comment of the current revision.
  comment          text,
  created_at       timestamptz(3) not null default now(),
  created_by       text not null default session_user,
  updated_at       timestamptz(3) not null default now(),
  updated_by       text not null default session_user,
  -- Set while the item is archived.
  archived_at      timestamptz(3),
  archived_by      text,
  -- Stored, because every search compares it with each of its words, and it is expensive to compute. Computed
  -- after the triggers, so from the normalised text.
  search_text      text collate "C" not null
                   generated always as (search_form(part_number || ' ' || description)) stored
);

-- Part numbers that differ only in case are the same.
create unique index items_part_number on items (lower(part_number));
create index items_updated on items (updated_at, id);
create index items_created on items (created_at, id);

-- A GIN index collects new entries in a pending list, which every search scans. With the default of 4 MB the
-- planner prefers to scan all items after some thousand changes; without a pending list, writers are much
-- slower.
create index items_search on items using gin (search_text gin_trgm_ops) with (gin_pending_list_limit = 256);

-- Refuses texts and properties that are too long.
create function items_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
declare
  created boolean := tg_op = 'INSERT';
begin
  if char_length(new.description) > 2000
     and (created or new.description is distinct from old.description) then
    perform refuse_length('description', 2000);
  end if;
  if char_length(new.long_description) > 65536
     and (created or new.long_description is distinct from old.long_description) then
    perform refuse_length('long_description', 65536);
  end if;
  if char_length(new.comment) > 4000 and (created or new.comment is distinct from old.comment) then
    perform refuse_length('comment', 4000);
  end if;
  if exceeds_bound(new.properties) and (created or new.properties is distinct from old.properties) then
    perform refuse_length('properties', 65536);
  end if;
  return new;
end
$$;

-- Runs before all others, and refuses only a text that is far too long, because normalising it takes several
-- times its size in memory. NFC composes at most four characters into one, and a character has at most four
-- bytes: a text of so many bytes has too many characters in any form.
create trigger items_are_bounded before insert or update on items
  for each row when (
    octet_length(new.description) > 32 * 2000
    or octet_length(new.long_description) > 32 * 65536
    or octet_length(new.comment) > 32 * 4000
    or pg_column_size(new.properties) > 32 * 65536
  )
  execute function items_within_bounds();

-- Runs after the triggers that normalise texts and set the comment. The condition compares bytes, which are
-- known without reading the text: it never has more characters than bytes.
create trigger items_within_bounds before insert or update on items
  for each row when (
    octet_length(new.description) > 2000
    or octet_length(new.long_description) > 65536
    or octet_length(new.comment) > 4000
    or octet_length(new.properties::text) > 65536
  )
  execute function items_within_bounds();

-- Normalises texts and properties, but only what a statement changes: an item that was written without
-- triggers gets no revision if only its form differs.
create function items_in_nfc() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.description is distinct from old.description then
    new.description := normalize(new.description, NFC);
  end if;
  if tg_op = 'INSERT' or new.long_description is distinct from old.long_description then
    new.long_description := normalize(new.long_description, NFC);
  end if;
  if tg_op = 'INSERT' or new.properties is distinct from old.properties then
    new.properties := json_in_nfc(new.properties);
  end if;
  return new;
end
$$;

-- These run before `items_before_insert` and `items_before_update`, which compare the content. Their
-- conditions are cheaper than a call.
create trigger items_are_in_nfc_insert before insert on items
  for each row when (
    new.description is not nfc normalized
    or new.long_description is not nfc normalized
    or new.properties::text is not nfc normalized
  )
  execute function items_in_nfc();
create trigger items_are_in_nfc_update before update on items
  for each row when (
    new.description is not nfc normalized
    or new.long_description is not nfc normalized
    or new.properties::text is not nfc normalized
  )
  execute function items_in_nfc();

-- Sets revision, comment, author and times of a new item, whatever values the statement gives.
create function items_before_insert() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  new.revision    := 1;
  new.comment     := nullif(current_setting('silo.comment', true), '');
  new.created_at  := clock_timestamp();
  new.created_by  := acting_user();
  new.updated_at  := new.created_at;
  new.updated_by  := new.created_by;
  new.archived_at := null;
  new.archived_by := null;
  return new;
end
$$;

create trigger items_before_insert before insert on items
  for each row execute function items_before_insert();

-- Sets revision, comment, author and times of a changed item. A change of content makes a revision, and so
-- does restoring an archived item. To make one without a change of content: set revision = revision + 1.
--
-- Drops an update that changes nothing, so that later triggers need not check for it.
--
-- The times of an item ascend if the clock steps back by no more than a second. After a larger step the clock
-- is used as it is, and only the revisions show the order of an item's changes. See
-- docs/decisions/0020-retention-goes-by-position.md.
create function items_before_update() returns trigger
language plpgsql security definer set search_path from current
as $$
declare
  archived boolean := old.archived_at is null and new.archived_at is not null;
  revised  boolean := new.revision <> old.revision
                   or (old.archived_at is not null and new.archived_at is null)
                   or (old.item_type, old.description, old.long_description,
                       old.sourcing_type, old.properties)
                      is distinct from
                      (new.item_type, new.description, new.long_description,
                       new.sourcing_type, new.properties);
  clock    timestamptz(3) := clock_timestamp();
  latest   timestamptz(3) := greatest(old.updated_at, old.archived_at);
  -- The row is locked, so no other transaction changes it between this time and the commit.
  moment   timestamptz(3) := case when latest <= clock + interval '1 second'
                                  then greatest(clock, latest)
                                  else clock
                             end;
begin
  if new.id <> old.id or new.part_number <> old.part_number then
    raise exception 'the id and the part number of an item never change'
      using errcode = 'integrity_constraint_violation';
  end if;
  if old.archived_at is not null and new.archived_at is not null then
    raise exception 'item % is archived', old.part_number using errcode = 'integrity_constraint_violation';
  end if;
  if not archived and not revised then
    return null;
  end if;
  new.revision    := old.revision + revised::integer;
  new.created_at  := old.created_at;
  new.created_by  := old.created_by;
  new.comment     := old.comment;
  new.updated_at  := old.updated_at;
  new.updated_by  := old.updated_by;
  new.archived_at := null;
  new.archived_by := null;
  if revised then
    new.comment    := nullif(current_setting('silo.comment', true), '');
    new.updated_at := moment;
    new.updated_by := acting_user();
  end if;
  if archived then
    new.archived_at := moment;
    new.archived_by := acting_user();
  end if;
  return new;
end
$$;

create trigger items_before_update before update on items
  for each row execute function items_before_update();

-- Normalises the comment. Runs after `items_before_insert` and `items_before_update`, which take the comment
-- from the transaction's settings.
create function items_comment_in_nfc() returns trigger
language plpgsql
as $$
begin
  new.comment := normalize(new.comment, NFC);
  return new;
end
$$;

create trigger items_comment_in_nfc before insert or update on items
  for each row when (new.comment is not nfc normalized) execute function items_comment_in_nfc();

-- Checks the author's right again at the commit, with a new snapshot: a statement that waited for a row, and
-- a long import, has an old one. The first row of a transaction is checked, and each row that comes 0.1 s or
-- more after the last check.
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

-- Runs before `items_log`, so that no id is drawn for a change that is refused. Does not apply to other SQL
-- clients, whose rights are PostgreSQL's.
create constraint trigger items_check_right after insert or update on items
  deferrable initially deferred for each row when (current_setting('silo.token', true) <> '')
  execute function items_check_right();

-- Items are archived, never deleted.
create trigger items_are_kept before delete on items
  for each row execute function
    refuse('items are archived, not deleted: update items set archived_at = now() where ...');
create trigger items_are_kept_whole before truncate on items
  for each statement execute function refuse('items are archived, not deleted');

-- Revisions ---------------------------------------------------------------------------------------------

-- The past revisions of items. The current revision is in `items` only, and is copied here when the next one
-- replaces it, so that creating an item writes it once. See
-- docs/decisions/0016-the-newest-revision-is-the-row-of-the-item.md.
create table past_revisions (
  item_id          uuid not null references items deferrable initially deferred,
  revision_number  integer not null,
  part_number      text collate "C" not null,
  item_type        text not null,
  description      text not null,
  long_description text not null,
  sourcing_type    text,
  properties       jsonb not null,
  comment          text,
  created_at       timestamptz(3) not null,
  created_by       text not null,
  primary key (item_id, revision_number)
);

-- All revisions, current and past.
create view revisions as
select id as item_id, revision as revision_number, part_number, item_type, description, long_description,
       sourcing_type,
       properties, comment, updated_at as created_at, updated_by as created_by
  from items
 union all
select item_id, revision_number, part_number, item_type, description, long_description, sourcing_type,
       properties, comment, created_at, created_by
  from past_revisions;

-- Past revisions never change.
create trigger past_revisions_are_append_only before update or delete on past_revisions
  for each row execute function refuse('revisions are append-only');
create trigger past_revisions_are_kept before truncate on past_revisions
  for each statement execute function refuse('revisions are append-only');

-- Only `items_log` may insert: inserts of a trigger have a trigger depth of 1.
create trigger past_revisions_follow_items before insert on past_revisions
  for each row when (pg_trigger_depth() < 1)
  execute function refuse('a revision is written by changing its item');

-- Part numbers ------------------------------------------------------------------------------------------

-- The categories from which part numbers are drawn. The lock of a row serialises concurrent creates of one
-- category.
create table categories (
  category text collate "C" primary key check (category = lower(category)),
  -- The category as it is written in part numbers.
  prefix   text not null,
  -- The last number that was drawn.
  last     integer not null
);

-- Refuses a category that is too long.
create function categories_within_bounds() returns trigger
language plpgsql set search_path from current
as $$
begin
  if tg_op = 'INSERT' or new.category <> old.category or new.prefix <> old.prefix then
    perform refuse_length('category', 32);
  end if;
  return new;
end
$$;

create trigger categories_within_bounds before insert or update on categories
  for each row when (char_length(new.category) > 32 or char_length(new.prefix) > 32)
  execute function categories_within_bounds();

-- Returns the next number of a category that no item has, archived ones included. Gaps are not filled: a
-- number that was drawn may already be written on a drawing.
create function next_part_number(wanted text) returns text
language plpgsql
as $$
declare
  counter categories;
  number  text;
begin
  -- Searched only for the first number of a category, which may have many thousands of items. Later its row
  -- has the number.
  if not exists (select from categories where category = lower(wanted)) then
    insert into categories (category, prefix, last)
    values (lower(wanted), wanted, (
             select coalesce(max(substr(part_number, length(wanted) + 2)::integer), 0)
               from items
              where lower(part_number) >= lower(wanted) || '-'
                and lower(part_number) < lower(wanted) || '.'
                and substr(part_number, length(wanted) + 2) ~ '^[0-9]{4,9}$'
           ))
        on conflict (category) do nothing;
  end if;
  select * into counter from categories where category = lower(wanted) for update;
  loop
    counter.last := counter.last + 1;
    number := counter.prefix || '-' || lpad(counter.last::text, greatest(4, length(counter.last::text)), '0');
    exit when not exists (select from items where lower(part_number) = lower(number));
  end loop;
  update categories set last = counter.last where category = counter.category;
  return number;
end
$$;

-- The event log -----------------------------------------------------------------------------------------

-- The JSON of an event, which is sent unchanged: a line break in it would end a line of the stream. A domain,
-- because a check of the table would be parsed again by each insert, which is a measurable part of a create.
create domain json_line as json
  constraint one_line check (strpos(value::text, chr(10)) = 0 and strpos(value::text, chr(13)) = 0);

-- The log: every change, in the order of the ids.
create table events (
  -- The insert itself draws the id, after it has locked the table, and the sequence has no cache. The proof
  -- in feed/tail.ts depends on both.
  id          bigint generated always as identity (cache 1) primary key,
  type        text not null,
  part_number text not null,
  data        json_line not null,
  -- The time of the change, for retention; the data contains it as well.
  at          timestamptz(3) not null
);

-- The state of the log, a single row. A log that was restored from a dump or a backup, or recovered, is not
-- the one that cursors come from. See docs/decisions/0019-a-cursor-carries-a-check-of-its-event.md.
create table event_log (
  singleton    boolean primary key default true check (singleton),
  -- Identifies the log; the epoch of a cursor is taken from it, so a new seed means a new epoch.
  seed         uuid not null default gen_random_uuid(),
  -- The last id that retention has deleted.
  pruned_to    bigint not null default 0,
  -- The check of the event at `pruned_to`.
  pruned_check text not null default '00000000' check (pruned_check ~ '^[0-9a-f]{8}$'),
  -- The timeline on which the log was last adopted, see `adopt_log`.
  timeline     integer not null
);

-- Returns the timeline of the write-ahead log; null on a standby, which writes none. A promotion, and a
-- recovery to a point in time, begin a new timeline. It is taken from the name of the current file of the
-- log, because the control file has the new timeline only after the next checkpoint.
create function wal_timeline() returns integer
language sql stable
as $$
  select case when not pg_is_in_recovery()
              then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
         end
$$;

insert into event_log (timeline) values (wal_timeline());

-- Adopts the log on a new timeline. If ids are missing, their events may have been lost, and the log gets a
-- new epoch. A promoted server skips up to 32 ids of a sequence, so the ids can be compared with the events
-- only before it has written any.
create function adopt_log() returns void
language plpgsql set search_path from current
as $$
begin
  if exists (select from event_log where timeline <> wal_timeline()) then
    -- Another transaction may be adopting the log: the update waits for it, and then finds no row.
    update event_log
       set timeline = wal_timeline(),
           seed = case
                    when (select count(*) from events where id > pruned_to)
                         = greatest((select max(id) from events), pruned_to) - pruned_to
                    then seed
                    else gen_random_uuid()
                  end
     where timeline <> wal_timeline();
  end if;
end
$$;

-- Adopts the log with the first transaction that writes to it on a new timeline.
create function events_adopt_log() returns trigger
language plpgsql set search_path from current
as $$
begin
  perform adopt_log();
  return null;
end
$$;

-- Runs before the statement, and so before it draws an id.
create trigger events_adopt_log before insert on events
  for each statement execute function events_adopt_log();

-- Returns the JSON of an event, with `details` between the part number and the actor. It is built as text,
-- because it is sent unchanged, and json_build_object adds spaces.
create function event_data(part_number text, details text, actor text, at timestamptz) returns json
language sql stable
as $$
  select ('{"part_number":' || to_json(part_number) || details || ',"actor":' || to_json(actor)
          || ',"at":"' || to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '"}')::json
$$;

-- Writes the past revision and the events of a change.
--
-- The API reads the log after each of its own commits, so it needs no NOTIFY inside its transactions, which
-- takes a database-wide lock until the commit is flushed. Any other writer notifies the instances here.
--
-- A commit must be on disk before a subscriber sees it, even if the writer has `synchronous_commit` off.
-- Otherwise a crash could undo a commit that was sent, and give the id of its event to another one.
--
-- The past revision and the events are written by one function and one statement, because to start a further
-- function or statement costs as much as an insert.
create function items_log() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  if current_setting('silo.writer', true) is distinct from 'api' then
    perform pg_notify('silo_events', '');
  end if;
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  if tg_op = 'INSERT' then
    insert into events (type, part_number, data, at)
    values ('item.created', new.part_number,
            event_data(new.part_number,
                       ',"description":' || to_json(new.description)
                         || ',"item_type":' || to_json(new.item_type),
                       new.updated_by, new.updated_at),
            new.updated_at);
    return null;
  end if;
  if new.revision <> old.revision then
    with past as (
      insert into past_revisions (
        item_id, revision_number, part_number, item_type, description, long_description, sourcing_type,
        properties,
        comment, created_at, created_by
      ) values (
        old.id, old.revision, old.part_number, old.item_type, old.description, old.long_description,
        old.sourcing_type,
        old.properties, old.comment, old.updated_at, old.updated_by
      )
    )
    insert into events (type, part_number, data, at)
    values ('item.updated', new.part_number,
            event_data(new.part_number, ',"revision":' || new.revision, new.updated_by, new.updated_at),
            new.updated_at),
           ('revision.created', new.part_number,
            event_data(new.part_number, ',"revision_number":' || new.revision
                                        || ',"comment":' || coalesce(to_json(new.comment)::text, 'null'),
                       new.updated_by, new.updated_at),
            new.updated_at);
  end if;
  if new.archived_at is not null then
    insert into events (type, part_number, data, at)
    values ('item.deleted', new.part_number,
            event_data(new.part_number, '', new.archived_by, new.archived_at), new.archived_at);
  end if;
  return null;
end
$$;

-- Deferred to the commit: the id is drawn last, so an idle transaction holds no id and does not delay the
-- feed.
create constraint trigger items_log after insert or update on items
  deferrable initially deferred for each row execute function items_log();

-- The server --------------------------------------------------------------------------------------------

-- What admins can set, a single row.
create table server_settings (
  singleton boolean primary key default true check (singleton),
  -- `read-only` refuses the writes of the API.
  mode      text not null default 'normal' check (mode in ('normal', 'read-only'))
);

insert into server_settings default values;

-- The instances that run, each of which reports its own row. A row that is no longer renewed belongs to an
-- instance that has ended. Unlogged, because the instances report again within seconds after a crash.
create unlogged table instances (
  id       uuid primary key,
  -- The number of open streams.
  watchers integer not null,
  seen_at  timestamptz not null
);

-- Rights ------------------------------------------------------------------------------------------------

-- Protects the functions that run with the rights of the tables' owner: a role that may write items in SQL
-- must gain no other right. See docs/security.md, "Users with SQL access".
--
-- pg_temp is searched first unless the search path names it last. Otherwise a temporary table "events" would
-- receive the event, and its trigger would run with the owner's rights.
--
-- A role that may execute these functions could attach them to a table of its own, and so write arbitrary
-- events into the log.
do $$
declare
  name text;
begin
  foreach name in array array[
    'tokens_before_insert', 'tokens_bind_children', 'users_revoke_tokens', 'users_lower_tokens',
    'items_before_insert', 'items_before_update', 'items_log'
  ] loop
    execute format('alter function %I() set search_path = %I, pg_temp', name, current_schema());
    execute format('revoke execute on function %I() from public', name);
  end loop;
end
$$;
