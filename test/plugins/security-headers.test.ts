import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { bearer } from '../harness/people.js'
import { listen } from '../harness/watcher.js'

const POLICY =
  "default-src 'self';base-uri 'none';form-action 'self';frame-ancestors 'none';object-src 'none'"

/** The headers of every response whose values no other assertion names. */
const OTHER_HEADERS = {
  'origin-agent-cluster': '?1',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
}

t.test('every kind of response has the security headers', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const headers = bearer(await createToken(app.db, 'editor'))
  const post = { method: 'POST', headers: { ...headers, 'content-type': 'application/json' } }

  /** Returns the status and the headers of a response, without waiting for its body, which may be endless. */
  async function ask(path: string, options: object = {}): Promise<[number | undefined, IncomingHttpHeaders]> {
    const asked = request(origin + path, options).end()
    const [answer] = (await once(asked, 'response')) as [
      { statusCode?: number; headers: IncomingHttpHeaders },
    ]
    asked.destroy()
    return [answer.statusCode, answer.headers]
  }
  const kinds: [what: string, status: number, answer: [number | undefined, IncomingHttpHeaders]][] = [
    ['a page', 200, await ask('/login')],
    ['a file of a page', 200, await ask('/web/parts/style.css')],
    ['a redirect', 303, await ask('/')],
    ['a response of the API', 200, await ask('/api/items', { headers })],
    ['a download', 200, await ask('/api/items', { headers: { ...headers, accept: 'text/csv' } })],
    ['the feed', 200, await ask('/api/events', { headers })],
    [
      'a page of the feed',
      200,
      await ask('/api/events', { headers: { ...headers, accept: 'application/json' } }),
    ],
    ['the description of the API', 200, await ask('/api/openapi.json')],
    ['a probe', 200, await ask('/health')],
    ['an unknown address', 404, await ask('/nothing')],
    ['an unsupported method', 405, await ask('/health', { method: 'DELETE' })],
    [
      'a body that is too large',
      413,
      await ask('/api/items', { ...post, headers: { ...post.headers, 'content-length': 9e9 } }),
    ],
    ['a request without a token', 401, await ask('/api/auth/me')],
    ['a missing body', 400, await ask('/api/items', post)],
  ]
  for (const [what, status, [actual, headers]] of kinds) {
    t.equal(actual, status, what)
    t.equal(headers['content-security-policy'], POLICY, what)
    t.equal(headers['x-content-type-options'], 'nosniff', what)
    t.match(headers, OTHER_HEADERS, what)
    const isFile = ['a file of a page', 'the description of the API'].includes(what)
    t.match(headers['cache-control'], isFile ? /^no-cache$/ : /^no-store(, no-transform)?$/, what)
    t.equal(headers['x-frame-options'], 'DENY', what)
    t.equal(headers['cross-origin-resource-policy'], 'same-origin', what)
    t.equal(headers['cross-origin-opener-policy'], 'same-origin', what)
    t.equal(
      headers['referrer-policy'],
      'same-origin',
      'otherwise the forms of the pages would send Origin: null',
    )
    t.equal(headers['strict-transport-security'], undefined, 'sent by the proxy that terminates TLS')
    t.equal(headers['x-powered-by'], undefined, what)
    t.equal(headers.server, undefined, what)
    t.equal(headers['access-control-allow-origin'], undefined, what)
    t.equal(headers['access-control-allow-credentials'], undefined, what)
  }
})

t.test('a request that cannot be parsed or routed gets the common error response as JSON', async (t) => {
  for (const PUBLIC_URL of [[], ['https://silo.example']]) {
    const app = await startApp(t, { PUBLIC_URL })
    const { hostname, port } = new URL(await listen(app))
    const say = async (bytes: string): Promise<{ head: string; body: string }> => {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      socket.write(bytes)
      const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
      return { head: head.toLowerCase(), body }
    }
    const get = (path: string, ...lines: string[]) =>
      say([`GET ${path} HTTP/1.1`, ...lines, 'Connection: close', '', ''].join('\r\n'))
    const local = 'Host: localhost'
    const invalid = 'invalid_request'
    const answers: [what: string, status: number, code: string, answer: { head: string; body: string }][] = [
      ['no HTTP', 400, invalid, await say('no HTTP at all\r\n\r\n')],
      ['a line of TLS', 400, invalid, await say('\x16\x03\x01\x02\x00\x01\r\n\r\n')],
      ['an address with a broken %', 400, invalid, await get('/api/items/%zz', local)],
      ['an address with half a character', 400, invalid, await get('/items/%C3', local)],
      ['a part that is too long', 400, invalid, await get(`/api/items/${'<script>'.repeat(50)}`, local)],
      ['two lengths', 400, invalid, await get('/', local, 'Content-Length: 1', 'Content-Length: 2')],
      ['no host', 400, invalid, await get('/api/items')],
      ['two hosts', 400, invalid, await get('/api/items', local, local)],
      ['large headers', 431, 'headers_too_large', await get('/', local, `X: ${'x'.repeat(20_000)}`)],
      ['a long address', 431, 'headers_too_large', await get(`/?${'x'.repeat(20_000)}`, local)],
      ['another host', 421, 'misdirected_request', await get('/login', 'Host: rebind.example')],
      ['an unknown address', 404, 'not_found', await get('/nothing', local)],
    ]
    for (const [what, status, code, { head, body }] of answers) {
      t.match(head, new RegExp(`^http/1.1 ${status} `), what)
      t.match(head, /\r\ncontent-type: application\/json; charset=utf-8\r\n/, what)
      t.match(head, /\r\nx-content-type-options: nosniff\r\n/, what)
      t.match(head, /\r\ncache-control: no-store\r\n/, what)
      t.match(head, /\r\ncontent-security-policy: default-src '(none|self)';.*frame-ancestors 'none'/, what)
      t.match(head, /\r\nx-frame-options: deny\r\n/, what)
      t.match(head, /\r\ncross-origin-opener-policy: same-origin\r\n/, what)
      for (const [name, value] of Object.entries(OTHER_HEADERS))
        t.match(head, `\r\n${name}: ${value}\r\n`, what)
      t.match(head, /\r\nreferrer-policy: same-origin\r\n/, what)
      t.match(head, /\r\ncross-origin-resource-policy: same-origin\r\n/, what)
      const isPromised = /\r\nstrict-transport-security: max-age=31536000\r\n/.test(head)
      t.equal(isPromised, PUBLIC_URL.length > 0, `${what}: HSTS is sent only if PUBLIC_URL is https`)
      t.match(JSON.parse(body), { error: code }, what)
      t.notMatch(body, /script|zz/, 'nothing of the request is repeated')
    }
  }
})
