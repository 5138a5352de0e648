/** The types of the events in the log. A stream also has `server.state`, `heartbeat` and `reset`. */
const LOGGED = ['item.created', 'item.updated', 'revision.created', 'item.deleted']

/**
 * A stream that receives nothing for this long is opened again, in ms: the connection is dead, or the
 * computer was suspended. More than three heartbeats at their default.
 */
const SILENCE_MS = 100_000
/** How long after the connection was lost its state becomes `offline`, in ms. */
const OFFLINE_AFTER_MS = 30_000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000
/**
 * How often the status is sent to the pages even if it has not changed, in ms. From its absence, pages detect
 * that the worker was ended.
 */
export const STATUS_MS = 10_000

/** The modes in which the server serves streams. */
const SERVING = ['normal', 'read-only']

/**
 * A browser's only connection to the feed, shared by all of its pages (docs/decisions/0008). It receives
 * every event; each page filters for itself. It runs in a shared worker, or in the page if the browser has
 * none. Each page has a port.
 *
 * The page sends `join`, `leave`, `retry` (the user has signed in again), `online` and `offline`. It
 * receives:
 *
 * - `status` with `{ state, attempt, since, mode, watchers }`: `state` is `connecting`, `live`,
 *   `reconnecting`, `offline` or `signed-out`, `since` is when the connection was lost, `watchers` is the
 *   number of open streams;
 * - `at` with a `position`: from there on, the page receives every event;
 * - `event` with an event of the log;
 * - `reset` with a `position`: as `at`, but the events before it are missing, because the log can't be
 *   continued from where the connection was.
 */
export class Connection {
  #ports = new Set()
  /** The id of the last event that was received: the stream resumes after it. */
  #position
  #source
  #retry
  /** When the last event was received. */
  #heardAt = Date.now()
  #online = navigator.onLine
  #status = { state: 'connecting', attempt: 0, since: undefined, mode: 'normal', watchers: undefined }

  constructor() {
    setInterval(() => this.#look(), 1000)
    setInterval(() => this.#report(), STATUS_MS)
  }

  /** Adds the port of a page. */
  accept(port) {
    port.onmessage = ({ data: { type } }) => {
      if (type === 'join') this.#join(port)
      else if (type === 'leave') this.#leave(port)
      else if (type === 'retry') this.#signedIn()
      else this.#networkChanged(type === 'online')
    }
  }

  #join(port) {
    // Without pages there was no connection. Each page reads what it missed by itself, so the stream begins
    // at the head of the log.
    if (this.#ports.size === 0) this.#position = undefined
    this.#ports.add(port)
    if (this.#position) port.postMessage({ type: 'at', position: this.#position })
    if (this.#source) port.postMessage({ type: 'status', status: this.#status })
    else this.#begin()
  }

  #begin() {
    this.#set({ state: 'connecting', attempt: 0, since: undefined, watchers: undefined })
    this.#connect()
  }

  #signedIn() {
    if (this.#status.state === 'signed-out') this.#begin()
  }

  #leave(port) {
    this.#ports.delete(port)
    if (this.#ports.size === 0) this.#close()
  }

  #tell(message) {
    for (const port of this.#ports) port.postMessage(message)
  }

  #connect() {
    this.#close()
    if (this.#ports.size === 0) return
    this.#heardAt = Date.now()
    const query = this.#position ? `?${new URLSearchParams({ since: this.#position })}` : ''
    const source = new EventSource(`/api/events${query}`)
    this.#source = source
    const listen = (type, heard) =>
      source.addEventListener(type, ({ data, lastEventId }) => {
        this.#heardAt = Date.now()
        heard(data && JSON.parse(data), lastEventId)
        if (lastEventId) this.#moveTo(lastEventId)
      })
    for (const type of LOGGED) {
      listen(type, (data, id) => this.#tell({ type: 'event', event: { type, data, id } }))
    }
    listen('heartbeat', () => {})
    listen('reset', (_data, position) => {
      this.#position = position
      this.#tell({ type: 'reset', position })
    })
    listen('server.state', ({ mode }) => this.#greeted(mode))
    source.onerror = () => this.#failed(source)
  }

  #moveTo(position) {
    const first = this.#position === undefined
    this.#position = position
    if (first) this.#tell({ type: 'at', position })
  }

  /**
   * Handles `server.state`. A refused stream reports another mode, and ends: only a mode in which streams are
   * served makes it live.
   */
  #greeted(mode) {
    const live = this.#status.state === 'live'
    if (live || !SERVING.includes(mode)) return this.#set({ mode })
    this.#set({ mode, state: 'live', attempt: 0, since: undefined })
    this.#report()
  }

  /**
   * Handles an error of the stream. The browser reconnects after a broken connection, but never after a
   * status other than 200.
   */
  #failed(source) {
    this.#lost()
    if (source.readyState === EventSource.CLOSED) this.#later(() => this.#knock())
  }

  /**
   * Checks whether the session has ended, because `EventSource` does not expose the status. If not, connects
   * again.
   */
  async #knock() {
    const answer = await fetch('/api/auth/me').catch(() => undefined)
    if (answer?.status !== 401) return this.#connect()
    this.#close()
    this.#set({ state: 'signed-out' })
  }

  #isOffline(since) {
    return !this.#online || Date.now() - since > OFFLINE_AFTER_MS
  }

  #lost() {
    const { attempt, since = new Date() } = this.#status
    const state = this.#isOffline(since) ? 'offline' : 'reconnecting'
    this.#set({ state, attempt: attempt + 1, since, watchers: undefined })
  }

  /**
   * Runs `act` after a delay with exponential backoff and jitter, so that browsers don't reconnect all at
   * once.
   */
  #later(act) {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#status.attempt, 6))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(act, longest * (0.5 + Math.random() / 2))
  }

  /** Updates the state, and connects again if the stream has received nothing for too long. */
  #look() {
    const { state, since } = this.#status
    if (state === 'reconnecting' && this.#isOffline(since)) this.#set({ state: 'offline' })
    if (!this.#source || Date.now() - this.#heardAt <= SILENCE_MS) return
    if (state === 'live') this.#lost()
    this.#connect()
  }

  #networkChanged(online) {
    this.#online = online
    if (!this.#source) return
    if (!online || this.#status.state === 'live') this.#lost()
    if (online) this.#connect()
  }

  /** Sends the status to the pages, with the current number of open streams if it can be read. */
  async #report() {
    if (this.#status.state !== 'live' || this.#ports.size === 0) return this.#set({})
    const answer = await fetch('/api/server/mode', { headers: { accept: 'application/json' } })
      .then((response) => (response.ok ? response.json() : {}))
      .catch(() => ({}))
    this.#set({ watchers: this.#status.state === 'live' ? answer.watchers : undefined })
  }

  #close() {
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = undefined
  }

  #set(changes) {
    this.#status = { ...this.#status, ...changes }
    this.#tell({ type: 'status', status: this.#status })
  }
}
