import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { Nginx, readShippedParameters } from '../tools/harness/nginx.js'
import { freePort } from '../tools/harness/ports.js'
import { createToken, startApp } from './harness/app.js'
import { createDatabase } from './harness/database.js'
import { needs } from './harness/needs.js'
import { PASSWORD, bearer, createPerson } from './harness/people.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher, listen } from './harness/watcher.js'

const NGINX = needs('nginx')
/** Only Linux has other loopback addresses that a client can use. */
const ON_LINUX = process.platform === 'linux' ? NGINX : { skip: 'only on Linux' }

/**
 * Starts nginx with the project's configuration in front of these ports. It is stopped when the test ends.
 */
async function startNginx(t: Test, ports: number[]): Promise<Nginx> {
  const nginx = await Nginx.start(ports)
  t.teardown(() => nginx.stop())
  return nginx
}

/** Starts two instances on one database, behind nginx. */
async function startBoth(t: Test) {
  const databaseUrl = await createDatabase(t)
  const options = { databaseUrl, TRUST_PROXY: ['loopback'], HEARTBEAT_MS: 300 }
  const apps = [await startApp(t, options), await startApp(t, options)] as const
  const ports = [Number(new URL(await listen(apps[0])).port), Number(new URL(await listen(apps[1])).port)]
  const nginx = await startNginx(t, ports)
  return { apps, nginx, token: await createToken(apps[0].db, 'editor') }
}

const post = (url: string, token: string, body: string, type = 'application/json') =>
  fetch(url, { method: 'POST', headers: { ...bearer(token), 'content-type': type }, body })

const create = (origin: string, token: string, part_number: string) =>
  post(
    `${origin}/api/items`,
    token,
    JSON.stringify({ part_number, item_type: 'part', description: 'Bracket' }),
  )

t.test('a stream through nginx is live, and resumes at the other instance', NGINX, async (t) => {
  const { apps, nginx, token } = await startBoth(t)
  const health = await fetch(`${nginx.origin}/health`)
  t.strictSame(await health.json(), { status: 'ok', mode: 'normal' })
  t.equal(health.headers.get('server'), 'nginx', 'without its version')

  const watcher = await Watcher.open(t, nginx.origin, { token })
  await watcher.untilSeen('server.state')
  t.ok(watcher.retryMs)
  t.equal((await create(nginx.origin, token, 'A01-0001')).status, 201)
  await watcher.untilEvents(1, 1000)
  await watcher.untilSeen('heartbeat')

  const holder = apps.find((app) => app.sse.clients > 0) ?? apps[0]
  const other: FastifyInstance = holder === apps[0] ? apps[1] : apps[0]
  const closing = holder.close()
  await watcher.untilEnded()
  t.equal(watcher.endedCleanly, true, 'the response is completed through nginx too')
  t.equal((await create(await listen(other), token, 'A01-0002')).status, 201)
  await closing

  const again = await Watcher.open(t, nginx.origin, { token, lastEventId: watcher.lastId })
  await again.untilEvents(1)
  t.equal((await create(nginx.origin, token, 'A01-0003')).status, 201)
  await again.untilEvents(2)
  t.equal(other.sse.clients, 1)
  t.strictSame(
    [...watcher.events, ...again.events].map(({ data }) => data.part_number),
    ['A01-0001', 'A01-0002', 'A01-0003'],
  )
  t.notOk(again.seen.some(({ type }) => type === 'reset'))
})

t.test('a client is identified by the address that nginx forwards, not by its header', NGINX, async (t) => {
  const { apps, nginx } = await startBoth(t)
  await createPerson(apps[0].db, 'mara', 'viewer')
  const signIn = async (forwarded: string): Promise<number> => {
    const res = await fetch(`${nginx.origin}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': forwarded },
      body: JSON.stringify({ username: 'mara', password: PASSWORD }),
    })
    return res.status
  }
  // Each instance counts separately, so at most ten attempts succeed on each.
  const statuses: number[] = []
  for (let i = 0; i < 24; i += 1) statuses.push(await signIn(`198.51.100.${i}`))
  t.ok(statuses.filter((status) => status === 200).length <= 20)
  t.equal(statuses.at(-1), 429, 'forged addresses do not circumvent the limit')

  // The header as nginx sends it for another client: the service trusts the proxy.
  for (const app of apps) {
    const res = await fetch(`${await listen(app)}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': '198.51.100.7' },
      body: JSON.stringify({ username: 'mara', password: PASSWORD }),
    })
    t.equal(res.status, 200, 'another client is not limited by the first')
  }
})

t.test('two clients behind one nginx are limited separately', ON_LINUX, async (t) => {
  const { apps, nginx } = await startBoth(t)
  await createPerson(apps[0].db, 'mara', 'viewer')
  const clientAt = (localAddress: string) => {
    const dispatcher = new Agent({ localAddress })
    t.teardown(() => dispatcher.destroy())
    return async () => {
      const { statusCode, body } = await request(`${nginx.origin}/api/auth/login`, {
        dispatcher,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'mara', password: PASSWORD }),
      })
      await body.dump()
      return statusCode
    }
  }
  const [guesser, mara] = [clientAt('127.0.0.2'), clientAt('127.0.0.3')]
  // At most ten attempts succeed on each instance.
  const statuses: number[] = []
  for (let i = 0; i < 24; i += 1) statuses.push(await guesser())
  t.equal(statuses.at(-1), 429)
  t.equal(await mara(), 200)
})

t.test('only an import may have a large body', NGINX, async (t) => {
  const { nginx, token } = await startBoth(t)
  const row = `,part,${'x'.repeat(900)}\n`
  const rows = Array.from({ length: 2000 }, (_, i) => `L-${i}${row}`).join('')
  const csv = `part_number,item_type,description\n${rows}`
  t.ok(csv.length > 1024 * 1024)
  const imported = await post(`${nginx.origin}/api/items/import?dry_run=true`, token, csv, 'text/csv')
  t.match(await imported.json(), { created: 2000, errors: [] })

  const refused = await post(`${nginx.origin}/api/items`, token, csv)
  t.equal(refused.status, 413)
  t.match(refused.headers.get('content-type'), 'application/json')
  t.match(await refused.json(), { error: 'payload_too_large', message: String, details: [] })
})

/**
 * Starts a server that closes each connection before it responds.
 * @returns its port, and the methods of the requests that it received
 */
async function startCrasher(t: Test): Promise<{ port: number; methods: string[] }> {
  const methods: string[] = []
  const server = createServer((socket) => {
    socket.once('data', (data) => {
      methods.push(data.toString().split(' ')[0] ?? '')
      socket.destroy()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, methods }
}

t.test('nginx retries a read at the other instance, but no write that may have arrived', NGINX, async (t) => {
  const crashers = [await startCrasher(t), await startCrasher(t)]
  const nginx = await startNginx(
    t,
    crashers.map(({ port }) => port),
  )
  for (const [method, times] of Object.entries({ GET: 2, POST: 1, PUT: 1, PATCH: 1, DELETE: 1 })) {
    const res = await fetch(`${nginx.origin}/api/items/A01-0001`, { method })
    t.equal(res.status, 503, method)
    t.equal(res.headers.get('retry-after'), '2')
    t.match(await res.json(), { error: 'overloaded', details: [] })
    const sent = crashers.flatMap(({ methods }) => methods).filter((sent) => sent === method)
    t.equal(sent.length, times, `${method} is sent ${times === 1 ? 'once' : 'to both'}`)
  }
  const stream = await fetch(`${nginx.origin}/api/events`, { headers: { accept: 'text/event-stream' } })
  t.equal(stream.status, 200, 'another status would stop an EventSource')
  t.equal(stream.headers.get('content-type'), 'text/event-stream')
  t.match(await stream.text(), /^retry: [2-5]000\nevent: server\.state\ndata: {"mode":"degraded"}\n\n$/)
  for (const query of ['?last=1', '?types=item.created&wait=1', '?limit=5']) {
    t.equal((await fetch(`${nginx.origin}/api/events${query}`)).status, 503, `${query} requests a page`)
    const asStream = await fetch(`${nginx.origin}/api/events${query}`, {
      headers: { accept: 'text/event-stream' },
    })
    t.equal(asStream.status, 200)
  }
  const page = await fetch(`${nginx.origin}/api/events`, { headers: { accept: 'application/json' } })
  t.equal(page.status, 503)
  t.match(await page.json(), { error: 'overloaded' })
})

t.test('an item from a compressed response is updated with the tag of that response', NGINX, async (t) => {
  const { nginx, token } = await startBoth(t)
  const url = `${nginx.origin}/api/items/LARGE`
  const body = JSON.stringify({ part_number: 'LARGE', long_description: 'x'.repeat(5000) })
  t.equal((await post(`${nginx.origin}/api/items`, token, body)).status, 201)
  const read = await fetch(url, { headers: { ...bearer(token), 'accept-encoding': 'gzip' } })
  t.equal(read.headers.get('content-encoding'), 'gzip')
  const etag = read.headers.get('etag') ?? ''
  t.equal(etag, 'W/"1"', 'nginx has made it weak')
  const put = (ifMatch: string) =>
    fetch(url, {
      method: 'PUT',
      headers: { ...bearer(token), 'content-type': 'application/json', 'if-match': ifMatch },
      body: '{"description":"new"}',
    })
  t.equal((await put('W/"2"')).status, 412)
  t.equal((await put(etag)).status, 200)
  t.equal((await put(etag)).status, 412, 'it is the tag of the previous revision')
  const held = await fetch(url, { headers: { ...bearer(token), 'if-none-match': 'W/"2"' } })
  t.equal(held.status, 304)
})

t.test('nginx uses instances again within seconds after they are back', NGINX, async (t) => {
  const databaseUrl = await createDatabase(t)
  const apps = [await startApp(t, { databaseUrl }), await startApp(t, { databaseUrl })]
  const token = await createToken((apps[0] as FastifyInstance).db, 'editor')
  const ports = [await freePort(), await freePort()]
  const nginx = await Nginx.start(ports, undefined, await readShippedParameters())
  t.teardown(() => nginx.stop())
  for (let i = 0; i < 4; i++) t.equal((await create(nginx.origin, token, `GONE-${i}`)).status, 503)
  for (const [i, app] of apps.entries()) await app.listen({ host: '127.0.0.1', port: ports[i] ?? 0 })
  const began = performance.now()
  await eventually('a write', async () => (await create(nginx.origin, token, 'BACK')).status === 201, {
    timeoutMs: 8000,
  })
  t.ok(performance.now() - began < 8000, 'the default is ten seconds')
})

t.test('no write fails while one of two instances is stopped', NGINX, async (t) => {
  const { apps, nginx, token } = await startBoth(t)
  await apps[1].close()
  const statuses = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => (await create(nginx.origin, token, `B01-000${i}`)).status),
  )
  t.strictSame(statuses, Array<number>(8).fill(201))
  await eventually('the log', async () => (await apps[0].db`select from events`).length === 8)
})

t.test(
  "nginx's own responses have the security headers, and those of the service have them once",
  NGINX,
  async (t) => {
    const { apps, nginx } = await startBoth(t)
    const dead = await startNginx(t, [(await startCrasher(t)).port])
    const large = { method: 'POST', body: 'x'.repeat(1_100_000) }
    const own: [number, Response][] = [
      [503, await fetch(`${dead.origin}/api/items`)],
      [200, await fetch(`${dead.origin}/api/events`, { headers: { accept: 'text/event-stream' } })],
      [413, await fetch(`${nginx.origin}/api/items`, large)],
      [
        431,
        await fetch(`${nginx.origin}/x`, {
          headers: { 'x-large': 'a'.repeat(15_000), 'x-more': 'a'.repeat(60_000) },
        }),
      ],
    ]
    for (const [status, { status: actual, headers }] of own) {
      t.equal(actual, status)
      t.match(
        headers.get('content-type'),
        status === 200 ? 'text/event-stream' : 'application/json; charset=utf-8',
      )
      t.equal(headers.get('content-security-policy'), "default-src 'none';frame-ancestors 'none'")
      t.equal(headers.get('x-content-type-options'), 'nosniff')
      t.equal(headers.get('x-frame-options'), 'DENY')
      t.equal(headers.get('referrer-policy'), 'same-origin')
      t.equal(headers.get('cross-origin-resource-policy'), 'same-origin')
      t.match(headers.get('cache-control'), 'no-store')
    }
    const through = (await fetch(`${nginx.origin}/login`)).headers
    const direct = (await fetch(`${await listen(apps[0])}/login`)).headers
    for (const name of [
      'content-security-policy',
      'x-content-type-options',
      'x-frame-options',
      'cache-control',
    ]) {
      t.equal(through.get(name), direct.get(name), name)
    }
  },
)

t.test('X-Forwarded-Proto in front of nginx is trusted only from a configured proxy', NGINX, async (t) => {
  const { apps, nginx } = await startBoth(t)
  const behind = await Nginx.start([Number(new URL(await listen(apps[0])).port)], '127.0.0.1')
  t.teardown(() => behind.stop())
  await createPerson(apps[0].db, 'mara', 'viewer')
  const cookieBy = async ({ origin }: Nginx, proto: string) => {
    const res = await fetch(`${origin}/api/auth/login`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forwarded-proto': proto,
        'x-forwarded-for': '203.0.113.9',
      },
      body: JSON.stringify({ username: 'mara', password: PASSWORD }),
    })
    return res.headers.get('set-cookie')
  }
  t.match(await cookieBy(behind, 'https'), /^__Host-silo_session_\d+=.*; Secure/)
  t.notMatch(await cookieBy(behind, 'http'), 'Secure')
  t.notMatch(await cookieBy(nginx, 'https'), 'Secure', 'not without that name')
})

/** Creates a self-signed certificate for silo.example. */
async function createCertificate(t: Test): Promise<{ key: string; certificate: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-tls-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const [key, certificate] = [join(folder, 'silo.key'), join(folder, 'silo.crt')]
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=silo.example', '-addext', 'subjectAltName=DNS:silo.example']
  const files = ['-keyout', key, '-out', certificate]
  await promisify(execFile)('openssl', ['req', '-x509', ...options, ...names, ...files])
  return { key, certificate }
}

/**
 * Enables the TLS server block of nginx.conf as the comment above it describes: removes its comment signs,
 * moves the locations into it, and puts a redirect in their place.
 */
function withTls(text: string, { key, certificate }: { key: string; certificate: string }, port: number) {
  const begin = text.indexOf('    client_max_body_size 1m;')
  const end = text.indexOf('  }\n\n  # TLS:')
  const server = text
    .slice(text.indexOf('  # server {'))
    .replace(/^ {2}# /gm, '  ')
    .replace('/etc/nginx/tls/silo.crt', certificate)
    .replace('/etc/nginx/tls/silo.key', key)
    .replace('listen 443', `listen 127.0.0.1:${port}`)
  const locations = text.slice(begin, end)
  return [
    text.slice(0, begin),
    '    return 308 https://silo.example$request_uri;\n  }\n',
    server.replace(/ {2}\}\n\}\n$/, `${locations}  }\n}\n`),
  ].join('')
}

t.test(
  'with the TLS server block of nginx.conf enabled, cookies are Secure and every response has HSTS',
  needs('nginx', 'openssl'),
  async (t) => {
    const files = await createCertificate(t)
    const app = await startApp(t, { TRUST_PROXY: ['loopback'], PUBLIC_URL: ['https://silo.example'] })
    const crashing = await startCrasher(t)
    await createPerson(app.db, 'mara', 'viewer')
    const start = async (upstream: number) => {
      const port = await freePort()
      const nginx = await Nginx.start([upstream], undefined, undefined, (text) => withTls(text, files, port))
      t.teardown(() => nginx.stop())
      return { nginx, port }
    }
    const { nginx, port } = await start(Number(new URL(await listen(app)).port))
    const { port: portOfDead } = await start(crashing.port)
    const ca = await readFile(files.certificate, 'utf8')
    const dispatcher = new Agent({ connect: { ca, checkServerIdentity: () => undefined } })
    t.teardown(() => dispatcher.destroy())
    interface Options {
      method?: 'GET' | 'POST'
      body?: string
      headers?: Record<string, string | undefined>
    }
    const ask = async (path: string, options: Options = {}, at = port) => {
      const response = await request(`https://127.0.0.1:${at}${path}`, {
        dispatcher,
        ...options,
        headers: { host: 'silo.example', ...options.headers },
      })
      return { ...response, text: await response.body.text() }
    }

    const redirect = await fetch(`${nginx.origin}/items?q=1`, { redirect: 'manual' })
    t.equal(redirect.status, 308)
    t.equal(redirect.headers.get('location'), 'https://silo.example/items?q=1')
    const signedIn = await ask('/api/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: 'https://silo.example' },
      body: JSON.stringify({ username: 'mara', password: PASSWORD }),
    })
    t.equal(signedIn.statusCode, 200)
    const cookie = [signedIn.headers['set-cookie']].flat().join('\n')
    t.match(cookie, /__Host-silo_session\w*=[^;]+;.*Path=\/;.*Secure/)
    t.notMatch(cookie, /Domain/i)
    const me = await ask('/api/auth/me', { headers: { cookie: cookie.split(';')[0] } })
    t.match(JSON.parse(me.text), { username: 'mara' })

    const large = { headers: { 'x-large': 'a'.repeat(15_000), 'x-more': 'a'.repeat(60_000) } }
    const responses = [
      [200, await ask('/login')],
      [404, await ask('/nothing')],
      [421, await ask('/login', { headers: { host: 'rebind.example' } })],
      [413, await ask('/api/items', { method: 'POST', body: 'x'.repeat(1_100_000) })],
      [431, await ask('/', large)],
      [503, await ask('/api/items', {}, portOfDead)],
      [200, await ask('/api/events', { headers: { accept: 'text/event-stream' } }, portOfDead)],
    ] as const
    const socket = connectTls({ port, host: '127.0.0.1', ca, checkServerIdentity: () => undefined })
    socket.end('GET / HTTP/1.1\r\nHost: silo.example\r\nHost: silo.example\r\n\r\n')
    const malformed = (await text(socket)).toLowerCase()
    t.match(malformed, /^http\/1.1 400 /)
    t.match(malformed, '\r\nstrict-transport-security: max-age=31536000\r\n')
    t.match(malformed, '\r\nx-content-type-options: nosniff\r\n')
    t.match(malformed, '"error":"invalid_request"')

    for (const [status, { statusCode, headers }] of responses) {
      t.equal(statusCode, status)
      t.equal(headers['strict-transport-security'], 'max-age=31536000', String(status))
      t.equal(headers['x-content-type-options'], 'nosniff')
      t.match(headers['content-security-policy'], "frame-ancestors 'none'")
      t.match(headers['cache-control'], 'no-store')
    }
  },
)
