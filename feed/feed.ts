import { EventEmitter, once } from 'node:events'
import type { LoggedEvent } from '../schemas/events.js'
import {
  Connection,
  type ConnectionFeed,
  type EndReason,
  type History,
  type Owner,
  type ResetReason,
  type Sink,
  type Start,
} from './connection.js'
import { formatCursor, parseCursor } from './cursor.js'
import type { Filter } from './filter.js'
import { Block, type Entry, encodeEntries, encodeFrame } from './frame.js'
import { Pages, type ReadLog } from './pages.js'
import { Ring } from './ring.js'
import { Slices } from './slices.js'
import type { TailListener } from './tail.js'

/** Reconnecting clients spread over this, in ms, so that a restart is not followed by a stampede. */
const RETRY_MS = { least: 2000, most: 5000 }
/** Heartbeats are sent in this many portions an interval, so that ten thousand of them don't fall on one moment. */
const HEARTBEAT_SLOTS = 32
/** How many connections get what is due before whatever else waits has its turn: about a millisecond. */
const SWEEP = 100
/** How many pages one answer looks through at most for events that a filter lets through. */
const STRETCHES = 64

export interface FeedOptions {
  heartbeatMs: number
  /** Reads events of the log; only settled ones are asked for. */
  read: ReadLog
  /** The largest id ever drawn: a cursor beyond it was never ours. */
  readLastDrawn: () => Promise<number>
  onError: (error: unknown) => void
}

/** What a client asks for when it opens a stream. */
export interface Subscription {
  sink: Sink
  filter: Filter
  owner: Owner
  start: Start
}

/** A page of events for those who don't stream. */
export interface EntryPage {
  entries: Entry[]
  /** Where the next page begins. */
  next: number
}

/**
 * The fan-out: all open streams, and the settled log they are served from. The tail feeds it; nothing else does.
 */
export class Feed implements TailListener, ConnectionFeed {
  readonly #options: FeedOptions
  readonly #connections = new Map<Connection, { slot: Set<Connection>; ended: (reason: EndReason) => void }>()
  readonly #slots: Set<Connection>[] = Array.from({ length: HEARTBEAT_SLOTS }, () => new Set())
  readonly #heartbeat: NodeJS.Timeout
  readonly #failed = new Set<Connection>()
  /** The next turn of the sweep, its place among the connections, how many it has still to look at, and to whom it has still to write. */
  #sweep: NodeJS.Immediate | undefined
  #place = this.#connections.keys()
  #unvisited = 0
  readonly #ready: Connection[] = []
  readonly #grown = new EventEmitter().setMaxListeners(0)

  #ended = false
  #opened = 0
  #beats = 0
  #history: History
  #oldest = 0
  #state: unknown

  constructor(options: FeedOptions, state: unknown) {
    this.#options = options
    this.#state = state
    this.#history = this.#begin('', 0)
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs / HEARTBEAT_SLOTS)
  }

  get history(): History {
    return this.#history
  }

  get state(): unknown {
    return this.#state
  }

  get oldest(): number {
    return this.#oldest
  }

  /** How many streams are open. */
  get clients(): number {
    return this.#connections.size
  }

  /** The position up to which the log is settled and known here. */
  get head(): string {
    return formatCursor(this.#history.epoch, this.#history.ring.head)
  }

  /** Whether a stream that is opened now would not be ended at once. */
  get isOpen(): boolean {
    return !this.#ended
  }

  /** The tokens that the open streams live on. */
  get tokenIds(): Set<string> {
    return new Set([...this.#connections.keys()].map(({ owner }) => owner.tokenId))
  }

  // The tail speaks.

  restarted(epoch: string, head: number): void {
    const same = epoch === this.#history.epoch
    this.#history = this.#begin(epoch, head)
    if (same) this.#pumpAll()
    else for (const connection of this.#connections.keys()) connection.historyChanged()
    this.#grown.emit('grown')
  }

  settled(events: LoggedEvent[], head: number): void {
    const { epoch, ring } = this.#history
    ring.append(encodeEntries(epoch, events), head)
    this.#pumpAll()
    this.#grown.emit('grown')
  }

  /**
   * Visits every connection, from wherever the sweep stands. What settles meanwhile goes along with it to those that it has not
   * come to, and to the others when it comes around: ten thousand sockets neither keep a request waiting nor the next event.
   */
  #pumpAll(): void {
    this.#unvisited = this.#connections.size
    if (!this.#sweep) this.#pumpSome()
  }

  #pumpSome(): void {
    // First, so that the others get their turn whatever happens to this one.
    this.#sweep = setImmediate(() => this.#pumpSome())
    this.#lookAhead()
    for (let next = this.#ready.pop(); next; next = this.#ready.pop()) next.pump()
    if (this.#unvisited > 0) return
    clearImmediate(this.#sweep)
    this.#sweep = undefined
  }

  /**
   * Ten thousand sockets fit no cache, so the first look at one waits for memory. Looks at a hundred in a row wait side by side;
   * with a write after each they wait one after the other (docs/decisions).
   */
  #lookAhead(): void {
    for (let turn = 0; turn < SWEEP && this.#unvisited > 0; turn++, this.#unvisited--) {
      const connection = this.#nextConnection()
      if (connection?.isReady) this.#ready.push(connection)
    }
  }

  #nextConnection(): Connection | undefined {
    const next = this.#place.next()
    if (!next.done) return next.value
    this.#place = this.#connections.keys()
    return this.#place.next().value
  }

  /** The log has answered: those whose page could not be read try again. Also tells where the kept log begins. */
  answered(oldest: number): void {
    this.#oldest = oldest
    const again = [...this.#failed]
    this.#failed.clear()
    for (const connection of again) connection.pump()
  }

  failed(connection: Connection, error: unknown): void {
    this.#failed.add(connection)
    this.#options.onError(error)
  }

  // Clients that read pages.

  /**
   * Up to `limit` events after `cursor` that `filter` lets through. The page can be short, or empty, before the head is
   * reached: one answer looks through a bounded stretch of the log.
   */
  async read(cursor: number, filter: Filter, limit: number): Promise<EntryPage | { reset: ResetReason }> {
    const entries: Entry[] = []
    const { ring, pages } = this.#history
    for (let stretch = 0; stretch < STRETCHES && cursor < ring.head; stretch++) {
      const segment = cursor < ring.floor ? await pages.read(cursor, ring.floor) : ring
      if (cursor < segment.floor) return { reset: 'expired' }
      for (const entry of segment.after(cursor)) {
        if (filter.matches(entry)) entries.push(entry)
        if (entries.length === limit) return { entries, next: entry.id }
      }
      cursor = segment.head
    }
    return { entries, next: cursor }
  }

  /** The newest `count` events that `filter` lets through, oldest first, from a bounded stretch of the log. */
  async readNewest(filter: Filter, count: number): Promise<EntryPage> {
    const { ring, pages } = this.#history
    const next = ring.head
    let entries = [...ring.after(ring.floor)].filter((entry) => filter.matches(entry))
    let floor = ring.floor
    for (let stretch = 0; stretch < STRETCHES && entries.length < count && floor > this.#oldest; stretch++) {
      const page = await pages.readBefore(floor)
      entries = [...[...page.after(page.floor)].filter((entry) => filter.matches(entry)), ...entries]
      floor = page.floor
    }
    return { entries: entries.slice(-count), next }
  }

  /** Resolves when there may be more to read; rejects when `signal` says that waiting is over. */
  async grown(signal: AbortSignal): Promise<void> {
    await once(this.#grown, 'grown', { signal })
  }

  // Clients come and go.

  /**
   * Where a client that sends `cursor` (undefined for a new one) goes on from.
   * A cursor beyond our head can come from another instance that has seen more; only beyond the last drawn id is it nonsense.
   */
  async locate(cursor: string | undefined): Promise<Start> {
    if (cursor === undefined) return { cursor: this.#history.ring.head }
    if (cursor === 'earliest') return { cursor: this.#oldest }
    const { epoch, id } = parseCursor(cursor) ?? {}
    if (id === undefined || epoch !== this.#history.epoch) return { reset: 'unknown' }
    if (id > this.#history.ring.head && id > (await this.#options.readLastDrawn()))
      return { reset: 'unknown' }
    return id < this.#oldest ? { reset: 'expired' } : { cursor: id }
  }

  /** Opens a stream: greets it, sends what it has missed, and everything from then on. */
  open({ sink, filter, owner, start }: Subscription, ended: (reason: EndReason) => void): Connection {
    const retryMs = RETRY_MS.least + Math.floor(Math.random() * (RETRY_MS.most - RETRY_MS.least))
    const connection = new Connection(this, sink, filter, owner, start, retryMs)
    const slot = this.#slotOf(this.#opened++)
    slot.add(connection)
    this.#connections.set(connection, { slot, ended })
    // It stands in the sweep's way to one that was there before.
    this.#unvisited++
    connection.pump()
    // The drain may have passed while the client was signed in.
    if (this.#ended) this.close(connection, 'draining')
    return connection
  }

  /** Forgets a stream whose socket has closed, or that ends now. */
  close(connection: Connection, reason: EndReason): void {
    const known = this.#connections.get(connection)
    if (!known) return
    this.#connections.delete(connection)
    known.slot.delete(connection)
    this.#failed.delete(connection)
    if (reason === 'draining' || reason === 'access-lost') connection.end()
    connection.closed()
    known.ended(reason)
  }

  /** Tells every client what `server.state` is from now on. */
  announce(state: unknown): void {
    this.#state = state
    for (const connection of this.#connections.keys()) connection.stateChanged()
  }

  /** Ends the streams of tokens that have expired, and of those that no longer give what they gave (`isLost`). */
  endAccess(isLost: (owner: Owner) => boolean): void {
    const now = Date.now()
    for (const connection of this.#connections.keys()) {
      const { owner } = connection
      if (owner.expiresAt.getTime() <= now || isLost(owner)) this.close(connection, 'access-lost')
    }
  }

  /** Ends every stream cleanly, and the heartbeats. */
  end(): void {
    this.#ended = true
    clearInterval(this.#heartbeat)
    clearImmediate(this.#sweep)
    for (const connection of this.#connections.keys()) this.close(connection, 'draining')
    this.#grown.emit('grown')
  }

  #begin(epoch: string, head: number): History {
    const { read, onError } = this.#options
    const slices = new Slices()
    return { epoch, ring: new Ring(slices, head), pages: new Pages(slices, epoch, read, onError) }
  }

  #slotOf(count: number): Set<Connection> {
    const slot = this.#slots[count % HEARTBEAT_SLOTS]
    if (!slot) throw new RangeError('a count is never negative')
    return slot
  }

  #beat(): void {
    const blocks = new Map<string, Block>()
    const encode = (position: string): Block => {
      const block = blocks.get(position) ?? Block.fromText(encodeFrame(position, 'heartbeat', {}))
      blocks.set(position, block)
      return block
    }
    for (const connection of this.#slotOf(this.#beats++)) connection.heartbeat(encode)
  }
}
