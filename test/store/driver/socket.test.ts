import t from 'tap'
import { within } from '../../../lib/deadline.js'
import { connect } from '../../../store/driver/connect.js'
import { createDatabase } from '../../harness/database.js'
import { TcpProxy } from '../../harness/tcp-proxy.js'

t.test('a connection works after failed attempts to open it', async (t) => {
  const url = await createDatabase(t)
  const proxy = await TcpProxy.open(t, url)
  for (let failures = 1; failures <= 4; failures++) {
    const sql = connect(proxy.through(url), 1)
    t.teardown(() => sql.end({ timeout: 0 }))
    for (const state of ['not opened yet', 'open before']) {
      proxy.refuse()
      for (let i = 0; i < failures; i++)
        await t.rejects(within(5000, sql`select 1`), { code: 'CONNECTION_CLOSED' }, state)
      proxy.heal()
      t.strictSame([...(await within(5000, sql`select 1 as one`))], [{ one: 1 }], state)
    }
  }
})
