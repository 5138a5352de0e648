import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../../app.js'
import { createToken, startApp, testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { bearer } from '../harness/people.js'
import { eventually } from '../../tools/harness/eventually.js'
import { Watcher, listen } from '../harness/watcher.js'

const put = (app: FastifyInstance, token: string, payload: object) =>
  app.inject({ method: 'PUT', url: '/api/server/mode', headers: bearer(token), payload })

t.test('the mode that an admin sets', async (t) => {
  const databaseUrl = await createDatabase(t)
  const one = await buildApp(testConfig(databaseUrl))
  t.teardown(() => one.close())
  one.post('/write', { schema: { security: [] }, onRequest: one.requireWritable }, () => 'written')
  const two = await startApp(t, { databaseUrl })
  const admin = await createToken(one.db, 'admin')
  const write = () => one.inject({ method: 'POST', url: '/write' })

  t.test('takes effect on this instance at once, and refuses writes', async (t) => {
    for (let round = 0; round < 20; round += 1) {
      const res = await put(one, admin, { mode: 'read-only' })
      t.equal(res.statusCode, 200)
      t.strictSame(res.json(), { mode: 'read-only' })
      const refused = await write()
      t.equal(refused.statusCode, 503)
      t.match(refused.json(), { error: 'server_read_only' })
      t.strictSame((await put(one, admin, { mode: 'normal' })).json(), { mode: 'normal' })
      t.equal((await write()).statusCode, 200)
    }
  })

  t.test('takes effect on every other instance within a second', async (t) => {
    await put(one, admin, { mode: 'read-only' })
    const viewer = await createToken(one.db, 'viewer')
    const start = Date.now()
    const modeThere = async () =>
      (await two.inject({ url: '/api/server/mode', headers: bearer(viewer) })).json<{ mode: string }>().mode
    await eventually('the mode', async () => (await modeThere()) === 'read-only', { timeoutMs: 5000 })
    t.ok(Date.now() - start < 1000)
    t.match((await two.inject('/health')).json(), { mode: 'read-only' })
  })

  t.test('is stored for instances that start later, and can be changed from read-only', async (t) => {
    const three = await startApp(t, { databaseUrl })
    t.equal(three.mode.current, 'read-only')
    t.strictSame((await put(three, admin, { mode: 'normal' })).json(), { mode: 'normal' })
  })
})

t.test('a mode takes effect at once, even while a slow query of the old mode is running', async (t) => {
  const app = await startApp(t)
  const admin = await createToken(app.db, 'admin')
  await app.db.unsafe(`
    alter table server_settings rename to settings;
    create view server_settings as
      select mode
        from settings
       where pg_sleep(case when current_query() like 'select mode%' then 0.3 else 0 end) is not null;
    create rule write as on update to server_settings do instead update settings set mode = new.mode;
  `)
  await app.pulse()
  const slow = app.pulse()
  t.strictSame((await put(app, admin, { mode: 'read-only' })).json(), { mode: 'read-only' })
  await slow
  t.equal(app.mode.current, 'read-only')
})

t.test('READ_ONLY applies to its instance, whatever mode is set for all', async (t) => {
  const app = await startApp(t, { READ_ONLY: true })
  const admin = await createToken(app.db, 'admin')
  t.strictSame((await put(app, admin, { mode: 'normal' })).json(), { mode: 'read-only' })
})

t.test('every instance knows the subscribers of all, and forgets stopped instances', async (t) => {
  const databaseUrl = await createDatabase(t)
  const one = await startApp(t, { databaseUrl })
  const two = await buildApp(testConfig(databaseUrl))
  t.teardown(() => two.close())
  const viewer = await createToken(one.db, 'viewer')
  const watchersAt = async (app: FastifyInstance) =>
    (await app.inject({ url: '/api/server/mode', headers: bearer(viewer) })).json<{ watchers: number }>()
      .watchers
  const watch = async (app: FastifyInstance) => {
    const watcher = await Watcher.open(t, await listen(app), { token: viewer })
    await watcher.untilSeen('server.state')
  }
  await watch(one)
  await watch(two)
  await watch(two)
  t.equal(one.sse.clients, 1)
  for (const app of [one, two]) {
    await eventually('all three to be known', async () => (await watchersAt(app)) === 3)
  }
  await two.close()
  await eventually('the other to be forgotten', async () => (await watchersAt(one)) === 1)
})

t.test('admins set the mode, all roles read it, and only normal and read-only can be set', async (t) => {
  const app = await startApp(t)
  for (const role of ['viewer', 'editor'] as const) {
    const token = await createToken(app.db, role)
    t.equal((await put(app, token, { mode: 'read-only' })).statusCode, 403)
    const res = await app.inject({ url: '/api/server/mode', headers: bearer(token) })
    t.strictSame(res.json(), { mode: 'normal', watchers: 0 })
  }
  t.equal((await app.inject('/api/server/mode')).statusCode, 401)
  const admin = await createToken(app.db, 'admin')
  for (const payload of [{ mode: 'draining' }, { mode: 'degraded' }, {}, { mode: 'normal', now: true }]) {
    const res = await put(app, admin, payload)
    t.equal(res.statusCode, 400)
    t.match(res.json(), { error: 'invalid_request', details: [{ message: String }] })
  }
  t.equal(app.mode.current, 'normal')
})
