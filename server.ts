import { setTimeout as delay } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.js'
import { type Config, readConfig } from './config.js'
import { startEmbedded } from './embedded/postgres.js'
import { StartError } from './errors.js'
import { isLoopback } from './lib/site.js'
import { startWatchdog } from './lib/watchdog.js'
import { createFirstAdmin } from './store/users.js'
import { waitForDatabase } from './store/wait.js'

/** Returns the part of the shutdown timeout that is reserved for stopping the database, in ms. */
const reserveOf = ({ SHUTDOWN_TIMEOUT_MS }: Config): number => Math.min(3000, SHUTDOWN_TIMEOUT_MS / 2)

const NO_PUBLIC_URL =
  'listening on a non-loopback address without PUBLIC_URL: requests by host name are refused, ' +
  'and cookies are Secure only if a trusted proxy reports https'

/** Maximum number of connections that wait to be accepted, within the limit of the operating system. */
const BACKLOG = 16_384
/** How long the event loop may be blocked before the process is ended, in ms. */
const WATCHDOG_TIMEOUT_MS = 30_000

const printLine = (line: string): void => console.error(`silo: ${line}`)

async function openDatabase(config: Config, signal: AbortSignal) {
  const { DATABASE_URL, JWT_SECRET, SILO_DATA_DIR } = config
  if (DATABASE_URL !== undefined && JWT_SECRET !== undefined) {
    await waitForDatabase(DATABASE_URL, printLine, signal)
    return { url: DATABASE_URL, jwtSecret: JWT_SECRET, stop: async () => undefined, failed: undefined }
  }
  const embedded = await startEmbedded(SILO_DATA_DIR, printLine)
  return { ...embedded, jwtSecret: JWT_SECRET ?? embedded.jwtSecret }
}

async function listen(app: FastifyInstance, { HOST, PORT }: Config): Promise<string> {
  try {
    // After a restart all clients connect at once. A connection beyond the backlog is retried only after a
    // second.
    return await app.listen({ host: HOST, port: PORT, backlog: BACKLOG })
  } catch (err) {
    if (!(err instanceof Error && 'syscall' in err && 'code' in err)) throw err
    throw new StartError(
      err.code === 'EADDRINUSE'
        ? `port ${PORT} of ${HOST} is in use: stop the program that uses it, or set another PORT`
        : `can't listen on port ${PORT} of ${HOST} (${err.message}): set another PORT or HOST`,
    )
  }
}

/**
 * Returns the text that is printed at the first start only. Its two commands work when pasted into a shell.
 */
function welcome(address: string, { username, password }: { username: string; password: string }): string {
  return `
  user      ${username}
  password  ${password}

This password is shown once. Sign in, then watch every change as it happens:

  TOKEN=$(curl -s ${address}/api/auth/login -H 'Content-Type: application/json' \\
    -d '${JSON.stringify({ username, password })}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')
  curl -N -H "Authorization: Bearer $TOKEN" ${address}/api/events

`
}

class Service {
  #app: FastifyInstance | undefined
  #database: { stop(): Promise<void> } | undefined
  readonly #stopping = new AbortController()
  #started: Promise<void> | undefined

  readonly #onFailure: (err: unknown) => void

  /** @param onFailure is called when the embedded database has ended and can't be restarted */
  constructor(
    readonly config: Config,
    onFailure: (err: unknown) => void,
  ) {
    this.#onFailure = onFailure
  }

  start(): Promise<void> {
    this.#started = this.#start(this.#stopping.signal)
    return this.#started
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { config } = this
    const database = await openDatabase(config, signal)
    this.#database = database
    database.failed?.catch(this.#onFailure)
    signal.throwIfAborted()
    const app = await buildApp({ ...config, DATABASE_URL: database.url, JWT_SECRET: database.jwtSecret })
    this.#app = app
    signal.throwIfAborted()
    const { SILO_ADMIN_USERNAME: username, SILO_ADMIN_PASSWORD: password } = config
    const createAdmin = () => createFirstAdmin(app.db, username, password)
    // A configured password must work as soon as /ready succeeds. A generated password is printed once, so it
    // is created only when the service is listening: a start that fails must not use it up.
    if (password !== undefined) await createAdmin()
    const address = await listen(app, config)
    const admin = password === undefined ? await createAdmin() : undefined
    process.stdout.write(`Silo is listening at ${address}\n`)
    if (config.PUBLIC_URL.length === 0 && !isLoopback(config.HOST)) {
      app.log.warn({ host: config.HOST }, NO_PUBLIC_URL)
    }
    if (admin) process.stdout.write(welcome(address, admin))
  }

  /** Stops whatever has been started, in time for the process to exit within SHUTDOWN_TIMEOUT_MS. */
  async stop(): Promise<void> {
    const reserve = reserveOf(this.config)
    const until = Date.now() + this.config.SHUTDOWN_TIMEOUT_MS - reserve
    this.#stopping.abort()
    // A start that failed was reported already, or failed because of this stop.
    await this.#started?.catch(() => undefined)
    const app = this.#app
    if (app) {
      const timer = setTimeout(() => app.server.closeAllConnections(), until - Date.now())
      // A pool that hangs on an unreachable server must not prevent the embedded database from being stopped.
      await Promise.race([app.close(), delay(until - Date.now() + reserve / 2)])
      clearTimeout(timer)
    }
    await this.#database?.stop()
  }

  /** Reports why the process ends, in the log if there is one. */
  report(err: Error): void {
    if (err instanceof StartError) printLine(err.message)
    else if (this.#app) this.#app.log.fatal({ err }, 'uncaught exception')
    else console.error(err)
  }
}

function run(config: Config): void {
  startWatchdog(WATCHDOG_TIMEOUT_MS)
  const service = new Service(config, (err) => void fail(err))
  const { close } = closeWithGrace(
    { delay: config.SHUTDOWN_TIMEOUT_MS, skip: ['SIGINT', 'SIGTERM'] },
    async ({ err }) => {
      if (err) service.report(err)
      await service.stop()
    },
  )
  // Under npm, Ctrl-C sends two signals, from the terminal and from npm. The second one must not interrupt
  // the shutdown that the first one began.
  let isStopping = false
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      if (!isStopping) close()
      isStopping = true
    })
  }
  async function fail(err: unknown): Promise<void> {
    // An error caused by a stop during the start is not a failure, and `close` ends the process.
    if (isStopping) return
    service.report(err instanceof Error ? err : new Error(String(err)))
    await service.stop()
    process.exit(1)
  }
  service.start().catch(fail)
}

try {
  run(readConfig(process.env))
} catch (err) {
  if (!(err instanceof StartError)) throw err
  printLine(err.message)
  process.exitCode = 1
}
