import t from 'tap'
import { connect } from '../store/driver/connect.js'
import { createFirstAdmin } from '../store/users.js'
import { startApp } from './harness/app.js'
import { clientAs } from './harness/client.js'
import { createOwnedDatabase } from './harness/owned-database.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher, listen } from './harness/watcher.js'

t.test('the whole service runs as a database user whose only right is to own its database', async (t) => {
  const { owner, superuser } = await createOwnedDatabase(t)
  const [app, other] = [
    await startApp(t, { databaseUrl: owner, EVENT_RETENTION_HOURS: 1 / 3600 }),
    await startApp(t, { databaseUrl: owner }),
  ]
  const rights = await app.db<Record<string, boolean>[]>`
    select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
           exists (select from pg_auth_members where member = pg_roles.oid) as member
      from pg_roles
     where rolname = current_user
  `
  t.strictSame([...rights.map((row) => Object.values(row))], [Array<boolean>(6).fill(false)])
  t.match(await createFirstAdmin(app.db, 'admin', undefined), { username: 'admin' })

  const send = await clientAs(app, 'editor', 'mara')
  const { token } = (await send('POST', '/api/auth/tokens', { payload: { name: 'x' } })).json<{
    token: string
  }>()
  const watcher = await Watcher.open(t, await listen(other), { token })
  await watcher.untilSeen('server.state')
  t.match(other.sse.head, /^[0-9a-f]{8}-0-00000000$/, 'the epoch is known')
  const csv = { headers: { 'content-type': 'text/csv' }, payload: 'part_number,description\nA,Bracket\n' }
  t.equal((await send('POST', '/api/items/import', csv)).statusCode, 200)
  t.match((await send('GET', '/api/items?search=brack')).json(), { items: [{ part_number: 'A' }] })
  await watcher.untilEvents(1)

  // An open transaction of another role that has drawn an id: whether it can still write is read from
  // pg_locks.
  const stranger = connect(superuser, 1)
  t.teardown(() => stranger.end())
  await stranger.unsafe("begin; insert into items (part_number) values ('B'); set constraints all immediate")
  t.equal((await send('POST', '/api/items', { payload: { part_number: 'C' } })).statusCode, 201)
  await eventually('the tail waits for the other transaction', () => other.sse.lagMs > 0)
  t.equal(watcher.events.length, 1)
  await stranger.unsafe('commit')
  await watcher.untilEvents(3)
  t.strictSame(
    watcher.events.map(({ data }) => [data.part_number, data.actor]),
    [
      ['A', 'mara'],
      ['B', 'postgres'],
      ['C', 'mara'],
    ],
  )

  await eventually('old events are deleted', async () => (await app.db`select from events`).length === 0)
})
