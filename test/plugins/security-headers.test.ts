import t from 'tap'
import { startApp } from '../harness/app.js'

t.test('a browser is told what it may do with an answer, an error too', async (t) => {
  const app = await startApp(t)
  for (const url of ['/health', '/nothing', '/api/auth/me']) {
    const { headers } = await app.inject(url)
    t.equal(
      headers['content-security-policy'],
      "default-src 'self';base-uri 'none';form-action 'self';frame-ancestors 'none';object-src 'none'",
    )
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['x-frame-options'], 'DENY')
    t.equal(headers['referrer-policy'], 'same-origin', 'else our own forms would come with "Origin: null"')
    t.equal(headers['strict-transport-security'], undefined)
    t.equal(headers['x-powered-by'], undefined)
    t.equal(headers['access-control-allow-origin'], undefined)
  }
})
