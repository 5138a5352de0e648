import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { ROLES, type Role } from '../schemas/auth.js'
import { type Sql, connect } from '../store/driver/connect.js'
import { hashPassword } from '../store/passwords.js'
import { createToken, startApp } from './harness/app.js'
import { waitForWaiters } from './harness/client.js'
import { createDatabase } from './harness/database.js'
import { bearer, createPerson, sessionOf } from './harness/people.js'
import { readRoutes } from './harness/routes.js'
import { eventually } from '../tools/harness/eventually.js'

/** A request to a route that changes something, and the role that the route requires. */
interface Sample {
  role: Role
  url: string
  payload?: InjectOptions['payload']
  contentType?: string
}

const NDJSON = 'application/x-ndjson'

/**
 * A request to each route that changes something and requires a right. It names existing objects, and with
 * the right it changes them.
 */
const SAMPLES: Record<string, Sample> = {
  'POST /api/items': { role: 'editor', url: '/api/items', payload: { part_number: 'NEW' } },
  'PUT /api/items/{part_number}': { role: 'editor', url: '/api/items/A', payload: { description: 'new' } },
  'DELETE /api/items/{part_number}': { role: 'editor', url: '/api/items/A' },
  'POST /api/items/{part_number}/revisions': {
    role: 'editor',
    url: '/api/items/A/revisions',
    payload: { comment: 'new' },
  },
  'POST /api/items/import': {
    role: 'editor',
    url: '/api/items/import',
    payload: '{"part_number":"NEW"}\n',
    contentType: NDJSON,
  },
  'POST /api/users': {
    role: 'admin',
    url: '/api/users',
    payload: { username: 'ghost', password: 'long enough', role: 'admin' },
  },
  'PATCH /api/users/{username}': { role: 'admin', url: '/api/users/other', payload: { role: 'admin' } },
  'DELETE /api/users/{username}': { role: 'admin', url: '/api/users/other' },
  'PUT /api/server/mode': { role: 'admin', url: '/api/server/mode', payload: { mode: 'read-only' } },
  'POST /api/auth/tokens': { role: 'viewer', url: '/api/auth/tokens', payload: { name: 'child' } },
  'DELETE /api/auth/tokens/{id}': { role: 'viewer', url: '/api/auth/tokens/' },
}

/** Routes that require no right: they begin and end sessions. */
const WITHOUT_RIGHT = ['POST /api/auth/login', 'POST /login', 'POST /logout']

/**
 * The ways to lose a right. `take` revokes the right of user `name` in the database, as another instance
 * would. `status` is the expected status of a write after that.
 */
const LOSSES: Record<
  string,
  { status: number; take: (sql: Sql, name: string, role: Role) => Promise<unknown> }
> = {
  'its token is revoked': {
    status: 401,
    take: (sql, name) => sql`update tokens set revoked_at = now() where user_id = ${idOf(sql, name)}`,
  },
  'its token has expired': {
    status: 401,
    take: (sql, name) =>
      sql`update tokens set expires_at = now() - interval '1 second' where user_id = ${idOf(sql, name)}`,
  },
  'its user is disabled': {
    status: 401,
    take: (sql, name) => sql`update users set active = false where username = ${name}`,
  },
  'its user is deleted': {
    status: 401,
    take: (sql, name) => sql`delete from users where username = ${name}`,
  },
  'its user has another password': {
    status: 401,
    take: (sql, name) => sql`update users set password_hash = 'another' where username = ${name}`,
  },
  'its user is demoted': {
    status: 403,
    take: (sql, name, role) => sql`update users set role = ${below(role)} where username = ${name}`,
  },
  'its own role is lowered': {
    status: 403,
    take: (sql, name, role) =>
      sql`update tokens set role = ${below(role)} where user_id = ${idOf(sql, name)}`,
  },
}

const idOf = (sql: Sql, name: string) => sql`(select id from users where username = ${name})`
const below = (role: Role): Role => ROLES[ROLES.indexOf(role) - 1] ?? 'viewer'

/** Reads everything that a write could change. */
async function everything(sql: Sql): Promise<unknown> {
  const [row] = await sql`
    select (select json_agg(i order by i.id) from items i) as items,
           (select json_agg(p) from past_revisions p) as revisions,
           (select count(*) from events) as events,
           (select json_agg(u order by u.id) from users u) as users,
           (
             select json_agg(json_build_object('id', t.id, 'role', t.role, 'revoked_at', t.revoked_at)
                             order by t.id)
               from tokens t
           ) as tokens,
           (select mode from server_settings) as mode
  `
  return row
}

let people = 0

/** Creates a user with this role, signed in by an API token or by a session. */
async function signIn(sql: Sql, app: FastifyInstance, role: Role, bySession = false) {
  const name = `p${(people += 1)}`
  if (!bySession) return { name, authorization: `Bearer ${await createToken(sql, role, name)}` }
  await createPerson(sql, name, role)
  return { name, authorization: `Bearer ${await sessionOf(app, name)}` }
}

async function start(t: Test) {
  const databaseUrl = await createDatabase(t)
  const sql = connect(databaseUrl, 2)
  t.teardown(() => sql.end())
  const app = await startApp(t, { databaseUrl })
  await createPerson(sql, 'root', 'admin')
  await createPerson(sql, 'other', 'viewer')
  await sql`insert into items (part_number) values ('A')`
  return { sql, app, databaseUrl }
}

t.test('every route that changes something has a sample here', async (t) => {
  const app = await startApp(t)
  const changing = readRoutes(app).filter((route) => !/^(GET|OPTIONS) /.test(route))
  t.strictSame(changing.sort(), [...Object.keys(SAMPLES), ...WITHOUT_RIGHT].sort())
})

t.test('the statement that writes checks the right again, after the head was accepted', async (t) => {
  const { sql, app } = await start(t)
  /** Sends the sample, and revokes the right to it after the head was read and before the body is read. */
  async function sendBefore(route: string, sample: Sample, what: string): Promise<void> {
    const loss = LOSSES[what]
    if (!loss) throw new Error(`there is no loss ${what}`)
    const { name, authorization } = await signIn(sql, app, sample.role)
    let url = sample.url
    if (route.endsWith('/tokens/{id}')) {
      const [own] = await sql<{ id: string }[]>`select id from tokens where user_id = ${idOf(sql, name)}`
      url += own?.id ?? ''
    }
    let before: unknown
    async function* body() {
      await loss?.take(sql, name, sample.role)
      before = await everything(sql)
      yield typeof sample.payload === 'string' ? sample.payload : JSON.stringify(sample.payload ?? {})
    }
    const [method = ''] = route.split(' ')
    const res = await app.inject({
      method: method as 'POST',
      url,
      headers: {
        authorization,
        'content-type': sample.contentType ?? 'application/json',
        // As a client would send it: without a length and without this header, a request has no body.
        'transfer-encoding': 'chunked',
      },
      payload: Readable.from(body()),
    })
    t.equal(res.statusCode, loss.status, `${route}: ${what}`)
    t.equal(res.json<{ error: string }>().error, loss.status === 401 ? 'unauthenticated' : 'forbidden')
    t.ok(before, 'the body was read')
    t.strictSame(await everything(sql), before, 'nothing is written')
  }
  for (const [route, sample] of Object.entries(SAMPLES)) {
    for (const [what, { status }] of Object.entries(LOSSES)) {
      if (status === 401 || sample.role !== 'viewer') await sendBefore(route, sample, what)
    }
  }
})

t.test('an admin who was disabled or demoted at one instance cannot undo it at another', async (t) => {
  const { sql, app, databaseUrl } = await start(t)
  const other = await startApp(t, { databaseUrl })
  const root = bearer(await sessionOf(app, 'root'))
  const statuses: number[] = []
  for (let round = 0; round < 10; round += 1) {
    const { name, authorization } = await signIn(sql, app, 'admin', true)
    await other.inject({ url: '/api/auth/me', headers: { authorization } })
    const demoted = round % 2 === 1
    await app.inject({
      method: 'PATCH',
      url: `/api/users/${name}`,
      headers: root,
      payload: demoted ? { role: 'editor' } : { active: false },
    })
    const res = await other.inject({
      method: 'PATCH',
      url: `/api/users/${name}`,
      headers: { authorization },
      payload: demoted ? { role: 'admin' } : { active: true },
    })
    statuses.push(res.statusCode)
  }
  t.strictSame(
    statuses.filter((status) => status !== 401 && status !== 403),
    [],
  )
})

/**
 * Sends the head and the first part of a body, and waits until the instance has authenticated the request.
 */
async function sendHalf(
  { sql, app }: { sql: Sql; app: FastifyInstance },
  { name, authorization }: { name: string; authorization: string },
  { url, first, contentType }: { url: string; first: string; contentType: string },
): Promise<ClientRequest> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    method: 'POST',
    path: url,
    headers: { authorization, 'content-type': contentType },
  })
  request.write(first)
  await eventually('the look-up of the credential', async () => {
    const [row] = await sql`
      select from tokens where user_id = ${idOf(sql, name)} and last_used_at is not null
    `
    return row !== undefined
  })
  return request
}

async function finish(request: ClientRequest, last: string): Promise<[number | undefined, string]> {
  request.end(last)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return [response.statusCode, await text(response)]
}

t.test('a request whose body comes after its right has ended writes nothing', async (t) => {
  const { sql, app } = await start(t)
  const cases = {
    'POST /api/users': ['{"username":"ghost","password":"long ', 'enough","role":"admin"}'],
    'POST /api/items': ['{"part_number":', '"NEW"}'],
    'POST /api/items/import': ['{"part_number":"NEW"}\n', '{"part_number":"NEW-2"}\n'],
  }
  for (const [route, [first = '', last = '']] of Object.entries(cases)) {
    const sample = SAMPLES[route]
    if (!sample) throw new Error(`there is no sample of ${route}`)
    for (const [what, { take, status }] of Object.entries(LOSSES)) {
      const person = await signIn(sql, app, sample.role)
      const contentType = sample.contentType ?? 'application/json'
      const request = await sendHalf({ sql, app }, person, { url: sample.url, first, contentType })
      await take(sql, person.name, sample.role)
      const before = await everything(sql)
      const [answered] = await finish(request, last)
      t.equal(answered, status, `${route}: ${what}`)
      t.strictSame(await everything(sql), before, 'nothing is written')
    }
  }
})

t.test(
  'a user is not created by an admin who is disabled while the password waits to be hashed',
  async (t) => {
    const { sql, app } = await start(t)
    const { name, authorization } = await signIn(sql, app, 'admin')
    const queue = Array.from({ length: 6 }, () => hashPassword('in front of it'))
    const { url, payload } = SAMPLES['POST /api/users'] ?? {}
    let lost: Promise<unknown> = Promise.reject(new Error('the body was not read'))
    lost.catch(() => undefined)
    function* body() {
      yield JSON.stringify(payload)
      lost = Promise.resolve(sql`update users set active = false where username = ${name}`)
    }
    const headers = { authorization, 'content-type': 'application/json' }
    const res = await app.inject({ method: 'POST', url, headers, payload: Readable.from(body()) })
    await lost
    t.equal(res.statusCode, 401)
    await Promise.all(queue)
    t.equal((await sql`select from users where username = 'ghost'`).length, 0)
  },
)

t.test('a write that waited for a lock is refused if its right has ended meanwhile', async (t) => {
  const { sql, app, databaseUrl } = await start(t)
  const holder = connect(databaseUrl, 1)
  t.teardown(() => holder.end())
  const hold = `update items set description = 'held' where part_number = 'A'`
  const waiting: Record<string, string> = {
    'PUT /api/items/{part_number}': hold,
    'DELETE /api/items/{part_number}': hold,
    'POST /api/items/{part_number}/revisions': hold,
    'POST /api/items': `insert into items (part_number) values ('NEW')`,
    'POST /api/items/import': `insert into items (part_number) values ('NEW')`,
  }
  for (const [route, hold] of Object.entries(waiting)) {
    const sample = SAMPLES[route]
    if (!sample) throw new Error(`there is no sample of ${route}`)
    for (const [what, { take, status }] of Object.entries(LOSSES)) {
      const { name, authorization } = await signIn(sql, app, sample.role)
      const [method = ''] = route.split(' ')
      let answer: Promise<{ statusCode: number }> = Promise.reject(new Error('nothing was sent'))
      answer.catch(() => undefined)
      await holder
        .begin(async (tx) => {
          await tx.unsafe(hold)
          answer = Promise.resolve(
            app.inject({
              method: method as 'POST',
              url: sample.url,
              headers: {
                authorization,
                ...(sample.contentType && { 'content-type': sample.contentType }),
              },
              ...(sample.payload !== undefined && { payload: sample.payload }),
            }),
          )
          await waitForWaiters(sql, 1)
          await take(sql, name, sample.role)
          throw new Error('rolled back')
        })
        .catch((error: unknown) => {
          if (!(error instanceof Error && error.message === 'rolled back')) throw error
        })
      t.equal((await answer).statusCode, status, `${route}: ${what}`)
    }
  }
  t.equal((await sql`select from events`).length, 1, 'the event of the item that existed before')
})
