import { once } from 'node:events'
import { type Socket, connect as connectSocket } from 'node:net'
import t, { type Test } from 'tap'
import { connect } from '../store/driver/connect.js'
import { createToken } from './harness/app.js'
import { createDatabase } from './harness/database.js'
import { startService } from './harness/service.js'
import { eventually } from '../tools/harness/eventually.js'

const MIB = 1024 * 1024
/** The heap limit of the service, in MiB. The buffers of sockets and the program itself are outside it. */
const HEAP_MIB = 192
const MAX_RSS = (HEAP_MIB + 350) * MIB

/** How long each load is observed, in ms. */
const OBSERVED_MS = 4000

const ITEMS = 60
const REVISIONS = 40
/** Each character is six bytes in JSON. */
const LONG = '\u0001'.repeat(65_536)

/** Starts a service with large items in a process of its own. */
async function start(t: Test) {
  const databaseUrl = await createDatabase(t)
  const sql = connect(databaseUrl, 1)
  t.teardown(() => sql.end())
  await sql`
    insert into items (part_number, long_description, properties)
    select 'L-' || n, ${LONG}, jsonb_build_object('text', repeat('x', 60000))
      from generate_series(1, ${ITEMS}) n
  `
  for (let n = 1; n < REVISIONS; n++)
    await sql`update items set revision = revision + 1 where part_number = 'L-1'`
  const service = startService(t, {
    DATABASE_URL: databaseUrl,
    JWT_SECRET: 'a secret for tests, long enough to be one',
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
  })
  const origin = await service.url()
  return { sql, service, origin }
}

/**
 * Sends requests on connections of their own, `pipelined` on each, and reads no response.
 * @returns a function that disconnects them
 */
async function askAndNotRead(
  t: Test,
  origin: string,
  {
    path,
    headers,
    connections,
    pipelined,
  }: { path: string; headers: string[]; connections: number; pipelined: number },
): Promise<() => void> {
  const { hostname, port } = new URL(origin)
  const request = [`GET ${path} HTTP/1.1`, `Host: ${hostname}`, ...headers, '', ''].join('\r\n')
  const sockets: Socket[] = []
  t.teardown(() => sockets.forEach((socket) => socket.destroy()))
  for (let n = 0; n < connections; n++) {
    const socket = connectSocket(Number(port), hostname).pause()
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(request.repeat(pipelined))
    sockets.push(socket)
  }
  return () => sockets.forEach((socket) => socket.destroy())
}

interface Load {
  path: string
  accept?: string
  users: number
  connections: number
  pipelined: number
}

/** The request, the number of users that send it, and the connections of each user. */
const LOADS: Record<string, Load> = {
  'pages of items': { path: '/api/items?limit=500', users: 1, connections: 60, pipelined: 8 },
  'pages of items, of many users': { path: '/api/items?limit=500', users: 20, connections: 4, pipelined: 6 },
  'pages of revisions': {
    path: '/api/items/L-1/revisions?limit=500',
    users: 1,
    connections: 60,
    pipelined: 8,
  },
  exports: { path: '/api/items', accept: 'text/csv', users: 2, connections: 60, pipelined: 1 },
  'a thousand reads on one connection': { path: '/api/items/L-1', users: 1, connections: 2, pipelined: 1000 },
  'reads of one item': { path: '/api/items/L-1', users: 2, connections: 60, pipelined: 16 },
}

t.test('unread responses use no more memory than their limit, and other users do not wait', async (t) => {
  const { sql, service, origin } = await start(t)
  const other = { authorization: `Bearer ${await createToken(sql, 'viewer')}` }
  const status = async (path: string, headers = {}) => {
    const { status, body } = await fetch(`${origin}${path}`, { headers, signal: AbortSignal.timeout(10_000) })
    await body?.cancel()
    return status
  }
  t.comment(`${Math.round(service.memory / MIB)} MiB before`)

  for (const [what, { users, accept, ...load }] of Object.entries(LOADS)) {
    await t.test(what, async (t) => {
      const tokens = await Promise.all(Array.from({ length: users }, () => createToken(sql, 'viewer')))
      const disconnects = await Promise.all(
        tokens.map((token) =>
          askAndNotRead(t, origin, {
            ...load,
            headers: [
              `Authorization: Bearer ${token}`,
              ...(accept === undefined ? [] : [`Accept: ${accept}`]),
            ],
          }),
        ),
      )
      let peak = 0
      const until = performance.now() + OBSERVED_MS
      while (performance.now() < until) {
        t.equal(await status('/health'), 200, 'health')
        t.equal(await status('/api/items/L-2', other), 200, 'an item')
        t.equal(await status('/api/items?limit=1', other), 200, 'a list')
        peak = Math.max(peak, service.memory)
      }
      t.comment(`${Math.round(peak / MIB)} MiB at most`)
      t.ok(peak < MAX_RSS, `${Math.round(peak / MIB)} MiB`)
      for (const disconnect of disconnects) disconnect()
      // The users are served again, although they read none of the responses.
      await eventually(
        'their users to be served again',
        async () => (await status('/api/items?limit=500', { authorization: `Bearer ${tokens[0]}` })) === 200,
      )
    })
  }

  const file = await fetch(`${origin}/api/items`, { headers: { ...other, accept: 'text/csv' } })
  t.equal((await file.text()).split('\n').filter((line) => line.startsWith('L-')).length, ITEMS)
  t.equal(service.stderr, '')
})
