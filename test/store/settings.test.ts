import t from 'tap'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { openPool } from '../../store/driver/pool.js'
import { startApp } from '../harness/app.js'
import { clientAs } from '../harness/client.js'
import { createOwnedDatabase } from '../harness/owned-database.js'
import { eventually } from '../../tools/harness/eventually.js'

/**
 * What an administrator may have set for other clients of the database, and the value that the service needs.
 */
const HOSTILE: [name: string, set: string, needed: string][] = [
  ['DateStyle', 'SQL, DMY', 'ISO, MDY'],
  ['IntervalStyle', 'iso_8601', 'postgres'],
  ['TimeZone', 'Asia/Kathmandu', 'UTC'],
  ['bytea_output', 'escape', 'hex'],
  ['extra_float_digits', '-15', '1'],
  ['client_encoding', 'LATIN1', 'UTF8'],
  ['array_nulls', 'off', 'on'],
  ['transform_null_equals', 'on', 'off'],
  ['default_transaction_isolation', 'serializable', 'read committed'],
  ['default_transaction_deferrable', 'on', 'off'],
  ['gin_fuzzy_search_limit', '1', '0'],
  ['statement_timeout', '1h', '0'],
  ['lock_timeout', '1', '0'],
  ['idle_in_transaction_session_timeout', '1', '0'],
  ['idle_session_timeout', '1h', '0'],
  ['exit_on_error', 'on', 'off'],
  ['synchronous_commit', 'off', 'on'],
]

const settingOf = async (sql: ReturnType<typeof connect>, name: string) => {
  const [row] = await sql<{ value: string }[]>`select pg_catalog.current_setting(${name}) as value`
  return row?.value
}

t.test(
  'a connection has the settings that the service relies on, whatever is set for the role',
  async (t) => {
    const database = await createOwnedDatabase(t)
    const { name, owner, administer, terminate } = database
    for (const [setting, value] of HOSTILE) {
      await administer(`alter role ${name} in database ${name} set ${setting} = '${value}'`)
    }
    const sql = openPool(owner, 2)
    t.teardown(() => sql.end({ timeout: 1 }))
    for (const [setting, , needed] of HOSTILE) t.equal(await settingOf(sql, setting), needed, setting)

    await terminate()
    await eventually(
      'the next connection',
      async () => (await settingOf(sql, 'DateStyle').catch(() => '')) !== '',
    )
    t.equal(await settingOf(sql, 'DateStyle'), 'ISO, MDY', 'also after a reconnect')
  },
)

t.test(
  'settings that affect only speed, and stronger guarantees, are left to the administrator',
  async (t) => {
    const { name, owner, administer } = await createOwnedDatabase(t)
    const kept = {
      work_mem: '8MB',
      jit: 'off',
      synchronous_commit: 'remote_write',
      default_transaction_read_only: 'on',
    }
    for (const [setting, value] of Object.entries(kept)) {
      await administer(`alter role ${name} in database ${name} set ${setting} = '${value}'`)
    }
    const sql = connect(owner, 1, { settings: { lock_timeout: '7s' } })
    t.teardown(() => sql.end())
    for (const [setting, value] of Object.entries(kept))
      t.equal(await settingOf(sql, setting), value, setting)
    t.equal(await settingOf(sql, 'lock_timeout'), '7s', 'settings of one pool are added to them')
  },
)

t.test('every pool has a statement timeout in the server, in case a statement is not canceled', async (t) => {
  const app = await startApp(t)
  const pools = { db: app.db, feedDb: app.feedDb, accessDb: app.accessDb, pulseDb: app.pulseDb }
  for (const [name, sql] of Object.entries(pools))
    t.equal(await settingOf(sql, 'statement_timeout'), '1min', name)
  const lists = await app.listDb.run(new AbortController().signal, (sql) =>
    settingOf(sql, 'statement_timeout'),
  )
  t.equal(lists, '1min', 'listDb')
  t.equal(await settingOf(app.importDb, 'statement_timeout'), '11min', 'an import may take ten minutes')
})

t.test('a role under which no trigger would write the log is refused', async (t) => {
  const { name, owner, administer } = await createOwnedDatabase(t)
  await administer(`alter role ${name} in database ${name} set session_replication_role = 'replica'`)
  const sql = connect(owner, 1)
  t.teardown(() => sql.end())
  await t.rejects(sql`select 1`, {
    code: '42501',
    message: 'permission denied to set parameter "session_replication_role"',
  })
})

t.test(
  'times and concurrent changes are correct under the hostile settings of an administrator',
  async (t) => {
    const { name, owner, administer, superuser } = await createOwnedDatabase(t)
    for (const [setting, value] of HOSTILE) {
      await administer(`alter role ${name} in database ${name} set ${setting} = '${value}'`)
      await administer(`alter database ${name} set ${setting} = '${value}'`)
    }
    const app = await startApp(t, { databaseUrl: owner })
    const send = await clientAs(app, 'editor')
    const before = Date.now()
    const created = await send('POST', '/api/items', { payload: { part_number: 'A-1' } })
    t.equal(created.statusCode, 201, created.body)
    const at = Date.parse(created.json<{ created_at: string }>().created_at)
    t.ok(at >= before - 5000 && at <= Date.now() + 5000, 'the time of creation is now')

    const puts = Array.from({ length: 10 }, (_, i) =>
      send('PUT', '/api/items/A-1', { payload: { description: `change ${i}` } }),
    )
    t.strictSame([...new Set((await Promise.all(puts)).map(({ statusCode }) => statusCode))], [200])

    // A client like psql, with the same settings and none of the service's.
    const { default: postgres } = await import('postgres')
    const clerk = postgres(superuser, { max: 1, onnotice: () => undefined })
    t.teardown(() => clerk.end())
    t.match(await clerk`show DateStyle`, [{ DateStyle: 'SQL, DMY' }])
    await clerk`insert into items (part_number, properties) values ('B-1', '{"mass": 1.25}')`
    const { items } = (await send('GET', '/api/items?search=B-1')).json<{ items: { created_at: string }[] }>()
    t.ok(Math.abs(Date.parse(items[0]?.created_at ?? '') - Date.now()) < 60_000)
    const [event] = await app.db<
      { data: { at: string } }[]
    >`select data from events where part_number = 'B-1'`
    t.equal(event?.data.at, items[0]?.created_at, 'the event has the same time as the item')
  },
)

t.test('concurrent migrations do not depend on the default isolation level', async (t) => {
  const { name, owner, administer } = await createOwnedDatabase(t)
  await administer(`alter database ${name} set default_transaction_isolation = 'serializable'`)
  const pools = Array.from({ length: 3 }, () => connect(owner, 1))
  t.teardown(() => Promise.all(pools.map((sql) => sql.end())))
  await Promise.all(pools.map((sql) => migrate(sql)))
  const applied = await pools[0]?.unsafe('select name from schema_migrations order by version')
  t.match(applied?.[0], { name: '001-schema.sql' })
})
