-- The schema of the service. Read docs/decisions/0002-log-written-by-triggers.md first. Every rule that must
-- hold for all writers, the API as well as psql, is enforced here and not in TypeScript.

create extension if not exists pg_trgm;

-- Users and their credentials -------------------------------------------------------------------

create table users (
  id            uuid primary key default gen_random_uuid(),
  username      text not null check (username ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
  display_name  text not null,
  role          text not null check (role in ('viewer', 'editor', 'admin')),
  password_hash text not null,
  active        boolean not null default true,
  created_at    timestamptz(3) not null default now()
);

create unique index users_username on users (lower(username));

-- A session of a browser and an API token are both a row that can expire and be revoked. The bearer token of
-- a session is a signed JWT with the id of the row; that of an API token is its secret, of which the row has
-- the hash.
create table tokens (
  id           uuid primary key default gen_random_uuid(),
  user_id      uuid not null references users on delete cascade,
  kind         text not null check (kind in ('session', 'api')),
  name         text not null,
  role         text not null check (role in ('viewer', 'editor', 'admin')),
  hash         bytea unique check ((hash is null) = (kind = 'session')),
  created_at   timestamptz(3) not null default now(),
  expires_at   timestamptz(3) not null,
  revoked_at   timestamptz(3),
  last_used_at timestamptz(3)
);

create index tokens_user on tokens (user_id);

-- Revokes the sessions and tokens of a user whose password was changed, or who was disabled. As a statement
-- of its own the update has a newer snapshot than the change, so it also sees a session that was committed
-- while the change waited for the user's row.
create function users_revoke_tokens() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
  update tokens set revoked_at = clock_timestamp() where user_id = new.id and revoked_at is null;
  return null;
end
$$;

create trigger users_revoke_tokens after update of password_hash, active on users
  for each row when (new.password_hash <> old.password_hash or not new.active)
  execute function users_revoke_tokens();

-- Items and their revisions ---------------------------------------------------------------------

create table items (
  id               uuid primary key default gen_random_uuid(),
  part_number      text collate "C" not null check (part_number ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  item_type        text not null default 'part'
                   check (item_type in ('part', 'assembly', 'drawing', 'document', 'tool', 'consumable')),
  description      text not null default '',
  long_description text not null default '',
  sourcing_type    text check (sourcing_type in ('manufactured', 'purchased')),
  properties       jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
  revision         integer not null default 1,
  -- The comment of the current revision, which was made at `updated_at` by `updated_by`.
  comment          text,
  created_at       timestamptz(3) not null default now(),
  created_by       text not null default session_user,
  updated_at       timestamptz(3) not null default now(),
  updated_by       text not null default session_user,
  archived_at      timestamptz(3),
  archived_by      text
);

create unique index items_part_number on items (lower(part_number));
create index items_updated on items (updated_at, id);
create index items_created on items (created_at, id);
-- Without a collation of its own the text would have that of the part number, which knows only ASCII letters.
--
-- A GIN index collects new entries in a pending list, which every search scans. With the default of 4 MB the
-- planner prefers to scan all items after some thousand changes; without a pending list, writers are much
-- slower.
create index items_search on items using gin
  (lower((part_number || ' ' || description) collate "default") gin_trgm_ops) with (gin_pending_list_limit = 256);

-- The past revisions of items. The current revision is in `items` only, and is copied here when the next one
-- replaces it, so that creating an item writes it once. Read
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

create view revisions as
select id as item_id, revision as revision_number, part_number, item_type, description, long_description, sourcing_type,
       properties, comment, updated_at as created_at, updated_by as created_by
  from items
 union all
select item_id, revision_number, part_number, item_type, description, long_description, sourcing_type,
       properties, comment, created_at, created_by
  from past_revisions;

-- The last number that was drawn in each category. Its row lock serialises concurrent creates of one
-- category.
create table categories (
  category text collate "C" primary key check (category = lower(category)),
  prefix   text not null,
  last     integer not null
);

-- The event log ---------------------------------------------------------------------------------

-- The JSON of an event, which is sent unchanged: a line break in it would end a line of the stream. A domain,
-- because a check of the table would be parsed again by each insert, which is a measurable part of a
-- create.
create domain json_line as json
  constraint one_line check (strpos(value::text, chr(10)) = 0 and strpos(value::text, chr(13)) = 0);

-- The insert itself draws the id, after it has locked the table, and the sequence has no cache. The proof in
-- feed/tail.ts depends on both.
create table events (
  id          bigint generated always as identity (cache 1) primary key,
  type        text not null,
  part_number text not null,
  data        json_line not null,
  -- For retention; the data contains it as well.
  at          timestamptz(3) not null
);

-- A single row.
create table event_log (
  singleton boolean primary key default true check (singleton),
  -- Identifies the log; a new seed means a new epoch.
  seed      uuid not null default gen_random_uuid(),
  -- The last id that retention has deleted.
  pruned_to bigint not null default 0
);

insert into event_log default values;

create table server_settings (
  singleton boolean primary key default true check (singleton),
  mode      text not null default 'normal' check (mode in ('normal', 'read-only'))
);

insert into server_settings default values;

-- The epoch of the log. It changes when the log is restored into another cluster or database, and when its
-- server was promoted or restored to an earlier point (a new timeline). Cursors of one epoch are not valid in
-- another. Migration 004 drops this function.
create function event_log_epoch() returns text
language sql stable
as $$
  select substr(md5(concat_ws('/',
           l.seed,
           (select system_identifier from pg_control_system()),
           (select oid from pg_database where datname = current_database()),
           left(pg_walfile_name(pg_current_wal_lsn()), 8)
         )), 1, 8)
    from event_log l
$$;

-- Returns the user to whom a change is attributed: the one that the API has set, otherwise the database user.
create function acting_user() returns text
language sql stable
as $$
  select coalesce(nullif(current_setting('silo.actor', true), ''), session_user)
$$;

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

-- Drops an update that changes nothing, so that later triggers need not check for it. To make a revision
-- without a change of content: set revision = revision + 1.
create function items_before_update() returns trigger
language plpgsql security definer set search_path from current
as $$
declare
  archived boolean := old.archived_at is null and new.archived_at is not null;
  revised  boolean := new.revision <> old.revision
                   or (old.archived_at is not null and new.archived_at is null)
                   or (old.item_type, old.description, old.long_description, old.sourcing_type, old.properties)
                      is distinct from
                      (new.item_type, new.description, new.long_description, new.sourcing_type, new.properties);
  -- The row is locked, so the times of an item ascend like its revisions, even if the clock steps back
  -- (migration 004 limits that to one second).
  moment   timestamptz(3) := greatest(clock_timestamp(), old.updated_at, old.archived_at);
begin
  if new.id <> old.id or new.part_number <> old.part_number then
    raise exception 'the id and the part number of an item never change' using errcode = 'integrity_constraint_violation';
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
-- The past revision and the events are written by one function and one statement, because each further one
-- costs as much to start as an insert (docs/decisions/0002-log-written-by-triggers.md).
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
            event_data(new.part_number, ',"description":' || to_json(new.description) || ',"item_type":' || to_json(new.item_type),
                       new.updated_by, new.updated_at),
            new.updated_at);
    return null;
  end if;
  if new.revision <> old.revision then
    with past as (
      insert into past_revisions (
        item_id, revision_number, part_number, item_type, description, long_description, sourcing_type, properties,
        comment, created_at, created_by
      ) values (
        old.id, old.revision, old.part_number, old.item_type, old.description, old.long_description, old.sourcing_type,
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
    values ('item.deleted', new.part_number, event_data(new.part_number, '', new.archived_by, new.archived_at),
            new.archived_at);
  end if;
  return null;
end
$$;

create function refuse() returns trigger
language plpgsql
as $$
begin
  raise exception '%', tg_argv[0] using errcode = 'integrity_constraint_violation';
end
$$;

create trigger items_before_insert before insert on items
  for each row execute function items_before_insert();
create trigger items_before_update before update on items
  for each row execute function items_before_update();

-- Deferred to the commit: the id is drawn last, so an idle transaction holds no id and does not delay the
-- feed.
create constraint trigger items_log after insert or update on items
  deferrable initially deferred for each row execute function items_log();

create trigger items_are_kept before delete on items
  for each row execute function refuse('items are archived, not deleted: update items set archived_at = now() where ...');
create trigger items_are_kept_whole before truncate on items
  for each statement execute function refuse('items are archived, not deleted');
create trigger past_revisions_are_append_only before update or delete on past_revisions
  for each row execute function refuse('revisions are append-only');
create trigger past_revisions_are_kept before truncate on past_revisions
  for each statement execute function refuse('revisions are append-only');
-- Only the trigger on `items` may insert: its inserts have a trigger depth of 1.
create trigger past_revisions_follow_items before insert on past_revisions
  for each row when (pg_trigger_depth() < 1)
  execute function refuse('a revision is written by changing its item');

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
