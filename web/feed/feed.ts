import { ApiError, type EventPage, type LogEvent, read } from '../parts/api.js'
import { signInAgain, signedIn } from '../parts/sign-in.js'
import { Connection, type ConnectionMessage, type PageMessage, STATUS_MS, type Status } from './connection.js'

/**
 * The name is the version of the messages between page and worker: pages share a worker only if it has the
 * same name.
 */
const WORKER: WorkerOptions = { type: 'module', name: 'feed 1' }
/** A worker that has sent nothing for this long was ended by the browser, in ms. */
const WORKER_SILENCE_MS = 5 * STATUS_MS
/** Number of events in a page when missed events are read. */
const PAGE = 1000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000

function positionOf(cursor: string): { epoch: string | undefined; id: number } {
  const [epoch, id] = cursor.split('-')
  return { epoch, id: Number(id) }
}

/** Whether one position is before the other. Positions of different epochs have no order. */
function isBefore(one: string, other: string): boolean {
  const [a, b] = [positionOf(one), positionOf(other)]
  return a.epoch === b.epoch && a.id < b.id
}

const listOf = (query: URLSearchParams, name: string) => query.get(name)?.split(',')

/**
 * Returns the predicate that filters events as the API does: by `types` and by `part_number`, where `A01-*`
 * is a prefix.
 */
function makeFilter(query: URLSearchParams): (event: LogEvent) => boolean {
  const types = listOf(query, 'types')
  const patterns = listOf(query, 'part_number')?.map((pattern) => pattern.trim().toLowerCase())
  const matches = (number: string, pattern: string) =>
    pattern.endsWith('*') ? number.startsWith(pattern.slice(0, -1)) : number === pattern
  return ({ type, data }) => {
    const number = data.part_number.toLowerCase()
    return (
      (!types || types.includes(type)) && (!patterns || patterns.some((pattern) => matches(number, pattern)))
    )
  }
}

/** The callbacks of a page. */
export interface FeedPage {
  /**
   * Reads and shows the current state, unless it is aborted. It resolves with the cursor after which events
   * are needed, or with undefined for the current position of the connection. It is called again after a
   * `reset`.
   */
  load: (signal: AbortSignal) => Promise<string | undefined>
  /** Called when the page has caught up: it receives every event from then on. */
  opened?: () => void
  /** Receives an event of the log that matches the filter. */
  received: (event: LogEvent) => void
  /** Receives the status of the connection. */
  changed: (status: Status) => void
  /** Called if the API refuses the filter. */
  refused: (error: ApiError) => void
}

/**
 * Follows the feed for one page, across lost connections. All pages of a browser share one connection
 * (docs/decisions/0008-one-connection-per-browser.md); each page has its own filter and position.
 */
export class Feed {
  #on: FeedPage
  #port: MessagePort | undefined
  /** Whether the connection is in a shared worker, or else in this page. */
  #shared = false
  /** When the last message of the connection was received. */
  #receivedAt = Date.now()
  #state: Status['state'] = 'connecting'

  /** The `AbortController` of the current run. The next `start` aborts it. */
  #run: AbortController | undefined
  #query: URLSearchParams | undefined
  /** The predicate that filters events. */
  #isWanted: (event: LogEvent) => boolean = () => true
  /** The page's position: it has all events up to this one. */
  #cursor: string | undefined
  /** Whether the current run has completed `load`. */
  #loaded = false
  /** The latest position that the connection has sent. */
  #seen: string | undefined
  /** The position after which `#early` has every event. Undefined until the connection has sent one. */
  #from: string | undefined
  /** The events that arrived while the page was catching up. Undefined once it has. */
  #early: LogEvent[] | undefined = []
  #retry: number | undefined
  #attempt = 0
  /** The run for which `#load` is in progress. */
  #busy: AbortController | undefined

  constructor(on: FeedPage) {
    this.#on = on
    this.#open(typeof SharedWorker === 'function')
    setInterval(() => this.#checkWorker(), STATUS_MS)
    addEventListener('online', () => this.#send('online'))
    addEventListener('offline', () => this.#send('offline'))
    addEventListener('pagehide', () => this.#send('leave'))
    addEventListener('pageshow', (event) => {
      if (event.persisted) this.#join()
    })
    document.addEventListener('visibilitychange', () => this.#visibilityChanged())
  }

  /** Starts to follow the feed, or starts again with another filter. */
  async start(query = new URLSearchParams()): Promise<void> {
    this.#run?.abort()
    this.#run = new AbortController()
    this.#query = query
    this.#isWanted = makeFilter(query)
    this.#cursor = undefined
    this.#loaded = false
    this.#attempt = 0
    this.#miss(this.#seen)
    await this.#load()
  }

  // The connection.

  #open(shared: boolean): void {
    this.#port?.close()
    this.#shared = shared
    this.#receivedAt = Date.now()
    if (shared) {
      const worker = new SharedWorker('/web/feed/worker.js', WORKER)
      // The browser has no shared workers of modules, or could not load this one.
      worker.addEventListener('error', () => this.#open(false))
      this.#port = worker.port
    } else {
      const { port1, port2 } = new MessageChannel()
      new Connection().accept(port2)
      this.#port = port1
    }
    this.#port.onmessage = ({ data }: MessageEvent<ConnectionMessage>) => this.#onMessage(data)
    this.#join()
  }

  #send(type: PageMessage): void {
    this.#port?.postMessage({ type })
  }

  #join(): void {
    this.#miss(undefined)
    this.#send('join')
  }

  /**
   * Closes the page's own connection while the page is hidden, so that a browser has one connection however
   * many tabs are open.
   */
  #visibilityChanged(): void {
    if (this.#shared) return
    if (document.visibilityState === 'visible') this.#join()
    else this.#send('leave')
  }

  /** Starts a new worker if the current one is silent. */
  #checkWorker(): void {
    if (!this.#shared || Date.now() - this.#receivedAt < WORKER_SILENCE_MS) return
    this.#send('leave')
    this.#open(true)
  }

  #onMessage(message: ConnectionMessage): void {
    this.#receivedAt = Date.now()
    if (message.type === 'status') return this.#statusChanged(message.status)
    if (message.type === 'event') return this.#receive(message.event)
    this.#seen = message.position
    if (message.type === 'reset') {
      void this.start(this.#query)
    } else {
      this.#miss(message.position)
      void this.#load()
    }
  }

  #receive(event: LogEvent): void {
    this.#seen = event.id
    if (this.#early) this.#early.push(event)
    else this.#take(event)
  }

  #statusChanged(status: Status): void {
    const before = this.#state
    this.#state = status.state
    this.#on.changed(status)
    if (status.state === before) return
    if (status.state === 'signed-out') void signInAgain().then(() => this.#send('retry'))
    if (status.state !== 'live') return
    signedIn()
    if (this.#run && this.#early) void this.#load()
  }

  // The position of the page.

  /** Collects the events after `position` until the page has caught up to it. */
  #miss(position: string | undefined): void {
    this.#from = position
    this.#early = []
  }

  /**
   * Calls `load` if this run has not yet, then catches up to the connection. Does nothing if that is in
   * progress for this run.
   */
  async #load(): Promise<void> {
    const run = this.#run
    if (!run || this.#busy === run) return
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
      if (error instanceof ApiError && error.status === 400) this.#on.refused(error)
      else this.#retryLater()
    } finally {
      if (this.#busy === run) this.#busy = undefined
    }
  }

  /**
   * Loads again after a delay with exponential backoff and jitter, so that pages don't send their requests
   * all at once.
   */
  #retryLater(): void {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#attempt++, 6))
    this.#retry = setTimeout(() => void this.#load(), longest * (0.5 + Math.random() / 2))
  }

  /**
   * Reads the events between the page's position and `#from`, then processes those that arrived meanwhile.
   */
  async #catchUp(signal: AbortSignal): Promise<void> {
    let wait = 0
    while (this.#from) {
      this.#cursor ??= this.#from
      if (this.#cursor === this.#from) return this.#caughtUp()
      // The log is read even if the page is ahead of the connection: it may have been restored to an earlier
      // state since, which this request detects.
      const isBehind = isBefore(this.#cursor, this.#from)
      const { events, next } = await this.#readPage(this.#cursor, wait, signal)
      if (signal.aborted) return
      if (events[0]?.type === 'reset') return this.start(this.#query)
      for (const event of events) if (event.type !== 'reset') this.#on.received(event)
      // An empty page: this instance has not read the event yet that the connection's instance has sent. Wait
      // for it.
      wait = next === this.#cursor ? 1 : 0
      this.#cursor = next
      // The page is ahead of the connection, or in a newer epoch, of which the connection will receive a
      // `reset`.
      if (!isBehind) return this.#caughtUp()
    }
  }

  #readPage(since: string, wait: number, signal: AbortSignal): Promise<EventPage> {
    const query = new URLSearchParams(this.#query)
    query.set('since', since)
    query.set('limit', String(PAGE))
    query.set('wait', String(wait))
    return read(`/api/events?${query.toString()}`, signal)
  }

  #caughtUp(): void {
    const early = this.#early ?? []
    this.#early = undefined
    this.#attempt = 0
    for (const event of early) this.#take(event)
    this.#on.opened?.()
  }

  #take(event: LogEvent): void {
    if (this.#cursor === undefined || !isBefore(this.#cursor, event.id)) return
    this.#cursor = event.id
    if (this.#isWanted(event)) this.#on.received(event)
  }
}
