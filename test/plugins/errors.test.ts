import t from 'tap'
import { buildApp } from '../../app.js'
import { createToken, testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'

t.test('an unknown address answers in the one error form', async (t) => {
  const app = await buildApp(testConfig(await createDatabase(t)))
  t.teardown(() => app.close())
  app.get('/guarded', { onRequest: app.requireRole('editor') }, (request) => request.principal.username)
  const res = await app.inject('/nothing')
  t.equal(res.statusCode, 404)
  t.strictSame(res.json(), { error: 'not_found', message: 'There is nothing at this address.', details: [] })
  t.equal((await app.inject('/guarded')).statusCode, 401)
  const get = async (token: string) =>
    (await app.inject({ url: '/guarded', headers: { authorization: `Bearer ${token}` } })).statusCode
  t.equal(await get(await createToken(app.db, 'viewer')), 403)
  t.equal(await get(await createToken(app.db, 'editor')), 200)
  t.equal(await get('silo_x'), 401)
  t.equal(await get('abc'), 401)
})
