import t from 'tap'
import { connect } from '../../store/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { until } from '../harness/until.js'
import { listen } from '../harness/watcher.js'

t.test(
  'when a thousand requests wait for the database, the next is told so at once, and none is lost',
  async (t) => {
    const app = await startApp(t)
    const token = await createToken(app.db, 'viewer')
    const headers = { authorization: `Bearer ${token}` }
    const read = () => app.inject({ url: '/api/items/A-1', headers })
    const stranger = { authorization: `Bearer ${await createToken(app.db, 'viewer')}` }
    t.equal((await read()).statusCode, 404)

    const blocker = connect(app.config.DATABASE_URL, 1)
    t.teardown(() => blocker.end({ timeout: 1 }))
    await blocker.unsafe('begin; lock table items in access exclusive mode')
    let answered = 0
    const waiting = Array.from({ length: 1000 }, async () => {
      const res = await read()
      answered++
      return res.statusCode
    })
    await until(async () => {
      const [row] = await app.feedDb<{ waiting: number }[]>`
      select count(*)::integer as waiting from pg_locks where not granted
    `
      return row?.waiting === 10
    }, 'the pool is taken')

    // Whoever isn't known yet would wait for the same sessions to be looked up.
    for (const refused of [await read(), await app.inject({ url: '/api/items/A-1', headers: stranger })]) {
      t.equal(refused.statusCode, 503)
      t.match(refused.json(), { error: 'overloaded', details: [] })
      t.ok(Number(refused.headers['retry-after']) > 0)
    }
    t.equal(answered, 0)
    t.equal((await app.inject('/health')).statusCode, 200)
    t.equal((await app.inject('/ready')).statusCode, 200)

    await blocker.unsafe('commit')
    t.strictSame(new Set(await Promise.all(waiting)), new Set([404]))
    t.equal((await read()).statusCode, 404)
  },
)

t.test('whoever is given up before it is known who asks gives the place back', async (t) => {
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
