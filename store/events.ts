import type { EventType, LogPage } from '../schemas/events.js'
import type { Sql } from './connect.js'

/** What a page says of each event: its id, type, part number, and the length of its data, in bytes. */
type Head = [id: number, type: EventType, partNumber: string, length: number]

/**
 * The events with `after < id <= upTo`, in order, at most `limit`. The state of the log comes from the same snapshot:
 * retention can't slip in between, so a page that begins above `prunedTo` is complete. It is one row, whose data is taken as
 * the bytes that it came as (docs/decisions/0014): a row for each event, read as text, took half of a replay.
 */
export async function readEvents(sql: Sql, after: number, upTo: number, limit: number): Promise<LogPage> {
  const [row] = await sql`
    select event_log_epoch(), log.pruned_to, page.heads, page.data
      from event_log log
     cross join (
           select coalesce(string_agg('[' || id || ',"' || type || '",' || to_json(part_number) || ',' || octet_length(data) || ']',
                                      ',' order by id), '') as heads,
                  coalesce(string_agg(data, '' order by id), '') as data
             from (
                  select id, type, part_number, data::text
                    from events
                   where id > ${after}
                     and id <= ${upTo}
                   order by id
                   limit ${limit}
                  ) e
           ) page
  `.raw()
  const [epoch, prunedTo, heads, data] = row ?? []
  if (!epoch || !prunedTo || !heads || !data) throw new Error('event_log has lost its row')
  let end = 0
  const events = (JSON.parse(`[${heads.toString()}]`) as Head[]).map(([id, type, part_number, length]) => ({
    id,
    type,
    part_number,
    data: data.subarray(end, (end += length)),
  }))
  return { epoch: epoch.toString(), prunedTo: Number(prunedTo.toString()), events }
}

/** The newest visible id, 0 in an empty log, with the state of the log. */
export async function readNewest(sql: Sql): Promise<{ epoch: string; prunedTo: number; id: number }> {
  const [row] = await sql<{ epoch: string; pruned_to: number; id: number }[]>`
    select event_log_epoch() as epoch, l.pruned_to, coalesce((select max(id) from events), 0) as id
      from event_log l
  `
  if (!row) throw new Error('event_log has lost its row')
  return { epoch: row.epoch, prunedTo: row.pruned_to, id: row.id }
}

/**
 * The transactions that write to the log now: each has drawn an id, or will draw one larger than any drawn so far.
 * Always one row: an answer that came to nothing must never pass for "nobody writes".
 */
export async function readWriters(sql: Sql): Promise<string[]> {
  const [row] = await sql<{ writers: string[] }[]>`
    select coalesce(json_agg(distinct virtualtransaction), '[]') as writers
      from pg_locks
     where locktype = 'relation'
       and database = (select oid from pg_database where datname = current_database())
       and relation = 'events'::regclass
       and mode = 'RowExclusiveLock'
       and granted
  `
  if (!row) throw new Error('pg_locks gave no answer')
  return row.writers
}

/** The largest id that was ever drawn, whatever became of it. */
export async function readLastDrawn(sql: Sql): Promise<number> {
  const [row] = await sql<{ id: number }[]>`
    select coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'id')::regclass), 0) as id
  `
  if (!row) throw new Error('the sequence gave no answer')
  return row.id
}

/**
 * Tells the other instances to look at the log. It carries no more than who says so: the log says what there is. So nothing is
 * lost with it in a crash, and it need not wait for the disk.
 * @param instance names the one that says so, which hears it, too
 */
export async function notifyLooks(sql: Sql, instance: string): Promise<void> {
  await sql`select set_config('synchronous_commit', 'off', true), pg_notify('silo_events', ${instance})`
}

/**
 * Deletes events from the old end: those older than `ageSeconds`, at most `limit`, none beyond `settled`.
 * A short transaction, because it holds the lock that tails wait for.
 * @returns how many were deleted
 */
export async function pruneEvents(
  sql: Sql,
  ageSeconds: number,
  settled: number,
  limit: number,
): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    with oldest as (
      select id, at
        from events
       where id <= ${settled}
       order by id
       limit ${limit}
    ), edge as (
      select coalesce(
               (select min(id) - 1 from oldest where at >= now() - make_interval(secs => ${ageSeconds})),
               (select max(id) from oldest)
             ) as id
    ), mark as (
      update event_log
         set pruned_to = greatest(pruned_to, edge.id)
        from edge
       where edge.id > pruned_to
    ), gone as (
      delete from events
       using edge
       where events.id <= edge.id
      returning 1
    )
    select count(*)::integer as deleted from gone
  `
  return row?.deleted ?? 0
}
