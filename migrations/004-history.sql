-- A restored log is another history, and clocks err. Read docs/decisions/0019-a-cursor-carries-a-check-of-its-event.md and 0020.

-- The timeline of the write-ahead log: a promotion, and a recovery to a point in time, begin a new one. Taken from the name of
-- the file that is written, because the control file learns of a promotion only with the next checkpoint. A standby writes none.
create function wal_timeline() returns integer
language sql stable
as $$
  select case when not pg_is_in_recovery()
              then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
         end
$$;

alter table event_log
  -- The check of the event at `pruned_to`, which has no row any more.
  add column pruned_check text not null default '00000000' check (pruned_check ~ '^[0-9a-f]{8}$'),
  -- The timeline that the log was last looked through on, see `adoptTimeline`.
  add column timeline integer not null default wal_timeline();
alter table event_log alter column timeline drop default;

-- The epoch is the log's own: wherever it is restored to, a cursor's check tells whether it can be continued from.
drop function event_log_epoch();

-- As before, but for the time: of one item it ascends while the clock steps back by no more than a second. After a larger error
-- the clock is right, and the order of its changes is told by their revisions.
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
  -- The row is locked by now, so nobody else changes it between this time and the commit.
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
