import { once } from 'node:events'
import { type AddressInfo, type Server, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { freePort } from '../tools/harness/ports.js'
import { createDatabase } from './harness/database.js'
import { startService } from './harness/service.js'
import { eventually } from '../tools/harness/eventually.js'

const JWT_SECRET = 'a secret for tests, long enough to be one'

/** Returns the address with these hosts in place of its own. */
function withHosts(url: string, ...hosts: string[]): string {
  const { username, password, pathname } = new URL(url)
  return `postgres://${username}:${password}@${hosts.join(',')}${pathname}`
}

/**
 * Starts a server that accepts connections and sends nothing.
 * @returns its host, and the number of connections it has accepted
 */
async function silentServer(t: Test): Promise<{ host: string; taken: () => number }> {
  let taken = 0
  const server: Server = createServer((socket) => {
    taken++
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, taken: () => taken }
}

t.test('of several hosts the service uses the one that responds', async (t) => {
  const url = await createDatabase(t)
  const { host } = new URL(url)
  for (const others of [[`127.0.0.1:${await freePort()}`], [(await silentServer(t)).host]]) {
    const service = startService(t, { DATABASE_URL: withHosts(url, ...others, host), JWT_SECRET })
    const address = await service.url()
    t.equal((await fetch(`${address}/ready`)).status, 200, others.join())
    t.equal(await service.kill('SIGTERM'), 0)
    t.equal(service.stderr, '')
  }
})

t.test('a start that reaches no database says so once, and ends at once on SIGTERM', async (t) => {
  const url = await createDatabase(t)
  const dead = `127.0.0.1:${await freePort()}`
  for (const hosts of [[dead], ['silent'], [dead, 'silent'], [dead, dead]]) {
    const { host: silent, taken } = await silentServer(t)
    const members = hosts.map((host) => (host === 'silent' ? silent : host))
    const service = startService(t, { DATABASE_URL: withHosts(url, ...members), JWT_SECRET })
    if (hosts.every((host) => host === dead)) {
      await eventually('the line that says why', () => service.stderr.includes('waiting for the database'))
      t.match(
        service.stderr,
        new RegExp(`^silo: waiting for the database at ${hosts.join(', ')}: .*ECONNREFUSED`),
      )
    } else {
      await eventually('the service to connect', () => taken() > 0)
    }
    const began = performance.now()
    t.equal(await service.kill('SIGTERM'), 0, hosts.join())
    t.ok(performance.now() - began < 3000, 'at once')
    t.notMatch(service.stderr, /^ +at /m, 'no stack')
    t.notOk(service.stderr.includes(new URL(url).password))
  }
})

t.test('a start that reaches no database ends after 30 s, with one sentence', async (t) => {
  const url = await createDatabase(t)
  const [dead, silent] = [`127.0.0.1:${await freePort()}`, (await silentServer(t)).host]
  const starts = [[dead], [silent], [dead, silent]].map(async (hosts) => {
    const service = startService(t, { DATABASE_URL: withHosts(url, ...hosts), JWT_SECRET })
    const began = performance.now()
    t.equal(await service.exit(), 1, hosts.join())
    // The process itself needs some seconds to start on a busy machine.
    t.ok(performance.now() - began < 60_000)
    const lines = service.stderr.trim().split('\n')
    t.equal(lines.length, 2, service.stderr)
    t.ok(
      lines[1]?.startsWith(`silo: no connection to the database at ${hosts.join(', ')} within 30 s: `),
      service.stderr,
    )
  })
  await Promise.all(starts)
})

t.test(
  'a permanent refusal by the server ends the start at once, with one sentence and without the password',
  async (t) => {
    const url = await createDatabase(t)
    const wrong = (change: (url: URL) => void) => {
      const changed = new URL(url)
      change(changed)
      return changed.href
    }
    const rejected = (why: string) =>
      new RegExp(`^silo: the database at [\\d.:]+ rejected the connection: ${why}$`, 'm')
    const cases: [string, RegExp][] = [
      [
        wrong((url) => (url.password = 'hunter2')),
        rejected('password authentication failed for user "\\w+"'),
      ],
      [wrong((url) => (url.pathname = '/nowhere')), rejected('database "nowhere" does not exist')],
      [
        wrong((url) => (url.search = 'sslmode=require')),
        rejected('the server does not support TLS, which sslmode requires'),
      ],
      [
        wrong((url) => (url.search = 'require_auth=md5')),
        rejected('the server requests "scram-sha-256", which require_auth does not accept'),
      ],
      [
        wrong((url) => (url.search = 'target_session_attributes=any')),
        /^silo: DATABASE_URL: the parameter target_session_attributes is not supported: accepted are /m,
      ],
      [
        wrong((url) => (url.search = 'sslmode=verify-ca&sslrootcert=/nowhere/ca.pem')),
        /^silo: sslrootcert of DATABASE_URL names a file that can't be read \(ENOENT\): \/nowhere\/ca\.pem$/m,
      ],
    ]
    for (const [DATABASE_URL, message] of cases) {
      const service = startService(t, { DATABASE_URL, JWT_SECRET })
      t.equal(await service.exit(), 1)
      t.match(service.stderr, message)
      t.equal(service.stderr.trim().split('\n').length, 1, 'one sentence')
      t.notOk(service.stderr.includes('hunter2'))
    }
  },
)
