import t from 'tap'
import { connect } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { eventually } from '../../tools/harness/eventually.js'
import { listen } from '../harness/watcher.js'

const USERS = 50
const PATH = '/api/auth/tokens'

t.test(
  'when a thousand requests wait for the database, the next is refused at once, and none of them fails',
  async (t) => {
    const app = await startApp(t)
    // A single user may not have so many waiting requests, nor many with large responses
    // (plugins/response-memory.ts).
    const tokens = await Promise.all(Array.from({ length: USERS }, () => createToken(app.db, 'viewer')))
    const read = (n = 0) =>
      app.inject({ url: PATH, headers: { authorization: `Bearer ${tokens[n % USERS]}` } })
    const stranger = { authorization: `Bearer ${await createToken(app.db, 'viewer')}` }
    for (let n = 0; n < USERS; n++) t.equal((await read(n)).statusCode, 200)

    const blocker = connect(app.config.DATABASE_URL, 1)
    t.teardown(() => blocker.end({ timeout: 1 }))
    await blocker.unsafe('begin; lock table tokens in access exclusive mode')
    let answered = 0
    const waiting = Array.from({ length: 1000 }, async (_, n) => {
      const res = await read(n)
      answered++
      return res.statusCode
    })
    await eventually('the pool is taken', async () => {
      const [row] = await app.feedDb<{ waiting: number }[]>`
      select count(*)::integer as waiting from pg_locks where not granted
    `
      return (row?.waiting ?? 0) >= 10
    })

    // A request whose token is not cached would wait for the same connections to be authenticated.
    for (const refused of [await read(), await app.inject({ url: PATH, headers: stranger })]) {
      t.equal(refused.statusCode, 503)
      t.match(refused.json(), { error: 'overloaded', details: [] })
      t.ok(Number(refused.headers['retry-after']) > 0)
    }
    t.equal(answered, 0)
    t.equal((await app.inject('/health')).statusCode, 200)
    t.equal((await app.inject('/ready')).statusCode, 200)

    await blocker.unsafe('commit')
    t.strictSame(new Set(await Promise.all(waiting)), new Set([200]))
    t.equal((await read()).statusCode, 200)
  },
)

t.test('a request that times out before it is authenticated releases its slot', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const tokens = await Promise.all(Array.from({ length: 1000 }, () => createToken(app.db, 'viewer')))
  async function ask(token = ''): Promise<number> {
    const { status, body } = await fetch(`${origin}/api/auth/me`, {
      headers: { authorization: `Bearer ${token}` },
    })
    await body?.cancel()
    return status
  }
  const blocker = connect(app.config.DATABASE_URL, 1)
  t.teardown(() => blocker.end({ timeout: 1 }))
  await blocker.unsafe('begin; lock table tokens in access exclusive mode')
  t.strictSame(new Set(await Promise.all(tokens.map(ask))), new Set([503]))
  await blocker.unsafe('commit')
  t.equal(await ask(tokens[0]), 200)
})
