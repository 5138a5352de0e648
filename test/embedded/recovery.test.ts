import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { startEmbedded } from '../../embedded/postgres.js'
import { connect } from '../../store/driver/connect.js'
import { PASSWORD, bearer } from '../harness/people.js'
import { createDataDir, findPostmaster, isRunning, killPostmaster, startService } from '../harness/service.js'
import { eventually } from '../../tools/harness/eventually.js'
import { Watcher } from '../harness/watcher.js'

const silent = (): void => undefined

async function query({ url }: { url: string }, text: string): Promise<void> {
  const sql = connect(url, 1)
  try {
    await sql.unsafe(text)
  } finally {
    await sql.end()
  }
}

/** Signs in as the first admin. */
async function signIn(origin: string): Promise<{ token: string }> {
  const response = await fetch(`${origin}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: PASSWORD }),
  })
  return (await response.json()) as { token: string }
}

t.test('a server that was killed is restarted while streams stay open', async (t) => {
  const folder = await createDataDir(t)
  const service = startService(t, { SILO_DATA_DIR: folder, SILO_ADMIN_PASSWORD: PASSWORD })
  const origin = await service.url()
  const { token } = await signIn(origin)
  const watcher = await Watcher.open(t, origin, { token })
  await watcher.untilSeen('server.state')
  const modes = () => watcher.seen.filter(({ type }) => type === 'server.state').map(({ data }) => data.mode)
  for (let round = 0; round < 2; round++) {
    const before = await findPostmaster(folder)
    const count = modes().length
    await killPostmaster(folder)
    await eventually('degraded', () => modes().slice(count).includes('degraded'))
    await eventually('normal', () => modes().at(-1) === 'normal')
    t.not(await findPostmaster(folder), before)
  }
  const created = await fetch(`${origin}/api/items`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ part_number: 'A-1' }),
  })
  t.equal(created.status, 201)
  await watcher.untilEvents(1)
  t.equal(await service.kill('SIGTERM'), 0)
  t.equal(await findPostmaster(folder), undefined, 'the server has ended')
})

t.test('a server that ends repeatedly ends the service, with one sentence', async (t) => {
  const folder = await createDataDir(t)
  const service = startService(t, { SILO_DATA_DIR: folder })
  await service.url()
  while (service.running) {
    const pid = await findPostmaster(folder)
    if (pid !== undefined && isRunning(pid)) process.kill(pid, 'SIGKILL')
    await eventually(
      'a server, or the end',
      async () => !service.running || (await findPostmaster(folder)) !== pid,
    )
  }
  t.equal(await service.exit(), 1)
  t.match(
    service.stderr,
    /silo: (the embedded PostgreSQL ended 5 times within 300 s|PostgreSQL failed to start); see .*\.log/,
  )
})

/**
 * Starts a server on `port` that sends `request` to authenticate its client.
 * @returns its port, and the bytes it has received
 */
async function startImpostor(
  t: Test,
  port: number,
  request: Buffer,
): Promise<{ port: number; received: () => string }> {
  let received = ''
  const server = createServer((socket) => {
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
      // Respond to the startup message, which begins with its length, not to a password message, which begins
      // with "p".
      if (bytes[0] === 0) socket.write(request)
    })
    socket.on('error', () => undefined)
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, received: () => received }
}

/**
 * Builds an authentication request of the PostgreSQL protocol: the message type, its length and the method's
 * number.
 */
const requestFor = (method: number, ...more: number[]): Buffer =>
  Buffer.from([0x52, 0, 0, 0, 8 + more.length, 0, 0, 0, method, ...more])

t.test('a process that takes the TCP port of a killed server learns no password', async (t) => {
  const folder = await createDataDir(t)
  const embedded = await startEmbedded(folder, silent, { network: true })
  const { port, password } = new URL(embedded.url)
  t.ok(password.length >= 32)
  const seize = async () => {
    await killPostmaster(folder)
    // The restarted server may have been faster, and have its port again.
    return startImpostor(t, Number(port), requestFor(3)).catch(() => undefined)
  }
  const impostor = await eventually('the port', seize)
  await t.rejects(query(embedded, 'select 1'))
  await t.rejects(embedded.failed, {
    name: 'StartError',
    message: /PostgreSQL failed to start; see the end of/,
  })
  t.ok(impostor.received().includes('silo'), 'it received the startup message')
  t.notOk(impostor.received().includes(password))
  t.notOk(impostor.received().includes('p\0\0'), 'and no password message')
  await embedded.stop()
})

t.test(
  'a server that requests the password in clear text or as MD5, or no authentication, is refused',
  async (t) => {
    for (const [method, salt] of [
      [3, []],
      [5, [1, 2, 3, 4]],
      [0, []],
    ] as const) {
      const { port, received } = await startImpostor(t, 0, requestFor(method, ...salt))
      const parameters = 'require_auth=scram-sha-256&sslmode=disable'
      const url = `postgres://silo:secret-of-silo@127.0.0.1:${port}/silo?${parameters}`
      await t.rejects(query({ url }, 'select 1'), { code: 'AUTH_METHOD_REFUSED' }, `method ${method}`)
      t.notOk(received().includes('p\0\0'), 'nothing more is sent to it')
    }
  },
)
