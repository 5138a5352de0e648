/** What the log holds; `server.state`, `heartbeat` and `reset` come besides. */
const LOGGED = ['item.created', 'item.updated', 'revision.created', 'item.deleted']

/** Longer than three heartbeats at their default: a stream that says nothing for so long is dead, or the laptop slept. */
const SILENCE_MS = 100_000
/** From here on, a lost connection is called offline. */
const OFFLINE_AFTER_MS = 30_000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000
/** How often the pages are told how things stand, also when nothing has changed: so they know that we are there. */
export const STATUS_MS = 10_000

const SERVING = ['normal', 'read-only']

/**
 * A browser's one connection to the feed, for all of its pages: it carries every event, and each page takes what it wants.
 * Runs in a shared worker, or in the page itself where there is none. Each page has a port:
 *
 * - it sends `join`, `leave`, `retry` (somebody has signed in), `online` and `offline`;
 * - it gets `status` with `{ state, attempt, since, mode, watchers }`, where `state` is `connecting`, `live`,
 *   `reconnecting`, `offline` or `signed-out` and `since` says when the connection was lost;
 *   `at` with the position from which on it gets every `event`; and `reset` with such a position, when what is before it
 *   can't be told as events.
 */
export class Connection {
  #ports = new Set()
  #position
  #source
  #retry
  #heardAt = Date.now()
  #online = navigator.onLine
  #status = { state: 'connecting', attempt: 0, since: undefined, mode: 'normal', watchers: undefined }

  constructor() {
    setInterval(() => this.#look(), 1000)
    setInterval(() => this.#report(), STATUS_MS)
  }

  /** Takes a page's port. */
  accept(port) {
    port.onmessage = ({ data: { type } }) => {
      if (type === 'join') this.#join(port)
      else if (type === 'leave') this.#leave(port)
      else if (type === 'retry') this.#signedIn()
      else this.#networkChanged(type === 'online')
    }
  }

  #join(port) {
    // Nobody is left who would miss something: what was meanwhile, a page that comes back reads for itself.
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

  /** A server that turns us away says so and ends: only one that can serve makes the stream live. */
  #greeted(mode) {
    const live = this.#status.state === 'live'
    if (live || !SERVING.includes(mode)) return this.#set({ mode })
    this.#set({ mode, state: 'live', attempt: 0, since: undefined })
    this.#report()
  }

  /** The browser comes back by itself after a broken connection. After any status but 200 it never would. */
  #failed(source) {
    this.#lost()
    if (source.readyState === EventSource.CLOSED) this.#later(() => this.#knock())
  }

  /** Whether we are still signed in, EventSource does not say. */
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

  /** Growing and jittered: a thousand browsers must not come back in the same second. */
  #later(act) {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#status.attempt, 6))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(act, longest * (0.5 + Math.random() / 2))
  }

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

  /** Says how many watch, as far as the server tells. */
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
