import type { Role } from '../schemas/auth.js'
import type { Position } from '../schemas/events.js'
import { type Cursor, formatCursor, isSamePosition } from './cursor.js'
import type { Filter } from './filter.js'
import { Block, encodeFrame } from './frame.js'
import type { Pages } from './pages.js'
import type { Ring } from './ring.js'
import type { Slice } from './segment.js'

/**
 * The settled log in memory: the newest events in the ring, older ones in pages that are read from the
 * database. Replaced by a new object whenever the tail restarts.
 */
export interface History {
  readonly epoch: string
  readonly ring: Ring
  readonly pages: Pages
}

/**
 * Why a client can't resume from its cursor: retention has deleted the events after it (`expired`), or the
 * log does not hold that position (`unknown`).
 */
export type ResetReason = 'expired' | 'unknown'

/** Why a stream ended. */
export type EndReason = 'client-gone' | 'stalled' | 'draining' | 'access-lost'

/**
 * The subscriber's socket. Its owner calls `pump` of the connection when a full socket has drained, and
 * `closed` (by way of the feed) when it has closed.
 */
export interface Sink {
  /** Whether the socket's buffer is full. Events are written only while it is not. */
  readonly isFull: boolean
  /** Writes a block of frames. */
  write(block: Block): void
  /** Writes a last block and ends the response completely. */
  end(block: Block): void
}

/** The feed, as a connection uses it. */
export interface ConnectionFeed {
  /** The current log. */
  readonly history: History
  /** The current data of `server.state`. */
  readonly state: unknown
  /** The position up to which retention has deleted events: `oldest` of a `reset`. */
  readonly oldest: Position
  /**
   * Reads the log. Called before a reset, which moves the client to this instance's head: that head must be
   * of the log that causes the reset, and this instance may not have noticed yet that the log was replaced.
   * @throws {NoResponse} when the log can't be read
   */
  catchUp(): Promise<void>
  /**
   * Searches the database for the event of `cursor`. Returns undefined if it is there; otherwise the reason
   * of a reset, after `catchUp`. Rejects when the log can't be read.
   */
  findReset(cursor: Cursor): Promise<ResetReason | undefined>
  /**
   * Called when the log could not be read. The feed pumps the connection again after the next successful
   * read.
   */
  onReadError(connection: Connection, error: unknown): void
}

/** The token that authorizes a stream. */
export interface Owner {
  readonly tokenId: string
  readonly role: Role
  readonly expiresAt: Date
}

/** Where a stream begins: at a position of the log that holds it, or with a reset to the head. */
export type Start = { position: Position; history: History } | { reset: ResetReason }

/**
 * One stream: a cursor, a filter and a socket, without a queue. Pending events stay in the shared segments;
 * while the socket is full, the cursor stays where it is. Every `id` on the wire is a position up to which
 * all events were written before, except those that the filter hides.
 */
export class Connection {
  /** The log that this connection reads; differs from the feed's until `pump` has moved the connection. */
  #history: History
  /** The client's position: all events up to it were written, or hidden by the filter. */
  #position: Position
  /** The id of `#position`, or a later one with no event in between: every id up to it was handled. */
  #cursor: number
  /**
   * Whether another instance has sent the client events that this one has not read yet. This instance may
   * read other events with these ids, so the position is compared once the ring reaches it.
   */
  #isAhead: boolean
  /** Whether a page is being read, or the position is being searched in the database. */
  #isLoading = false
  /** The reason of a pending `reset`. */
  #pendingReset: ResetReason | undefined
  /** Whether a `server.state` is pending. */
  #isStatePending = true
  /** The `retry:` field before the first frame; empty once it was sent. */
  #preamble: string
  #open = true

  /**
   * @param retryMs how long the client should wait before it reconnects
   */
  constructor(
    readonly feed: ConnectionFeed,
    readonly sink: Sink,
    readonly filter: Filter,
    readonly owner: Owner,
    start: Start,
    retryMs: number,
  ) {
    this.#preamble = `retry: ${retryMs}\n`
    if ('reset' in start) {
      this.#pendingReset = start.reset
      this.#history = feed.history
      this.#position = this.#history.ring.headPosition
    } else {
      this.#history = start.history
      this.#position = start.position
    }
    this.#cursor = this.#position.id
    this.#isAhead = this.#cursor > this.#history.ring.head
  }

  /** Whether pending events can be written now. */
  get isReady(): boolean {
    return this.#open && !this.#isLoading && !this.sink.isFull
  }

  /** Writes pending notices and events until the socket is full. Cheap when nothing is pending. */
  pump(): void {
    if (this.#history !== this.feed.history && !this.#isLoading) this.#moveTo(this.feed.history)
    while (this.isReady && this.#writeNotices()) {
      const { ring } = this.#history
      if (this.#isAhead && this.#cursor <= ring.head) {
        this.#isAhead = false
        this.#compare()
        continue
      }
      if (this.#cursor >= ring.head) return
      if (this.#cursor < ring.floor) return void this.#load()
      this.#writeSlice(ring.slice(this.#cursor, this.filter))
    }
  }

  /** Sends `server.state`, at once or when a full socket has drained. */
  stateChanged(): void {
    this.#isStatePending = true
    this.pump()
  }

  /**
   * Sends a heartbeat, whose id moves the client's cursor. Skipped while the socket is full.
   * @param encode returns the heartbeat for a position
   */
  heartbeat(encode: (position: string) => Block): void {
    if (this.#open && !this.sink.isFull) this.sink.write(encode(this.#clientCursor))
  }

  /** Ends the stream with a last heartbeat, whose id is the stream's position, and a complete response. */
  end(): void {
    if (!this.#open) return
    this.#open = false
    this.sink.end(Block.fromText(this.#frame('heartbeat', {})))
  }

  /** Called when the socket is closed, by either side. */
  closed(): void {
    this.#open = false
  }

  get #clientCursor(): string {
    return formatCursor(this.#history.epoch, this.#position)
  }

  #frame(type: string, data: unknown): string {
    return encodeFrame(this.#clientCursor, type, data)
  }

  /**
   * Continues in `history` if that log holds the event at the client's position; otherwise a reset becomes
   * pending.
   */
  #moveTo(history: History): void {
    const { epoch, ring } = history
    this.#cursor = this.#position.id
    if (this.#pendingReset !== undefined) return
    if (epoch !== this.#history.epoch) this.#pendingReset = 'unknown'
    else if (this.#cursor > ring.head) void this.#find(history)
    else {
      this.#history = history
      this.#compare()
    }
  }

  /**
   * Makes a reset pending if the ring holds another event at the client's position. A position below the ring
   * is compared when its page is read.
   */
  #compare(): void {
    const { ring } = this.#history
    if (this.#cursor < ring.floor || isSamePosition(ring.positionAt(this.#cursor), this.#position)) return
    this.#pendingReset = 'unknown'
  }

  /**
   * Searches the database for the client's event when the ring does not reach that far: another instance may
   * have sent it already.
   */
  async #find(history: History): Promise<void> {
    this.#isLoading = true
    try {
      this.#pendingReset = await this.feed.findReset({ epoch: history.epoch, ...this.#position })
      if (this.#pendingReset === undefined) this.#history = history
      this.#isAhead = true
    } catch (error) {
      this.feed.onReadError(this, error)
      return
    } finally {
      this.#isLoading = false
    }
    this.pump()
  }

  /**
   * Writes pending notices. Returns whether more can be written. A `reset` is written before any other id: a
   * client that is disconnected after such an id would resume from it, and never receive the reset.
   */
  #writeNotices(): boolean {
    if (this.#pendingReset === undefined && !this.#isStatePending) return true
    let text = this.#preamble
    if (this.#pendingReset !== undefined) {
      this.#history = this.feed.history
      const { epoch, ring } = this.#history
      this.#position = ring.headPosition
      this.#cursor = this.#position.id
      this.#isAhead = false
      const { oldest } = this.feed
      const reason = this.#pendingReset
      text += this.#frame('reset', {
        reason,
        oldest: formatCursor(epoch, oldest.id < this.#cursor ? oldest : this.#position),
        head: this.#clientCursor,
      })
    }
    if (this.#isStatePending) text += this.#frame('server.state', this.feed.state)
    this.#preamble = ''
    this.#pendingReset = undefined
    this.#isStatePending = false
    this.sink.write(Block.fromText(text))
    return !this.sink.isFull
  }

  #writeSlice({ block, cursor, position }: Slice): void {
    this.#cursor = cursor
    this.#position = position
    if (block) this.sink.write(block)
  }

  async #load(): Promise<void> {
    const { ring, pages } = this.#history
    this.#isLoading = true
    try {
      const page = await pages.read(this.#cursor, ring.floor)
      if (this.#cursor < page.floor) this.#pendingReset ??= 'expired'
      else if (!isSamePosition(page.positionAt(this.#cursor), this.#position)) {
        await this.feed.catchUp()
        this.#pendingReset ??= 'unknown'
      }
      while (this.#isReading() && this.#cursor < page.head)
        this.#writeSlice(page.slice(this.#cursor, this.filter))
      // Read ahead only after the page was written completely: a slow client may never need the next one.
      if (this.#isReading()) pages.readAhead(page.head, ring.floor)
    } catch (error) {
      this.feed.onReadError(this, error)
      return
    } finally {
      this.#isLoading = false
    }
    this.pump()
  }

  #isReading(): boolean {
    return this.#open && !this.sink.isFull && this.#pendingReset === undefined
  }
}
