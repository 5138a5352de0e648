import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { within } from '../lib/deadline.js'
import { ApiError } from '../errors.js'
import type { Mode, StoredMode } from '../schemas/mode.js'
import { adoptLog } from '../store/events.js'
import { probeDisk, readState } from '../store/server.js'
import { SQLSTATE, hasSqlState } from './errors.js'

/** How often an instance asks the database for its mode, and so notices that the database is gone, in ms. */
const PULSE_MS = 500
/** A pulse without an answer for this long means the database can't be reached, in ms. */
const PULSE_DEADLINE_MS = 1000

/** How long the adoption of a log may take, which counts its events, in ms. */
const ADOPTION_TIMEOUT_MS = 60_000

/** For how long requests may go on by connections that are replaced because the database's state has changed, in s. */
const RENEW_GRACE_S = 5

type Listener = (mode: Mode) => void

/** Why the database takes no writes. */
export type WriteRefusal = 'standby' | 'read-only' | 'disk-full'

/** What a pulse found out. */
interface Finding {
  stored: StoredMode
  refusal: WriteRefusal | undefined
  /** The event log is to be adopted. */
  forked: boolean
}

const REFUSAL_MESSAGES: Record<WriteRefusal, string> = {
  standby: 'The database is a standby, which takes no writes until it is promoted.',
  'read-only': 'The database was made read-only by its operator.',
  'disk-full': "The database's disk is full.",
}

/** What the server can do at the moment. The gravest of its reasons decides: draining, degraded, read-only. */
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

  /** Why the database takes no writes, as long as it doesn't: nothing is to be written, not even behind the scenes. */
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

  /** The database answered, with the mode that is stored there, and whether it takes writes. */
  found(stored: StoredMode, refusal: WriteRefusal | undefined): void {
    this.#change(() => {
      this.#databaseLost = false
      this.#stored = stored
      this.#refusal = refusal
    })
  }

  lost(): void {
    this.#change(() => {
      this.#databaseLost = true
    })
  }

  drain(): void {
    this.#change(() => {
      this.#draining = true
    })
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly mode: ServerMode
    /** Asks the database for its mode, in a second at most, or joins the question that is under way. */
    pulse(): Promise<void>
    /** A hook for routes that write items: refuses them while the server is read-only. */
    readonly requireWritable: () => Promise<void>
    /** A hook for routes that write something else, which an admin's read-only mode doesn't keep them from. */
    readonly requireWritableDatabase: () => Promise<void>
  }
  interface FastifyContextConfig {
    /** The route answers without the database, so also while it is lost. */
    withoutDatabase?: boolean
  }
}

/** Decorates `mode`: kept current by a pulse to the database, and holding requests off while that is lost. */
export default fp(
  async (app) => {
    const mode = new ServerMode(app.config.READ_ONLY)
    app.decorate('mode', mode)

    let pulsing = true
    const stopped = new AbortController()

    /** Adopts a log whose server was promoted or recovered: it can't be read before. */
    async function adopt(): Promise<void> {
      app.log.warn('the database server was promoted or recovered: the event log is adopted')
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
     * Tries a new connection where an open one says that the database takes no writes: a database's defaults hold for connections
     * that begin later, and of several servers another one may take writes by now. Where the new one takes writes, or the pulse's
     * does, some that are open are out of date, and all are replaced.
     */
    let rechecking: Promise<void> | undefined
    async function recheck(): Promise<void> {
      const pulseSaysWritable = mode.refusal === undefined
      const { writable, isOther } = await app.selectHost()
      if (isOther || writable || pulseSaysWritable) app.renewDatabase(RENEW_GRACE_S)
    }
    function recheckSoon(): void {
      rechecking ??= recheck()
        .catch((err: unknown) => app.log.debug({ err }, 'the state of the database is not known'))
        .finally(() => {
          rechecking = undefined
        })
    }

    async function ask(): Promise<void> {
      try {
        const { stored, refusal, forked } = await within(PULSE_DEADLINE_MS, readRefusal())
        if (forked) await adopt()
        if (refusal !== mode.refusal) {
          if (refusal)
            app.log.error({ reason: refusal }, 'the database takes no writes: the service is read-only')
          else app.log.info('the database takes writes again')
        }
        mode.found(stored, refusal)
        if (refusal === 'read-only' || refusal === 'standby') recheckSoon()
      } catch (err) {
        if (!pulsing) return
        if (!mode.databaseLost) app.log.error({ err }, 'the database is lost')
        mode.lost()
        // Not only the pulse hangs or has failed: whatever waits for the same server must be answered now too.
        app.renewDatabase()
      }
    }

    let asking: Promise<void> | undefined
    function pulse(): Promise<void> {
      asking ??= ask().finally(() => {
        asking = undefined
      })
      return asking
    }

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
      await rechecking
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
    // A connection that is newer than the pulse's may know what that doesn't.
    app.addHook('onError', async (_request, _reply, error) => {
      if (hasSqlState(error, SQLSTATE.readOnly) && !mode.refusal) recheckSoon()
    })
  },
  { name: 'mode', dependencies: ['database'] },
)
