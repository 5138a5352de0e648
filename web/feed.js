import { read } from './api.js'
import { Connection, STATUS_MS } from './connection.js'
import { signedIn, signInAgain } from './sign-in.js'

/** Another worker is taken only for another name: a page must not meet one that speaks differently. */
const WORKER = { type: 'module', name: 'feed 1' }
/** A worker that has said nothing for so long was ended by the system. */
const WORKER_SILENCE_MS = 5 * STATUS_MS
/** Missed events come in pages of so many. */
const PAGE = 1000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000

function placeOf(cursor) {
  const [epoch, id] = cursor.split('-')
  return { epoch, id: Number(id) }
}

/** Whether one position lies before the other, which of different histories none does. */
function isBefore(one, other) {
  const [a, b] = [placeOf(one), placeOf(other)]
  return a.epoch === b.epoch && a.id < b.id
}

const listOf = (query, name) => query.get(name)?.split(',')

/** The API's own filter: `types`, and `part_number` with `A01-*` for all that begin so. */
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
 * One page's part of the feed, followed through every interruption. The connection is the browser's, shared by its pages
 * (docs/decisions/0008-one-connection-per-browser.md); the filter and the position are the page's own.
 *
 * - `load(signal)` shows what there is, unless it is aborted, and returns the cursor where the feed goes on, or nothing for where the connection is.
 *   It is called again where the log can't be continued from (`reset`).
 * - `opened()`: the page has caught up; whatever happens from now on comes.
 * - `received({ type, data, id })`: an event of the log.
 * - `changed(status)`: the status of the connection, see `Connection`.
 * - `refused(error)`: the API does not take the filter.
 */
export class Feed {
  #on
  #port
  #shared
  #heardAt
  #status = { state: 'connecting' }

  /** Aborted by the next start. */
  #run
  #query
  #wanted
  /** The page's position: it has seen all up to here. */
  #cursor
  #loaded = false
  /** The last position that the connection told of. */
  #seen
  /** The position from which on `#early` is complete. */
  #from
  /** What came while the page was catching up; nothing once it has. */
  #early = []
  #retry
  #attempt = 0
  /** The run that is being loaded, or is catching up. */
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

  /** Begins, or begins anew with another filter. */
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
      // A browser that has no shared workers of modules, or could not load ours.
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

  /** A connection of the page's own is kept only while somebody looks: so there is one, however many tabs are open. */
  #visibilityChanged() {
    if (this.#shared) return
    if (document.visibilityState === 'visible') this.#join()
    else this.#send('leave')
  }

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

  // The page's place.

  /** From `position` on, events are kept until the page has caught up to there. */
  #miss(position) {
    this.#from = position
    this.#early = []
  }

  /** Loads what there is, unless that is done, and catches up to the connection. One at a time, and only for this run. */
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

  /** Growing and jittered: a thousand pages must not ask in the same second. */
  #later() {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#attempt++, 6))
    this.#retry = setTimeout(() => this.#load(), longest * (0.5 + Math.random() / 2))
  }

  /** Reads what lies between the page and the connection, then takes what has come meanwhile. */
  async #catchUp(signal) {
    let wait = 0
    while (this.#from) {
      this.#cursor ??= this.#from
      if (this.#cursor === this.#from) return this.#caughtUp()
      // Also where the page is ahead: it can be so in a log that was restored to an earlier point since.
      const isBehind = isBefore(this.#cursor, this.#from)
      const { events, next } = await this.#readPage(wait, signal)
      if (signal.aborted) return
      if (events[0]?.type === 'reset') return this.start(this.#query)
      for (const event of events) this.#on.received(event)
      // An instance that is behind the one we are connected to.
      wait = next === this.#cursor ? 1 : 0
      this.#cursor = next
      // Ahead of the connection, or in a newer log that it will be reset to.
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
