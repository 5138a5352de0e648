import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { bearer } from '../harness/people.js'
import { listen } from '../harness/watcher.js'

t.test('a DELETE without a body may have a content type', async (t) => {
  const app = await startApp(t)
  const token = await createToken(app.db, 'editor')
  const port = Number(new URL(await listen(app)).port)
  const send = async (...lines: string[]) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(
      [...lines, 'Host: localhost', `Authorization: Bearer ${token}`, 'Connection: close', '', ''].join(
        '\r\n',
      ),
    )
    return (await text(socket)).split('\r\n', 1)[0]
  }
  const lengths = [[], ['Content-Length: 0'], ['content-length: 00']]
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'application/xml',
    'text/plain',
    'nonsense',
  ]) {
    for (const length of lengths) {
      await app.db`insert into items (part_number) values ('D') on conflict do nothing`
      await app.db`update items set archived_at = null`
      const line = await send('DELETE /api/items/D HTTP/1.1', `Content-Type: ${type}`, ...length)
      t.equal(line, 'HTTP/1.1 204 No Content', `${type} ${length.join('')}`)
      t.equal(await send('GET /api/items HTTP/1.1', `Content-Type: ${type}`, ...length), 'HTTP/1.1 200 OK')
    }
  }
})

t.test('a DELETE with a chunked body of JSON that is empty has no body', async (t) => {
  const app = await startApp(t)
  const token = await createToken(app.db, 'editor')
  await app.db`insert into items (part_number) values ('D')`
  const res = await fetch(`${await listen(app)}/api/items/D`, {
    method: 'DELETE',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: new ReadableStream({ start: (controller) => controller.close() }),
    duplex: 'half',
  })
  t.equal(res.status, 204)
})

t.test('an empty body is refused where one is expected', async (t) => {
  const app = await startApp(t)
  const headers = { ...bearer(await createToken(app.db, 'editor')), 'content-type': 'application/json' }
  for (const [method, url] of [
    ['POST', '/api/items'],
    ['PUT', '/api/items/A'],
  ] as const) {
    const res = await app.inject({ method, url, headers })
    t.equal(res.statusCode, 400, url)
    t.equal(res.json<{ error: string }>().error, 'invalid_json')
  }
})
