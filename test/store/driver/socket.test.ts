import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { within } from '../../../lib/deadline.js'
import { type Sql, connect } from '../../../store/driver/connect.js'
import { createDatabase } from '../../harness/database.js'
import { eventually } from '../../../tools/harness/eventually.js'
import { TcpProxy } from '../../harness/tcp-proxy.js'

const works = async (t: Test, sql: Sql, message: string) =>
  t.strictSame([...(await within(5000, sql`select 1 as one`))], [{ one: 1 }], message)

// Without TLS the proxy closes the connection after the startup message, with it after the request for TLS.
for (const sslmode of ['prefer', 'disable']) {
  t.test(`with sslmode=${sslmode} a connection works after failed attempts to open it`, async (t) => {
    const database = await createDatabase(t)
    const proxy = await TcpProxy.open(t, database)
    const url = new URL(proxy.through(database))
    url.searchParams.set('sslmode', sslmode)
    for (const failures of [1, 3]) {
      const sql = connect(url.href, 1)
      t.teardown(() => sql.end({ timeout: 0 }))
      for (const state of ['not opened yet', 'open before']) {
        proxy.refuse()
        const before = proxy.refused
        for (let i = 0; i < failures; i++)
          await t.rejects(within(5000, sql`select 1`), { code: 'CONNECTION_CLOSED' }, state)
        t.ok(proxy.refused - before <= failures, 'one connection attempt a query')
        proxy.heal()
        await works(t, sql, state)
      }
    }
  })
}

t.test('a connection works again if it was lost while the driver buffered a message', async (t) => {
  const url = await createDatabase(t)
  const proxy = await TcpProxy.open(t, url)
  const sql = connect(proxy.through(url), 1)
  t.teardown(() => sql.end({ timeout: 0 }))
  for (let round = 1; round <= 5; round++) {
    await works(t, sql, `round ${round}`)
    // The driver writes the query in the next immediate. Before that, the event loop handles the reset.
    await setImmediate()
    proxy.reset()
    await t.rejects(within(5000, sql`select 1`), { code: 'ECONNRESET' })
  }
  await works(t, sql, 'in the end')
})

t.test('a statement is cancelled, and its connection continues to work', async (t) => {
  const url = await createDatabase(t)
  const [sql, other] = [connect(url, 1), connect(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 0 }), other.end({ timeout: 0 })]))
  await works(t, sql, 'before')
  const query = sql`select pg_sleep(60)`
  const settled = t.rejects(within(5000, query), { code: '57014' })
  await eventually('the statement runs', async () => {
    const [row] = await other<{ running: number }[]>`
      select count(*)::int as running from pg_stat_activity
       where query like 'select pg_sleep(60)%' and datname = current_database() and state = 'active'
    `
    return row?.running === 1
  })
  query.cancel()
  await settled
  await works(t, sql, 'after')
})
