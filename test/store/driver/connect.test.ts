import t from 'tap'
import { connect } from '../../../store/driver/connect.js'
import { createDatabase } from '../../harness/database.js'
import { TcpProxy } from '../../harness/tcp-proxy.js'

t.test('a query that is sent while its connection is lost settles', async (t) => {
  const url = await createDatabase(t)
  const proxy = await TcpProxy.open(t, url)
  const sql = connect(proxy.through(url), 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`select 1`
  for (let round = 0; round < 5; round++) {
    const lost = sql`select pg_sleep(30)`.then(
      () => t.fail('the connection was not lost'),
      () => sql`select 'mended' as state`,
    )
    proxy.reset()
    const settled = await Promise.race([lost.catch(() => 'refused'), never(8000)])
    t.not(settled, 'never', 'settled')
    if (Array.isArray(settled)) t.strictSame([...settled], [{ state: 'mended' }], 'with its own rows')
  }
})

t.test('list parameters reach the database unchanged, whatever is in them', async (t) => {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  const hostile = ['', 'a,b', '{}', '"', '\\', 'null', "'", 'ü', '\n']
  const rows = await sql<{ value: string }[]>`select unnest(${hostile}::text[]) as value`
  t.strictSame(
    rows.map(({ value }) => value),
    hostile,
  )
})

t.test('a query with a list is repeated when its prepared statement is no longer valid', async (t) => {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  await sql.unsafe('create table things (name text)')
  const find = () => sql`select * from things where name = any(${['a', 'b']}::text[])`
  t.strictSame([...(await find())], [])
  await sql.unsafe("alter table things add number integer; insert into things values ('a', 1)")
  t.strictSame([...(await find())], [{ name: 'a', number: 1 }])
})

function never(ms: number): Promise<'never'> {
  return new Promise((resolve) => {
    AbortSignal.timeout(ms).addEventListener('abort', () => resolve('never'))
  })
}
