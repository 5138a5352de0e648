import { checkOf } from '../lib/check.js'
import type { EventType, LogPage, LogState, LoggedEvent, Position } from '../schemas/events.js'
import type { Sql } from './connect.js'

/** Data that takes more than this in its table, compressed, has no part in an event's check, so that it need not be read. */
const MAX_CHECKED_BYTES = 65_536
/** A page ends with the event that takes it beyond this, in bytes of data. */
const PAGE_BYTES = 1024 * 1024

/** What a page says of each event: its id, type, part number, the length of its data, in bytes, and whether its check is without it. */
type Head = [id: number, type: EventType, partNumber: string, length: number, isLarge: boolean]

const checkOfEvent = ([id, type, partNumber, , isLarge]: Head, data: Uint8Array): string =>
  checkOf(id, isLarge ? `${type} ${partNumber}` : data)

/** Thrown while the log is being restored. */
class NoLog extends Error {
  constructor() {
    super('the event log is not there as a whole: is a dump being loaded?')
  }
}

/** Whether the log is not half restored: what writes it comes last in a dump. */
const isWhole = (sql: Sql) => sql`
  exists (select from pg_trigger where tgrelid = 'items'::regclass and tgname = 'items_log' and tgenabled <> 'D')
`

/** Thrown by reading a log whose server was promoted, or recovered, since it was last looked through (`adoptLog`). */
export class ForkedLog extends Error {
  override readonly name = 'ForkedLog'
}

/**
 * The events with `after < id <= upTo`, in order, at most `limit`, and about `PAGE_BYTES` of them but at least one. The state of
 * the log, and the event that reading goes on from, come from the same snapshot: retention can't slip in between, so a page that
 * begins above `prunedTo` is complete, and neither can a restore. It is one row, whose data is taken as
 * the bytes that it came as (docs/decisions/0014): a row for each event, read as text, took half of a replay.
 * @throws {ForkedLog}
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
    ), cut as materialized (
      -- What is small as it is stored is small; only where that can't be told is the data itself measured, and never much of it.
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
           anchor.head, anchor.data, page.heads, page.data, cut.id < cut.last
      from event_log log
      left join lateral (
           select '[' || id || ',"' || type || '",' || to_json(part_number) || ',0,' || (pg_column_size(data) > ${MAX_CHECKED_BYTES}) || ']' as head,
                  case when pg_column_size(data) > ${MAX_CHECKED_BYTES} then '' else data::text end as data
             from events
            where id <= ${after}
              and id > log.pruned_to
            order by id desc
            limit 1
           ) anchor on true
     cross join cut
     cross join (
           select coalesce(string_agg('[' || id || ',"' || type || '",' || to_json(part_number) || ',' || octet_length(data)
                                      || case when stored > ${MAX_CHECKED_BYTES} then ',true]' else ',false]' end,
                                      ',' order by id), '') as heads,
                  coalesce(string_agg(data, '' order by id), '') as data
             from (
                  select id, type, part_number, data::text, pg_column_size(data) as stored
                    from events
                   where id > ${after}
                     and id <= (select id from cut)
                   order by id
                  ) e
           ) page
     where ${isWhole(sql)}
  `.raw()
  const [epoch, isForked, prunedTo, prunedCheck, anchorHead, anchorData, heads, data, isCut] = row ?? []
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
    isCut: isCut?.toString() === 't',
  }
}

function readAnchor(head: Uint8Array, data: Uint8Array): Position {
  const parsed = JSON.parse(head.toString()) as Head
  return { id: parsed[0], check: checkOfEvent(parsed, data) }
}

function takeApart(heads: Uint8Array, allData: Uint8Array): LoggedEvent[] {
  let end = 0
  return (JSON.parse(`[${heads.toString()}]`) as Head[]).map((head) => {
    const [id, type, part_number, length] = head
    const data = allData.subarray(end, (end += length))
    return { id, check: checkOfEvent(head, data), type, part_number, data }
  })
}

/** Events that were looked for, and what the log was at that moment. */
export interface FoundEvents extends LogState {
  /** The checks of those that are there, by their ids. */
  checks: Map<number, string>
  /** The newest visible id, 0 in an empty log. */
  newest: number
  /** Whether the server is a standby, on which more may appear that was committed long ago. */
  isStandby: boolean
}

/**
 * Looks for the events with these ids.
 * @throws {ForkedLog}
 */
export async function findEvents(sql: Sql, ids: readonly number[]): Promise<FoundEvents> {
  const [row] = await sql`
    select left(log.seed::text, 8), log.timeline <> wal_timeline(), log.pruned_to, log.pruned_check, pg_is_in_recovery(),
           coalesce((select max(id) from events), 0), found.heads, found.data
      from event_log log
     cross join (
           select coalesce(string_agg('[' || id || ',"' || type || '",' || to_json(part_number) || ',' || octet_length(data) || ',' || is_large || ']',
                                      ',' order by id), '') as heads,
                  coalesce(string_agg(data, '' order by id), '') as data
             from (
                  select id, type, part_number, pg_column_size(data) > ${MAX_CHECKED_BYTES} as is_large,
                         case when pg_column_size(data) > ${MAX_CHECKED_BYTES} then '' else data::text end as data
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
 * Adopts a log whose server was promoted, or recovered to a point in time, since the log was last adopted. Where ids are missing,
 * the event of a missing id may have been lost although later events were not, which no cursor can tell: then the log gets
 * another epoch, and every client is reset. The first transaction that writes to the log does the same.
 */
export async function adoptLog(sql: Sql): Promise<void> {
  // One message: a transaction of several would be left open, or never end, if its pool ended meanwhile.
  // The first statement is for databases whose connections only read by default.
  await sql.unsafe('set transaction read write; select adopt_log()')
}

/**
 * The transactions that write to the log now: each has drawn an id, or will draw one larger than any drawn so far.
 * Always one row: an answer that came to nothing must never pass for "nobody writes".
 *
 * A standby knows nothing of the locks of the primary, but the transactions that may still be running there. They are from the
 * oldest one that it has seen begin and not end, up to the next that it has not seen; so many of them that they are told in groups
 * of 64. A transaction draws an id after it has written its item, so where the standby shows a later event, it has seen the
 * transaction begin. A group is gone when all of its members have ended. (The snapshot alone is not enough: it ends at the newest
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
  if (!row) throw new Error('pg_locks gave no answer')
  return row.writers
}

/**
 * Tells the other instances to look at the log. It carries no more than who says so: the log says what there is. So nothing is
 * lost with it in a crash, and it need not wait for the disk.
 * @param instance names the one that says so, which hears it, too
 */
export async function notifyLooks(sql: Sql, instance: string): Promise<void> {
  await sql`select set_config('synchronous_commit', 'off', true), pg_notify('silo_events', ${instance})`
}

/** Where retention may delete up to, and what else it has seen. */
export interface PruneEdge extends Position {
  /** The first event with a time that has not come yet, where retention has passed one. */
  ahead: { id: number; at: Date } | undefined
}

/**
 * Where the events end that are older than `ageSeconds`: at most `limit` from the old end, none beyond `settled`. Nothing is locked.
 *
 * An event's place decides, for its `at` is what the clock said, and clocks err. Everything before an event of that age is as old,
 * and everything from the first on whose time is younger, and has come, is young. A time that has not come yet says nothing:
 * such an event goes with those around it.
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
 * Deletes the events up to and including `edge`, and keeps its check, with which cursors that stand there are compared. A short
 * transaction, because it holds the lock that tails wait for.
 * @returns how many were deleted
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
