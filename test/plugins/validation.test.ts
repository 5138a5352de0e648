import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import type { ErrorDetail } from '../../errors.js'
import { MAX_PUBLIC_BODY_BYTES } from '../../plugins/public-bodies.js'
import { startApp } from '../harness/app.js'
import { fieldsOf, clientAs } from '../harness/client.js'
import { createDatabase } from '../harness/database.js'
import { withLongestPause } from '../../tools/fuzz/loop-delay.js'
import { readRoutes } from '../harness/routes.js'
import { startService } from '../harness/service.js'

/** Returns an object with `count` members that are unknown to every schema. */
const unknownMembers = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`field${n}`, n]))

const HUGE = JSON.stringify(unknownMembers(50_000))

t.test('every wrong field of a request is reported', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  const payload = { part_number: '', item_type: 'x', description: 7, colour: 'red', size: 1 }
  const res = await send('POST', '/api/items', { payload })
  t.strictSame(fieldsOf(res).sort(), ['colour', 'description', 'item_type', 'part_number', 'size'])
})

t.test('a megabyte of unknown fields gets a response of less than 20 kB, without a long pause', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  for (const payload of [
    HUGE,
    JSON.stringify({ part_number: 'A-1', properties: {}, ...unknownMembers(50_000) }),
    JSON.stringify(unknownMembers(900)),
    JSON.stringify({ ['x'.repeat(900_000)]: 1 }),
    JSON.stringify({ ['\ud83d\ude00'.repeat(200_000)]: 1 }),
    JSON.stringify({ part_number: 'A-1', properties: { ['y'.repeat(900_000)]: '\0' } }),
    JSON.stringify({ part_number: 'A-1', item_type: Array.from({ length: 300_000 }, () => 1) }),
  ]) {
    const request = { payload, headers: { 'content-type': 'application/json' } }
    const { result: res, pauseMs } = await withLongestPause(() => send('POST', '/api/items', request))
    const shape = payload.slice(0, 40)
    t.equal(res.statusCode, 400, shape)
    t.ok(res.body.length < 20_000, `${res.body.length} bytes for ${shape}`)
    t.ok(res.json<{ details: ErrorDetail[] }>().details.length > 0)
    t.ok(pauseMs < 1500, `${pauseMs} ms for ${shape}`)
  }
})

t.test('a row of an import with ten thousand wrong fields is reported with some of them', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  const payload = JSON.stringify({ part_number: 'A-1', item_type: 'x', ...unknownMembers(10_000) })
  const headers = { 'content-type': 'application/x-ndjson' }
  const res = await send('POST', '/api/items/import', { payload, headers })
  t.equal(res.statusCode, 422)
  t.ok(res.body.length < 20_000)
})

t.test('a query with thousands of unknown names is reported with some of them', async (t) => {
  const send = await clientAs(await startApp(t), 'viewer')
  const query = Array.from({ length: 1500 }, (_, n) => `p${n}=1`).join('&')
  const res = await send('GET', `/api/items?${query}`)
  t.equal(res.statusCode, 400)
  t.ok(fieldsOf(res).length <= 50)
})

t.test('no route reads more than 16 KiB from a client that is not authenticated', async (t) => {
  const app = await startApp(t)
  const payload = JSON.stringify({ username: 'x'.repeat(MAX_PUBLIC_BODY_BYTES) })
  const routes = [...readRoutes(app), 'POST /nothing', 'POST /health', 'PUT /api/nothing']
  for (const route of routes) {
    const [method, path = ''] = route.split(' ')
    if (method === 'GET' || method === undefined) continue
    const res = await app.inject({
      method: method as 'POST',
      url: path.replace(/\{\w+\}/g, '1'),
      headers: { 'content-type': 'application/json' },
      payload,
    })
    t.match(String(res.statusCode), /^(401|404|405|413)$/, `${route}: ${res.statusCode}`)
  }
})

t.test('the longest password and username that are accepted fit into a form', async (t) => {
  const app = await startApp(t)
  const form = new URLSearchParams({
    username: 'x'.repeat(256),
    password: '\u{1f600}'.repeat(1024),
    next: '/',
  })
  const res = await app.inject({
    method: 'POST',
    url: '/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: form.toString(),
  })
  t.equal(res.headers.location, '/login?error=invalid_credentials&next=%2F')
})

t.test('two hundred large sign-ins that read nothing neither use up memory nor delay others', async (t) => {
  const DATABASE_URL = await createDatabase(t)
  const service = startService(t, { DATABASE_URL, JWT_SECRET: 'a secret for tests, long enough to be one' })
  const origin = await service.url()
  const before = service.memory
  const head =
    'POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n' +
    `Content-Type: application/json\r\nContent-Length: ${HUGE.length}\r\n\r\n`
  for (let i = 0; i < 200; i++) {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1').on('error', () => undefined)
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.pause().write(head + HUGE)
  }
  for (let i = 0; i < 20; i++) {
    const began = performance.now()
    t.equal((await fetch(`${origin}/health`)).status, 200)
    t.ok(performance.now() - began < 4000)
  }
  t.ok(service.memory - before < 400e6, `${service.memory - before} bytes more`)
})
