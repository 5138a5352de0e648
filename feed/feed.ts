import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { NO_CHECK } from '../lib/check.js'
import { NoResponse } from '../lib/deadline.js'
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

/**
 * Bounds of the random `retry:` of a stream, in ms, so that clients don't all reconnect at the same moment
 * after a restart.
 */
const RETRY_MS = { min: 2000, max: 5000 }
/**
 * Number of slots in a heartbeat interval. Connections are spread over them, so that 10,000 heartbeats are
 * not sent at the same moment.
 */
const HEARTBEAT_SLOTS = 32
/**
 * Number of connections that one turn of the sweep visits before other work in the event loop has its turn:
 * about 1 ms.
 */
const SWEEP_SIZE = 100
/** Maximum number of segments that one request for a page searches for events that match its filter. */
const MAX_SEGMENTS = 64
/**
 * Maximum number of attempts to locate a cursor that another instance has issued and this one doesn't know.
 * The log is read before each further attempt.
 */
const ATTEMPTS = 3
/** How long a standby may take to replay an event that the client already has, in ms. */
const REPLAY_TIMEOUT_MS = 5000
/** How often the standby is queried in that time, in ms. */
const REPLAY_PAUSE_MS = 250

const BEGINNING: Position = { id: 0, check: NO_CHECK }

/** What the feed needs from the service. */
export interface FeedOptions {
  /** Interval between the heartbeats of a stream, in ms. */
  heartbeatMs: number
  /** Reads events of the log. Called for settled events only. */
  read: ReadLog
  /** Finds an event in the database. */
  find: (id: number) => Promise<Found>
  /** Makes the tail read the log. Resolves with whether the log could be read. */
  poll: () => Promise<boolean>
  /** Called with each error of reading the log. */
  onError: (error: unknown) => void
}

/** The result of a search for an event, and the state of the log in the same snapshot. */
export interface Found extends LogState {
  /** The event's check; undefined if the log does not hold the event. */
  check: string | undefined
  /** The newest visible id, 0 in an empty log. */
  newest: number
  /**
   * Whether the server is a standby, on which events that the primary committed long ago may still appear.
   */
  isStandby: boolean
}

/** The parameters of a new stream. */
export interface Subscription {
  sink: Sink
  filter: Filter
  owner: Owner
  start: Start
}

/** A page of events, for clients that don't open a stream. */
export interface EventPage {
  /** The epoch of the log, with which positions are formatted as cursors. */
  epoch: string
  events: readonly PageEvent[]
  /** The total size of the events, in bytes. */
  bytes: number
  /** The position that the next page begins after. */
  next: Position
}

const pageOf = (epoch: string, { events, bytes }: CollectedEvents, { id, check }: Position): EventPage => ({
  epoch,
  events,
  bytes,
  next: { id, check },
})

/** Sends the settled log to all open streams. Only the tail adds events to it. */
export class Feed implements TailListener, ConnectionFeed {
  readonly #options: FeedOptions
  /** The open streams: the heartbeat slot and the end callback of each. */
  readonly #connections = new Map<Connection, { slot: Set<Connection>; ended: (reason: EndReason) => void }>()
  /** The connections in each heartbeat slot. */
  readonly #slots: Set<Connection>[] = Array.from({ length: HEARTBEAT_SLOTS }, () => new Set())
  readonly #heartbeat: NodeJS.Timeout
  /**
   * Connections whose page could not be read. They are pumped again after the next successful read of the
   * log.
   */
  readonly #failed = new Set<Connection>()
  /** The next turn of the sweep; undefined when no round is in progress. */
  #sweep: NodeJS.Immediate | undefined
  /** Iterates over the connections; has the position of the sweep. */
  #iterator = this.#connections.keys()
  /** How many connections the current round has still to visit. */
  #unvisited = 0
  /** Emits `grown` when the log has grown, was replaced, or the feed has ended. */
  readonly #grown = new EventEmitter().setMaxListeners(0)

  #ended = false
  /** How many streams were opened so far; distributes them over the heartbeat slots. */
  #opened = 0
  /** How many heartbeat slots were sent so far. */
  #beats = 0
  #history: History
  /** The position up to which retention has deleted events. */
  #oldest: Position = BEGINNING
  /** The current data of `server.state`. */
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

  /** The number of open streams. */
  get clients(): number {
    return this.#connections.size
  }

  /** The cursor of the last settled event that this instance has read. */
  get head(): string {
    const { epoch, ring } = this.#history
    return formatCursor(epoch, ring.headPosition)
  }

  /** Whether the feed accepts streams; false once it has ended. */
  get isOpen(): boolean {
    return !this.#ended
  }

  /** The ids of the tokens that authorize the open streams. */
  get tokenIds(): Set<string> {
    return new Set([...this.#connections.keys()].map(({ owner }) => owner.tokenId))
  }

  // TailListener

  onRestart(epoch: string, head: Position): void {
    this.#history = this.#begin(epoch, head)
    // Each connection locates its position in the new log.
    this.#pumpAll()
    this.#grown.emit('grown')
  }

  onSettled(events: LoggedEvent[]): void {
    const { epoch, ring } = this.#history
    ring.append(encodeEntries(epoch, events))
    this.#pumpAll()
    this.#grown.emit('grown')
  }

  /**
   * Starts a round over all connections, or extends the current one to a full round from where the sweep is.
   * Connections that the sweep has not reached yet get the new events in the same visit; it visits the others
   * once more. So neither requests nor new events wait until all sockets are written to
   * (docs/decisions/0013).
   */
  #pumpAll(): void {
    this.#unvisited = this.#connections.size
    if (!this.#sweep) this.#pumpSome()
  }

  #pumpSome(): void {
    // Scheduled first: an exception in one connection must not end the round.
    this.#sweep = setImmediate(() => this.#pumpSome())
    for (let turn = 0; turn < SWEEP_SIZE && this.#unvisited > 0; turn++) {
      this.#unvisited--
      this.#nextConnection()?.pump()
    }
    if (this.#unvisited > 0) return
    clearImmediate(this.#sweep)
    this.#sweep = undefined
  }

  #nextConnection(): Connection | undefined {
    const next = this.#iterator.next()
    if (!next.done) return next.value
    this.#iterator = this.#connections.keys()
    return this.#iterator.next().value
  }

  /**
   * Called after each successful read of the log: pumps the connections whose page could not be read.
   * @param oldest the position up to which retention has deleted events
   */
  onRead(oldest: Position): void {
    this.#oldest = oldest
    const again = [...this.#failed]
    this.#failed.clear()
    for (const connection of again) connection.pump()
  }

  onReadError(connection: Connection, error: unknown): void {
    this.#failed.add(connection)
    this.#options.onError(error)
  }

  // Pages of events

  /**
   * Reads up to `limit` events after `position` that `filter` matches, no more than a page may hold in bytes.
   * Searches a bounded part of the log, so a page can be short or empty before the head is reached.
   * @returns the page, or why the client can't continue from `position`
   * @throws when the log can't be read
   */
  async read(position: Position, filter: Filter, limit: number): Promise<EventPage | { reset: ResetReason }> {
    const found = new CollectedEvents(limit)
    let next = position
    let cursor = position.id
    const { epoch, ring, pages } = this.#history
    for (let searched = 0; searched < MAX_SEGMENTS && cursor < ring.head; searched++) {
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
   * Reads the newest `count` events that `filter` matches, oldest first, from a bounded part of the log. The
   * oldest of them are left out where the page reaches its limit in bytes.
   * @throws when the log can't be read
   */
  async readNewest(filter: Filter, count: number): Promise<EventPage> {
    const { epoch, ring, pages } = this.#history
    const next = ring.headPosition
    const found = new CollectedEvents(count)
    let segment: Segment = ring
    for (let searched = 0; ; searched++) {
      for (const entry of [...segment.after(segment.floor)].reverse()) {
        if (found.isFull) break
        if (filter.matches(entry)) found.add(entry)
      }
      // Ids just below the segment's floor may be missing, so continue from the last event there.
      const floor = segment.positionAt(segment.floor).id
      if (found.isFull || searched === MAX_SEGMENTS || floor <= this.#oldest.id) break
      segment = await pages.readBefore(floor)
    }
    found.events.reverse()
    return pageOf(epoch, found, next)
  }

  /** Resolves when there may be more to read. Rejects when `signal` aborts. */
  async grown(signal: AbortSignal): Promise<void> {
    await once(this.#grown, 'grown', { signal })
  }

  // Streams

  /**
   * Finds where a client resumes.
   * @param cursor the client's cursor, `earliest`, or undefined for a new client
   * @throws {NoResponse} while this instance can't read the log, or not up to the client's event: a reset
   * would be wrong then
   */
  async locate(cursor: string | undefined): Promise<Start> {
    const history = this.#history
    if (cursor === undefined) return { position: history.ring.headPosition, history }
    if (cursor === 'earliest') return { position: this.#oldest, history }
    const parsed = parseCursor(cursor)
    return parsed ? this.#locate(parsed) : { reset: 'unknown' }
  }

  /**
   * Decides from memory where possible. Otherwise the event is searched in the database. If it is there, this
   * instance is behind the one that sent it, or has not noticed yet that the log was replaced: it reads the
   * log and tries again.
   */
  async #locate(cursor: Cursor): Promise<Start> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const history = this.#history
      const { epoch, ring } = history
      const { id, check } = cursor
      const start: Start = { position: { id, check }, history }
      if (cursor.epoch === epoch && id <= ring.head) {
        if (id < this.#oldest.id) return { reset: 'expired' }
        // Below the ring, the connection compares the position with its page.
        if (id < ring.floor || isSamePosition(ring.positionAt(id), cursor)) return start
      }
      const reset = await this.findReset(cursor)
      if (reset !== undefined) return { reset }
      if (history === this.#history && cursor.epoch === epoch && id > ring.head) return start
      await this.catchUp()
    }
    throw new NoResponse("the log has the client's event, and this instance could not read it")
  }

  async catchUp(): Promise<void> {
    if (!(await this.#options.poll())) throw new NoResponse('this instance could not read the log')
  }

  async findReset(cursor: Cursor): Promise<ResetReason | undefined> {
    const reset = await this.#compareWithDatabase(cursor)
    if (reset !== undefined) await this.catchUp()
    return reset
  }

  async #compareWithDatabase(cursor: Cursor): Promise<ResetReason | undefined> {
    const until = performance.now() + REPLAY_TIMEOUT_MS
    for (;;) {
      const { epoch, prunedTo, check, newest, isStandby } = await this.#options.find(cursor.id)
      if (epoch !== cursor.epoch) return 'unknown'
      if (cursor.id < prunedTo.id) return 'expired'
      if ((cursor.id === prunedTo.id ? prunedTo.check : check) === cursor.check) return undefined
      if (!isStandby || cursor.id <= newest || performance.now() > until) return 'unknown'
      await delay(REPLAY_PAUSE_MS)
    }
  }

  /**
   * Opens a stream: sends `server.state`, the missed events, and every event from then on.
   * @param ended is called once, with the reason, when the stream has ended
   */
  open({ sink, filter, owner, start }: Subscription, ended: (reason: EndReason) => void): Connection {
    const retryMs = RETRY_MS.min + Math.floor(Math.random() * (RETRY_MS.max - RETRY_MS.min))
    const connection = new Connection(this, sink, filter, owner, start, retryMs)
    const slot = this.#slotOf(this.#opened++)
    slot.add(connection)
    this.#connections.set(connection, { slot, ended })
    // The new connection uses up one step of the current round. Count it, so that no older connection is
    // skipped.
    this.#unvisited++
    connection.pump()
    // The feed may have ended while the client was being authenticated.
    if (this.#ended) this.close(connection, 'draining')
    return connection
  }

  /**
   * Ends a stream, or removes one whose socket has closed. Does nothing for a stream that was removed before.
   */
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

  /** Sets the data of `server.state` and sends it to every subscriber. */
  broadcastState(state: unknown): void {
    this.#state = state
    for (const connection of this.#connections.keys()) connection.stateChanged()
  }

  /** Ends the streams whose token has expired, and those for which `isLost` returns true. */
  endAccess(isLost: (owner: Owner) => boolean): void {
    const now = Date.now()
    for (const connection of this.#connections.keys()) {
      const { owner } = connection
      if (owner.expiresAt.getTime() <= now || isLost(owner)) this.close(connection, 'access-lost')
    }
  }

  /** Ends every stream with a complete response, and stops the heartbeats. */
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
