import { createHmac, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../app.js'
import { ROLES, type Role } from '../../schemas/auth.js'
import { createToken, startApp, testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { bearer, createPerson, sessionOf } from '../harness/people.js'
import { eventually } from '../../tools/harness/eventually.js'

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Builds a JWT as an attacker would. */
function forge(header: object, payload: object, secret: string, hash = 'sha256'): string {
  const text = `${encode(header)}.${encode(payload)}`
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`
}

function partsOf(jwt: string): { header: string; payload: string; signature: string; jti: string } {
  const [header = '', payload = '', signature = ''] = jwt.split('.')
  const { jti } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { jti: string }
  return { header, payload, signature, jti }
}

/**
 * Asserts that the response is that of any request that is not signed in, without a hint at what was wrong.
 */
async function refuses(t: Test, app: FastifyInstance, authorization: string, what: string): Promise<void> {
  const res = await app.inject({ url: '/api/auth/me', headers: { authorization } })
  t.equal(res.statusCode, 401, what)
  t.equal(res.headers['www-authenticate'], 'Bearer realm="silo"')
  t.strictSame(res.json(), {
    error: 'unauthenticated',
    message: 'Sign in, or send a valid token as "Authorization: Bearer …".',
    details: [],
  })
}

t.test('only a JWT with the right algorithm, signature, expiry and session is accepted', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'admin')
  const jwt = await sessionOf(app, 'mara')
  const { header, payload, signature, jti } = partsOf(jwt)
  const secret = app.config.JWT_SECRET
  const exp = Math.floor(Date.now() / 1000) + 3600
  const hs256 = { alg: 'HS256', typ: 'JWT' }
  const accepted = forge(hs256, { jti, exp }, secret)
  t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(accepted) })).statusCode, 200)

  const refused = {
    'no algorithm': `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    'no algorithm, and a signature': `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`,
    'NONE in capitals': `${encode({ alg: 'NONE' })}.${payload}.`,
    'another algorithm of the same family': forge({ alg: 'HS512' }, { jti, exp }, secret, 'sha512'),
    'an asymmetric algorithm': forge({ alg: 'RS256' }, { jti, exp }, secret),
    'another key': forge(hs256, { jti, exp }, `${secret}!`),
    'an empty key': forge(hs256, { jti, exp }, ''),
    'no signature': `${header}.${payload}.`,
    'a payload that was changed': `${header}.${encode({ jti, exp: exp + 1 })}.${signature}`,
    'a signature that was changed':
      `${header}.${payload}.` + (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1),
    'an expiry in the past': forge(hs256, { jti, exp: exp - 7200 }, secret),
    'no expiry': forge(hs256, { jti }, secret),
    'no session': forge(hs256, { exp }, secret),
    'an unknown session': forge(hs256, { jti: randomUUID(), exp }, secret),
    'a session id that is no UUID': forge(hs256, { jti: "' or 1 = 1 --", exp }, secret),
    'a session id that is no text': forge(hs256, { jti: 7, exp }, secret),
    nothing: 'x',
    dots: '..',
  }
  for (const [what, token] of Object.entries(refused)) await refuses(t, app, `Bearer ${token}`, what)
  const [api] = await app.db<{ id: string }[]>`
    insert into tokens (user_id, kind, name, role, hash, expires_at)
    select id, 'api', 'x', 'admin', '\\x00', now() + interval '1 hour' from users
    returning id
  `
  await refuses(t, app, `Bearer ${forge(hs256, { jti: api?.id, exp }, secret)}`, 'the id of an API token')
})

t.test('other invalid credentials get the same response', async (t) => {
  const app = await startApp(t)
  const token = await createToken(app.db, 'viewer')
  await refuses(t, app, 'Bearer silo_nobody', 'an unknown API token')
  await refuses(t, app, `Bearer ${token}x`, 'one character more')
  await refuses(t, app, `Bearer ${token.slice(0, -1)}`, 'one character less')
  await refuses(t, app, `Basic ${Buffer.from('mara:x').toString('base64')}`, 'another scheme')
  await refuses(t, app, `Bearer ${token} ${token}`, 'two')
  await refuses(t, app, '', 'none')
  await refuses(t, app, token, 'no scheme')
  t.equal(
    (await app.inject({ url: '/api/auth/me', headers: { authorization: `bEARER  ${token}` } })).statusCode,
    200,
  )

  const inAddress = await app.inject(`/api/auth/me?access_token=${token}&token=${token}`)
  t.equal(inAddress.statusCode, 401, 'an address ends up in logs')
  const asCookie = await app.inject({ url: '/api/auth/me', cookies: { silo_session_80: token } })
  t.equal(asCookie.statusCode, 401, 'the cookie is for sessions')

  await createPerson(app.db, 'mara', 'viewer')
  const cookies = { silo_session_80: await sessionOf(app, 'mara') }
  const both = await app.inject({ url: '/api/auth/me', cookies, headers: bearer('silo_nobody') })
  t.equal(both.statusCode, 401, 'a bearer token alone decides')
})

t.test('a token that has ended, or whose user is disabled or has a new password, is refused', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const ends: Record<string, () => Promise<unknown>> = {
    expired: () => app.db`update tokens set expires_at = now() - interval '1 second'`,
    revoked: () => app.db`update tokens set revoked_at = now()`,
    'its user is disabled': () => app.db`update users set active = false`,
    'its user has another password': () => app.db`update users set password_hash = 'another'`,
  }
  for (const [what, end] of Object.entries(ends)) {
    await app.db`update users set active = true where not active`
    await createPerson(app.db, what.replaceAll(' ', '-'), 'viewer')
    const tokens = [await createToken(app.db, 'viewer'), await sessionOf(app, what.replaceAll(' ', '-'))]
    for (const token of tokens) {
      t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
    }
    await end()
    app.forgetPrincipals()
    for (const token of tokens) await refuses(t, app, `Bearer ${token}`, what)
  }
})

t.test('a token that another instance has revoked is refused within five seconds', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [one, two] = [await startApp(t, { databaseUrl }), await startApp(t, { databaseUrl })]
  await createPerson(one.db, 'mara', 'viewer')
  const token = await sessionOf(one, 'mara')
  const atTwo = async () => (await two.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode
  t.equal(await atTwo(), 200)
  await one.inject({ method: 'POST', url: '/logout', headers: bearer(token) })
  await eventually('the end of it', async () => (await atTwo()) !== 200, { timeoutMs: 5000 })
  t.equal(await atTwo(), 401)
})

t.test('each role has the rights of the roles below it', async (t) => {
  const app = await buildApp(testConfig(await createDatabase(t)))
  t.teardown(() => app.close())
  for (const role of ROLES) {
    app.all(`/${role}`, { onRequest: app.requireRole(role) }, (request) => request.principal.username)
  }
  app.get('/open', (request) => request.principal.username)
  await app.ready()

  for (const user of ROLES) {
    const headers = bearer(await createToken(app.db, user))
    for (const role of ROLES) {
      const { statusCode } = await app.inject({ url: `/${role}`, headers })
      t.equal(statusCode, ROLES.indexOf(user) >= ROLES.indexOf(role) ? 200 : 403, `${user} at ${role}`)
    }
  }
  for (const [user, ceiling] of [
    ['viewer', 'admin'],
    ['admin', 'viewer'],
  ] as [Role, Role][]) {
    const token = await createToken(app.db, ceiling, `${user}-with-${ceiling}`)
    await app.db`update users set role = ${user} where username = ${`${user}-with-${ceiling}`}`
    t.equal((await app.inject({ url: '/viewer', headers: bearer(token) })).statusCode, 200)
    t.equal((await app.inject({ url: '/editor', headers: bearer(token) })).statusCode, 403)
  }
  t.equal((await app.inject('/viewer')).statusCode, 401)
  t.equal((await app.inject('/open')).statusCode, 500, 'without a guard a request has no principal')
})

t.test('a write with the cookie from another origin is refused', async (t) => {
  const PUBLIC_URL = ['http://silo.example', 'https://cad.example']
  const app = await startApp(t, { TRUST_PROXY: ['10.0.0.0/8'], PUBLIC_URL })
  await createPerson(app.db, 'mara', 'viewer')
  const token = await sessionOf(app, 'mara')
  const host = 'silo.example'
  const count = async () => (await app.db`select from tokens where kind = 'api'`).length

  const write = (headers: Record<string, string>, remoteAddress = '192.0.2.1') =>
    app.inject({
      method: 'POST',
      url: '/api/auth/tokens',
      headers: { host, ...headers },
      remoteAddress,
      payload: { name: 'x' },
    })
  const byCookie = (headers: Record<string, string>, remoteAddress?: string) =>
    write({ cookie: `silo_session_80=${token}; __Host-silo_session_443=${token}`, ...headers }, remoteAddress)

  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://${host}.evil.example` },
    { origin: `http://${host}:8080` },
    { origin: `https://${host}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: `http://${host}` },
    { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    // Credentials for a proxy in front of the service do not identify the page that sends the write.
    { origin: 'https://evil.example', authorization: 'Basic b2ZmaWNlOm9wZW4tc2VzYW1l' },
    { 'sec-fetch-site': 'cross-site', authorization: 'Negotiate oYG2MIGzoAMKAQ==' },
  ]
  for (const headers of foreign) {
    const res = await byCookie(headers)
    t.equal(res.statusCode, 403, JSON.stringify(headers))
    t.match(res.json(), { error: 'cross_origin' })
  }
  t.equal(await count(), 0, 'nothing was written')

  const own: Record<string, string>[] = [
    { origin: `http://${host}` },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-origin', origin: 'https://renamed.by.a.proxy' },
    {},
    { origin: 'https://cad.example' },
    { origin: `http://${host}`, authorization: 'Basic b2ZmaWNlOm9wZW4tc2VzYW1l' },
  ]
  for (const headers of own) t.equal((await byCookie(headers)).statusCode, 201, JSON.stringify(headers))
  const proxied = {
    origin: 'https://cad.example',
    'x-forwarded-host': 'cad.example',
    'x-forwarded-proto': 'https',
  }
  t.equal((await byCookie(proxied, '10.0.0.1')).statusCode, 201, 'the host that a trusted proxy forwards')

  t.equal(
    (await write({ ...bearer(token), origin: 'https://evil.example' })).statusCode,
    201,
    'a bearer token is not checked for its origin',
  )
  const read = await app.inject({
    url: '/api/auth/me',
    headers: { host, cookie: `silo_session_80=${token}`, 'sec-fetch-site': 'cross-site' },
  })
  t.equal(read.statusCode, 200, 'a read is not refused')
})

t.test('an Authorization header of another scheme is ignored, and a Bearer one alone decides', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const token = await sessionOf(app, 'mara')
  const cookies = { silo_session_80: token }
  const status = async (authorization: string, carried = cookies) =>
    (await app.inject({ url: '/api/auth/me', headers: { authorization }, cookies: carried })).statusCode
  const others = [
    'Basic b2ZmaWNlOm9wZW4tc2VzYW1l',
    'basic x',
    'Digest username="office", realm="a, b"',
    'Negotiate YII=',
  ]
  others.push(
    'NTLM TlRM',
    'AWS4-HMAC-SHA256 Credential=x',
    'Basic',
    '',
    'BearerX y',
    'X-Bearer y',
    '"Bearer" x',
    token,
  )
  for (const authorization of others) {
    t.equal(await status(authorization), 200, `${authorization} and the cookie`)
    t.equal(
      (await app.inject({ url: '/api/auth/me', headers: { authorization } })).statusCode,
      401,
      authorization,
    )
  }
  const page = await app.inject({ url: '/', headers: { authorization: 'Basic x' }, cookies })
  t.equal(page.statusCode, 200, 'a page too')
  const malformed = [
    'Bearer',
    'bearer ',
    'BEARER x y',
    'Bearer x',
    'Bearer, Basic x',
    `Bearer ${token}x`,
    'Bearer silo_x',
  ]
  malformed.push(`Bearer=${token}`, `Bearer\t${token}`, `Bearer ${token}, Basic x`)
  for (const authorization of malformed) t.equal(await status(authorization), 401, authorization)
  t.equal(await status(`bEARER   ${token}`), 200)
})

t.test('the last use of an API token is recorded at most once a minute', async (t) => {
  const app = await startApp(t)
  const token = await createToken(app.db, 'viewer')
  const lastUse = async () => {
    const [row] = await app.db<{ last_used_at: Date | null }[]>`select last_used_at from tokens`
    return row?.last_used_at ?? undefined
  }
  const use = () => app.inject({ url: '/api/auth/me', headers: bearer(token) })
  await app.db.unsafe(`
    create table writes (at timestamptz default now());
    create function count_write() returns trigger language plpgsql as $$
      begin insert into writes default values; return null; end $$;
    create trigger count_write after update on tokens for each statement execute function count_write();
  `)
  t.equal(await lastUse(), undefined)
  await use()
  const noted = await eventually('the note of its use', lastUse, { timeoutMs: 5000 })
  t.ok(Math.abs(noted.getTime() - Date.now()) < 60_000)
  for (let i = 0; i < 5; i += 1) {
    app.forgetPrincipals()
    await use()
  }
  t.equal((await app.db`select from writes`).length, 1, 'the other requests write nothing')
  const other = await startApp(t, { databaseUrl: app.config.DATABASE_URL })
  await other.inject({ url: '/api/auth/me', headers: bearer(token) })
  await other.close()
  t.strictSame(await lastUse(), noted, 'nor do those of another instance')
})

t.test('a use that cannot be recorded fails no request and is logged', async (t) => {
  const lines: string[] = []
  const config = testConfig(await createDatabase(t), { LOG_LEVEL: 'warn' })
  const app = await buildApp(config, { write: (line: string) => lines.push(line) })
  t.teardown(() => app.close())
  const token = await createToken(app.db, 'viewer')
  await app.db`
    create rule no_notes as on update to tokens do instead select pg_catalog.current_setting('silo.none')
  `
  t.equal((await app.inject({ url: '/api/auth/me', headers: bearer(token) })).statusCode, 200)
  await eventually('the line', () => lines.length > 0, { timeoutMs: 5000 })
  t.match(lines, [/failed to record the last use of a token/])
  t.notMatch(lines.join(''), token)
})
