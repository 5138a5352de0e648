import t from 'tap'
import { connect } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { eventually } from '../../tools/harness/eventually.js'

t.test('an instance announces its commits unless it knows that it is alone', async (t) => {
  const databaseUrl = await createDatabase(t)
  const sql = connect(databaseUrl, 2)
  t.teardown(() => sql.end())
  let heard: string[] = []
  await sql.listen('silo_events', (instance) => heard.push(instance))
  // An instance that cannot write to this table does not learn which others exist.
  const blocker = connect(databaseUrl, 1)
  t.teardown(() => blocker.end({ timeout: 1 }))
  await blocker.unsafe('begin; lock table instances in exclusive mode')

  const app = await startApp(t, { databaseUrl })
  const authorization = `Bearer ${await createToken(sql, 'editor')}`
  const create = async (part_number: string) => {
    const request = { url: '/api/items', headers: { authorization }, payload: { part_number } }
    t.equal((await app.inject({ method: 'POST', ...request })).statusCode, 201)
  }
  await eventually('the greeting', () => heard.length === 1)
  await create('A01-0001')
  await eventually('the announcement of an instance that knows of no other yet', () => heard.length === 2)
  t.equal(app.instances.others, undefined)

  await blocker`commit`
  await eventually('it to see that it is alone', () => app.instances.others?.instances === 0)
  heard = []
  await create('A01-0002')
  await eventually('the event to leave', () => app.sse.head.split('-')[1] === '2')
  await sql.notify('silo_events', '')
  await eventually('what was announced before', () => heard.includes(''))
  t.strictSame(heard, [''])

  heard = []
  await startApp(t, { databaseUrl })
  await eventually('the greeting of another', () => heard.length === 1)
  await create('A01-0003')
  await eventually('the announcement', () => heard.length === 2)
  t.not(heard[1], heard[0])
})
