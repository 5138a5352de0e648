import type { EventType, FeedEventType } from '../../schemas/events.js'
import type { Mode } from '../../schemas/mode.js'
import type { DataOf, LogEvent, ServerStatus } from '../parts/api.js'
import { keysOf } from '../parts/keys.js'

/** The types of the events in the log. A stream also has `server.state`, `heartbeat` and `reset`. */
const LOGGED = keysOf<EventType>({
  'item.created': true,
  'item.updated': true,
  'revision.created': true,
  'item.deleted': true,
})

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
 * that the browser has terminated the worker.
 */
export const STATUS_MS = 10_000

/** The modes in which the server serves streams. */
const SERVING: readonly Mode[] = ['normal', 'read-only']

/** The state of the connection, for all pages. */
export interface Status {
  state: 'connecting' | 'live' | 'reconnecting' | 'offline' | 'signed-out'
  /** Number of failed attempts since the connection was lost. */
  attempt: number
  /** When the connection was lost. */
  since: Date | undefined
  mode: Mode
  /** Number of open streams, of all clients. */
  watchers: number | undefined
}

/** What a page sends. `retry`: the user has signed in again. */
export type PageMessage = 'join' | 'leave' | 'retry' | 'online' | 'offline'

/** What a page receives. */
export type ConnectionMessage =
  | { type: 'status'; status: Status }
  | { type: 'event'; event: LogEvent }
  /** From this position on, the page receives every event. */
  | { type: 'at'; position: string }
  /**
   * As `at`, but the events before it are missing, because the log can't be continued from where the
   * connection was.
   */
  | { type: 'reset'; position: string }

/** Returns the number of open streams, or undefined if it can't be read. */
async function readWatchers(): Promise<number | undefined> {
  try {
    const response = await fetch('/api/server/mode', { headers: { accept: 'application/json' } })
    return response.ok ? ((await response.json()) as ServerStatus).watchers : undefined
  } catch {
    return undefined
  }
}

/**
 * A browser's only connection to the feed, shared by all of its pages (docs/decisions/0008). It receives
 * every event; each page filters for itself. It runs in a shared worker, or in the page if the browser has
 * none. Each page has a port, on which it sends `PageMessage` and receives `ConnectionMessage`.
 */
export class Connection {
  #ports = new Set<MessagePort>()
  /** The id of the last event that was received: the stream resumes after it. */
  #position: string | undefined
  #source: EventSource | undefined
  #retry: number | undefined
  /** When the last event was received. */
  #receivedAt = Date.now()
  #online = navigator.onLine
  #status: Status = {
    state: 'connecting',
    attempt: 0,
    since: undefined,
    mode: 'normal',
    watchers: undefined,
  }

  constructor() {
    setInterval(() => this.#checkSilence(), 1000)
    setInterval(() => void this.#report(), STATUS_MS)
  }

  /** Adds the port of a page. */
  accept(port: MessagePort): void {
    port.onmessage = ({ data: { type } }: MessageEvent<{ type: PageMessage }>) => {
      if (type === 'join') this.#join(port)
      else if (type === 'leave') this.#leave(port)
      else if (type === 'retry') this.#signedIn()
      else this.#networkChanged(type === 'online')
    }
  }

  #join(port: MessagePort): void {
    // Without pages there was no connection. Each page reads what it missed by itself, so the stream begins
    // at the head of the log.
    if (this.#ports.size === 0) this.#position = undefined
    this.#ports.add(port)
    if (this.#position) this.#send(port, { type: 'at', position: this.#position })
    if (this.#source) this.#send(port, { type: 'status', status: this.#status })
    else this.#begin()
  }

  #begin(): void {
    this.#set({ state: 'connecting', attempt: 0, since: undefined, watchers: undefined })
    this.#connect()
  }

  #signedIn(): void {
    if (this.#status.state === 'signed-out') this.#begin()
  }

  #leave(port: MessagePort): void {
    this.#ports.delete(port)
    if (this.#ports.size === 0) this.#close()
  }

  #send(port: MessagePort, message: ConnectionMessage): void {
    port.postMessage(message)
  }

  #sendToAll(message: ConnectionMessage): void {
    for (const port of this.#ports) this.#send(port, message)
  }

  #connect(): void {
    this.#close()
    if (this.#ports.size === 0) return
    this.#receivedAt = Date.now()
    const query = this.#position ? `?${new URLSearchParams({ since: this.#position }).toString()}` : ''
    const source = new EventSource(`/api/events${query}`)
    this.#source = source
    const listen = <Type extends FeedEventType>(
      type: Type,
      received: (data: DataOf<Type>, id: string) => void,
    ) => {
      source.addEventListener(type, ({ data, lastEventId }: MessageEvent<string>) => {
        this.#receivedAt = Date.now()
        received(JSON.parse(data) as DataOf<Type>, lastEventId)
        if (lastEventId) this.#moveTo(lastEventId)
      })
    }
    for (const type of LOGGED) {
      listen(type, (data, id) => this.#sendToAll({ type: 'event', event: { type, data, id } }))
    }
    listen('heartbeat', () => undefined)
    listen('reset', (_data, position) => {
      this.#position = position
      this.#sendToAll({ type: 'reset', position })
    })
    listen('server.state', ({ mode }) => this.#onServerState(mode))
    source.onerror = () => this.#failed(source)
  }

  #moveTo(position: string): void {
    const first = this.#position === undefined
    this.#position = position
    if (first) this.#sendToAll({ type: 'at', position })
  }

  /**
   * Handles `server.state`. A refused stream reports another mode, and ends: only a mode in which streams are
   * served makes it live.
   */
  #onServerState(mode: Mode): void {
    if (this.#isLive() || !SERVING.includes(mode)) return this.#set({ mode })
    this.#set({ mode, state: 'live', attempt: 0, since: undefined })
    void this.#report()
  }

  /**
   * Handles an error of the stream. The browser reconnects after a broken connection, but never after a
   * status other than 200.
   */
  #failed(source: EventSource): void {
    this.#lost()
    if (source.readyState === EventSource.CLOSED) this.#retryLater(() => void this.#checkSession())
  }

  /**
   * Checks whether the session has ended, because `EventSource` does not expose the status. If not, connects
   * again.
   */
  async #checkSession(): Promise<void> {
    const response = await fetch('/api/auth/me').catch(() => undefined)
    if (response?.status !== 401) return this.#connect()
    this.#close()
    this.#set({ state: 'signed-out' })
  }

  #isLive(): boolean {
    return this.#status.state === 'live'
  }

  #isOffline(since: Date | undefined): boolean {
    return !this.#online || (since !== undefined && Date.now() - since.getTime() > OFFLINE_AFTER_MS)
  }

  #lost(): void {
    const { attempt, since = new Date() } = this.#status
    const state = this.#isOffline(since) ? 'offline' : 'reconnecting'
    this.#set({ state, attempt: attempt + 1, since, watchers: undefined })
  }

  /**
   * Runs `act` after a delay with exponential backoff and jitter, so that browsers don't reconnect all at
   * once.
   */
  #retryLater(act: () => void): void {
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#status.attempt, 6))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(act, longest * (0.5 + Math.random() / 2))
  }

  /** Updates the state, and connects again if the stream has received nothing for too long. */
  #checkSilence(): void {
    const { state, since } = this.#status
    if (state === 'reconnecting' && this.#isOffline(since)) this.#set({ state: 'offline' })
    if (!this.#source || Date.now() - this.#receivedAt <= SILENCE_MS) return
    if (state === 'live') this.#lost()
    this.#connect()
  }

  #networkChanged(online: boolean): void {
    this.#online = online
    if (!this.#source) return
    if (!online || this.#status.state === 'live') this.#lost()
    if (online) this.#connect()
  }

  /** Sends the status to the pages, with the current number of open streams if it can be read. */
  async #report(): Promise<void> {
    if (!this.#isLive() || this.#ports.size === 0) return this.#set({})
    const watchers = await readWatchers()
    this.#set({ watchers: this.#isLive() ? watchers : undefined })
  }

  #close(): void {
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = undefined
  }

  #set(changes: Partial<Status>): void {
    this.#status = { ...this.#status, ...changes }
    this.#sendToAll({ type: 'status', status: this.#status })
  }
}
