/**
 * Starts the server that all test files of a run share, sends `ready` to its parent, and keeps the server
 * until this process is terminated or the process of the run is gone. Its argument is the process id of the
 * run.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Embedded, startEmbedded } from '../../embedded/postgres.js'
import { createTemplate } from './database.js'
import { isRunning } from './service.js'
import { noteOf } from './server-url.js'

const run = Number(process.argv[2])

/** The data is needed only during the run, so it need not survive a crash of the machine. */
const SETTINGS = { max_connections: '300', fsync: 'off', full_page_writes: 'off' }

const Secrets = Type.Object({ postgres_password: Type.String() })

async function superuserUrl(folder: string, server: Embedded): Promise<string> {
  const file = await readFile(join(folder, 'cluster', 'secrets.json'), 'utf8')
  const url = new URL(server.url)
  url.username = 'postgres'
  url.password = Value.Parse(Secrets, JSON.parse(file)).postgres_password
  url.pathname = '/postgres'
  // The driver would treat the parameters of Silo's addresses as server settings.
  url.search = ''
  return url.href
}

function untilTheEnd(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    setInterval(() => {
      if (!isRunning(run)) resolve()
    }, 500)
  })
}

async function keepServer(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-test-'))
  const note = noteOf(run)
  try {
    const server = await startEmbedded(folder, () => undefined, { settings: SETTINGS, network: true })
    try {
      process.env.TEST_DATABASE_URL = await superuserUrl(folder, server)
      await createTemplate()
      const noted = { url: process.env.TEST_DATABASE_URL, keeper: process.pid }
      await mkdir(new URL('.', note), { recursive: true })
      await writeFile(note, JSON.stringify(noted), { mode: 0o600 })
      process.send?.('ready')
      await untilTheEnd()
    } finally {
      await server.stop()
    }
  } finally {
    await rm(folder, { recursive: true })
    await rm(note, { force: true })
  }
}

if (process.env.TEST_DATABASE_URL === undefined) await keepServer()
else {
  await createTemplate()
  process.send?.('ready')
}
process.exit()
