-- The first transaction that writes to the log on a new timeline adopts it. Read
-- docs/decisions/0019-a-cursor-carries-a-check-of-its-event.md.

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
