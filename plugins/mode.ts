import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { within } from '../lib/deadline.js'
import { ApiError } from '../errors.js'
import type { Mode, StoredMode } from '../schemas/mode.js'
import { readMode } from '../store/server.js'

/** How often an instance asks the database for its mode, and so notices that the database is gone, in ms. */
const PULSE_MS = 500
/** A pulse without an answer for this long means the database can't be reached, in ms. */
const PULSE_DEADLINE_MS = 1000

type Listener = (mode: Mode) => void

/** What the server can do at the moment. The gravest of its reasons decides: draining, degraded, read-only. */
class ServerMode {
  #stored: StoredMode = 'normal'
  #databaseLost = false
  #draining = false
  readonly #listeners: Listener[] = []

  constructor(readonly readOnlyHere: boolean) {}

  get current(): Mode {
    if (this.#draining) return 'draining'
    if (this.#databaseLost) return 'degraded'
    return this.readOnlyHere ? 'read-only' : this.#stored
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

  /** The database answered, with the mode that is stored there. */
  found(stored: StoredMode): void {
    this.#change(() => {
      this.#databaseLost = false
      this.#stored = stored
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

    async function ask(): Promise<void> {
      try {
        mode.found(await within(PULSE_DEADLINE_MS, readMode(app.feedDb)))
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
    })

    app.addHook('onRequest', async (request) => {
      if (mode.databaseLost && !request.routeOptions.config.withoutDatabase && !request.is404) {
        throw new ApiError('database_unavailable')
      }
    })
    app.decorate('requireWritable', async () => {
      if (mode.current === 'read-only') {
        throw new ApiError('server_read_only', { headers: { 'retry-after': '30' } })
      }
    })
  },
  { name: 'mode', dependencies: ['database'] },
)
