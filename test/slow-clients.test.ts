import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { createToken, startApp } from './harness/app.js'
import { eventually } from '../tools/harness/eventually.js'
import { listen } from './harness/watcher.js'

/**
 * Sends these bytes, and `drip` every 500 ms, until the server closes the connection.
 * @returns the response of the server, and how long it took, in ms
 */
async function say(t: Test, origin: string, bytes: string, drip?: string) {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  // A client that is disconnected while it sends sees a reset. Only the end of the connection matters here.
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const began = performance.now()
  socket.write(bytes)
  const dripping = drip !== undefined && setInterval(() => socket.write(drip), 500)
  const closed = once(socket, 'close')
  const answer = await text(socket).catch(() => '')
  await closed
  if (dripping) clearInterval(dripping)
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  return { head, body, ms: performance.now() - began }
}

t.test('a client that sends nothing, or its request byte by byte, gets a 408 and is closed', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'editor')
  const [nothing, headers, body] = await Promise.all([
    say(t, origin, ''),
    say(t, origin, 'GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', 'a'),
    say(
      t,
      origin,
      `POST /api/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
        'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{',
      ' ',
    ),
  ])
  for (const answer of [nothing, headers, body]) {
    t.match(answer.head, /^HTTP\/1.1 408 Request Timeout\r\n/)
    t.match(JSON.parse(answer.body), { error: 'request_timeout', details: [] })
    t.ok(answer.ms < 25_000, `${answer.ms} ms`)
  }
})

t.test('a client that reads nothing of a response is disconnected, and only it has a timer', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const { hostname, port } = new URL(origin)
  const open = async () => {
    const connection = once(app.server, 'connection')
    const client = connect(Number(port), hostname)
    t.teardown(() => client.destroy())
    const [socket] = (await connection) as [Socket]
    return { client, socket }
  }
  const ask = `GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n`
  const stalled = await open()
  // Nothing is read: these responses are larger than the buffers of a socket.
  stalled.client.on('error', () => undefined).write(ask.repeat(200))
  await eventually('the timer of the unread response', () => stalled.socket.timeout === 60_000)
  const closed = once(stalled.socket, 'close')
  stalled.socket.setTimeout(100)
  await closed

  const served = await open()
  served.client.write(ask.replace('Host', 'Connection: close\r\nHost'))
  t.match(await text(served.client), /^HTTP\/1.1 200 OK\r\n/)
  t.equal(served.socket.timeout, undefined)
})

t.test('a request that is too large, or is not HTTP, gets the common error response', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'editor')
  const post = (length: number) =>
    `POST /api/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
  const expected = [
    [
      'GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ' + 'a'.repeat(20_000) + '\r\n\r\n',
      431,
      'headers_too_large',
    ],
    [`${post(2_000_000)}{`, 413, 'payload_too_large'],
    ['no HTTP at all\r\n\r\n', 400, 'invalid_request'],
  ] as const
  for (const [bytes, status, error] of expected) {
    const { head, body } = await say(t, origin, bytes)
    t.match(head, new RegExp(`^HTTP/1.1 ${status} `))
    t.match(JSON.parse(body), { error, details: [] })
  }
})

t.test(
  'an upload that is refused while it is sent gets its response, and its connection can be used again',
  async (t) => {
    const app = await startApp(t)
    const origin = await listen(app)
    const token = await createToken(app.db, 'editor')
    const { hostname, port } = new URL(origin)
    const line = `A-1,"${'x'.repeat(10 * 1024 * 1024)}"\n`
    const uploads = [
      ['/api/items/import', 'text/csv', `Part Number,Name\n${line}`, 400],
      ['/api/items/import', 'application/x-ndjson', line, 400],
      ['/api/items/import', 'text/csv', `Part Number\n${'?\n'.repeat(1_000_000)}`, 422],
      ['/api/items', 'application/json', line, 413],
    ] as const
    for (const [path, type, body, status] of uploads) {
      const socket = connect(Number(port), hostname)
      t.teardown(() => socket.destroy())
      await once(socket, 'connect')
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
          `Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`,
      )
      socket.end(`${body}GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
      const statuses = (await text(socket)).match(/HTTP\/1.1 \d+/g)
      t.strictSame(statuses, [`HTTP/1.1 ${status}`, 'HTTP/1.1 200'], path)
    }
  },
)

t.test('bytes that are not HTTP get a response, however many they are', async (t) => {
  const origin = await listen(await startApp(t))
  const { hostname, port } = new URL(origin)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  let answer = ''
  socket.on('data', (bytes) => (answer += bytes.toString()))
  const over = once(socket, 'end')
  socket.write('GET /health HTTP/1.1\r\nHost: silo\nX: y\r\n\r\n')
  for (let i = 0; i < 100; i++) {
    if (!socket.write('x'.repeat(100_000))) await once(socket, 'drain')
  }
  await over
  t.match(answer, /^HTTP\/1.1 400 Bad Request\r\n[^]*"invalid_request"/)
})
