import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { connect } from '../store/driver/connect.js'
import { createFirstAdmin } from '../store/users.js'
import { createToken, startApp, testConfig } from './harness/app.js'
import { buildApp } from '../app.js'
import { createOwnedDatabase } from './harness/owned-database.js'
import { PASSWORD, bearer } from './harness/people.js'
import { serverUrl } from './harness/database.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher, listen } from './harness/watcher.js'

const execute = promisify(execFile)

/** The maximum time from a change of the database until the service reports it, in ms. */
const NOTICE_MS = 2000

const modesOf = (watcher: Watcher) =>
  watcher.seen.filter(({ type }) => type === 'server.state').map(({ data }) => data.mode)

/** Asserts that every write is refused as read-only, and that every read is served. */
async function demandReadOnly(t: Test, app: FastifyInstance, token: string, reason: RegExp): Promise<void> {
  const headers = bearer(token)
  const writes = [
    ['POST', '/api/items', { part_number: `N-${randomBytes(4).toString('hex')}` }],
    ['PUT', '/api/items/A-1', { description: 'changed' }],
    ['DELETE', '/api/items/A-1', undefined],
    ['POST', '/api/auth/login', { username: 'admin', password: PASSWORD }],
    ['POST', '/api/auth/tokens', { name: 'x' }],
    ['POST', '/api/users', { username: 'lena', password: PASSWORD, role: 'viewer' }],
    ['PUT', '/api/server/mode', { mode: 'normal' }],
  ] as const
  for (const [method, url, payload] of writes) {
    const sent = url === '/api/auth/login' ? {} : headers
    const response = await app.inject({ method, url, headers: sent, ...(payload && { payload }) })
    t.equal(response.statusCode, 503, `${method} ${url}: ${response.body}`)
    t.match(response.json(), { error: 'server_read_only', message: reason }, url)
    t.ok(response.headers['retry-after'])
  }
  for (const url of [
    '/api/items',
    '/api/items/A-1',
    '/api/items/A-1/revisions',
    '/api/auth/me',
    '/api/users',
  ]) {
    const response = await app.inject({ url, headers })
    t.equal(response.statusCode, 200, `${url}: ${response.body}`)
  }
  const ready = await app.inject('/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json(), { status: 'ok', mode: 'read-only', database: 'read-only' })
}

/** Starts an application on the database, with an item, an admin and a subscriber. `lines` is its log. */
async function open(t: Test, databaseUrl: string) {
  const lines: string[] = []
  const app = await buildApp(testConfig(databaseUrl, { LOG_LEVEL: 'warn' }), {
    write: (line) => void lines.push(line),
  })
  t.teardown(() => app.close())
  await app.ready()
  await createFirstAdmin(app.db, 'admin', PASSWORD)
  const token = await createToken(app.db, 'admin')
  await app.inject({
    method: 'POST',
    url: '/api/items',
    headers: bearer(token),
    payload: { part_number: 'A-1' },
  })
  const watcher = await Watcher.open(t, await listen(app), { token })
  await watcher.untilSeen('server.state')
  return { app, token, watcher, lines }
}

t.test('a database that becomes read-only, or writable again, is noticed within two seconds', async (t) => {
  const { name, owner, superuser, administer, terminate } = await createOwnedDatabase(t)
  const { app, token, watcher, lines } = await open(t, owner)
  await administer(`alter database ${name} set default_transaction_read_only = on`)
  await terminate()
  await eventually('the stream says so', () => modesOf(watcher).at(-1) === 'read-only', {
    timeoutMs: NOTICE_MS,
  })
  await demandReadOnly(t, app, token, /^The database (was made read-only|accepts no writes)/)

  // The writes of a role that can still write are in the feed as before.
  const operator = connect(superuser, 1, { settings: { default_transaction_read_only: 'off' } })
  t.teardown(() => operator.end())
  await operator`insert into items (part_number) values ('OP-1')`
  await eventually('the event of the operator', () =>
    watcher.events.some(({ data }) => data.part_number === 'OP-1'),
  )

  const began = lines.length
  for (let pulse = 0; pulse < 5; pulse++) await app.pulse()
  t.strictSame(lines.slice(began), [], 'nothing is logged again while it lasts')

  // Open connections keep the setting with which they were opened, since they are not terminated.
  await administer(`alter database ${name} reset default_transaction_read_only`)
  await eventually('the stream says so', () => modesOf(watcher).at(-1) === 'normal', { timeoutMs: NOTICE_MS })
  const created = await app.inject({
    method: 'POST',
    url: '/api/items',
    headers: bearer(token),
    payload: { part_number: 'A-2' },
  })
  t.equal(created.statusCode, 201, created.body)
  await eventually('its event', () => watcher.events.some(({ data }) => data.part_number === 'A-2'))
  t.notOk(lines.some((line) => line.includes('"level":50') && !line.includes('accepts no writes')))
})

t.test('a write that fails as read-only sets the mode to read-only', async (t) => {
  const { name, owner, administer } = await createOwnedDatabase(t)
  const { app, token, watcher } = await open(t, owner)
  await administer(`alter database ${name} set default_transaction_read_only = on`)
  // Only the connections of requests are opened again. The connection of the pulse does not notice.
  await administer(`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' 
       and query not like '%generate_series%' and query not like '%server_settings%'
  `)
  const create = () =>
    app.inject({
      method: 'POST',
      url: '/api/items',
      headers: bearer(token),
      payload: { part_number: `N-${randomBytes(4).toString('hex')}` },
    })
  await eventually('a write is refused', async () => (await create()).body.includes('server_read_only'))
  await eventually('the stream says so', () => modesOf(watcher).at(-1) === 'read-only', {
    timeoutMs: NOTICE_MS,
  })
  t.equal(app.mode.current, 'read-only')
})

t.test(
  'connections that were opened while the database was read-only do not refuse writes after it',
  async (t) => {
    const { name, owner, administer } = await createOwnedDatabase(t)
    const { app, token } = await open(t, owner)
    // Only the connections of requests are opened while the database is read-only, so the pulse does not
    // notice.
    await administer(`
    alter database ${name} set default_transaction_read_only = on;
    select pg_terminate_backend(pid) from pg_stat_activity
     where datname = '${name}' and query not like '%server_settings%' and query not like '%generate_series%'
  `)
    const read = () => app.inject({ url: '/api/items/A-1', headers: bearer(token) })
    await eventually('a read', async () => (await read()).statusCode === 200)
    await Promise.all(Array.from({ length: 50 }, read))
    await administer(`alter database ${name} reset default_transaction_read_only`)
    const change = () =>
      app.inject({
        method: 'PUT',
        url: '/api/items/A-1',
        headers: bearer(token),
        payload: { description: randomBytes(4).toString('hex') },
      })
    t.match(
      (await change()).json(),
      { error: 'server_read_only' },
      'the connections still have the old setting',
    )
    await eventually('a write is taken', async () => (await change()).statusCode === 200)
    t.equal(app.mode.current, 'normal')
  },
)

t.test('a service that is started on a read-only database serves reads', async (t) => {
  const { name, owner, administer, terminate } = await createOwnedDatabase(t)
  const { app: first, token } = await open(t, owner)
  await first.close()
  await administer(`alter database ${name} set default_transaction_read_only = on`)
  await terminate()
  const app = await startApp(t, { databaseUrl: owner })
  await demandReadOnly(t, app, token, /^The database (was made read-only|accepts no writes)/)
})

const mount = (folder: string) =>
  execute('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=755', 'tmpfs', folder])

/** Returns why no disk can be mounted here, or false if one can. */
async function whyNoDisk(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'only root can mount a disk'
  const folder = await mkdtemp(join(tmpdir(), 'silo-disk-'))
  try {
    await mount(folder)
    await execute('umount', [folder])
    return false
  } catch {
    return 'no disk can be mounted here, not even by root'
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Mounts a disk of 32 MB, as a tablespace of the server. */
async function mountDisk(t: Test): Promise<{ folder: string; tablespace: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-disk-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await mount(folder)
  t.teardown(() => execute('umount', [folder]))
  const admin = connect(serverUrl(), 1)
  const [server] = await admin<{ data: string }[]>`select current_setting('data_directory') as data`
  const { uid, gid } = await stat(server?.data ?? '')
  const space = join(folder, 'space')
  await execute('mkdir', [space])
  await chown(space, uid, gid)
  const tablespace = `silo_disk_${randomBytes(4).toString('hex')}`
  await admin.unsafe(`create tablespace ${tablespace} location '${space}'`)
  t.teardown(async () => {
    await admin.unsafe(`drop tablespace ${tablespace}`)
    await admin.end()
  })
  return { folder, tablespace }
}

t.test('while its disk is full the database counts as read-only', { skip: await whyNoDisk() }, async (t) => {
  const disk = await mountDisk(t)
  const { owner } = await createOwnedDatabase(t, `tablespace ${disk.tablespace}`)
  const { app, token, watcher } = await open(t, owner)
  const filling = join(disk.folder, 'filling')
  await writeFile(filling, Buffer.alloc(64 * 1024 * 1024)).catch(() => undefined)
  await eventually('the stream says so', () => modesOf(watcher).at(-1) === 'read-only', {
    timeoutMs: NOTICE_MS,
  })
  const ready = await app.inject('/ready')
  t.match(ready.json(), { mode: 'read-only', database: 'read-only' })
  const headers = bearer(token)
  const refused = await app.inject({
    method: 'POST',
    url: '/api/items',
    headers,
    payload: { part_number: 'B-1' },
  })
  t.equal(refused.statusCode, 503)
  t.match(refused.json(), { error: 'server_read_only', message: "The database's disk is full." })
  t.equal((await app.inject({ url: '/api/items/A-1', headers })).statusCode, 200)

  await rm(filling)
  await eventually('the stream says so', () => modesOf(watcher).at(-1) === 'normal', { timeoutMs: NOTICE_MS })
  const created = await app.inject({
    method: 'POST',
    url: '/api/items',
    headers,
    payload: { part_number: 'B-1' },
  })
  t.equal(created.statusCode, 201, created.body)
})
