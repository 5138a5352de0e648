import t from 'tap'
import { within } from '../../../lib/deadline.js'
import { connect } from '../../../store/driver/connect.js'
import { createDatabase } from '../../harness/database.js'
import { TcpProxy } from '../../harness/tcp-proxy.js'

// Without TLS the server closes the connection after the startup message, with it after the request for TLS.
for (const sslmode of ['prefer', 'disable']) {
  t.test(`with sslmode=${sslmode} a connection works after failed attempts to open it`, async (t) => {
    const database = await createDatabase(t)
    const proxy = await TcpProxy.open(t, database)
    const url = new URL(proxy.through(database))
    url.searchParams.set('sslmode', sslmode)
    const isReady = async (sql: ReturnType<typeof connect>) =>
      t.strictSame([...(await within(5000, sql`select 1 as one`))], [{ one: 1 }])
    for (let failures = 1; failures <= 4; failures++) {
      const sql = connect(url.href, 1)
      t.teardown(() => sql.end({ timeout: 0 }))
      for (const state of ['not opened yet', 'open before']) {
        proxy.refuse()
        for (let i = 0; i < failures; i++)
          await t.rejects(within(5000, sql`select 1`), { code: 'CONNECTION_CLOSED' }, state)
        proxy.heal()
        await isReady(sql)
      }
    }
  })
}
