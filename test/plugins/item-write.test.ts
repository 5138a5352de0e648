import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../app.js'
import { createToken, testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { bearer } from '../harness/people.js'
import { readRoutes } from '../harness/routes.js'

/** Names the header that contains the status of the response. */
const STATUS = 'x-status'

const WRITES = /^(POST|PUT|PATCH|DELETE) (\/api\/items(?:\/.*)?)$/

/** The routes of the application that write items. */
function writesOf(app: FastifyInstance) {
  return readRoutes(app).flatMap((route) => {
    const [, method, path] = WRITES.exec(route) ?? []
    if (method === undefined || path === undefined) return []
    return [{ route, method: method as 'POST', url: path.replaceAll(/\{\w+\}/g, 'A') }]
  })
}

/** Sends a request to each route that writes items. Returns the routes for which `isGood` is false. */
async function check(
  app: FastifyInstance,
  isGood: (send: (options?: InjectOptions) => Promise<number>) => Promise<boolean>,
): Promise<string[]> {
  const bad: string[] = []
  for (const { route, method, url } of writesOf(app)) {
    const send = async (options?: InjectOptions) => (await app.inject({ method, url, ...options })).statusCode
    if (!(await isGood(send))) bad.push(route)
  }
  return bad
}

/**
 * The routes that write items and do not trigger exactly one read of the log after a response with this
 * status.
 */
async function silentRoutes(t: Test, app: FastifyInstance, status: number): Promise<string[]> {
  const polls = t.capture(app.sse, 'poll')
  return check(app, async (send) => {
    await send({ headers: { [STATUS]: String(status) } })
    return polls().length === 1
  })
}

/** The routes that write items and accept a request without credentials, or one of a viewer. */
async function unguardedRoutes(app: FastifyInstance): Promise<string[]> {
  const headers = bearer(await createToken(app.db, 'viewer'))
  return check(app, async (send) => (await send()) === 401 && (await send({ headers })) === 403)
}

/** Starts an application that responds to a request with the status in its header `STATUS`. */
async function startResponding(t: Test, addRoutes: (app: FastifyInstance) => void = () => undefined) {
  const app = await buildApp(testConfig(await createDatabase(t)))
  t.teardown(() => app.close())
  app.addHook('onRequest', async ({ headers }, reply) => {
    const { [STATUS]: status } = headers
    if (status !== undefined) return reply.code(Number(status)).send()
  })
  addRoutes(app)
  await app.ready()
  return app
}

t.test('every route that writes items sends its events at once, and requires an editor', async (t) => {
  const app = await startResponding(t)
  t.ok(writesOf(app).length >= 5, 'the routes are found')
  t.strictSame(await silentRoutes(t, app, 200), [])
  t.strictSame(await silentRoutes(t, app, 503), [], 'the write may have been committed')
  t.strictSame(await unguardedRoutes(app), [])
})

t.test('a refused request triggers no read of the log', async (t) => {
  const app = await startResponding(t)
  const all = writesOf(app).map(({ route }) => route)
  for (const status of [400, 401, 404, 499]) t.strictSame(await silentRoutes(t, app, status), all)
})

t.test('a route that writes items without the common options is found', async (t) => {
  const app = await startResponding(t, (app) => {
    app.post('/api/items/:part_number/copies', async () => 'copied')
    app.post('/api/items/:part_number/labels', app.itemWrite, async () => 'labelled')
  })
  t.strictSame(await silentRoutes(t, app, 200), ['POST /api/items/{part_number}/copies'])
  t.strictSame(await unguardedRoutes(app), ['POST /api/items/{part_number}/copies'])
})
