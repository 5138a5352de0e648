import t, { type Test } from 'tap'
import { type EventLog, Tail } from '../../feed/tail.js'
import type { LoggedEvent } from '../../schemas/events.js'
import { type Sql, connect } from '../../store/driver/connect.js'
import { readEvents, readWriters } from '../../store/events.js'
import { eventually } from '../../tools/harness/eventually.js'
import type { Random } from '../../tools/harness/random.js'
import { createDatabase } from '../harness/database.js'
import { seededRandom } from '../harness/seed.js'

const WRITERS = 24
const ITEMS = 39
const ROUNDS = 25

/** Starts a tail on a connection of its own, and records every event that it delivers. */
async function follow(t: Test, url: string, rule: Partial<EventLog> = {}) {
  const sql = connect(url, 1)
  const seen: LoggedEvent[] = []
  const log: EventLog = {
    read: (after, limit) => readEvents(sql, after, Number.MAX_SAFE_INTEGER, limit),
    writers: () => readWriters(sql),
    ...rule,
  }
  const tail = new Tail(
    log,
    { onRestart: () => undefined, onSettled: (events) => seen.push(...events) },
    (error) => {
      throw error
    },
  )
  await tail.start()
  const polling = setInterval(() => tail.poll(), 1)
  t.teardown(async () => {
    clearInterval(polling)
    await tail.stop()
    await sql.end()
  })
  return { seen, tail }
}

/** Changes an item in a transaction that has drawn its ids (`set constraints`) `seconds` before it ends. */
async function holdIds(sql: Sql, item: number, seconds: number, end: 'commit' | 'rollback'): Promise<void> {
  const session = await sql.reserve()
  try {
    await session`begin`
    await session`update items set description = gen_random_uuid()::text where part_number = ${`P-${item}`}`
    await session`set constraints all immediate`
    await session`select pg_sleep(${seconds})`
    await session.unsafe(end)
  } finally {
    session.release()
  }
}

/**
 * Runs concurrent writers on few items: quick ones, slow ones, ones that roll back, and one that idles for
 * two seconds.
 */
async function write(sql: Sql, random: Random): Promise<void> {
  async function writer(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      const dice = random.between(0, 10)
      const item = random.between(0, ITEMS)
      if (dice < 2) await holdIds(sql, item, 0.02, 'commit')
      else if (dice < 4) await holdIds(sql, item, 0.01, 'rollback')
      else
        await sql`update items set description = gen_random_uuid()::text where part_number = ${`P-${item}`}`
    }
  }
  const idle = holdIds(sql, ITEMS, 2, 'commit')
  await Promise.all([idle, ...Array.from({ length: WRITERS }, writer)])
}

async function setUp(t: Test) {
  const url = await createDatabase(t)
  const sql = connect(url, WRITERS + 2)
  t.teardown(() => sql.end())
  await sql`insert into items (part_number) select 'P-' || n from generate_series(0, ${ITEMS}) n`
  const written = () => sql<LoggedEvent[]>`select * from events where id > ${ITEMS + 1} order by id`
  return { url, sql, written }
}

/** Waits until an open transaction has drawn an id. */
const idIsDrawn = (sql: Sql): Promise<boolean> =>
  eventually('a transaction has drawn an id', async () => (await readWriters(sql)).length > 0)

t.test('under contention no event is missing or repeated, and revisions ascend', async (t) => {
  const { url, sql, written } = await setUp(t)
  const { seen } = await follow(t, url)
  await write(sql, seededRandom(t))
  const truth = await written()
  await eventually('every event was delivered', () => seen.length >= truth.length)
  t.ok(truth.length > WRITERS * ROUNDS, `${truth.length} events`)
  t.strictSame(
    seen.map(({ id }) => id),
    truth.map(({ id }) => id),
    'exactly the committed events, in the order of the log',
  )
  const revisions = new Map<string, number>()
  for (const { type, part_number, data } of seen) {
    if (type !== 'revision.created') continue
    const { revision_number } = JSON.parse(Buffer.from(data).toString()) as { revision_number: number }
    t.equal(revision_number, (revisions.get(part_number) ?? 1) + 1, `${part_number} ascends`)
    revisions.set(part_number, revision_number)
  }
})

t.test('a tail that does not wait for open transactions loses events: the rule is needed', async (t) => {
  const { url, sql, written } = await setUp(t)
  const { seen } = await follow(t, url, { writers: async () => [] })
  await write(sql, seededRandom(t))
  const truth = await written()
  // The newest event has been delivered, so an event that is missing now is lost.
  await eventually('the newest event was delivered', () => seen.at(-1)?.id === truth.at(-1)?.id)
  t.ok(seen.length < truth.length, `${truth.length - seen.length} of ${truth.length} lost`)
})

t.test('a tail that starts while a transaction holds an id waits for that id', async (t) => {
  const { url, sql, written } = await setUp(t)
  const slow = holdIds(sql, 0, 0.5, 'commit')
  await idIsDrawn(sql)
  await sql`update items set description = 'later' where part_number = 'P-1'`
  const { seen } = await follow(t, url)
  await slow
  t.strictSame(seen, [], 'an event in flight at the start counts as one before the start')
  await sql`update items set description = 'after' where part_number = 'P-1'`
  await eventually('both events were delivered', () => seen.length === 2)
  t.equal((await written()).at(-1)?.id, seen.at(-1)?.id)
})

t.test('an open transaction that has drawn no id delays no event', async (t) => {
  const { url, sql } = await setUp(t)
  const { seen } = await follow(t, url)
  const session = await sql.reserve()
  await session`begin`
  await session`update items set description = 'idle' where part_number = 'P-2'`
  await sql`update items set description = 'quick' where part_number = 'P-3'`
  await eventually('both events were delivered, while the other transaction is open', () => seen.length === 2)
  t.equal((await readWriters(sql)).length, 0, 'it has drawn no id')
  await session`rollback`
  session.release()
})

t.test('an id that was rolled back is skipped, and lagMs is how long an event was delayed', async (t) => {
  const { url, sql } = await setUp(t)
  const { seen, tail } = await follow(t, url)
  const rolledBack = holdIds(sql, 4, 0.3, 'rollback')
  await idIsDrawn(sql)
  await sql`update items set description = 'held up' where part_number = 'P-5'`
  await eventually('the tail waits for the missing id', () => tail.lagMs > 50)
  t.strictSame(seen, [])
  await rolledBack
  await eventually('the id is skipped when its transaction has ended', () => seen.length === 2)
  t.equal(tail.lagMs, 0)
})

t.test('after an error of its listener, the tail begins again behind the events', async (t) => {
  const { url, sql } = await setUp(t)
  const reader = connect(url, 1)
  t.teardown(() => reader.end())
  const calls: string[] = []
  const failure = new Error('the listener fails')
  let fails = false
  const errors: unknown[] = []
  const tail = new Tail(
    {
      read: (after, limit) => readEvents(reader, after, Number.MAX_SAFE_INTEGER, limit),
      writers: () => readWriters(reader),
    },
    {
      onRestart: (_epoch, { id }) => calls.push(`begins after ${id}`),
      onSettled: (events) => {
        if (fails) throw failure
        calls.push(`takes ${events.map(({ id }) => id).join(', ')}`)
      },
    },
    (error) => errors.push(error),
  )
  const change = () => sql`update items set description = gen_random_uuid()::text where part_number = 'P-1'`
  await tail.start()
  fails = true
  await change()
  t.equal(await tail.poll(), true)
  fails = false
  await change()
  await tail.poll()
  t.strictSame(errors, [failure])
  // The creation of the items is events 1 to 40, and each change is two events.
  t.strictSame(calls, ['begins after 40', 'begins after 42', 'takes 43, 44'])
})
