import t from 'tap'
import { startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { createGate } from '../harness/gate.js'
import { eventually } from '../../tools/harness/eventually.js'

t.test('GET /health and GET /ready respond with 200 and the mode', async (t) => {
  const app = await startApp(t)
  const health = await app.inject('/health')
  t.equal(health.statusCode, 200)
  t.strictSame(health.json(), { status: 'ok', mode: 'normal' })
  const ready = await app.inject('/ready')
  t.equal(ready.statusCode, 200)
  t.strictSame(ready.json(), {
    status: 'ok',
    mode: 'normal',
    database: 'ok',
    sse_clients: 0,
    event_log: { head: app.sse.head, lag_ms: 0 },
  })
})

t.test('a read-only instance is ready', async (t) => {
  const app = await startApp(t, { READ_ONLY: true })
  t.strictSame((await app.inject('/health')).json(), { status: 'ok', mode: 'read-only' })
  t.equal((await app.inject('/ready')).statusCode, 200)
})

t.test('an instance that is shutting down is not ready', async (t) => {
  const app = await startApp(t)
  app.mode.drain()
  t.strictSame((await app.inject('/health')).json(), { status: 'ok', mode: 'draining' })
  const ready = await app.inject('/ready')
  t.equal(ready.statusCode, 503)
  t.match(ready.json(), { status: 'unavailable', mode: 'draining', database: 'ok' })
  t.equal((await app.inject('/ready?degraded=ok')).statusCode, 503)
})

t.test('while the database hangs', async (t) => {
  const gate = await createGate(t, await createDatabase(t))
  const app = await startApp(t, { databaseUrl: gate.databaseUrl })
  gate.block()

  t.test('GET /ready responds with 503 within its second', async (t) => {
    const start = Date.now()
    const ready = await app.inject('/ready')
    t.ok(Date.now() - start < 1500)
    t.equal(ready.statusCode, 503)
    t.match(ready.json(), { status: 'unavailable', mode: 'degraded', database: 'lost' })
  })

  t.test('GET /ready?degraded=ok responds with 200 and reports that the database is lost', async (t) => {
    const ready = await app.inject('/ready?degraded=ok')
    t.equal(ready.statusCode, 200)
    t.match(ready.json(), { mode: 'degraded', database: 'lost' })
    t.equal((await app.inject('/ready?degraded=no')).statusCode, 400)
  })

  t.test('GET /health needs no database, and other routes respond with a 503', async (t) => {
    const start = Date.now()
    t.strictSame((await app.inject('/health')).json(), { status: 'ok', mode: 'degraded' })
    const refused = await app.inject({ url: '/api/auth/me', headers: { authorization: 'Bearer silo_x' } })
    t.equal(refused.statusCode, 503)
    t.match(refused.json(), { error: 'database_unavailable' })
    t.ok(Date.now() - start < 500)
  })

  t.test('both report when the database is back', async (t) => {
    gate.open()
    await eventually('/ready', async () => (await app.inject('/ready')).statusCode === 200, {
      timeoutMs: 10_000,
    })
    t.match((await app.inject('/ready')).json(), { status: 'ok', mode: 'normal', database: 'ok' })
    t.strictSame((await app.inject('/health')).json(), { status: 'ok', mode: 'normal' })
  })
})
