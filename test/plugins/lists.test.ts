import { request } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { codeOf, fieldsOf, clientAs } from '../harness/client.js'
import { eventually } from '../../tools/harness/eventually.js'
import { listen } from '../harness/watcher.js'

/**
 * Creates items with a description that makes searches slow: each word of a search is compared with all of
 * the description.
 */
async function fill(app: FastifyInstance, items: number): Promise<void> {
  await app.db`
    insert into items (part_number, description)
    select 'S-' || n, repeat('lorem ipsum dolor sit amet o consectetur ', 45)
      from generate_series(1, ${items}) n
  `
}

const SLOW = encodeURIComponent('o i a e u l p zq')

/** Returns how many searches run in the database. */
async function countSearches(app: FastifyInstance): Promise<number> {
  const [row] = await app.feedDb<{ count: number }[]>`
    select count(*)::integer as count
      from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and state = 'active'
       and backend_type = 'client backend' and query like '%search_text like%'
  `
  return row?.count ?? 0
}

/**
 * Requests a list without reading the response.
 * @returns a function that disconnects
 */
function ask(t: Test, origin: string, token: string, path: string): () => void {
  const sent = request(`${origin}${path}`, { headers: { authorization: `Bearer ${token}` }, agent: false })
  sent.on('error', () => undefined).end()
  t.teardown(() => sent.destroy())
  return () => sent.destroy()
}

t.test(
  'sixty slow searches of one user keep no other user from reading, writing, signing in or searching',
  async (t) => {
    const app = await startApp(t)
    await fill(app, 8000)
    const origin = await listen(app)
    const token = await createToken(app.db, 'viewer')
    const other = await clientAs(app, 'editor')
    for (let i = 0; i < 60; i++) ask(t, origin, token, `/api/items?search=${SLOW}`)
    await eventually('they run', async () => (await countSearches(app)) > 0)
    const times: number[] = []
    for (let i = 0; i < 20; i++) {
      const began = performance.now()
      t.equal((await other('GET', '/api/items/S-1')).statusCode, 200)
      t.equal((await other('PUT', '/api/items/S-1', { payload: { description: `x${i}` } })).statusCode, 200)
      t.equal((await (await clientAs(app, 'viewer'))('GET', '/api/auth/me')).statusCode, 200)
      t.equal((await other('GET', '/api/items?limit=1')).statusCode, 200)
      times.push(performance.now() - began)
      t.ok((await countSearches(app)) <= 2, 'two at a time')
    }
    times.sort((a, b) => a - b)
    t.ok((times.at(-1) ?? 0) < 5000, `${times.map(Math.round).join(' ')} ms`)
  },
)

t.test('running and waiting searches are canceled when their client disconnects', async (t) => {
  const app = await startApp(t)
  await fill(app, 8000)
  const origin = await listen(app)
  const token = await createToken(app.db, 'viewer')
  const hangUps = Array.from({ length: 30 }, () => ask(t, origin, token, `/api/items?search=${SLOW}`))
  await eventually('they run', async () => (await countSearches(app)) > 0)
  for (const hangUp of hangUps) hangUp()
  await eventually('they are canceled', async () => (await countSearches(app)) === 0, { timeoutMs: 10_000 })
  const res = await fetch(`${origin}/api/items?limit=1`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(res.status, 200)
})

t.test('a search has at most eight words', async (t) => {
  const send = await clientAs(await startApp(t), 'viewer')
  t.equal((await send('GET', '/api/items?search=a+b+c+d+e+f+g++h+')).statusCode, 200)
  const res = await send('GET', '/api/items?search=a+b+c+d+e+f+g+h+i')
  t.equal(codeOf(res), 'invalid_request')
  t.strictSame(fieldsOf(res), ['search'])
  t.match(res.body, 'must have at most 8 words, not 9')
  // One character that the search normalizes to four words.
  t.equal(
    (await send('GET', `/api/items?search=${encodeURIComponent('\ufdfa'.repeat(200))}`)).statusCode,
    400,
  )
})

t.test('an export is canceled in the database when its client disconnects', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'viewer')
  const blocker = await app.db.begin(async (tx) => {
    await tx`lock table items in access exclusive mode`
    const sent = request(`${origin}/api/items`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/csv' },
      agent: false,
    })
    sent.on('error', () => undefined).end()
    const countWaiting = async () => {
      const rows = await app.feedDb`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
      `
      return rows.length
    }
    await eventually('it waits', async () => (await countWaiting()) === 1)
    sent.destroy()
    await eventually('it is canceled', async () => (await countWaiting()) === 0, { timeoutMs: 10_000 })
    return true
  })
  t.ok(blocker)
})

t.test('/ready responds with 503 while the database completes no request', async (t) => {
  const app = await startApp(t)
  const stall = app.db.begin(async (tx) => {
    await tx`lock table items in access exclusive mode`
    const send = await clientAs(app, 'viewer')
    const reads = Array.from({ length: 12 }, () => send('GET', '/api/items/A-1'))
    await eventually('it is not ready', async () => (await app.inject('/ready')).statusCode === 503, {
      timeoutMs: 20_000,
    })
    t.match((await app.inject('/ready')).json(), {
      status: 'unavailable',
      database: 'stalled',
      mode: 'normal',
    })
    return { reads }
  })
  const { reads } = await stall
  await Promise.all(reads)
  t.equal((await app.inject('/ready')).statusCode, 200)
})

t.test('writes that wait for a lock occupy no connection of reads or of other users', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  const other = await clientAs(app, 'editor')
  for (const part_number of ['L-1', 'L-2']) await send('POST', '/api/items', { payload: { part_number } })
  const { waiting } = await app.db.begin(async (tx) => {
    await tx`select from items where part_number = 'L-1' for update`
    const waiting = Array.from({ length: 20 }, (_, n) =>
      send('PUT', '/api/items/L-1', { payload: { description: `${n}` } }),
    )
    const began = performance.now()
    for (let i = 0; i < 5; i++) {
      t.equal((await other('PUT', '/api/items/L-2', { payload: { description: `${i}` } })).statusCode, 200)
      t.equal((await send('GET', '/api/items/L-2')).statusCode, 200)
    }
    t.ok(performance.now() - began < 6000)
    return { waiting }
  })
  for (const write of await Promise.all(waiting)) t.equal(write.statusCode, 200)
})
