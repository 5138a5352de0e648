import { randomBytes } from 'node:crypto'
import t from 'tap'
import { connect } from '../store/driver/connect.js'
import { createToken } from './harness/app.js'
import { createDatabase } from './harness/database.js'
import { startService } from './harness/service.js'

t.test('SSE_MAX_CLIENTS limits streams only: a hundred concurrent requests all get a response', async (t) => {
  const databaseUrl = await createDatabase(t)
  const JWT_SECRET = randomBytes(32).toString('base64url')
  const service = startService(t, { DATABASE_URL: databaseUrl, JWT_SECRET, SSE_MAX_CLIENTS: '2' })
  const origin = await service.url()
  const sql = connect(databaseUrl, 1)
  t.teardown(() => sql.end())
  const headers = { authorization: `Bearer ${await createToken(sql, 'viewer')}` }
  for (let round = 0; round < 3; round++) {
    const answers = Array.from({ length: 100 }, async (_, i) => {
      const url = i % 2 === 0 ? '/health' : '/api/items'
      const res = await fetch(origin + url, { headers, signal: AbortSignal.timeout(15_000) })
      await res.arrayBuffer()
      return res.status
    })
    t.strictSame([...new Set(await Promise.all(answers))], [200])
  }
})
