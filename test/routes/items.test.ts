import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createToken, startApp } from '../harness/app.js'

type Send = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  more?: Partial<InjectOptions>,
) => Promise<LightMyRequestResponse>

/** An application with what an editor called mara sends to it. */
async function start(t: Test): Promise<{ app: FastifyInstance; send: Send }> {
  const app = await startApp(t)
  const authorization = `Bearer ${await createToken(app.db, 'editor', 'mara')}`
  return {
    app,
    send: (method, url, more = {}) =>
      app.inject({ method, url, ...more, headers: { authorization, ...more.headers } }),
  }
}

t.test('smoke', async (t) => {
  const { app, send } = await start(t)
  let r = await send('POST', '/api/items', {
    payload: { part_number: 'A-1', description: 'x', properties: { a: [1, { b: 'c' }] }, comment: 'first' },
  })
  t.comment(r.statusCode, r.headers, r.body)
  r = await send('POST', '/api/items', { payload: { category: 'A01' } })
  t.comment(r.statusCode, r.body)
  r = await send('PUT', '/api/items/a-1', { payload: { description: 'y', comment: 'second' } })
  t.comment(r.statusCode, r.headers.etag, r.body)
  r = await send('PUT', '/api/items/a-1', { payload: {} })
  t.comment(r.statusCode, r.headers.etag)
  r = await send('PUT', '/api/items/a-1', { payload: { description: 'z' }, headers: { 'if-match': '"1"' } })
  t.comment(r.statusCode, r.body)
  r = await send('POST', '/api/items/a-1/revisions', { payload: { comment: 'third' } })
  t.comment(r.statusCode, r.headers, r.body)
  r = await send('GET', '/api/items?search=a-1&limit=1')
  t.comment(r.statusCode, r.body)
  r = await send('GET', '/api/items?limit=1')
  t.comment(r.statusCode, r.body)
  r = await send('GET', '/api/items?limit=1&cursor=' + r.json().next_cursor)
  t.comment(r.statusCode, r.body)
  r = await send('GET', '/api/items/A-1/revisions')
  t.comment(r.statusCode, r.body)
  r = await send('PUT', '/api/items/A-1', {
    payload: { properties: { a: { b: ['\u0000'] } }, sourcing_type: 'x' },
  })
  t.comment(r.statusCode, r.body)
  r = await send('DELETE', '/api/items/A-1')
  t.comment(r.statusCode, r.body)
  r = await send('GET', '/api/items/A-1')
  t.comment(r.statusCode, r.body)
  r = await send('POST', '/api/items', { payload: { part_number: 'a-1' } })
  t.comment(r.statusCode, r.body)
  t.comment(await app.db`select * from events order by id`)
})
