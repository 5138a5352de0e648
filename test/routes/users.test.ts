import type { InjectOptions } from 'fastify'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { PASSWORD, bearer, createPerson, sessionOf, login } from '../harness/people.js'

t.test('users', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'root', 'admin')
  const admin = await sessionOf(app, 'root')
  const as = (token: string) => (method: InjectOptions['method'], path: string, payload?: object) =>
    app.inject({ method, url: `/api/users${path}`, headers: bearer(token), ...(payload && { payload }) })
  const send = as(admin)
  const mara = { username: 'Mara', password: PASSWORD, role: 'editor' }

  t.test('are managed by admins only', async (t) => {
    for (const role of ['viewer', 'editor'] as const) {
      const other = as(await createToken(app.db, role, 'someone'))
      const answers = [
        await other('GET', ''),
        await other('POST', '', mara),
        await other('PATCH', '/root', { role: 'viewer' }),
        await other('DELETE', '/root'),
      ]
      t.strictSame(
        answers.map((res) => res.statusCode),
        [403, 403, 403, 403],
        role,
      )
    }
    t.equal((await app.inject('/api/users')).statusCode, 401)
  })

  t.test('are created with a password that is never shown', async (t) => {
    const res = await send('POST', '', mara)
    t.equal(res.statusCode, 201)
    t.equal(res.headers.location, '/api/users/Mara')
    t.strictSame(Object.keys(res.json<object>()), [
      'id',
      'username',
      'display_name',
      'role',
      'active',
      'created_at',
    ])
    t.match(res.json(), { username: 'Mara', display_name: 'Mara', role: 'editor', active: true })
    const list = await send('GET', '')
    t.match(list.json(), { users: [{ username: 'Mara' }, { username: 'root' }, { username: 'someone' }] })
    t.notMatch(list.body, /password|scrypt/)
    t.equal((await login(app, 'mara')).statusCode, 200)
  })

  t.test('have unique names, without regard to case', async (t) => {
    const res = await send('POST', '', { ...mara, username: 'MARA', password: 'another password' })
    t.equal(res.statusCode, 409)
    t.match(res.json(), { error: 'username_taken' })
    t.equal((await login(app, 'mara')).statusCode, 200, 'the first user is unchanged')
  })

  t.test('are refused with the name of the wrong field', async (t) => {
    const wrong: [object, string][] = [
      [{ ...mara, username: 'a b' }, 'username'],
      [{ ...mara, username: '-x' }, 'username'],
      [{ ...mara, username: 'x\n' }, 'username'],
      [{ ...mara, username: 'x'.repeat(65) }, 'username'],
      [{ ...mara, password: 'short' }, 'password'],
      [{ ...mara, password: 'x'.repeat(1025) }, 'password'],
      [{ ...mara, role: 'owner' }, 'role'],
      [{ ...mara, display_name: '' }, 'display_name'],
      [{ ...mara, display_name: 'a\0b' }, 'display_name'],
      [{ ...mara, id: 'x' }, 'id'],
    ]
    for (const [payload, field] of wrong) {
      const res = await send('POST', '', { ...payload })
      t.equal(res.statusCode, 400)
      t.match(res.json(), { details: [{ field }] })
      t.notMatch(res.body, PASSWORD)
    }
    t.equal((await send('PATCH', '/mara', { username: 'other' })).statusCode, 400)
  })

  t.test('change only in the given fields', async (t) => {
    const session = await sessionOf(app, 'mara')
    const res = await send('PATCH', '/MARA', { display_name: 'Mara K.', role: 'viewer' })
    t.equal(res.statusCode, 200)
    t.match(res.json(), { username: 'Mara', display_name: 'Mara K.', role: 'viewer', active: true })
    t.match((await send('PATCH', '/mara', {})).json(), res.json<object>())
    const me = await app.inject({ url: '/api/auth/me', headers: bearer(session) })
    t.match(me.json(), { display_name: 'Mara K.', role: 'viewer' }, 'at once, also in a session')
    t.equal((await send('PATCH', '/nobody', { role: 'viewer' })).statusCode, 404)
    t.match((await send('DELETE', '/nobody')).json(), { error: 'user_not_found' })
  })

  t.test('lose all sessions and tokens at once when disabled or given another password', async (t) => {
    const status = async (token: string) =>
      (await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode
    for (const changes of [{ active: false }, { password: 'another password' }]) {
      const tokens = [await sessionOf(app, 'mara'), await createToken(app.db, 'viewer', 'mara')]
      for (const token of tokens) t.equal(await status(token), 200)
      t.equal((await send('PATCH', '/mara', changes)).statusCode, 200)
      for (const token of tokens) t.equal(await status(token), 401)
      t.equal((await login(app, 'mara')).statusCode, 401)
      await send('PATCH', '/mara', { active: true })
      for (const token of tokens) t.equal(await status(token), 401, 'permanently')
    }
    t.equal((await login(app, 'mara', 'another password')).statusCode, 200)
  })

  t.test('are deleted with their tokens', async (t) => {
    const token = await createToken(app.db, 'viewer', 'mara')
    t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
    const res = await send('DELETE', '/mara')
    t.equal(res.statusCode, 204)
    t.equal(res.body, '')
    t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 401)
    t.equal((await send('DELETE', '/mara')).statusCode, 404)
  })

  t.test('keep their last active admin', async (t) => {
    for (const [method, payload] of [
      ['PATCH', { role: 'editor' }],
      ['PATCH', { active: false }],
      ['DELETE', undefined],
    ] as const) {
      const res = await send(method, '/root', payload)
      t.equal(res.statusCode, 409)
      t.match(res.json(), { error: 'last_admin' })
    }
    t.equal((await send('GET', '')).statusCode, 200)
  })
})
