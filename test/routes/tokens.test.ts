import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { Role } from '../../schemas/auth.js'
import { createToken, startApp } from '../harness/app.js'
import { bearer, createPerson, sessionOf } from '../harness/people.js'

interface Created {
  id: string
  token: string
  role: Role
  expires_at: string
}

interface Page {
  tokens: { id: string; name: string; role: Role }[]
  next_cursor: string | null
}

const pathOf = (id: string): string => `/api/auth/tokens/${id}`

async function start(t: Test) {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'editor')
  await createPerson(app.db, 'root', 'admin')
  const root = bearer(await sessionOf(app, 'root'))
  const send = (as: string, method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
    app.inject({ method, url, headers: bearer(as), ...(payload && { payload }) })
  const make = async (as: string, payload: object = {}): Promise<Created> => {
    const res = await send(as, 'POST', '/api/auth/tokens', { name: 'x', ...payload })
    if (res.statusCode !== 201) throw new Error(res.body)
    return res.json<Created>()
  }
  return {
    app,
    send,
    make,
    status: async (token: string) => (await send(token, 'GET', '/api/auth/me')).statusCode,
    role: async (token: string) => (await send(token, 'GET', '/api/auth/me')).json<{ role: Role }>().role,
    ids: async (as: string) =>
      (await send(as, 'GET', '/api/auth/tokens')).json<Page>().tokens.map(({ id }) => id),
    change: (payload: object): Promise<LightMyRequestResponse> =>
      Promise.resolve(app.inject({ method: 'PATCH', url: '/api/users/mara', headers: root, payload })),
  }
}

async function expire(app: FastifyInstance, id: string): Promise<void> {
  await app.db`update tokens set expires_at = now() - interval '1 second' where id = ${id}`
  app.forgetPrincipals()
}

t.test('a token that a token created expires no later than that one, and ends with it', async (t) => {
  const { app, make, send, status } = await start(t)
  const session = await sessionOf(app, 'mara')
  for (const end of ['revoked', 'expired', 'revoked in SQL', 'deleted in SQL']) {
    const parent = await make(session, { keep: true, expires_in_days: 1 })
    const child = await make(parent.token, { expires_in_days: 3650 })
    const grandchild = await make(child.token, { expires_in_days: 3650 })
    t.equal(child.expires_at, parent.expires_at, 'no later')
    t.equal(grandchild.expires_at, parent.expires_at)
    t.equal(await status(grandchild.token), 200)
    if (end === 'revoked') t.equal((await send(session, 'DELETE', pathOf(parent.id))).statusCode, 204)
    if (end === 'expired') await expire(app, parent.id)
    if (end === 'revoked in SQL') await app.db`update tokens set revoked_at = now() where id = ${parent.id}`
    if (end === 'deleted in SQL') await app.db`delete from tokens where id = ${parent.id}`
    app.forgetPrincipals()
    for (const { token } of [parent, child, grandchild]) t.equal(await status(token), 401, end)
  }
})

t.test('a token never outranks the one that created it, even after that one is lowered', async (t) => {
  const { app, make, send, role } = await start(t)
  const session = await sessionOf(app, 'root')
  const parent = await make(session, { role: 'editor', keep: true })
  const refused = await send(parent.token, 'POST', '/api/auth/tokens', { name: 'x', role: 'admin' })
  t.equal(refused.statusCode, 403)
  const child = await make(parent.token)
  t.equal(child.role, 'editor')
  await app.db`update tokens set role = 'viewer' where id = ${parent.id}`
  app.forgetPrincipals()
  t.equal(await role(child.token), 'viewer')
})

t.test(
  'signing out ends the tokens that the session created, and theirs, but not those created with keep',
  async (t) => {
    const { app, make, status } = await start(t)
    const session = await sessionOf(app, 'mara')
    const made = await make(session)
    const child = await make(made.token)
    const kept = await make(session, { keep: true })
    const others = await make(await sessionOf(app, 'mara'))
    await app.inject({ method: 'POST', url: '/logout', headers: bearer(session) })
    t.equal(await status(made.token), 401)
    t.equal(await status(child.token), 401)
    t.equal(await status(kept.token), 200)
    t.equal(await status(others.token), 200, 'nor those that another session created')
  },
)

t.test('a new password ends all tokens, or all but those with keep, as the admin chooses', async (t) => {
  const { app, make, status, change } = await start(t)
  for (const keep_tokens of [true, false]) {
    await change({ password: 'correct horse battery staple' })
    const session = await sessionOf(app, 'mara')
    const made = await make(session)
    const kept = await make(session, { keep: true })
    const ofKept = await make(kept.token)
    t.equal((await change({ password: 'correct horse battery staple', keep_tokens })).statusCode, 200)
    t.equal(await status(session), 401)
    t.equal(await status(made.token), 401)
    t.equal(await status(kept.token), keep_tokens ? 200 : 401)
    t.equal(await status(ofKept.token), keep_tokens ? 200 : 401)
  }
  const kept = await make(await sessionOf(app, 'mara'), { keep: true })
  await change({ active: false, keep_tokens: true })
  t.equal(await status(kept.token), 401, 'a disabled user keeps no token')
})

t.test('only a session creates a token with keep', async (t) => {
  const { app, make, send } = await start(t)
  const parent = await make(await sessionOf(app, 'mara'))
  const res = await send(parent.token, 'POST', '/api/auth/tokens', { name: 'x', keep: true })
  t.equal(res.statusCode, 403)
  t.match(res.json(), { error: 'forbidden', message: /keep/ })
})

t.test('a demotion lowers the tokens of a user permanently, by the API and by SQL', async (t) => {
  const { app, make, role, change } = await start(t)
  const session = await sessionOf(app, 'mara')
  const demote: Record<string, () => Promise<unknown>> = {
    API: () => change({ role: 'viewer' }),
    SQL: () => app.db`update users set role = 'viewer' where username = 'mara'`,
  }
  for (const [by, act] of Object.entries(demote)) {
    const [kept, made] = [await make(session, { keep: true }), await make(session)]
    t.equal(await role(kept.token), 'editor')
    await act()
    await change({ role: 'admin' })
    t.equal(await role(kept.token), 'viewer', by)
    t.equal(await role(made.token), 'viewer', by)
    t.equal(await role(session), 'admin', 'a session has the role of its user')
    await change({ role: 'editor' })
  }
})

t.test('a token sees and revokes only itself and its descendants, a session all of its user', async (t) => {
  const { app, make, send, ids } = await start(t)
  const session = await sessionOf(app, 'mara')
  const [one, two] = [await make(session, { keep: true }), await make(session)]
  const child = await make(one.token)
  const grandchild = await make(child.token)
  t.strictSame((await ids(one.token)).sort(), [one.id, child.id, grandchild.id].sort())
  t.strictSame((await ids(child.token)).sort(), [child.id, grandchild.id].sort())
  t.strictSame((await ids(session)).sort(), [one.id, two.id, child.id, grandchild.id].sort())
  for (const [as, id] of [
    [one.token, two.id],
    [child.token, one.id],
    [two.token, child.id],
  ] as const) {
    const res = await send(as, 'DELETE', pathOf(id))
    t.equal(res.statusCode, 404)
    t.match(res.json(), { error: 'token_not_found' })
  }
  t.equal((await send(one.token, 'DELETE', pathOf(grandchild.id))).statusCode, 204)
  t.equal((await send(child.token, 'DELETE', pathOf(child.id))).statusCode, 204, 'itself')
  t.equal((await send(session, 'DELETE', pathOf(two.id))).statusCode, 204)
  t.strictSame(await ids(session), [one.id])
})

t.test(
  'a user has at most 100 API tokens, even with concurrent creates, and ended ones do not count',
  async (t) => {
    const { app, make, send } = await start(t)
    const session = await sessionOf(app, 'mara')
    for (let i = 0; i < 95; i += 1) await createToken(app.db, 'editor', 'mara')
    const create = () => send(session, 'POST', '/api/auth/tokens', { name: 'x' })
    const statuses = (await Promise.all(Array.from({ length: 12 }, create))).map((res) => res.statusCode)
    t.equal(statuses.filter((status) => status === 201).length, 5)
    t.equal(statuses.filter((status) => status === 409).length, 7)
    const refused = await create()
    t.match(refused.json(), { error: 'too_many_tokens', message: /100/ })
    t.equal(
      (await send(await sessionOf(app, 'root'), 'POST', '/api/auth/tokens', { name: 'x' })).statusCode,
      201,
    )

    const [row] = await app.db<{ id: string }[]>`
    select t.id
      from tokens t
      join users u on u.id = t.user_id
     where username = 'mara' and kind = 'api'
     limit 1
  `
    await expire(app, row?.id ?? '')
    await make(session)
    t.equal((await create()).statusCode, 409)
    const [count] = await app.db<{ count: number }[]>`
    select count(*)::integer
      from tokens t
      join users u on u.id = t.user_id
     where username = 'mara' and kind = 'api'
  `
    t.equal(count?.count, 100, 'ended tokens are deleted')
  },
)

t.test('the list of tokens is paged', async (t) => {
  const { app, make, send, ids } = await start(t)
  const session = await sessionOf(app, 'mara')
  for (let i = 0; i < 7; i += 1) await make(session)
  await app.db`update tokens set created_at = date_trunc('second', now()) where kind = 'api'`
  const seen: string[] = []
  let cursor = ''
  for (;;) {
    const page = (await send(session, 'GET', `/api/auth/tokens?limit=3${cursor}`)).json<Page>()
    seen.push(...page.tokens.map(({ id }) => id))
    if (page.next_cursor === null) break
    t.equal(page.tokens.length, 3)
    cursor = `&cursor=${page.next_cursor}`
  }
  t.strictSame(seen, await ids(session), 'each token once, also those created at the same time')
  for (const query of ['limit=0', 'limit=501', 'cursor=x', 'cursor=e30', 'unknown=1']) {
    t.equal((await send(session, 'GET', `/api/auth/tokens?${query}`)).statusCode, 400, query)
  }
})
