import t, { type Test } from 'tap'
import { connect } from '../../store/driver/connect.js'
import { Leases } from '../../store/leases.js'
import { createDatabase } from '../harness/database.js'
import { eventually } from '../../tools/harness/eventually.js'

const never = new AbortController().signal

async function open(t: Test, max: number) {
  const url = await createDatabase(t)
  const leases = new Leases(url, max)
  const admin = connect(url, 1)
  t.teardown(() => Promise.all([leases.end({ timeout: 1 }), admin.end({ timeout: 1 })]))
  /** Returns how many queries of other connections are running. */
  const countRunning = async () => {
    const [row] = await admin<{ running: number }[]>`
      select count(*)::integer as running
        from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and state = 'active'
    `
    return row?.running
  }
  return { leases, admin, countRunning }
}

t.test(
  'the query of a caller is canceled with its signal, and the next caller has a working connection',
  async (t) => {
    const { leases, countRunning } = await open(t, 1)
    for (let i = 0; i < 5; i++) {
      const ending = new AbortController()
      const slow = leases.run(ending.signal, async (sql) => [...(await sql`select pg_sleep(60)::text`)])
      slow.catch(() => undefined)
      await eventually('it runs', async () => (await countRunning()) === 1)
      ending.abort(new Error('gone'))
      await t.rejects(slow, { message: 'gone' })
      await eventually('it is canceled', async () => (await countRunning()) === 0, { timeoutMs: 10_000 })
      const [row] = await leases.run(never, async (sql) => sql`select 1 + 1 as sum`)
      t.equal(row?.sum, 2)
    }
  },
)

t.test('a cancellation that comes after its query has ended cancels no other query', async (t) => {
  const { leases } = await open(t, 1)
  let canceled = 0
  for (let i = 0; i < 100; i++) {
    const ending = new AbortController()
    const quick = leases.run(ending.signal, async (sql) => sql`select pg_sleep(${(i % 7) / 5000})::text`)
    setTimeout(() => ending.abort(new Error('gone')), i % 3)
    await quick.catch(() => canceled++)
    const [row] = await leases.run(never, async (sql) => sql`select pg_sleep(0.002)::text, 7 as seven`)
    t.equal(row?.seven, 7)
  }
  t.comment(`${canceled} of 100 were canceled`)
})

t.test(
  'a caller whose signal aborts before the connection is open is rejected, and the connection is reused',
  async (t) => {
    const { leases } = await open(t, 1)
    const ending = new AbortController()
    const early = leases.run(ending.signal, async (sql) => sql`select pg_sleep(60)::text`)
    ending.abort(new Error('gone'))
    await t.rejects(early, { message: 'gone' })
    t.equal((await leases.run(never, async (sql) => sql`select 1 as one`))[0]?.one, 1)
    await t.rejects(
      leases.run(ending.signal, async (sql) => sql`select 1`),
      { message: 'gone' },
    )
  },
)

t.test('a caller begins no query after its signal has aborted', async (t) => {
  const { leases } = await open(t, 1)
  const ending = new AbortController()
  let begun = 0
  const two = leases.run(ending.signal, async (sql) => {
    await sql`select 1`
    begun++
    ending.abort(new Error('gone'))
    await sql`select 2`
    begun++
  })
  await t.rejects(two, { message: 'gone' })
  t.equal(begun, 1)
})
