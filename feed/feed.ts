import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { NO_CHECK } from '../lib/check.js'
import { NoAnswer } from '../lib/deadline.js'
import type { LoggedEvent, LogState, Position } from '../schemas/events.js'
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
import { type Cursor, formatCursor, isSamePosition, parseCursor } from './cursor.js'
import type { Filter } from './filter.js'
import { CollectedEvents, type PageEvent } from './collected-events.js'
import { Block, encodeEntries, encodeFrame } from './frame.js'
import { Pages, type ReadLog } from './pages.js'
import { Ring } from './ring.js'
import type { Segment } from './segment.js'
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
/** How often the log is looked at again for a client that another instance has told more than this one knows. */
const ATTEMPTS = 3
/** A standby is given this long to replay what a client has already, in ms. */
const REPLAY_PATIENCE_MS = 5000
const REPLAY_PAUSE_MS = 250

const BEGINNING: Position = { id: 0, check: NO_CHECK }

export interface FeedOptions {
  heartbeatMs: number
  /** Reads events of the log; only settled ones are asked for. */
  read: ReadLog
  /** Looks for an event in the log itself. */
  find: (id: number) => Promise<Found>
  /** Makes the tail read the log; resolves with whether it could. */
  look: () => Promise<boolean>
  onError: (error: unknown) => void
}

/** An event that was looked for, and what the log was at that moment. */
export interface Found extends LogState {
  /** The event's check, where it is there. */
  check: string | undefined
  /** The newest id that is there. */
  newest: number
  /** Whether the server is a standby, on which more may appear that was committed long ago. */
  isStandby: boolean
}

/** What a client asks for when it opens a stream. */
export interface Subscription {
  sink: Sink
  filter: Filter
  owner: Owner
  start: Start
}

/** A page of events for those who don't stream. */
export interface EventPage {
  /** The log's, to make cursors of positions. */
  epoch: string
  events: readonly PageEvent[]
  /** The size of the events, in bytes. */
  bytes: number
  /** Where the next page begins. */
  next: Position
}

const pageOf = (epoch: string, { events, bytes }: CollectedEvents, { id, check }: Position): EventPage => ({
  epoch,
  events,
  bytes,
  next: { id, check },
})

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
  #oldest: Position = BEGINNING
  #state: unknown

  constructor(options: FeedOptions, state: unknown) {
    this.#options = options
    this.#state = state
    this.#history = this.#begin('', BEGINNING)
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs / HEARTBEAT_SLOTS)
  }

  get history(): History {
    return this.#history
  }

  get state(): unknown {
    return this.#state
  }

  get oldest(): Position {
    return this.#oldest
  }

  /** How many streams are open. */
  get clients(): number {
    return this.#connections.size
  }

  /** The position up to which the log is settled and known here. */
  get head(): string {
    const { epoch, ring } = this.#history
    return formatCursor(epoch, ring.headPosition)
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

  restarted(epoch: string, head: Position): void {
    this.#history = this.#begin(epoch, head)
    // Each of them looks for its place in it.
    this.#pumpAll()
    this.#grown.emit('grown')
  }

  settled(events: LoggedEvent[]): void {
    const { epoch, ring } = this.#history
    ring.append(encodeEntries(epoch, events))
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
  answered(oldest: Position): void {
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
   * Up to `limit` events after `position` that `filter` lets through, and no more than a page's bound of bytes. The page can be
   * short, or empty, before the head is reached: one answer looks through a bounded stretch of the log.
   */
  async read(position: Position, filter: Filter, limit: number): Promise<EventPage | { reset: ResetReason }> {
    const found = new CollectedEvents(limit)
    let next = position
    let cursor = position.id
    const { epoch, ring, pages } = this.#history
    for (let stretch = 0; stretch < STRETCHES && cursor < ring.head; stretch++) {
      const segment = cursor < ring.floor ? await pages.read(cursor, ring.floor) : ring
      if (cursor < segment.floor) return { reset: 'expired' }
      if (!isSamePosition(segment.positionAt(cursor), next)) {
        await this.catchUp()
        return { reset: 'unknown' }
      }
      for (const entry of segment.after(cursor)) {
        if (!filter.matches(entry)) continue
        found.add(entry)
        if (found.isFull) return pageOf(epoch, found, entry)
      }
      cursor = segment.head
      next = segment.positionAt(cursor)
    }
    return pageOf(epoch, found, next)
  }

  /**
   * The newest `count` events that `filter` lets through, oldest first, from a bounded stretch of the log. The oldest of them are
   * left out where a page's bound of bytes is reached.
   */
  async readNewest(filter: Filter, count: number): Promise<EventPage> {
    const { epoch, ring, pages } = this.#history
    const next = ring.headPosition
    const found = new CollectedEvents(count)
    let segment: Segment = ring
    for (let stretch = 0; ; stretch++) {
      for (const entry of [...segment.after(segment.floor)].reverse()) {
        if (found.isFull) break
        if (filter.matches(entry)) found.add(entry)
      }
      // Below its floor there may be no event for long.
      const floor = segment.positionAt(segment.floor).id
      if (found.isFull || stretch === STRETCHES || floor <= this.#oldest.id) break
      segment = await pages.readBefore(floor)
    }
    found.events.reverse()
    return pageOf(epoch, found, next)
  }

  /** Resolves when there may be more to read; rejects when `signal` says that waiting is over. */
  async grown(signal: AbortSignal): Promise<void> {
    await once(this.#grown, 'grown', { signal })
  }

  // Clients come and go.

  /**
   * Where a client that sends `cursor` (undefined for a new one) resumes.
   * @throws {NoAnswer} while this instance can't read the log, or not as far as the client has: a reset would not be due
   */
  async locate(cursor: string | undefined): Promise<Start> {
    const history = this.#history
    if (cursor === undefined) return { position: history.ring.headPosition, history }
    if (cursor === 'earliest') return { position: this.#oldest, history }
    const parsed = parseCursor(cursor)
    return parsed ? this.#locate(parsed) : { reset: 'unknown' }
  }

  /**
   * What this instance has in memory decides where it can. Else the log itself does, and where it has the client's event, then
   * this instance is behind the one that has sent it, or has not noticed yet that the log is of another history.
   */
  async #locate(cursor: Cursor): Promise<Start> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const history = this.#history
      const { epoch, ring } = history
      const { id, check } = cursor
      const start: Start = { position: { id, check }, history }
      if (cursor.epoch === epoch && id <= ring.head) {
        if (id < this.#oldest.id) return { reset: 'expired' }
        // What lies behind the ring is compared with its page.
        if (id < ring.floor || isSamePosition(ring.positionAt(id), cursor)) return start
      }
      const reset = await this.findReset(cursor)
      if (reset !== undefined) return { reset }
      if (history === this.#history && cursor.epoch === epoch && id > ring.head) return start
      await this.catchUp()
    }
    throw new NoAnswer("the log has the client's event, and this instance could not read it")
  }

  async catchUp(): Promise<void> {
    if (!(await this.#options.look())) throw new NoAnswer('this instance could not read the log')
  }

  async findReset(cursor: Cursor): Promise<ResetReason | undefined> {
    const reset = await this.#judge(cursor)
    if (reset !== undefined) await this.catchUp()
    return reset
  }

  async #judge(cursor: Cursor): Promise<ResetReason | undefined> {
    const until = performance.now() + REPLAY_PATIENCE_MS
    for (;;) {
      const { epoch, prunedTo, check, newest, isStandby } = await this.#options.find(cursor.id)
      if (epoch !== cursor.epoch) return 'unknown'
      if (cursor.id < prunedTo.id) return 'expired'
      if ((cursor.id === prunedTo.id ? prunedTo.check : check) === cursor.check) return undefined
      if (!isStandby || cursor.id <= newest || performance.now() > until) return 'unknown'
      await delay(REPLAY_PAUSE_MS)
    }
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

  #begin(epoch: string, head: Position): History {
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
