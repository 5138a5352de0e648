import { createHash } from 'node:crypto'
import t from 'tap'
import type { Role } from '../../schemas/auth.js'
import { hashPassword } from '../../store/passwords.js'
import { addUser } from '../../store/users.js'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { createGate } from '../harness/gate.js'
import { PASSWORD, bearer, createPerson, sessionOf, login } from '../harness/people.js'
import { countScrypts } from '../harness/scrypt.js'
import { eventually } from '../../tools/harness/eventually.js'

const HOURS_12 = 12 * 60 * 60

t.test('POST /api/auth/login', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'Mara', 'editor')

  t.test('responds with a bearer token, its expiry, the user, and the cookie', async (t) => {
    const res = await login(app, 'mara')
    t.equal(res.statusCode, 200)
    t.equal(res.headers['cache-control'], 'no-store')
    const body = res.json<{ token: string; expires_at: string; user: { id: string } }>()
    t.strictSame(Object.keys(body), ['token', 'token_type', 'expires_at', 'user'])
    t.match(body, {
      token_type: 'Bearer',
      user: { username: 'Mara', display_name: 'Mara', role: 'editor', auth_source: 'local' },
    })
    t.match(body.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    const seconds = (Date.parse(body.expires_at) - Date.now()) / 1000
    t.ok(Math.abs(seconds - HOURS_12) < 60, 'a session lasts twelve hours')
    const [cookie, ...others] = res.cookies
    t.match(cookie, {
      name: 'silo_session_80',
      value: body.token,
      httpOnly: true,
      sameSite: 'Strict',
      path: '/',
    })
    t.ok(Math.abs(Number(cookie?.maxAge) - HOURS_12) < 60, 'the cookie ends with the session')
    t.notOk(cookie?.secure, 'over plain HTTP a browser would drop a Secure cookie')
    t.match(others, [{ name: 'silo_device_80', httpOnly: true, sameSite: 'Strict', path: '/' }])
    t.equal(others.length, 1)

    const [, payload = ''] = body.token.split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
    t.strictSame(Object.keys(claims).sort(), ['exp', 'jti'], 'the JWT has nothing about the user')

    const me = await app.inject({ url: '/api/auth/me', headers: bearer(body.token) })
    t.equal(me.statusCode, 200)
    t.strictSame(me.json(), body.user)
    t.strictSame(Object.keys(me.json<object>()), ['id', 'username', 'display_name', 'role', 'auth_source'])
    const byCookie = await app.inject({ url: '/api/auth/me', cookies: { silo_session_80: body.token } })
    t.strictSame(byCookie.json(), body.user)
  })

  t.test('accepts a username in any case, and a password in any Unicode normalization form', async (t) => {
    const password = 'pässwörd-für-alle'
    const password_hash = await hashPassword(password.normalize('NFC'))
    await addUser(app.db, { username: 'jorg', display_name: 'Jörg', role: 'viewer', password_hash })
    t.equal((await login(app, 'JORG', password.normalize('NFD'))).statusCode, 200)
  })

  t.test('refuses a wrong password, an unknown user and a disabled one with the same response', async (t) => {
    await createPerson(app.db, 'gone', 'admin')
    await app.db`update users set active = false where username = 'gone'`
    const answers = await Promise.all([
      login(app, 'mara', `${PASSWORD}!`),
      login(app, 'nobody'),
      login(app, 'gone'),
      login(app, 'ma\u0301ra%'),
    ])
    for (const res of answers) {
      t.equal(res.statusCode, 401)
      t.match(res.headers['www-authenticate'], /^Bearer /)
      t.strictSame(res.json(), {
        error: 'invalid_credentials',
        message: 'The username or the password is wrong.',
        details: [],
      })
      t.equal(res.headers['set-cookie'], undefined)
    }
    const sessions = await app.db`select from tokens t join users u on u.id = t.user_id where not u.active`
    t.equal(sessions.length, 0)
  })

  t.test('hashes a password once for an existing, an unknown and a disabled user', async (t) => {
    for (const username of ['mara', 'nobody', 'gone']) {
      t.equal(await countScrypts(() => login(app, username, 'wrong')), 1, username)
    }
  })

  t.test('names the wrong field and never its value', async (t) => {
    const post = (payload: object) => app.inject({ method: 'POST', url: '/api/auth/login', payload })
    const missing = await post({ username: 'mara' })
    t.equal(missing.statusCode, 400)
    t.match(missing.json(), {
      error: 'invalid_request',
      details: [{ field: 'password', message: 'is required' }],
    })
    const nul = await post({ username: 'mara', password: 'secret\0secret' })
    t.match(nul.json(), {
      details: [{ field: 'password', message: 'must not contain NUL or unpaired surrogates' }],
    })
    t.notMatch(nul.body, /secret/)
    const more = await post({ username: 'mara', password: PASSWORD, role: 'admin' })
    t.match(more.json(), { details: [{ field: 'role', message: 'is not a known field' }] })
  })

  t.test('deletes the ended sessions of the user, and no other token', async (t) => {
    await createToken(app.db, 'editor', 'Mara')
    const revoked = await sessionOf(app, 'mara')
    await app.inject({ method: 'POST', url: '/logout', headers: bearer(revoked) })
    await app.db`update tokens set expires_at = now() - interval '1 minute' where kind = 'api'`
    const live = await sessionOf(app, 'mara')
    const rows = await app.db<{ kind: string; ended: boolean }[]>`
      select kind, revoked_at is not null as ended from tokens
    `
    t.ok(rows.some(({ kind }) => kind === 'api'))
    t.notOk(rows.some(({ kind, ended }) => kind === 'session' && ended))
    t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(live) })).statusCode, 200)
  })
})

t.test('behind TLS the cookie is Secure', async (t) => {
  const app = await startApp(t, { TRUST_PROXY: ['10.0.0.0/8'], PUBLIC_URL: ['http://silo.example'] })
  await createPerson(app.db, 'mara', 'viewer')
  const https = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'silo.example' }
  const through = (remoteAddress: string) => login(app, 'mara', PASSWORD, { remoteAddress, headers: https })
  const res = await through('10.0.0.1')
  t.match(res.cookies, [{ name: '__Host-silo_session_443', secure: true, path: '/', domain: undefined }])
  const logout = await app.inject({
    method: 'POST',
    url: '/logout',
    remoteAddress: '10.0.0.1',
    headers: https,
    cookies: { '__Host-silo_session_443': res.cookies[0]?.value ?? '' },
  })
  t.match(logout.cookies, [{ name: '__Host-silo_session_443', value: '', secure: true }])
  t.notOk((await through('192.0.2.1')).cookies[0]?.secure, 'the header of an untrusted peer is ignored')
})

t.test('the name of the cookie has the port that the browser uses, and depends on TLS', async (t) => {
  const databaseUrl = await createDatabase(t)
  const named = async (PUBLIC_URL: string[], host: string, headers: Record<string, string> = {}) => {
    const app = await startApp(t, { databaseUrl, PUBLIC_URL, TRUST_PROXY: ['10.0.0.0/8'] })
    const remoteAddress = `10.0.${(clients += 1)}.1`
    const res = await login(app, 'mara', PASSWORD, { remoteAddress, headers: { host, ...headers } })
    return [res.cookies[0]?.name, res.cookies[0]?.secure ?? false, res.headers['strict-transport-security']]
  }
  let clients = 0
  await createPerson((await startApp(t, { databaseUrl })).db, 'mara', 'viewer')
  const https = { 'x-forwarded-proto': 'https' }
  const hsts = 'max-age=31536000'
  t.strictSame(await named([], 'localhost:8080'), ['silo_session_8080', false, undefined])
  t.strictSame(await named([], '127.0.0.1:8081'), ['silo_session_8081', false, undefined])
  t.strictSame(await named([], '[::1]:8081'), ['silo_session_8081', false, undefined])
  t.strictSame(await named([], 'localhost:8443', https), ['__Host-silo_session_8443', true, undefined])
  t.strictSame(await named(['https://silo.example'], 'silo.example'), ['__Host-silo_session_443', true, hsts])
  t.strictSame(await named(['https://silo.example'], 'SILO.example.:80'), [
    '__Host-silo_session_443',
    true,
    hsts,
  ])
  const lan = 'http://silo.lan:8080'
  t.strictSame(
    await named([lan], 'silo.lan'),
    ['silo_session_8080', false, undefined],
    'a proxy has removed the port',
  )
  const both = ['https://silo.example', lan]
  t.strictSame(await named(both, 'silo.lan:8080'), ['silo_session_8080', false, undefined])
  t.strictSame(await named(both, 'silo.example'), ['__Host-silo_session_443', true, undefined])
  t.strictSame(await named(['https://silo.example'], '10.0.0.9:8080'), [
    '__Host-silo_session_8080',
    true,
    hsts,
  ])
})

t.test('cookies of earlier versions, and those from before TLS, are cleared', async (t) => {
  const app = await startApp(t, { PUBLIC_URL: ['https://silo.example'] })
  await createPerson(app.db, 'mara', 'viewer')
  const headers = { host: 'silo.example' }
  const cookies = { silo_session: 'x', silo_session_443: 'y' }
  const res = await login(app, 'mara', PASSWORD, { headers, cookies })
  t.match(res.cookies, [
    { name: 'silo_session', value: '', maxAge: 0, path: '/' },
    { name: 'silo_session_443', value: '', maxAge: 0, path: '/' },
    { name: '__Host-silo_session_443', value: /./ },
  ])
  const token = res.json<{ token: string }>().token
  const me = await app.inject({ url: '/api/auth/me', headers, cookies: { silo_session_443: token } })
  t.equal(me.statusCode, 401, 'under TLS a cookie that another host could have set is not accepted')
})

t.test('POST /login', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  let clients = 0
  const post = (fields: Record<string, string>, headers = {}) =>
    app.inject({
      method: 'POST',
      url: '/login',
      remoteAddress: `192.0.2.${(clients += 1)}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: new URLSearchParams(fields).toString(),
    })
  const good = { username: 'mara', password: PASSWORD }

  t.test('signs a browser in with the cookie', async (t) => {
    const res = await post(good)
    t.equal(res.statusCode, 303)
    t.equal(res.headers.location, '/')
    t.equal(res.body, '')
    t.match(res.cookies, [{ name: 'silo_session_80', httpOnly: true, sameSite: 'Strict', path: '/' }])
    const cookies = { silo_session_80: res.cookies[0]?.value ?? '' }
    t.match((await app.inject({ url: '/api/auth/me', cookies })).json(), { username: 'mara' })
  })

  t.test('redirects a refused sign-in back to the form, without a cookie', async (t) => {
    const wrong = await post({ ...good, password: 'wrong' })
    t.equal(wrong.statusCode, 303)
    t.equal(wrong.headers.location, '/login?error=invalid_credentials')
    t.strictSame(wrong.cookies, [])
    const kept = await post({ ...good, password: 'wrong', next: '/items?q=1&a=2' })
    t.equal(kept.headers.location, '/login?error=invalid_credentials&next=%2Fitems%3Fq%3D1%26a%3D2')
    t.equal((await post({ username: 'mara' })).headers.location, '/login?error=invalid_request')
    const long = await post({ ...good, next: `/${'?'.repeat(4000)}` })
    t.equal(
      long.headers.location,
      '/login?error=invalid_request&next=%2F',
      'a proxy accepts no longer header',
    )
  })

  t.test('redirects to the requested page, and never to another host', async (t) => {
    const goesTo = async (next: string) => (await post({ ...good, next })).headers.location
    const own = { '/items?q=1': '/items?q=1', '/': '/', items: '/items' }
    for (const [next, location] of Object.entries(own)) t.equal(await goesTo(next), location, next)
    const others = [
      '//evil.example',
      '/\\evil.example',
      '/\t/evil.example',
      '\\\\evil.example',
      'https://evil.example/',
      'https:evil.example',
      'javascript:alert(1)',
      '/.//evil.example',
      '/..//evil.example',
      'http://[',
    ]
    const locations = await Promise.all(others.map(goesTo))
    locations.forEach((location, i) => t.equal(location, '/', JSON.stringify(others[i])))
  })

  t.test('refuses the forms of other sites', async (t) => {
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const res = await post(good, headers)
      t.equal(res.statusCode, 403)
      t.match(res.json(), { error: 'cross_origin' })
      t.strictSame(res.cookies, [])
    }
    t.equal((await post(good, { origin: 'http://localhost:80', host: 'localhost:80' })).statusCode, 303)
  })

  t.test('is the only sign-in that accepts forms', async (t) => {
    const res = await app.inject({
      method: 'POST',
      url: '/api/auth/login',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams(good).toString(),
    })
    t.equal(res.statusCode, 415)
    t.match(res.json(), { error: 'unsupported_media_type' })
  })
})

t.test('POST /logout', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')

  t.test('ends the session of the cookie at once, and no other', async (t) => {
    const [mine, other] = [await sessionOf(app, 'mara'), await sessionOf(app, 'mara')]
    const me = async (token: string) =>
      (await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode
    t.equal(await me(mine), 200)
    const res = await app.inject({
      method: 'POST',
      url: '/logout',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      cookies: { silo_session_80: mine },
    })
    t.equal(res.statusCode, 303)
    t.equal(res.headers.location, '/login')
    t.match(res.cookies, [{ name: 'silo_session_80', value: '', maxAge: 0, path: '/' }])
    t.equal(res.headers['clear-site-data'], '"cache", "storage"')
    t.equal(await me(mine), 401)
    t.equal(await me(other), 200)
  })

  t.test('responds the same without a session, and refuses another site', async (t) => {
    const stranger = await app.inject({ method: 'POST', url: '/logout' })
    t.equal(stranger.statusCode, 303)
    const token = await sessionOf(app, 'mara')
    const refused = await app.inject({
      method: 'POST',
      url: '/logout',
      headers: { origin: 'https://evil.example' },
      cookies: { silo_session_80: token },
    })
    t.equal(refused.statusCode, 403)
    t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
  })

  t.test('does not end an API token', async (t) => {
    const token = await createToken(app.db, 'viewer')
    await app.inject({ method: 'POST', url: '/logout', headers: bearer(token) })
    t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
  })
})

t.test('signing out clears the cookie and ends the session, even without the database', async (t) => {
  const databaseUrl = await createDatabase(t)
  const gate = await createGate(t, databaseUrl)
  const app = await startApp(t, { databaseUrl: gate.databaseUrl })
  const other = await startApp(t, { databaseUrl })
  await createPerson(other.db, 'mara', 'viewer')
  const [one, two, kept] = [
    await sessionOf(app, 'mara'),
    await sessionOf(app, 'mara'),
    await sessionOf(app, 'mara'),
  ]
  const signOut = (token: string) =>
    app.inject({ method: 'POST', url: '/logout', cookies: { silo_session_80: token } })
  gate.block()
  // The first request comes before the instance has noticed that the database hangs, the second after.
  for (const token of [one, two]) {
    const res = await signOut(token)
    t.equal(res.statusCode, 303)
    t.match(res.cookies, [{ name: 'silo_session_80', value: '', maxAge: 0 }])
    await eventually('the loss of the database to be noticed', () => app.mode.databaseLost)
  }
  gate.open()
  await eventually('the database to be back', () => !app.mode.databaseLost)
  const me = async (by: typeof app, token: string) =>
    (await by.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode
  for (const token of [one, two]) {
    t.equal(await me(app, token), 401)
    await eventually('its end in the database', async () => (await me(other, token)) === 401)
  }
  t.equal(await me(app, kept), 200, 'no other session ends')
})

t.test('signing in again ends the session whose cookie it replaces, and no other', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await createPerson(app.db, 'theo', 'viewer')
  const me = async (token: string) =>
    (await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode
  const elsewhere = await sessionOf(app, 'mara')
  const first = await sessionOf(app, 'mara')
  const again = (username: string, token: string, password = PASSWORD) =>
    login(app, username, password, { cookies: { silo_session_80: token } })
  await again('mara', first, 'wrong')
  t.equal(await me(first), 200, 'a refused sign-in replaces nothing')
  const second = (await again('mara', first)).json<{ token: string }>().token
  t.equal(await me(first), 401)
  t.equal(await me(second), 200)
  const form = await app.inject({
    method: 'POST',
    url: '/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    cookies: { silo_session_80: second },
    payload: new URLSearchParams({ username: 'theo', password: PASSWORD }).toString(),
  })
  t.equal(form.statusCode, 303)
  t.equal(await me(second), 401, 'by the form and as another user too')
  t.equal(await me(elsewhere), 200)
  const api = await createToken(app.db, 'viewer')
  t.equal((await login(app, 'mara', PASSWORD, { cookies: { silo_session_80: api } })).statusCode, 200)
  t.equal(await me(api), 200, 'an API token in a cookie is no session')
})

t.test('API tokens', async (t) => {
  const databaseUrl = await createDatabase(t)
  const app = await startApp(t, { databaseUrl })
  await createPerson(app.db, 'mara', 'editor')
  await createPerson(app.db, 'theo', 'admin')
  const session = await sessionOf(app, 'mara')

  interface Created {
    id: string
    token: string
    role: Role
    expires_at: string
    created_at: string
  }
  const create = (payload: object, as = session) =>
    app.inject({ method: 'POST', url: '/api/auth/tokens', headers: bearer(as), payload })
  const list = async (as = session) =>
    (await app.inject({ url: '/api/auth/tokens', headers: bearer(as) })).json<{ tokens: Created[] }>().tokens
  const revoke = (id: string, as = session) =>
    app.inject({ method: 'DELETE', url: `/api/auth/tokens/${id}`, headers: bearer(as) })
  const me = (token: string) => app.inject({ url: '/api/auth/me', headers: bearer(token) })

  t.test('the secret is shown once, and only its SHA-256 is stored', async (t) => {
    const res = await create({ name: 'CAD', keep: true })
    t.equal(res.statusCode, 201)
    t.equal(res.headers['cache-control'], 'no-store')
    const created = res.json<Created>()
    t.strictSame(Object.keys(created), [
      'id',
      'name',
      'role',
      'created_at',
      'expires_at',
      'last_used_at',
      'token',
    ])
    t.match(created, { name: 'CAD', role: 'editor', last_used_at: null, token: /^silo_[\w-]{43}$/ })
    const days = (Date.parse(created.expires_at) - Date.parse(created.created_at)) / 86_400_000
    t.ok(Math.abs(days - 90) < 0.1, 'ninety days by default')
    const [row] = await app.db<{ hash: Buffer; row: string }[]>`
      select hash, tokens::text as row from tokens where id = ${created.id}
    `
    t.strictSame(row?.hash, createHash('sha256').update(created.token).digest())
    t.notMatch(row?.row, created.token)

    t.match((await me(created.token)).json(), { username: 'mara', role: 'editor' })
    const [listed] = await list()
    t.equal(listed?.id, created.id)
    t.strictSame(Object.keys(listed ?? {}), [
      'id',
      'name',
      'role',
      'created_at',
      'expires_at',
      'last_used_at',
    ])
  })

  t.test('a token can have a lower role than its owner, but never a higher one', async (t) => {
    const refused = await create({ name: 'x', role: 'admin' })
    t.equal(refused.statusCode, 403)
    t.match(refused.json(), { error: 'forbidden' })
    const viewer = (await create({ name: 'x', role: 'viewer' })).json<Created>()
    t.match((await me(viewer.token)).json(), { role: 'viewer' })
    t.equal(
      (await create({ name: 'x', role: 'editor' }, viewer.token)).statusCode,
      403,
      'nor can its own tokens',
    )
    t.equal((await create({ name: 'x' }, viewer.token)).json<Created>().role, 'viewer')

    const theo = await sessionOf(app, 'theo')
    const admin = (await create({ name: 'x' }, theo)).json<Created>()
    t.match((await me(admin.token)).json(), { role: 'admin' })
    const demoted = await app.inject({
      method: 'PATCH',
      url: '/api/users/mara',
      headers: bearer(theo),
      payload: { role: 'viewer' },
    })
    t.equal(demoted.statusCode, 200)
    const [editors] = await list()
    t.ok(editors)
    t.match((await me(session)).json(), { role: 'viewer' }, 'the role of the owner is the upper bound')
    await app.inject({
      method: 'PATCH',
      url: '/api/users/mara',
      headers: bearer(theo),
      payload: { role: 'editor' },
    })
  })

  t.test('a token lasts for 1 to 3650 days', async (t) => {
    for (const expires_in_days of [0, -1, 1.5, 3651, '7']) {
      const res = await create({ name: 'x', expires_in_days })
      t.equal(res.statusCode, 400)
      t.match(res.json(), { details: [{ field: 'expires_in_days' }] })
    }
    t.equal((await create({ name: 'x', expires_in_days: 3650 })).statusCode, 201)
    t.equal((await create({ expires_in_days: 1 })).statusCode, 400, 'a name is required')
  })

  t.test('a revoked token is refused at once', async (t) => {
    const { id, token } = (await create({ name: 'x' })).json<Created>()
    t.equal((await me(token)).statusCode, 200)
    t.equal((await revoke(id)).statusCode, 204)
    const res = await me(token)
    t.equal(res.statusCode, 401)
    t.match(res.json(), { error: 'unauthenticated' })
    t.notOk((await list()).some((listed) => listed.id === id))
    const again = await revoke(id)
    t.equal(again.statusCode, 404)
    t.match(again.json(), { error: 'token_not_found' })
  })

  t.test('no user sees or revokes the tokens of another user', async (t) => {
    const { id, token } = (await create({ name: 'mine' })).json<Created>()
    const theo = await sessionOf(app, 'theo')
    t.equal((await revoke(id, theo)).statusCode, 404)
    t.equal((await revoke('00000000-0000-4000-8000-000000000000')).statusCode, 404)
    t.equal((await revoke('urn:uuid:00000000-0000-4000-8000-000000000000')).statusCode, 400)
    t.equal((await revoke('1')).statusCode, 400)
    t.notOk((await list(theo)).some((listed) => listed.id === id))
    t.equal((await me(token)).statusCode, 200)
    const [own] = await app.db<{ id: string }[]>`
      select id from tokens where kind = 'session' and revoked_at is null and user_id = (
        select id from users where username = 'mara'
      ) limit 1
    `
    t.equal((await revoke(own?.id ?? '')).statusCode, 404, 'nor can a session be revoked as a token')
  })

  t.test('a token that another instance has revoked creates no more tokens', async (t) => {
    const other = await startApp(t, { databaseUrl })
    const { id, token } = (await create({ name: 'x' })).json<Created>()
    t.equal((await other.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
    await revoke(id)
    const before = (await list()).length
    const res = await other.inject({
      method: 'POST',
      url: '/api/auth/tokens',
      headers: bearer(token),
      payload: { name: 'escaped' },
    })
    t.equal(res.statusCode, 401)
    t.equal((await list()).length, before)
  })
})
