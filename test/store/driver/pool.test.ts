import t, { type Test } from 'tap'
import type { Sql } from '../../../store/driver/connect.js'
import { openPool } from '../../../store/driver/pool.js'
import { createDatabase } from '../../harness/database.js'

const SESSIONS = 4

async function open(t: Test): Promise<Sql> {
  const sql = openPool(await createDatabase(t), SESSIONS)
  t.teardown(() => sql.end({ timeout: 1 }))
  return sql
}

/** Runs this many queries concurrently, and returns the process ids of the connections that ran them. */
async function askAtOnce(sql: Sql, queries: number): Promise<Set<number>> {
  const answers = Array.from(
    { length: queries },
    () => sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_sleep(0.05)::text`,
  )
  return new Set((await Promise.all(answers)).map(([row]) => row?.pid ?? 0))
}

t.test('concurrent queries use all connections, and consecutive ones use one', async (t) => {
  const sql = await open(t)
  t.equal((await askAtOnce(sql, 3 * SESSIONS)).size, SESSIONS)
  const seen = new Set<number>()
  for (let i = 0; i < 10; i++) for (const pid of await askAtOnce(sql, 1)) seen.add(pid)
  t.equal(seen.size, 1)
})

t.test('an idle connection is preferred to a busy one, also after a failure', async (t) => {
  const sql = await open(t)
  const failures = await Promise.allSettled(Array.from({ length: SESSIONS }, () => sql`select 1 / 0`))
  t.match(new Set(failures.map(({ status }) => status)), new Set(['rejected']))
  const slow = sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_sleep(1)::text`.execute()
  const others = await askAtOnce(sql, SESSIONS - 1)
  t.equal(others.size, SESSIONS - 1)
  const [busy] = await slow
  t.notOk(others.has(busy?.pid ?? 0))
})

t.test('the cost of a query does not grow with the number of queries before it', async (t) => {
  const sql = await open(t)
  await askAtOnce(sql, SESSIONS)
  const { indexOf } = Array.prototype
  let longest = 0
  t.intercept(Array.prototype, 'indexOf', {
    value(this: unknown[], ...sought: [unknown, number?]) {
      longest = Math.max(longest, this.length)
      return indexOf.apply(this, sought)
    },
  })
  for (let i = 0; i < 500; i++) await Promise.all([sql`select 1`, sql`select 2`])
  t.ok(longest < 100, `a list of ${longest} was searched`)
})

t.test('fragments of queries, helpers and JSON work with the pool', async (t) => {
  const sql = await open(t)
  const given = sql`${sql.json({ a: 1 })}::jsonb as given`
  t.strictSame([...(await sql`select ${given}, 'x' as ${sql('named')}`)], [{ given: { a: 1 }, named: 'x' }])
})

t.test('a transaction has its connection to itself', async (t) => {
  const sql = await open(t)
  await sql.begin(async (tx) => {
    const [own] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`
    const others = await askAtOnce(sql, SESSIONS - 1)
    t.equal(others.size, SESSIONS - 1)
    t.notOk(others.has(own?.pid ?? 0))
  })
  t.equal((await askAtOnce(sql, SESSIONS)).size, SESSIONS)
})

t.test('ending the pool ends every connection', async (t) => {
  const sql = await open(t)
  await askAtOnce(sql, SESSIONS)
  await sql.end({ timeout: 1 })
  await t.rejects(Promise.all(Array.from({ length: SESSIONS }, () => sql`select 1`)), {
    code: 'CONNECTION_ENDED',
  })
})
