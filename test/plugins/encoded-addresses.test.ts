import t from 'tap'
import { findEncodingFault } from '../../lib/encoded-address.js'
import { createToken, startApp } from '../harness/app.js'
import { bearer } from '../harness/people.js'
import { readRoutes } from '../harness/routes.js'

const NO_TEXT = ['%FC', '%C3%28', '%00', '%', '%zz', '%ED%A0%80', 'a%C3', '%C0%80', '%F5%80%80%80']

t.test('an address that does not decode to text gets the common error on every route', async (t) => {
  const app = await startApp(t)
  const headers = bearer(await createToken(app.db, 'admin'))
  const routes = readRoutes(app)
  t.ok(routes.length > 20)
  for (const route of routes) {
    const [method = '', path = ''] = route.split(' ')
    const plain = path.replaceAll(/\{\w+\}|\*/g, 'A')
    for (const bad of NO_TEXT) {
      const addresses = [`${plain}?limit=1&search=${bad}`, `${plain}?${bad}=1`]
      if (path !== plain) addresses.push(path.replaceAll(/\{\w+\}|\*/g, bad))
      for (const url of addresses) {
        const res = await app.inject({ method: method as 'GET', url, headers })
        if (route === 'POST /login') {
          if (!/error=invalid_request/.test(res.headers.location ?? '')) t.fail(`${url} redirects elsewhere`)
          continue
        }
        if (res.statusCode !== 400) t.fail(`${method} ${url} responds with ${res.statusCode}`)
        const { error, details } = res.json<{ error: string; details: { field: string }[] }>()
        if (error !== 'invalid_request' || details.length !== 1) t.fail(`${method} ${url}: ${res.body}`)
      }
    }
  }
})

t.test('the part that does not decode to text is named, and all other texts are accepted', async (t) => {
  const cases: [string, string][] = [
    ['/api/items/%FC', 'path'],
    ['/api/items?search=%FC', 'search'],
    ['/api/items?limit=5&p%C3%A4=%00', 'pä'],
    ['/api/items?%FC=1', 'query'],
    ['/api/items?search=\u00c3\u00bc', 'search'],
    ['/items/\u00fc', 'path'],
  ]
  for (const [url, field] of cases) t.match(findEncodingFault(url), { field }, url)
  for (const url of ['/', '/a?b', '/a?b=%C3%BC+%25&c=?', '/a%2Fb?%F0%9F%A6%8A=1', '/?=', '/?&&']) {
    t.equal(findEncodingFault(url), undefined, url)
  }
})
