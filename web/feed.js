import { read } from './api.js'
import { Connection, STATUS_MS } from './connection.js'
import { signedIn, signInAgain } from './sign-in.js'

/**
 * The name is the version of the messages between page and worker: pages share a worker only if it has the
 * same name.
 */
const WORKER = { type: 'module', name: 'feed 1' }
/** A worker that has sent nothing for this long was ended by the browser, in ms. */
const WORKER_SILENCE_MS = 5 * STATUS_MS
/** Number of events in a page when missed events are read. */
const PAGE = 1000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000

function placeOf(cursor) {
  const [epoch, id] = cursor.split('-')
  return { epoch, id: Number(id) }
}

/** Whether one position is before the other. Positions of different epochs have no order. */
function isBefore(one, other) {
  const [a, b] = [placeOf(one), placeOf(other)]
  return a.epoch === b.epoch && a.id < b.id
}

const listOf = (query, name) => query.get(name)?.split(',')

/**
 * Returns the predicate that filters events as the API does: by `types` and by `part_number`, where `A01-*`
 * is a prefix.
 */
function makeFilter(query) {
  const types = listOf(query, 'types')
  const patterns = listOf(query, 'part_number')?.map((pattern) => pattern.trim().toLowerCase())
  const isWanted = (number) =>
    patterns.some((pattern) =>
      pattern.endsWith('*') ? number.startsWith(pattern.slice(0, -1)) : number === pattern,
    )
  return ({ type, data }) =>
    (!types || types.includes(type)) && (!patterns || isWanted(data.part_number.toLowerCase()))
}

/**
 * Follows the feed for one page, across lost connections. All pages of a browser share one connection
 * (docs/decisions/0008-one-connection-per-browser.md); each page has its own filter and position. The page
 * passes these callbacks:
 *
 * - `load(signal)` reads and shows the current state, unless it is aborted. It resolves with the cursor after
 *   which events are needed, or with undefined for the current position of the connection. It is called again
 *   after a `reset`.
 * - `opened()` (optional) is called when the page has caught up: it receives every event from then on.
 * - `received({ type, data, id })` receives an event of the log that matches the filter.
 * - `changed(status)` receives the status of the connection, see `Connection`.
 * - `refused(error)` is called if the API refuses the filter.
 */
export class Feed {
  #on
  #port
  /** Whether the connection is in a shared worker, or else in this page. */
  #shared
  /** When the last message of the connection was received. */
  #heardAt
  #status = { state: 'connecting' }

  /** The `AbortController` of the current run. The next `start` aborts it. */
  #run
  #query
  /** The predicate that filters events. */
  #wanted
  /** The page's position: it has all events up to this one. */
  #cursor
  /** Whether the current run has completed `load`. */
  #loaded = false
  /** The latest position that the connection has sent. */
  #seen
  /** The position after which `#early` has every event. Undefined until the connection has sent one. */
  #from
  /** The events that arrived while the page was catching up. Undefined once it has. */
  #early = []
  #retry
  #attempt = 0
  /** The run for which `#load` is in progress. */
  #busy

  constructor(on) {
    this.#on = on
    this.#open(typeof SharedWorker === 'function')
    setInterval(() => this.#look(), STATUS_MS)
    addEventListener('online', () => this.#send('online'))
    addEventListener('offline', () => this.#send('offline'))
    addEventListener('pagehide', () => this.#send('leave'))
    addEventListener('pageshow', (event) => event.persisted && this.#join())
    document.addEventListener('visibilitychange', () => this.#visibilityChanged())
  }

  /** Starts to follow the feed, or starts again with another filter. */
  async start(query = new URLSearchParams()) {
    this.#run?.abort()
    this.#run = new AbortController()
    this.#query = query
    this.#wanted = makeFilter(query)
    this.#cursor = undefined
    this.#loaded = false
    this.#attempt = 0
    this.#miss(this.#seen)
    await this.#load()
  }

  // The connection.

  #open(shared) {
    this.#port?.close()
    this.#shared = shared
    this.#heardAt = Date.now()
    if (shared) {
      const worker = new SharedWorker('/web/feed-worker.js', WORKER)
      // The browser has no shared workers of modules, or could not load this one.
      worker.addEventListener('error', () => this.#open(false))
      this.#port = worker.port
    } else {
      const { port1, port2 } = new MessageChannel()
      new Connection().accept(port2)
      this.#port = port1
    }
    this.#port.onmessage = ({ data }) => this.#heard(data)
    this.#join()
  }

  #send(type) {
    this.#port.postMessage({ type })
  }

  #join() {
    this.#miss(undefined)
    this.#send('join')
  }

  /**
   * Closes the page's own connection while the page is hidden, so that a browser has one connection however
   * many tabs are open.
   */
  #visibilityChanged() {
    if (this.#shared) return
    if (document.visibilityState === 'visible') this.#join()
    else this.#send('leave')
  }

  /** Starts a new worker if the current one is silent. */
  #look() {
    if (!this.#shared || Date.now() - this.#heardAt < WORKER_SILENCE_MS) return
    this.#send('leave')
    this.#open(true)
  }

  #heard({ type, status, event, position }) {
    this.#heardAt = Date.now()
    if (type === 'status') return this.#statusChanged(status)
    this.#seen = position ?? event.id
    if (type === 'event') return this.#early ? this.#early.push(event) : this.#take(event)
    if (type === 'reset') return this.start(this.#query)
    this.#miss(position)
    this.#load()
  }

  #statusChanged(status) {
    const before = this.#status.state
    this.#status = status
    this.#on.changed(status)
    if (status.state === before) return
    if (status.state === 'signed-out') signInAgain().then(() => this.#send('retry'))
    if (status.state !== 'live') return
    signedIn()
    if (this.#run && this.#early) this.#load()
  }

  // The position of the page.

  /** Collects the events after `position` until the page has caught up to it. */
  #miss(position) {
    this.#from = position
    this.#early = []
  }

  /**
   * Calls `load` if this run has not yet, then catches up to the connection. Does nothing if that is in
   * progress for this run.
   */
  async #load() {
    const run = this.#run
    if (this.#busy === run) return
    this.#busy = run
    clearTimeout(this.#retry)
    try {
      if (!this.#loaded) {
        const cursor = await this.#on.load(run.signal)
        if (run.signal.aborted) return
        this.#cursor = cursor
        this.#loaded = true
      }
      await this.#catchUp(run.signal)
    } catch (error) {
      if (run.signal.aborted) return
      if (error.status === 400) this.#on.refused(error)
      else this.#later()
    } finally {
      if (this.#busy === run) this.#busy = undefined
    }
  }

  /**
   * Loads again after a delay with exponential backoff and jitter, so that pages don't send their requests
   * all at once.
   */
  #later() {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#attempt++, 6))
    this.#retry = setTimeout(() => this.#load(), longest * (0.5 + Math.random() / 2))
  }

  /**
   * Reads the events between the page's position and `#from`, then processes those that arrived meanwhile.
   */
  async #catchUp(signal) {
    let wait = 0
    while (this.#from) {
      this.#cursor ??= this.#from
      if (this.#cursor === this.#from) return this.#caughtUp()
      // The log is read even if the page is ahead of the connection: it may have been restored to an earlier
      // state since, which this request detects.
      const isBehind = isBefore(this.#cursor, this.#from)
      const { events, next } = await this.#readPage(wait, signal)
      if (signal.aborted) return
      if (events[0]?.type === 'reset') return this.start(this.#query)
      for (const event of events) this.#on.received(event)
      // An empty page: this instance has not read the event yet that the connection's instance has sent. Wait
      // for it.
      wait = next === this.#cursor ? 1 : 0
      this.#cursor = next
      // The page is ahead of the connection, or in a newer epoch, of which the connection will receive a
      // `reset`.
      if (!isBehind) return this.#caughtUp()
    }
  }

  #readPage(wait, signal) {
    const query = new URLSearchParams(this.#query)
    query.set('since', this.#cursor)
    query.set('limit', PAGE)
    query.set('wait', wait)
    return read(`/api/events?${query}`, signal)
  }

  #caughtUp() {
    const early = this.#early
    this.#early = undefined
    this.#attempt = 0
    for (const event of early) this.#take(event)
    this.#on.opened?.()
  }

  #take(event) {
    if (!isBefore(this.#cursor, event.id)) return
    this.#cursor = event.id
    if (this.#wanted(event)) this.#on.received(event)
  }
}
