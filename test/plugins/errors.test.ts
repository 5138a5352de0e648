import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { buildApp } from '../../app.js'
import { createToken, startApp, testConfig } from '../harness/app.js'
import { bearer } from '../harness/people.js'
import { createDatabase } from '../harness/database.js'
import { listen } from '../harness/watcher.js'
import { eventually } from '../../tools/harness/eventually.js'

t.test('an unknown address gets the common error response', async (t) => {
  const app = await buildApp(testConfig(await createDatabase(t)))
  t.teardown(() => app.close())
  app.get('/guarded', { onRequest: app.requireRole('editor') }, (request) => request.principal.username)
  const res = await app.inject('/nothing')
  t.equal(res.statusCode, 404)
  t.strictSame(res.json(), { error: 'not_found', message: 'Not found.', details: [] })
  t.equal((await app.inject('/guarded')).statusCode, 401)
  const get = async (token: string) =>
    (await app.inject({ url: '/guarded', headers: { authorization: `Bearer ${token}` } })).statusCode
  t.equal(await get(await createToken(app.db, 'viewer')), 403)
  t.equal(await get(await createToken(app.db, 'editor')), 200)
  t.equal(await get('silo_x'), 401)
  t.equal(await get('abc'), 401)
})

t.test('a serialization failure and a deadlock are a 503, not a fault of the service', async (t) => {
  const app = await startApp(t)
  const headers = bearer(await createToken(app.db, 'editor'))
  for (const state of ['40001', '40P01']) {
    await app.db.unsafe(`
      create or replace function fail() returns trigger language plpgsql
        as $$ begin raise exception 'later' using errcode = '${state}'; end $$;
      create or replace trigger fail before insert on items for each row execute function fail()
    `)
    const payload = { part_number: 'A-1' }
    const res = await app.inject({ method: 'POST', url: '/api/items', headers, payload })
    t.equal(res.statusCode, 503, state)
    t.match(res.json(), {
      error: 'overloaded',
      message: 'The request conflicts with a concurrent change. Retry it.',
    })
    t.equal(res.headers['retry-after'], '2')
  }
})

/** Returns the response of the service to these bytes. */
async function answerTo(t: Test, bytes: string): Promise<string> {
  const origin = await listen(await startApp(t))
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.end(bytes)
  return text(socket)
}

t.test('an unknown expectation is ignored', async (t) => {
  const head = 'GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nConnection: close\r\n\r\n'
  t.match(await answerTo(t, head), /^HTTP\/1.1 200 OK\r\n[^]*{"status":"ok","mode":"normal"}$/)
})

t.test('a request without a Host header is refused, unless it is HTTP/1.0', async (t) => {
  const answer = await answerTo(t, 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n')
  t.match(answer, /^HTTP\/1.1 400 Bad Request\r\n/)
  t.match(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), {
    error: 'invalid_request',
    details: [{ field: 'host', message: 'is required' }],
  })
  t.match(await answerTo(t, 'GET /health HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 OK\r\n/)
})

/** Opens a connection to the service, sends bytes, and collects what it receives. */
async function openConnection(t: Test) {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'editor')
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  let received = ''
  socket.setEncoding('utf8').on('data', (bytes: string) => (received += bytes))
  const head = (method: string, path: string, headers = '') =>
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${headers}\r\n`
  return { app, socket, head, received: () => received }
}

t.test('invalid bytes after a complete request are refused after its response', async (t) => {
  const requests: [path: string, type: string, body: string][] = [
    ['/api/items', 'application/json', '{"part_number":"A-1"}'],
    ['/api/items/import', 'text/csv', 'part_number\nA-1\n'],
  ]
  for (const [path, type, body] of requests) {
    const { app, socket, head, received } = await openConnection(t)
    socket.write(
      head('POST', path, `Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n`) +
        `${body}trash\r\n\r\n`,
    )
    await once(socket, 'close')
    t.equal((await app.db`select from items`).length, 1)
    t.match(received(), /^HTTP\/1\.1 20[01] [^]*HTTP\/1\.1 400 /, 'the write is not reported as an error')
  }
})

t.test('invalid bytes within a request are refused at once', async (t) => {
  const { app, socket, head, received } = await openConnection(t)
  const headers = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n'
  socket.write(`${head('POST', '/api/items', headers)}trash\r\n`)
  await once(socket, 'close')
  t.match(received(), /^HTTP\/1\.1 400 /)
  t.equal((await app.db`select from items`).length, 0)
})

t.test('invalid bytes from a subscriber do not change its stream', async (t) => {
  const { app, socket, head, received } = await openConnection(t)
  socket.write(head('GET', '/api/events', 'Accept: text/event-stream\r\n'))
  await eventually('the stream', () => received().includes('event: server.state'))
  socket.write('trash\r\n\r\n')
  await app.db`insert into items (part_number) values ('A-1')`
  await eventually('the event', () => received().includes('A-1'))
  t.notMatch(received(), /400/)
})
