import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { within } from '../lib/deadline.js'
import { singleFlight } from '../lib/single-flight.js'
import { ApiError } from '../errors.js'
import type { Mode, StoredMode } from '../schemas/mode.js'
import { adoptLog } from '../store/events.js'
import { probeDisk, readState } from '../store/server.js'
import { SQLSTATE, hasSqlState } from './errors.js'

/**
 * Pause between two pulses, in ms. A pulse reads the mode from the database and finds out whether it can be
 * reached.
 */
const PULSE_MS = 500
/** Timeout of a pulse, in ms. After it, the database counts as unreachable. */
const PULSE_DEADLINE_MS = 1000

/** Timeout of the adoption of a log, which counts its events, in ms. */
const ADOPTION_TIMEOUT_MS = 60_000

/**
 * How long requests may continue on connections that are replaced because the state of the database has
 * changed, in s.
 */
const RENEW_GRACE_S = 5

type Listener = (mode: Mode) => void

/** Why the database accepts no writes. */
export type WriteRefusal = 'standby' | 'read-only' | 'disk-full'

/** The result of a pulse. */
interface Finding {
  stored: StoredMode
  refusal: WriteRefusal | undefined
  /** Whether the event log must be adopted (`adoptLog`) before it can be read. */
  forked: boolean
}

const REFUSAL_MESSAGES: Record<WriteRefusal, string> = {
  standby: 'The database is a standby and accepts no writes until it is promoted.',
  'read-only': 'The database was made read-only by its operator.',
  'disk-full': "The database's disk is full.",
}

/**
 * The current mode of the server. The most severe condition wins: draining, then degraded, then read-only.
 */
class ServerMode {
  #stored: StoredMode = 'normal'
  #databaseLost = false
  #refusal: WriteRefusal | undefined
  #draining = false
  readonly #listeners: Listener[] = []

  constructor(readonly readOnlyHere: boolean) {}

  get current(): Mode {
    if (this.#draining) return 'draining'
    if (this.#databaseLost) return 'degraded'
    return this.readOnlyHere || this.#refusal ? 'read-only' : this.#stored
  }

  /**
   * Why the database accepts no writes; undefined while it does. While it is set, background tasks must not
   * write either.
   */
  get refusal(): WriteRefusal | undefined {
    return this.#refusal
  }

  get databaseLost(): boolean {
    return this.#databaseLost
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener)
  }

  #change(apply: () => void): void {
    const before = this.current
    apply()
    if (this.current !== before) for (const listener of this.#listeners) listener(this.current)
  }

  /** Called when a pulse has succeeded, with the stored mode and why the database accepts no writes. */
  onPulse(stored: StoredMode, refusal: WriteRefusal | undefined): void {
    this.#change(() => {
      this.#databaseLost = false
      this.#stored = stored
      this.#refusal = refusal
    })
  }

  /** Called when a pulse has failed. */
  onPulseFailed(): void {
    this.#change(() => {
      this.#databaseLost = true
    })
  }

  /** Called when the shutdown begins. */
  drain(): void {
    this.#change(() => {
      this.#draining = true
    })
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly mode: ServerMode
    /**
     * Reads the mode from the database and updates `mode`, or joins the pulse that is in flight. Takes up to
     * a second, or a minute if a log is adopted. Never rejects.
     */
    pulse(): Promise<void>
    /** A hook for routes that write items. Throws `server_read_only` while the server is read-only. */
    readonly requireWritable: () => Promise<void>
    /**
     * A hook for other writes, which an admin's read-only mode allows. Throws `server_read_only` while the
     * database accepts no writes.
     */
    readonly requireWritableDatabase: () => Promise<void>
  }
  interface FastifyContextConfig {
    /**
     * Whether the route works without the database. Its requests are not refused while the database is
     * unreachable.
     */
    withoutDatabase?: boolean
  }
}

/**
 * Decorates `mode`, which a pulse to the database updates, and refuses requests while the database is
 * unreachable.
 */
export default fp(
  async (app) => {
    const mode = new ServerMode(app.config.READ_ONLY)
    app.decorate('mode', mode)

    let pulsing = true
    const stopped = new AbortController()

    /** Adopts the log after its server was promoted or recovered. It can't be read before that. */
    async function adopt(): Promise<void> {
      app.log.warn('the database server was promoted or recovered: adopting the event log')
      await within(ADOPTION_TIMEOUT_MS, adoptLog(app.feedDb))
    }

    async function readRefusal(): Promise<Finding> {
      const isFull = probeDisk(app.pulseDb).then(
        () => false,
        (err: unknown) => hasSqlState(err, SQLSTATE.diskFull),
      )
      const { mode: stored, writable, in_recovery, forked } = await readState(app.pulseDb)
      const finding = { stored, forked }
      if (in_recovery) return { ...finding, refusal: 'standby' }
      if (!writable) return { ...finding, refusal: 'read-only' }
      return { ...finding, refusal: (await isFull) ? 'disk-full' : undefined }
    }

    /**
     * Opens a new connection after an open one has reported that the database accepts no writes. Default
     * settings of a database apply only to connections that are opened later, and of several hosts another
     * one may accept writes by now. If another host is selected, or either connection accepts writes, some
     * open connections are out of date, and all are replaced.
     */
    const recheck = singleFlight(async () => {
      const wasWritable = mode.refusal === undefined
      try {
        const { writable, isOther } = await app.selectHost()
        if (isOther || writable || wasWritable) app.renewDatabase(RENEW_GRACE_S)
      } catch (err) {
        app.log.debug({ err }, 'failed to check whether the database accepts writes')
      }
    })

    const pulse = singleFlight(async () => {
      try {
        const { stored, refusal, forked } = await within(PULSE_DEADLINE_MS, readRefusal())
        if (forked) await adopt()
        if (refusal !== mode.refusal) {
          if (refusal)
            app.log.error({ reason: refusal }, 'the database accepts no writes: the service is read-only')
          else app.log.info('the database accepts writes again')
        }
        mode.onPulse(stored, refusal)
        if (refusal === 'read-only' || refusal === 'standby') void recheck()
      } catch (err) {
        if (!pulsing) return
        if (!mode.databaseLost) app.log.error({ err }, 'database unreachable')
        mode.onPulseFailed()
        // Other queries to the same server hang too. Replacing the connections makes them fail now.
        app.renewDatabase()
      }
    })

    async function beat(): Promise<void> {
      while (pulsing) {
        await pulse()
        await delay(PULSE_MS, undefined, { signal: stopped.signal }).catch(() => undefined)
      }
    }

    await pulse()
    app.decorate('pulse', pulse)
    let beating: Promise<void> | undefined
    app.addHook('onReady', async () => {
      beating = beat()
    })
    app.addHook('onClose', async () => {
      pulsing = false
      stopped.abort()
      await beating
      await recheck.idle()
    })

    app.addHook('onRequest', async (request) => {
      if (mode.databaseLost && !request.routeOptions.config.withoutDatabase && !request.is404) {
        throw new ApiError('database_unavailable')
      }
    })
    const readOnlyError = () =>
      new ApiError('server_read_only', {
        ...(mode.refusal && { message: REFUSAL_MESSAGES[mode.refusal] }),
        headers: { 'retry-after': '30' },
      })
    app.decorate('requireWritable', async () => {
      if (mode.current === 'read-only') throw readOnlyError()
    })
    app.decorate('requireWritableDatabase', async () => {
      if (mode.refusal) throw readOnlyError()
    })
    // A connection that was opened after the pulse's may have other settings.
    app.addHook('onError', async (_request, _reply, error) => {
      if (hasSqlState(error, SQLSTATE.readOnly) && !mode.refusal) void recheck()
    })
  },
  { name: 'mode', dependencies: ['database'] },
)
