import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../app.js'
import { createToken, startApp, testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { bearer } from '../harness/people.js'
import { readRoutes } from '../harness/routes.js'

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

/** The routes that write items and do not trigger a read of the log after the response. */
async function silentRoutes(t: Test, app: FastifyInstance): Promise<string[]> {
  const polls = t.capture(app.sse, 'poll')
  return check(app, async (send) => {
    await send()
    return polls().length === 1
  })
}

/** The routes that write items and accept a request without credentials, or one of a viewer. */
async function unguardedRoutes(app: FastifyInstance): Promise<string[]> {
  const headers = bearer(await createToken(app.db, 'viewer'))
  return check(app, async (send) => (await send()) === 401 && (await send({ headers })) === 403)
}

t.test('every route that writes items sends its events at once, and requires an editor', async (t) => {
  const app = await startApp(t)
  t.ok(writesOf(app).length >= 5, 'the routes are found')
  t.strictSame(await silentRoutes(t, app), [])
  t.strictSame(await unguardedRoutes(app), [])
})

t.test('a route that writes items without the common options is found', async (t) => {
  const app = await buildApp(testConfig(await createDatabase(t)))
  t.teardown(() => app.close())
  app.post('/api/items/:part_number/copies', async () => 'copied')
  app.post('/api/items/:part_number/labels', app.itemWrite, async () => 'labelled')
  await app.ready()
  t.strictSame(await silentRoutes(t, app), ['POST /api/items/{part_number}/copies'])
  t.strictSame(await unguardedRoutes(app), ['POST /api/items/{part_number}/copies'])
})
