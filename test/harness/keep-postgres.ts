/**
 * Starts the server that all test files of a run share, sends `ready` to its parent, and keeps the server
 * until this process is terminated or the process of the run is gone. Its argument is the process id of the
 * run.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '../../embedded/postgres.js'
import { readSuperuserUrl } from '../../tools/harness/postgres.js'
import { createTemplate } from './database.js'
import { isRunning } from './service.js'
import { noteOf } from './server-url.js'

const run = Number(process.argv[2])

/** The data is needed only during the run, so it need not survive a crash of the machine. */
const SETTINGS = { max_connections: '300', fsync: 'off', full_page_writes: 'off' }

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
      process.env.TEST_DATABASE_URL = await readSuperuserUrl(folder, server)
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
