import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../tools/harness/ports.js'
import { createToken, startApp } from './harness/app.js'
import { clientAs } from './harness/client.js'
import { needs } from './harness/needs.js'
import { createOwnedDatabase } from './harness/owned-database.js'
import { startService } from './harness/service.js'
import { Watcher, listen } from './harness/watcher.js'
import { eventually } from '../tools/harness/eventually.js'

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/**
 * Starts PgBouncer in front of the server of `url`, without settings for the service.
 * @returns the address through it
 */
async function startPooler(t: Test, url: string, mode: 'session' | 'transaction'): Promise<string> {
  const { hostname, port, username, password, pathname } = new URL(url)
  const folder = await mkdtemp(join(tmpdir(), 'silo-pooler-'))
  const file = join(folder, 'pooler.ini')
  const ownPort = await freePort()
  await writeFile(
    file,
    `[databases]
${pathname.slice(1)} = host=${hostname} port=${port} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${ownPort}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = 40
`,
  )
  await chmod(folder, 0o755)
  await chmod(file, 0o644)
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const pooler = spawn('pgbouncer', ['-q', file], { ...asNobody, stdio: 'ignore' })
  t.teardown(async () => {
    if (pooler.exitCode === null && pooler.signalCode === null) {
      pooler.kill('SIGKILL')
      await once(pooler, 'exit')
    }
    await rm(folder, { recursive: true })
  })
  const through = `postgres://${username}@127.0.0.1:${ownPort}${pathname}`
  await eventually('the pooler', () => takesConnections(ownPort))
  return through
}

t.test('a pooler in session mode needs no settings for the service', needs('pgbouncer'), async (t) => {
  const { name, owner, administer } = await createOwnedDatabase(t)
  await administer(`alter database ${name} set datestyle = 'SQL, DMY'`)
  await administer(`alter database ${name} set default_transaction_isolation = 'serializable'`)
  const app = await startApp(t, { databaseUrl: await startPooler(t, owner, 'session') })
  const send = await clientAs(app, 'editor')
  const watcher = await Watcher.open(t, await listen(app), { token: await createToken(app.db, 'viewer') })
  const created = await send('POST', '/api/items', { payload: { part_number: 'A-1' } })
  const at = Date.parse(created.json<{ created_at: string }>().created_at)
  t.ok(Math.abs(at - Date.now()) < 60_000)
  const puts = Array.from({ length: 10 }, (_, i) =>
    send('PUT', '/api/items/A-1', { payload: { description: `change ${i}` } }),
  )
  t.strictSame([...new Set((await Promise.all(puts)).map(({ statusCode }) => statusCode))], [200])
  await watcher.untilEvents(21)
})

t.test('a pooler in transaction mode is refused at the start', needs('pgbouncer'), async (t) => {
  const { owner } = await createOwnedDatabase(t)
  const DATABASE_URL = await startPooler(t, owner, 'transaction')
  const service = startService(t, { DATABASE_URL, JWT_SECRET: randomBytes(32).toString('base64url') })
  t.equal(await service.exit(), 1)
  t.match(service.stderr, /^silo: DATABASE_URL leads to a pooler in transaction mode, .*\n$/)
})
