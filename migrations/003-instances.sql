-- How many watch, instance by instance: each reports its own, and what is no longer renewed is of one that is gone.
-- Not worth a place in the write-ahead log: a few seconds after a crash it is here again.
create unlogged table instances (
  id       uuid primary key,
  watchers integer not null,
  seen_at  timestamptz not null
);
