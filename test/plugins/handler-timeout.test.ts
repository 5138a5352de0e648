import t from 'tap'
import { buildApp } from '../../app.js'
import { connect } from '../../store/driver/connect.js'
import { createFirstAdmin } from '../../store/users.js'
import { testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { PASSWORD } from '../harness/people.js'
import { eventually } from '../../tools/harness/eventually.js'
import { listen } from '../harness/watcher.js'

t.test('a sign-in that fails after its request has timed out logs no error', async (t) => {
  const lines: string[] = []
  const config = testConfig(await createDatabase(t), { LOG_LEVEL: 'debug' })
  const app = await buildApp(config, { write: (line) => void lines.push(line) })
  t.teardown(() => app.close())
  await app.ready()
  await createFirstAdmin(app.db, 'admin', PASSWORD)

  const blocker = connect(config.DATABASE_URL, 1)
  t.teardown(() => blocker.end({ timeout: 1 }))
  await blocker.unsafe('begin; lock table users in access exclusive mode')
  const response = await fetch(`${await listen(app)}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: PASSWORD }),
  })
  t.equal(response.status, 503)
  t.match(await response.json(), { error: 'overloaded' })

  await blocker`
    select pg_terminate_backend(pid)
      from pg_stat_activity
     where datname = current_database()
       and wait_event_type = 'Lock'
  `
  await eventually('the handler to fail', () =>
    lines.some((line) => line.includes('failed after its request had timed out')),
  )
  t.strictSame(
    lines.filter((line) => line.includes('"level":50')),
    [],
  )
})
