import t from 'tap'
import { connect } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { eventually } from '../../tools/harness/eventually.js'

t.test('an instance announces each commit with its id, also while there is no other instance', async (t) => {
  const databaseUrl = await createDatabase(t)
  const sql = connect(databaseUrl, 2)
  t.teardown(() => sql.end())
  const senders: string[] = []
  await sql.listen('silo_events', (instance) => senders.push(instance))
  const authorization = `Bearer ${await createToken(sql, 'editor')}`

  const first = await startApp(t, { databaseUrl })
  await eventually('its first report', () => first.instances.others?.instances === 0)
  const second = await startApp(t, { databaseUrl })
  for (const [n, app] of [first, first, second].entries()) {
    const payload = { part_number: `A01-000${n}` }
    const res = await app.inject({ method: 'POST', url: '/api/items', headers: { authorization }, payload })
    t.equal(res.statusCode, 201)
    await eventually('the announcement', () => senders.length === n + 1)
  }
  t.equal(senders[1], senders[0])
  t.not(senders[2], senders[0])
  t.notOk(senders.includes(''))
})
