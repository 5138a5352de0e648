-- The number of subscribers of each instance. Each instance reports its own; a row that is no longer renewed
-- belongs to an instance that has ended. Unlogged, because the instances report again within seconds after a
-- crash.
create unlogged table instances (
  id       uuid primary key,
  watchers integer not null,
  seen_at  timestamptz not null
);
