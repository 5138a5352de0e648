-- A restored log is not the one that cursors come from, and clocks err. Read
-- docs/decisions/0019-a-cursor-carries-a-check-of-its-event.md and 0020.

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

alter table event_log
  -- The check of the event at `pruned_to`, which has been deleted.
  add column pruned_check text not null default '00000000' check (pruned_check ~ '^[0-9a-f]{8}$'),
  -- The timeline on which the log was last adopted, see `adopt_log` (migration 017).
  add column timeline integer not null default wal_timeline();
alter table event_log alter column timeline drop default;

-- The epoch depends only on the log's seed. Wherever the log is restored, the check of a cursor shows whether
-- the cursor is still valid.
drop function event_log_epoch();

-- As in 001, except for the time: the times of an item ascend if the clock steps back by no more than a
-- second. After a larger step the clock is used as it is, and only the revisions show the order of an item's
-- changes.
create or replace function items_before_update() returns trigger
language plpgsql security definer set search_path from current
as $$
declare
  archived boolean := old.archived_at is null and new.archived_at is not null;
  revised  boolean := new.revision <> old.revision
                   or (old.archived_at is not null and new.archived_at is null)
                   or (old.item_type, old.description, old.long_description, old.sourcing_type, old.properties)
                      is distinct from
                      (new.item_type, new.description, new.long_description, new.sourcing_type, new.properties);
  clock    timestamptz(3) := clock_timestamp();
  latest   timestamptz(3) := greatest(old.updated_at, old.archived_at);
  -- The row is locked, so no other transaction changes it between this time and the commit.
  moment   timestamptz(3) := case when latest <= clock + interval '1 second' then greatest(clock, latest) else clock end;
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

do $$
begin
  execute format('alter function items_before_update() set search_path = %I, pg_temp', current_schema());
end
$$;
