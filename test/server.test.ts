import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { freePort } from '../tools/harness/ports.js'
import { PASSWORD, bearer } from './harness/people.js'
import {
  type ServiceProcess,
  createDataDir,
  findPostmaster,
  isRunning,
  startService,
} from './harness/service.js'
import { Site } from './harness/site.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher } from './harness/watcher.js'

/** Parses what the first start prints. */
async function readWelcome(service: ServiceProcess) {
  const address = await service.url()
  const curl = await eventually(
    'the curl lines',
    () => /^ {2}TOKEN=.*\n.*\n {2}curl .*$/m.exec(service.stdout)?.[0],
  )
  const username = /^ {2}user {6}(\S+)$/m.exec(service.stdout)?.[1] ?? ''
  const password = /^ {2}password {2}(\S+)$/m.exec(service.stdout)?.[1] ?? ''
  return { address, curl, username, password }
}

const signIn = (address: string, username: string, password: string): Promise<Response> =>
  fetch(`${address}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  })

async function tokenOf(address: string, username: string, password: string): Promise<string> {
  const { token } = (await (await signIn(address, username, password)).json()) as { token: string }
  return token
}

/** Runs the lines in a shell, and returns the beginning of the stream that they open. */
async function paste(t: Test, lines: string): Promise<string> {
  const shell = spawn('bash', ['-c', lines.replace(/^ {2}curl/m, '  exec curl')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.teardown(() => shell.kill())
  let stdout = ''
  shell.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
  await eventually('the stream to open', () => stdout.includes('event: server.state'))
  shell.kill()
  await once(shell, 'close')
  return stdout
}

const createItem = (address: string, token: string, part_number: string): Promise<Response> =>
  fetch(`${address}/api/items`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ part_number, item_type: 'part', description: 'Bracket' }),
  })

t.test('the first start prints once how to sign in, and data survives stops and kills', async (t) => {
  const SILO_DATA_DIR = await createDataDir(t)
  const first = startService(t, { SILO_DATA_DIR })
  const { address, curl, username, password } = await readWelcome(first)
  t.match(address, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.equal(username, 'admin')
  t.ok(password.length >= 16)
  t.match(await paste(t, curl), /^retry: \d+\n[^]*event: server\.state\ndata: \{"mode":"normal"\}\n/)

  const token = await tokenOf(address, username, password)
  const watcher = await Watcher.open(t, address, { token })
  t.equal((await createItem(address, token, 'A01-0001')).status, 201)
  await watcher.untilEvents(1)
  const postmaster = await findPostmaster(SILO_DATA_DIR)
  t.equal(await first.kill('SIGTERM'), 0)
  await watcher.untilEnded()
  t.equal(watcher.endedCleanly, true)
  t.match(watcher.seen.slice(-2), [
    { type: 'server.state', data: { mode: 'draining' } },
    { type: 'heartbeat' },
  ])
  await t.rejects(fetch(`${address}/health`), 'the port is closed')
  t.equal(await findPostmaster(SILO_DATA_DIR), undefined, 'PostgreSQL is stopped')
  // PostgreSQL removes that file shortly before its process exits.
  await eventually('PostgreSQL to be gone', () => postmaster !== undefined && !isRunning(postmaster))
  t.notOk(first.stderr.includes(password))

  const second = startService(t, { SILO_DATA_DIR })
  const again = await second.url()
  const resumed = await Watcher.open(t, again, { token, lastEventId: watcher.lastId })
  t.equal((await createItem(again, token, 'A01-0002')).status, 201, 'the session is still valid')
  await resumed.untilEvents(1)
  t.equal(await second.kill('SIGKILL'), 'SIGKILL')
  t.equal(second.stdout, `Silo is listening at ${again}\n`, 'no password')

  const third = startService(t, { SILO_DATA_DIR })
  const last = await third.url()
  const all = await Watcher.open(t, last, { token, query: '?since=earliest' })
  await all.untilEvents(2)
  t.strictSame(
    all.events.map(({ type, data }) => [type, data.part_number]),
    [
      ['item.created', 'A01-0001'],
      ['item.created', 'A01-0002'],
    ],
  )
  t.equal((await signIn(last, username, password)).status, 200)

  const rival = startService(t, { SILO_DATA_DIR })
  t.equal(await rival.exit(), 1)
  t.match(rival.stderr, /^silo: .*another Silo is running on this folder: stop it, or set SILO_DATA_DIR.*$/m)
  t.notMatch(rival.stderr, /^ +at /m, 'no stack')
  t.equal((await fetch(`${last}/health`)).status, 200, 'the first service keeps running')
  t.equal(await third.kill('SIGINT'), 0)
  t.equal(third.stdout, `Silo is listening at ${last}\n`)
})

t.test('a start on a port in use ends with a plain message, and does not use up the password', async (t) => {
  const SILO_DATA_DIR = await createDataDir(t)
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const refused = startService(t, { SILO_DATA_DIR, PORT: String(port) })
  t.equal(await refused.exit(), 1)
  t.match(
    refused.stderr,
    new RegExp(
      `^silo: port ${port} of 127.0.0.1 is in use: stop the program that uses it, or set another PORT$`,
      'm',
    ),
  )
  t.equal(refused.stdout, '')
  t.equal(await findPostmaster(SILO_DATA_DIR), undefined, 'PostgreSQL is not left behind')
  holder.close()

  const service = startService(t, { SILO_DATA_DIR, PORT: String(port) })
  const { address, username, password } = await readWelcome(service)
  t.equal(address, `http://127.0.0.1:${port}`)
  t.equal((await signIn(address, username, password)).status, 200)
  t.equal(await service.kill('SIGTERM'), 0)
})

t.test('SILO_ADMIN_PASSWORD sets the password, which is never printed', async (t) => {
  const SILO_DATA_DIR = await createDataDir(t)
  const env = { SILO_DATA_DIR, SILO_ADMIN_USERNAME: 'mara', SILO_ADMIN_PASSWORD: PASSWORD }
  const service = startService(t, env)
  const address = await service.url()
  t.equal((await signIn(address, 'mara', PASSWORD)).status, 200)
  t.equal(await service.kill('SIGTERM'), 0)
  t.equal(service.stdout, `Silo is listening at ${address}\n`)
  t.notOk(service.stderr.includes(PASSWORD))
})

t.test('SILO_ADMIN_PASSWORD is valid as soon as the service is ready', async (t) => {
  const SILO_DATA_DIR = await createDataDir(t)
  const port = await freePort()
  const service = startService(t, { SILO_DATA_DIR, PORT: String(port), SILO_ADMIN_PASSWORD: PASSWORD })
  const address = `http://127.0.0.1:${port}`
  const isReady = async () => (await fetch(`${address}/ready`).catch(() => undefined))?.ok === true
  await eventually('the service to be ready', isReady)
  t.equal((await signIn(address, 'admin', PASSWORD)).status, 200)
  t.equal(await service.kill('SIGTERM'), 0)
})

t.test('a service that listens beyond this machine without PUBLIC_URL warns at its start', async (t) => {
  const site = await Site.open(t)
  const warns = async (env: Record<string, string>) => {
    const { service } = await site.start(env)
    await service.kill('SIGTERM')
    return service.stdout.includes('without PUBLIC_URL')
  }
  t.equal(await warns({ HOST: '0.0.0.0' }), true)
  t.equal(await warns({ HOST: '0.0.0.0', PUBLIC_URL: 'https://silo.example' }), false)
  t.equal(await warns({}), false)
})
