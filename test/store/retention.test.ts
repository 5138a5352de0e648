import t, { type Test } from 'tap'
import { type Sql, connect } from '../../store/driver/connect.js'
import { findPruneEdge, pruneEvents, readEvents } from '../../store/events.js'
import { createDatabase } from '../harness/database.js'

const HOUR = 3600
const EVERYTHING = Number.MAX_SAFE_INTEGER

/**
 * Creates a log whose nth event is that many hours old by the clock of the database. A negative age is in the
 * future.
 */
async function setUp(t: Test, hoursAgo: readonly number[]): Promise<Sql> {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  await sql`
    insert into events (type, part_number, data, at)
    select 'item.deleted', 'A-' || n, ('{"part_number":"A-' || n || '"}')::json,
           now() - hours * interval '1 hour'
      from json_array_elements_text(${JSON.stringify(hoursAgo)}::text::json) with ordinality as e (text, n),
           lateral (select text::float8 as hours) h
     order by n
  `
  return sql
}

const keptOf = async (sql: Sql) =>
  (await sql<{ id: number }[]>`select id from events order by id`).map(({ id }) => id)

/** Prunes the events older than ten hours as the service does, in batches of `limit`. */
async function prune(sql: Sql, limit = 1000, settled = 1_000_000): Promise<void> {
  for (;;) {
    const edge = await findPruneEdge(sql, 10 * HOUR, settled, limit)
    if (!edge || (await pruneEvents(sql, edge)) === 0) return
  }
}

const CASES: Record<string, { hoursAgo: number[]; kept: number[] }> = {
  'old events are deleted, recent ones are retained': { hoursAgo: [30, 20, 11, 9, 1], kept: [4, 5] },
  'an event from the future is deleted with the old ones around it': {
    hoursAgo: [30, -480, 20, 11, 1],
    kept: [5],
  },
  'an event from the future among recent ones is retained': { hoursAgo: [30, 2, -480, 1], kept: [2, 3, 4] },
  'an event from the future at the end is retained': { hoursAgo: [30, -480], kept: [2] },
  'a log of events from the future is retained': { hoursAgo: [-1, -480], kept: [1, 2] },
  'an event with an old time among recent ones deletes none of them': {
    hoursAgo: [30, 2, 480, 1],
    kept: [2, 3, 4],
  },
  'a log of old events is emptied': { hoursAgo: [30, 20, 11], kept: [] },
}
for (const [title, { hoursAgo, kept }] of Object.entries(CASES)) {
  t.test(`retention deletes by position: ${title}`, async (t) => {
    for (const limit of [1000, 2, 1]) {
      const sql = await setUp(t, hoursAgo)
      await prune(sql, limit)
      t.strictSame(await keptOf(sql), kept, `in batches of ${limit}`)
    }
  })
}

t.test('more events from the future than fit into a batch do not stop retention', async (t) => {
  const sql = await setUp(t, [...Array<number>(50).fill(-480), 30, 1])
  await prune(sql, 10)
  t.strictSame(await keptOf(sql), [52])
})

t.test('retention deletes settled events only, and at most one batch at a time', async (t) => {
  const sql = await setUp(t, [30, 30, 30, 30])
  await prune(sql, 1000, 2)
  t.strictSame(await keptOf(sql), [3, 4])
  const edge = await findPruneEdge(sql, HOUR, 4, 1)
  t.equal(edge?.id, 3)
})

t.test('the check of the last event that retention deleted is stored', async (t) => {
  const sql = await setUp(t, [30, 20, 1])
  const before = await readEvents(sql, 2, EVERYTHING, 10)
  await prune(sql)
  const after = await readEvents(sql, 2, EVERYTHING, 10)
  t.strictSame(after.anchor, before.anchor)
  t.strictSame(after.prunedTo, before.anchor)
})

t.test(
  'a page of the log ends at a megabyte of data, has at least one event, and the next one continues after it',
  async (t) => {
    const sql = connect(await createDatabase(t), 1)
    t.teardown(() => sql.end())
    // The data is one repeated letter, which PostgreSQL compresses, or text that it can't compress. One event
    // is larger than a page.
    await sql`
    insert into events (type, part_number, data, at)
    select 'item.deleted', 'A-' || n,
           ('{"x":"' || case when n % 2 = 0 then repeat('x', 100000 * case when n = 20 then 300 else 1 end)
                             else (select string_agg(md5(n || '/' || i), '') from generate_series(1, 3000) i)
                        end || '"}')::json, now()
      from generate_series(1, 40) n
  `
    const seen: number[] = []
    for (let after = 0, pages = 0; ; pages++) {
      const { events, isTruncated, anchor } = await readEvents(sql, after, EVERYTHING, 1000)
      t.equal(anchor.id, after, 'the page begins after the last event of the previous one')
      seen.push(...events.map(({ id }) => id))
      const bytes = events.reduce((sum, { data }) => sum + data.length, 0)
      const [last] = events.slice(-1)
      t.ok(bytes - (last?.data.length ?? 0) <= 1024 * 1024, `${events.length} events, ${bytes} bytes`)
      if (!isTruncated) {
        t.ok(pages >= 3, `${pages} pages before the last`)
        break
      }
      after = last?.id ?? 0
    }
    t.strictSame(
      seen,
      Array.from({ length: 40 }, (_, i) => i + 1),
    )
  },
)

t.test(
  'the times of an item follow the clock again after an error, and ascend while it steps back a little',
  async (t) => {
    const sql = connect(await createDatabase(t), 1)
    t.teardown(() => sql.end())
    const change = async (aheadSeconds: number) => {
      await sql.unsafe("insert into items (part_number) values ('A') on conflict do nothing")
      // Write the item with the times that a wrong clock has produced.
      await sql.unsafe(
        'alter table items disable trigger items_before_update; alter table items disable trigger items_log',
      )
      await sql`update items set updated_at = clock_timestamp() + make_interval(secs => ${aheadSeconds})`
      await sql.unsafe(
        'alter table items enable trigger items_before_update; alter table items enable trigger items_log',
      )
      const [before] = await sql<{ at: Date }[]>`select updated_at as at from items`
      const [after] = await sql<{ at: Date; now: Date }[]>`
      update items
         set description = gen_random_uuid()::text
      returning updated_at as at, clock_timestamp() as now
    `
      if (!before || !after) throw new Error('there is one item')
      return { before: before.at.getTime(), after: after.at.getTime(), now: after.now.getTime() }
    }
    const far = await change(20 * 24 * HOUR)
    t.ok(Math.abs(far.after - far.now) < 1000, 'twenty days ahead: the clock decides')
    const little = await change(0.9)
    t.ok(little.after >= little.before, 'less than a second ahead: the time ascends')
    const late = await change(-HOUR)
    t.ok(Math.abs(late.after - late.now) < 1000)
    const events = await sql<{ at: Date }[]>`select at from events where type = 'item.updated' order by id`
    t.ok(
      events.every(({ at }) => at.getTime() < Date.now() + 2000),
      'no event is in the future',
    )
  },
)
