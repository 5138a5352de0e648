import { checkOf } from '../lib/check.js'
import type { EventType, LogPage, LogState, LoggedEvent, Position } from '../schemas/events.js'
import type { Sql } from './driver/connect.js'

/**
 * Max size of data that is part of an event's check, in bytes as stored (compressed). Larger data is left
 * out, so that it need not be read with every poll (docs/decisions/0019).
 */
const MAX_CHECKED_BYTES = 65_536
/** A page ends with the event that takes its data beyond this size, in bytes. */
const PAGE_BYTES = 1024 * 1024

/**
 * Describes an event of a page: its id, its type, its part number, the length of its data in bytes, and
 * whether its check leaves the data out (`MAX_CHECKED_BYTES`).
 */
type Head = [id: number, type: EventType, partNumber: string, length: number, isLarge: boolean]

const checkOfEvent = ([id, type, partNumber, , isLarge]: Head, data: Uint8Array): string =>
  checkOf(id, isLarge ? `${type} ${partNumber}` : data)

/** Thrown while the log is incomplete because a dump is being restored. */
class NoLog extends Error {
  constructor() {
    super('the event log is incomplete: is a dump being loaded?')
  }
}

/** Condition: the log is complete. The trigger that writes it is restored last. */
const isWhole = (sql: Sql) => sql`
  exists (
    select from pg_trigger where tgrelid = 'items'::regclass and tgname = 'items_log' and tgenabled <> 'D'
  )
`

/**
 * Thrown when the log is read after the server was promoted, or recovered to a point in time, and before the
 * log was adopted on the new timeline (`adoptLog`).
 */
export class ForkedLog extends Error {
  override readonly name = 'ForkedLog'
}

/**
 * Reads the events with `after < id <= upTo` in order: at most `limit`, and about `PAGE_BYTES` of data, but
 * at least one event. The state of the log, and the anchor with which the reader compares its position, come
 * from the same snapshot. So neither retention nor a restore can happen in between, and a page that begins
 * above `prunedTo` is complete.
 *
 * The page is one row, and its data is read as raw bytes: one row per event, read as text, was much slower
 * (docs/decisions/0014). The size of the page is estimated by the stored sizes if these suffice. If data is
 * compressed, or the sum is too large, the data itself is measured, but only of as many events as can fit.
 * @throws {ForkedLog}
 * @throws {Error} while the log is being restored
 */
export async function readEvents(sql: Sql, after: number, upTo: number, limit: number): Promise<LogPage> {
  const [row] = await sql`
    with wanted as (
      select id, pg_column_size(data) as stored, pg_column_compression(data) as compression
        from events
       where id > ${after}
         and id <= ${upTo}
       order by id
       limit ${limit}
    ), page_end as materialized (
      select max(id) as last,
             case when sum(stored) <= ${PAGE_BYTES} and count(compression) = 0
                  then max(id)
                  else (
                    select max(id)
                      from (
                           select id, sum(length) over (order by id) - length as before
                             from (
                                  select id, octet_length(data::text) as length
                                    from (
                                         select id, sum(stored) over (order by id) - stored as before
                                           from wanted
                                         ) w
                                    join events using (id)
                                   where before <= ${PAGE_BYTES}
                                  offset 0
                                  ) w
                           ) w
                     where before <= ${PAGE_BYTES}
                  )
             end as id
        from wanted
    )
    select left(log.seed::text, 8), log.timeline <> wal_timeline(), log.pruned_to, log.pruned_check,
           anchor.head, anchor.data, page.heads, page.data, page_end.id < page_end.last
      from event_log log
      left join lateral (
           select '[' || id || ',"' || type || '",' || to_json(part_number) || ',0,'
                      || (pg_column_size(data) > ${MAX_CHECKED_BYTES}) || ']' as head,
                  case when pg_column_size(data) > ${MAX_CHECKED_BYTES} then '' else data::text end as data
             from events
            where id <= ${after}
              and id > log.pruned_to
            order by id desc
            limit 1
           ) anchor on true
     cross join page_end
     cross join (
           select coalesce(string_agg('[' || id || ',"' || type || '",' || to_json(part_number) || ','
                                      || octet_length(data)
                                      || case when stored > ${MAX_CHECKED_BYTES} then ',true]'
                                              else ',false]' end,
                                      ',' order by id), '') as heads,
                  coalesce(string_agg(data, '' order by id), '') as data
             from (
                  select id, type, part_number, data::text, pg_column_size(data) as stored
                    from events
                   where id > ${after}
                     and id <= (select id from page_end)
                   order by id
                  ) e
           ) page
     where ${isWhole(sql)}
  `.raw()
  const [epoch, isForked, prunedTo, prunedCheck, anchorHead, anchorData, heads, data, isTruncated] = row ?? []
  if (!epoch || !prunedTo || !prunedCheck || !heads || !data) throw new NoLog()
  if (isForked?.toString() === 't') throw new ForkedLog('the log is on a new timeline')
  const state: LogState = {
    epoch: epoch.toString(),
    prunedTo: { id: Number(prunedTo.toString()), check: prunedCheck.toString() },
  }
  return {
    ...state,
    anchor: anchorHead && anchorData ? readAnchor(anchorHead, anchorData) : state.prunedTo,
    events: takeApart(heads, data),
    isTruncated: isTruncated?.toString() === 't',
  }
}

function readAnchor(head: Uint8Array, data: Uint8Array): Position {
  const parsed = JSON.parse(head.toString()) as Head
  return { id: parsed[0], check: checkOfEvent(parsed, data) }
}

/** Splits the concatenated data of a page into its events. */
function takeApart(heads: Uint8Array, allData: Uint8Array): LoggedEvent[] {
  let end = 0
  return (JSON.parse(`[${heads.toString()}]`) as Head[]).map((head) => {
    const [id, type, part_number, length] = head
    const data = allData.subarray(end, (end += length))
    return { id, check: checkOfEvent(head, data), type, part_number, data }
  })
}

/** The result of `findEvents`, with the state of the log in the same snapshot. */
export interface FoundEvents extends LogState {
  /** The checks of the events that exist, by their ids. */
  checks: Map<number, string>
  /** The newest visible id; 0 if the log is empty. */
  newest: number
  /** Whether the server is a standby, on which an event can become visible long after its commit. */
  isStandby: boolean
}

/**
 * Finds the events with the given ids.
 * @throws {ForkedLog}
 * @throws {Error} while the log is being restored
 */
export async function findEvents(sql: Sql, ids: readonly number[]): Promise<FoundEvents> {
  const [row] = await sql`
    select left(log.seed::text, 8), log.timeline <> wal_timeline(), log.pruned_to, log.pruned_check,
           pg_is_in_recovery(), coalesce((select max(id) from events), 0), found.heads, found.data
      from event_log log
     cross join (
           select coalesce(string_agg('[' || id || ',"' || type || '",' || to_json(part_number) || ','
                                      || octet_length(data) || ',' || is_large || ']',
                                      ',' order by id), '') as heads,
                  coalesce(string_agg(data, '' order by id), '') as data
             from (
                  select id, type, part_number, pg_column_size(data) > ${MAX_CHECKED_BYTES} as is_large,
                         case when pg_column_size(data) > ${MAX_CHECKED_BYTES} then '' else data::text
                         end as data
                    from events
                   where id = any(${ids.map(String)}::text[]::bigint[])
                  ) e
           ) found
     where ${isWhole(sql)}
  `.raw()
  const [epoch, isForked, prunedTo, prunedCheck, isStandby, newest, heads, data] = row ?? []
  if (!epoch || !prunedTo || !prunedCheck || !newest || !heads || !data) throw new NoLog()
  if (isForked?.toString() === 't') throw new ForkedLog('the log is on a new timeline')
  return {
    epoch: epoch.toString(),
    prunedTo: { id: Number(prunedTo.toString()), check: prunedCheck.toString() },
    checks: new Map(takeApart(heads, data).map(({ id, check }) => [id, check])),
    newest: Number(newest.toString()),
    isStandby: isStandby?.toString() === 't',
  }
}

/**
 * Adopts the log on a new timeline: after the server was promoted, or recovered to a point in time. If ids
 * are missing, their events may have been lost although later events were not, which the check of a cursor
 * can't show. Then the log gets a new epoch, and every client a `reset`. The first transaction that writes to
 * the log on a new timeline does the same, by the trigger `events_adopt_log`.
 */
export async function adoptLog(sql: Sql): Promise<void> {
  // A single message: a transaction of several would stay open, or never end, if its pool was closed in
  // between. The first statement is for databases with `default_transaction_read_only`.
  await sql.unsafe('set transaction read write; select adopt_log()')
}

/**
 * Returns the transactions that are writing to the log: each has drawn an event id, or will draw one that is
 * larger than all ids drawn so far. Reads exactly one row, so that an empty result can't be taken for "no
 * writers". On a primary, the writers are the transactions that hold a `RowExclusiveLock` on `events`.
 *
 * A standby does not know the locks of the primary, only the transactions that may still be running there:
 * from the oldest one that it has seen begin and not end, up to the next one that it has not seen. They can
 * be many, so they are returned in groups of 64; a group disappears when all of its members have ended. This
 * suffices because a transaction writes its item before it draws an event id: if a standby shows a later
 * event, it has seen the transaction begin. (The snapshot alone does not suffice: it ends at the newest
 * transaction that has ended.)
 */
export async function readWriters(sql: Sql): Promise<string[]> {
  const [row] = await sql<{ writers: string[] }[]>`
    select case
             when pg_is_in_recovery() then (
               select coalesce(json_agg('transactions ' || 64 * bits), '[]')
                 from (select pg_snapshot_xmin(pg_current_snapshot()) as oldest offset 0) s
                cross join lateral generate_series(oldest::text::bigint / 64,
                                                   (oldest::text::bigint + age(oldest::xid) - 1) / 64) as bits
                where age(oldest::xid) > 0
             )
             else (
               select coalesce(json_agg(distinct virtualtransaction), '[]')
                 from pg_locks
                where locktype = 'relation'
                  and database = (select oid from pg_database where datname = current_database())
                  and relation = 'events'::regclass
                  and mode = 'RowExclusiveLock'
                  and granted
             )
           end as writers
  `
  if (!row) throw new Error('pg_locks returned no row')
  return row.writers
}

/**
 * Notifies the other instances that the log has new events. The payload is only the id of the sender, since
 * the events are read from the log. A notification that is lost in a crash loses no event, so the commit does
 * not wait for the disk.
 * @param instance the id of the sender, which receives the notification as well
 */
export async function notifyInstances(sql: Sql, instance: string): Promise<void> {
  await sql`select set_config('synchronous_commit', 'off', true), pg_notify('silo_events', ${instance})`
}

/** The last event that retention may delete. */
export interface PruneEdge extends Position {
  /** The first event up to the edge whose time is in the future, if there is one. */
  ahead: { id: number; at: Date } | undefined
}

/**
 * Finds the last event that is older than `ageSeconds`: within the oldest `limit` events, and not beyond
 * `settled`. Locks no rows.
 *
 * An event whose time is in the future is ignored, because `at` depends on a clock that may be wrong: whether
 * the event is deleted depends on the events around it (docs/decisions/0020). Of the others, the first event
 * that is not older than `ageSeconds` and all events after it are retained.
 * @returns undefined if no event is old enough
 */
export async function findPruneEdge(
  sql: Sql,
  ageSeconds: number,
  settled: number,
  limit: number,
): Promise<PruneEdge | undefined> {
  const [row] = await sql<{ id: number; content: string; ahead_id: number | null; ahead_at: Date | null }[]>`
    with past as (
      select id, at < now() - make_interval(secs => ${ageSeconds}) as is_old
        from events
       where id <= ${settled}
         and at <= now()
       order by id
       limit ${limit}
    ), old as (
      select max(id) as id
        from past
       where is_old
         and id < coalesce((select min(id) from past where not is_old), ${settled} + 1)
    ), oldest as (
      select id, at
        from events
       where id <= (select id from old)
       order by id
       limit ${limit}
    )
    select edge.id,
           case when pg_column_size(edge.data) > ${MAX_CHECKED_BYTES}
                then edge.type || ' ' || edge.part_number
                else edge.data::text
           end as content,
           ahead.id as ahead_id, ahead.at as ahead_at
      from events edge
      left join (select id, at from oldest where at > now() order by id limit 1) ahead on true
     where edge.id = (select max(id) from oldest)
  `
  if (!row) return undefined
  const { id, content, ahead_id, ahead_at } = row
  return {
    id,
    check: checkOf(id, content),
    ahead: ahead_id !== null && ahead_at !== null ? { id: ahead_id, at: ahead_at } : undefined,
  }
}

/**
 * Deletes the events up to and including `edge`, and stores its check, with which cursors at that position
 * are compared. The transaction must be short, because it holds the lock on `events` that tails wait for.
 * @returns the number of deleted events
 */
export async function pruneEvents(sql: Sql, edge: Position): Promise<number> {
  const [row] = await sql<{ deleted: number }[]>`
    with mark as (
      update event_log
         set pruned_to = ${edge.id}, pruned_check = ${edge.check}
       where pruned_to < ${edge.id}
         and exists (select from events where id = ${edge.id})
      returning 1
    ), gone as (
      delete from events
       where id <= ${edge.id}
         and exists (select from mark)
      returning 1
    )
    select count(*)::integer as deleted from gone
  `
  return row?.deleted ?? 0
}
