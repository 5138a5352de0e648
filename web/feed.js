/** What the log holds; `server.state`, `heartbeat` and `reset` come besides. */
const LOGGED = ['item.created', 'item.updated', 'revision.created', 'item.deleted']

/** Longer than three heartbeats at their default: a stream that says nothing for so long is dead, or the laptop slept. */
const SILENCE_MS = 100_000
/** From here on, a lost connection is called offline. */
const OFFLINE_AFTER_MS = 30_000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000

const isOffline = (since) => !navigator.onLine || Date.now() - since > OFFLINE_AFTER_MS

/** An answer of the API that is no success; `code` is its `error`. */
export class ApiError extends Error {
  constructor(status, { error, message, details = [] }) {
    super(details.map((detail) => `${detail.field} ${detail.message}`).join('; ') || message)
    this.status = status
    this.code = error
  }
}

/** To the sign-in, and from there back to where we are. */
export function signInAgain() {
  const next = location.pathname + location.search
  location.assign(`/login?${new URLSearchParams({ next })}`)
}

/**
 * Reads JSON from the API. Without a valid session it leads to the sign-in.
 * @throws {ApiError} for any status but a success; whatever `fetch` throws when there is no answer
 */
export async function read(path) {
  const answer = await fetch(path, { headers: { accept: 'application/json' } })
  if (answer.status === 401) signInAgain()
  const body = await answer.json()
  if (!answer.ok) throw new ApiError(answer.status, body)
  return body
}

/**
 * One part of the feed, followed through every interruption, from the cursor on that `load` gives.
 *
 * - `load()` shows what there is and returns the cursor where the feed goes on, or nothing for the feed's head. It is
 *   called again where the log can't be continued from (`reset`).
 * - `opened()`: the stream is open; whatever happens from now on comes.
 * - `received({ type, data, id })`: an event of the log.
 * - `changed({ state, attempt, since, mode })`: `state` is `connecting`, `live`, `reconnecting` or `offline`; `since` says
 *   when the connection was lost, `mode` what the server last said of itself.
 */
export class Feed {
  #query
  #on
  #cursor
  #source
  #retry
  #heardAt = Date.now()
  #status = { state: 'connecting', attempt: 0, since: undefined, mode: 'normal' }

  constructor(on) {
    this.#on = on
    setInterval(() => this.#look(), 1000)
    addEventListener('online', () => this.#restart())
    addEventListener('offline', () => this.#lost())
    addEventListener('pageshow', (event) => event.persisted && this.#restart())
  }

  /** Begins, or begins anew with another filter. */
  async start(query = new URLSearchParams()) {
    this.#query = query
    this.#cursor = undefined
    this.#close()
    await this.#begin(query)
  }

  async #begin(query) {
    try {
      const cursor = await this.#on.load()
      // Another start has overtaken this one.
      if (query !== this.#query) return
      this.#cursor = cursor
      this.#connect()
    } catch (error) {
      if (query !== this.#query || error.status === 401) return
      if (error.status === 400) return this.#on.refused(error)
      this.#lost()
      this.#later(() => this.#begin(query))
    }
  }

  #connect() {
    this.#close()
    this.#heardAt = Date.now()
    const query = new URLSearchParams(this.#query)
    if (this.#cursor) query.set('since', this.#cursor)
    const source = new EventSource(`/api/events?${query}`)
    this.#source = source
    const listen = (type, heard) =>
      source.addEventListener(type, (event) => {
        this.#heardAt = Date.now()
        if (event.lastEventId) this.#cursor = event.lastEventId
        heard(event.data && JSON.parse(event.data), event.lastEventId)
      })
    for (const type of LOGGED) listen(type, (data, id) => this.#on.received({ type, data, id }))
    listen('heartbeat', () => {})
    listen('reset', () => this.start(this.#query))
    listen('server.state', ({ mode }) => this.#greeted(mode))
    source.onerror = () => this.#failed(source)
  }

  /** A server that turns us away says so and ends: only one that can serve makes the stream live. */
  #greeted(mode) {
    const live = this.#status.state === 'live'
    const serves = mode === 'normal' || mode === 'read-only'
    if (live || !serves) return this.#set({ mode })
    this.#set({ mode, state: 'live', attempt: 0, since: undefined })
    this.#on.opened?.()
  }

  /** The browser comes back by itself after a broken connection. After any status but 200 it never would. */
  #failed(source) {
    this.#lost()
    if (source.readyState === EventSource.CLOSED) this.#later(() => this.#knock())
  }

  /** Whether we are still signed in, EventSource does not say. */
  async #knock() {
    try {
      await read('/api/auth/me')
    } catch (error) {
      if (error.status === 401) return
    }
    this.#connect()
  }

  #lost() {
    const { attempt, since = new Date() } = this.#status
    this.#set({ state: isOffline(since) ? 'offline' : 'reconnecting', attempt: attempt + 1, since })
  }

  /** Growing and jittered: a thousand panels must not come back in the same second. */
  #later(act) {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#status.attempt, 6))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(act, longest * (0.5 + Math.random() / 2))
  }

  #look() {
    const { state, since } = this.#status
    if (state === 'reconnecting' && isOffline(since)) this.#set({ state: 'offline' })
    if (this.#source && Date.now() - this.#heardAt > SILENCE_MS) this.#restart()
  }

  #restart() {
    if (!this.#source) return
    if (this.#status.state === 'live') this.#lost()
    this.#connect()
  }

  #close() {
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = undefined
  }

  #set(changes) {
    this.#status = { ...this.#status, ...changes }
    this.#on.changed(this.#status)
  }
}
