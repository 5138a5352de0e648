import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { bearer } from '../harness/people.js'
import { listen } from '../harness/watcher.js'

/** Sends these bytes and returns the whole response. */
async function say(app: FastifyInstance, bytes: string): Promise<string> {
  const { port, hostname } = new URL(await listen(app))
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(bytes)
  return text(socket)
}

/** Returns the status of `GET /api/items` without a token and with this host: 401 if the host is accepted. */
const statusBy = async (app: FastifyInstance, host: string) =>
  (await app.inject({ url: '/api/items', headers: { host } })).statusCode

const ADDRESSES = [
  '127.0.0.1',
  '127.0.0.1:8080',
  '[::1]:8080',
  '10.1.2.3',
  '[2001:DB8::1]:80',
  '0.0.0.0:8080',
]
const LOOPBACK = ['localhost', 'LOCALHOST:8080', 'localhost.', 'localhost:', 'silo.localhost:3000']
const FOREIGN = [
  'rebind.example',
  'rebind.example:8080',
  'silo',
  'localhost.evil.example',
  'evil-localhost',
  '127.0.0.1.nip.io',
]
FOREIGN.push('2130706433', '0x7f.1', '127.1', 'xn--lcalhost-c5a', 'silo.example.evil', 'evil.silo.example')

t.test('without PUBLIC_URL only loopback names and IP addresses are accepted as host', async (t) => {
  const app = await startApp(t)
  for (const host of [...ADDRESSES, ...LOOPBACK]) t.equal(await statusBy(app, host), 401, host)
  for (const host of [...FOREIGN, 'silo.example']) t.equal(await statusBy(app, host), 421, host)
  const res = await app.inject({ url: '/api/items', headers: { host: 'rebind.example:8080' } })
  t.match(res.json(), {
    error: 'misdirected_request',
    message: /"rebind\.example".*PUBLIC_URL/,
    details: [{ field: 'host' }],
  })
  t.match(res.headers['content-security-policy'], "frame-ancestors 'none'")
  for (const url of [
    '/',
    '/login',
    '/docs',
    '/api/openapi.json',
    '/web/parts/style.css',
    '/nowhere',
    '/api/events',
  ]) {
    t.equal((await app.inject({ url, headers: { host: 'rebind.example' } })).statusCode, 421, url)
  }
  const token = await createToken(app.db, 'viewer')
  const headers = { host: 'rebind.example', ...bearer(token) }
  t.equal((await app.inject({ url: '/api/items', headers })).statusCode, 421, 'with a token, too')
})

t.test('with PUBLIC_URL its host names are accepted as well', async (t) => {
  const app = await startApp(t, { PUBLIC_URL: ['https://silo.example', 'http://silo.lan:8080'] })
  for (const host of ['silo.example', 'SILO.EXAMPLE:443', 'silo.example.', 'silo.lan:8080', 'silo.lan']) {
    t.equal(await statusBy(app, host), 401, host)
  }
  for (const host of [...ADDRESSES, ...LOOPBACK]) t.equal(await statusBy(app, host), 401, host)
  for (const host of FOREIGN) t.equal(await statusBy(app, host), 421, host)
})

t.test('the host name that the service listens on is accepted', async (t) => {
  const app = await startApp(t, { HOST: 'Box.lan' })
  t.equal(await statusBy(app, 'box.lan:8080'), 401)
  t.equal(await statusBy(app, 'other.lan:8080'), 421)
})

t.test('health probes are accepted with any host', async (t) => {
  const app = await startApp(t)
  for (const url of ['/health', '/ready']) {
    t.equal((await app.inject({ url, headers: { host: 'silo-7d9f.pod.cluster' } })).statusCode, 200, url)
  }
})

t.test('the host that a trusted proxy forwards and its own Host must both be accepted', async (t) => {
  const app = await startApp(t, { TRUST_PROXY: ['10.0.0.0/8'], PUBLIC_URL: ['https://silo.example'] })
  const status = async (host: string, forwarded: string, remoteAddress = '10.0.0.1') => {
    const headers = { host, 'x-forwarded-host': forwarded }
    return (await app.inject({ url: '/api/items', remoteAddress, headers })).statusCode
  }
  t.equal(await status('127.0.0.1:8080', 'silo.example'), 401)
  t.equal(await status('127.0.0.1:8080', 'rebind.example'), 421)
  t.equal(await status('rebind.example', 'silo.example'), 421, 'a page may set the header of its own request')
  t.equal(
    await status('127.0.0.1:8080', 'rebind.example', '192.0.2.1'),
    401,
    "an untrusted peer's header is ignored",
  )
})

t.test('a request must have one Host header, and a valid one', async (t) => {
  const app = await startApp(t)
  const get = (hosts: string, target = '/api/items') =>
    say(app, `GET ${target} HTTP/1.1\r\n${hosts}Connection: close\r\n\r\n`)
  const refusals = {
    'must be given once': [
      'Host: localhost\r\nHost: localhost\r\n',
      'Host: localhost\r\nhOST: rebind.example\r\n',
    ],
    'is required': ['', 'Host:\r\n', 'Host: \r\n'],
    'must be a host name': [
      'Host: a b\r\n',
      'Host: user@localhost\r\n',
      'Host: localhost/\r\n',
      'Host: localhost, evil\r\n',
    ],
  }
  for (const [message, heads] of Object.entries(refusals)) {
    for (const head of heads) {
      const answer = await get(head)
      t.match(answer, /^HTTP\/1\.1 400 /, head)
      t.match(answer, `"field":"host","message":"${message}`, head)
    }
  }
  for (const url of ['/health', '/ready'])
    t.match(await get('Host: a\r\nHost: b\r\n', url), /^HTTP\/1\.1 400 /)
  t.match(await say(app, 'GET /api/items HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 401 /, 'HTTP/1.0 has no Host')
})

t.test('the host of a target in absolute form counts, and its path is routed', async (t) => {
  const app = await startApp(t)
  const get = (target: string, host = 'localhost') =>
    say(app, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  t.match(await get('http://localhost/api/items'), /^HTTP\/1\.1 401 /)
  t.match(await get('HTTPS://127.0.0.1:8080/api/items?limit=1'), /^HTTP\/1\.1 401 /)
  t.match(await get('http://localhost'), /^HTTP\/1\.1 303 [^]*location: \/login\?next=%2F\r/i)
  t.match(await get('http://localhost/items?search=x'), /location: \/login\?next=%2Fitems%3Fsearch%3Dx\r/i)
  for (const target of [
    'http://rebind.example/api/items',
    'http://rebind.example',
    'http://rebind.example?x',
  ]) {
    t.match(await get(target), /^HTTP\/1\.1 421 /, target)
  }
  t.match(await get('http://localhost/api/items', 'rebind.example'), /^HTTP\/1\.1 421 /)
  for (const target of ['http:///api/items', 'http://user@localhost/api/items']) {
    t.match(await get(target), /^HTTP\/1\.1 400 /, target)
  }
})

t.test(
  'the AsyncAPI document has PUBLIC_URL or the address the service listens on, whatever the Host header',
  async (t) => {
    for (const [PUBLIC_URL, origin] of [
      [[], 'http://127.0.0.1:8080'],
      [['https://silo.example', 'http://silo.lan'], 'https://silo.example'],
    ] as [string[], string][]) {
      const app = await startApp(t, { PUBLIC_URL, PORT: 8080 })
      for (const headers of [
        { host: '10.9.8.7:6543' },
        { host: 'localhost', 'x-forwarded-host': 'evil.example' },
      ]) {
        const openapi = await app.inject({ url: '/api/openapi.json', headers })
        t.strictSame(openapi.json<{ servers: object[] }>().servers, [{ url: '/' }])
        t.notMatch(openapi.body, /127\.0\.0\.1|silo\.example|10\.9\.8\.7|evil\.example/, 'no origin')
        const asyncapi = await app.inject({ url: '/api/asyncapi.json', headers })
        t.match(asyncapi.json(), { servers: { silo: { host: new URL(origin).host } } })
        t.notMatch(asyncapi.body, /10\.9\.8\.7|evil\.example/)
      }
    }
  },
)
