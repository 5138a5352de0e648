import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { bearer } from '../harness/people.js'

t.test('an unsupported method gets a 405, and Allow lists the supported ones', async (t) => {
  const app = await startApp(t)
  const headers = bearer(await createToken(app.db, 'editor'))
  const cases: [method: string, url: string, allow: string][] = [
    ['POST', '/health', 'GET, HEAD'],
    ['PATCH', '/api/items/A', 'DELETE, GET, HEAD, PUT'],
    ['POST', '/api/items/A?x=/', 'DELETE, GET, HEAD, PUT'],
    ['PATCH', '/api/items/import', 'DELETE, GET, HEAD, POST, PUT'],
    ['DELETE', '/api/items', 'GET, HEAD, POST'],
    ['PUT', '/api/items/%41/revisions', 'GET, HEAD, POST'],
    ['DELETE', '/api/items/A/revisions/1', 'GET, HEAD'],
    ['GET', '/api/auth/login', 'POST'],
    ['HEAD', '/api/auth/login', 'POST'],
    ['OPTIONS', '/api/events', 'GET, HEAD'],
    ['POST', '/api/events', 'GET, HEAD'],
    ['PROPFIND', '/items', 'GET, HEAD'],
    ['TRACE', '/', 'GET, HEAD'],
    ['DELETE', '/web/parts/style.css', 'GET, HEAD'],
    ['GET', '/logout', 'POST'],
  ]
  for (const [method, url, allow] of cases) {
    const res = await app.inject({ method: method as 'GET', url, headers })
    t.equal(res.statusCode, 405, `${method} ${url}`)
    t.equal(res.headers.allow, allow, `${method} ${url}`)
    t.equal(res.headers['cache-control'], 'no-store')
    if (method !== 'HEAD') t.match(res.json(), { error: 'method_not_allowed', message: method, details: [] })
  }
})

t.test('an unknown address gets a 404, whatever the method and the body', async (t) => {
  const app = await startApp(t)
  for (const url of ['/nothing', '/API/items', '/health/', '/api', '//', '/api/items/A/revisions/1/2']) {
    for (const method of ['GET', 'POST', 'DELETE'] as const) {
      const res = await app.inject({
        method,
        url,
        headers: { 'content-type': 'x/y' },
        ...(method === 'POST' && { payload: 'x' }),
      })
      t.equal(res.statusCode, 404, `${method} ${url}`)
      t.equal(res.json<{ error: string }>().error, 'not_found')
    }
  }
})
