import type { Role } from '../schemas/auth.js'
import type { Position } from '../schemas/events.js'
import { type Cursor, formatCursor, isSamePosition } from './cursor.js'
import type { Filter } from './filter.js'
import { Block, encodeFrame } from './frame.js'
import type { Pages } from './pages.js'
import type { Ring } from './ring.js'
import type { Slice } from './segment.js'

/** One history of the log, as far as it is settled: the newest in memory, the rest in pages. */
export interface History {
  readonly epoch: string
  readonly ring: Ring
  readonly pages: Pages
}

/** Why a client's cursor can't be continued from: deleted by retention, or never a position in this log. */
export type ResetReason = 'expired' | 'unknown'

/** Why a stream ended. */
export type EndReason = 'client-gone' | 'stalled' | 'draining' | 'access-lost'

/** The client's socket, as a connection needs it. */
export interface Sink {
  /** Whether the socket holds so much that it should be given no more before it has drained. */
  readonly isFull: boolean
  write(block: Block): void
  /** Sends what is still to be said, then a complete end. */
  end(block: Block): void
  /** Cuts the connection off. */
  destroy(): void
}

/** What a connection asks of the feed it belongs to. */
export interface ConnectionFeed {
  readonly history: History
  /** What `server.state` says now. */
  readonly state: unknown
  /** Where the kept log begins, as `oldest` of a reset. */
  readonly oldest: Position
  /**
   * Reads the log. A reset sends the client to this instance's head, which must be of the log that causes the reset: this instance
   * may not have noticed a restore yet. Rejects when the log can't be read.
   */
  catchUp(): Promise<void>
  /** Whether the log itself has the event of `cursor`; catches up where it has not. Rejects when the log can't be read. */
  findReset(cursor: Cursor): Promise<ResetReason | undefined>
  /** The log could not be read; the feed pumps the connection again when the log answers. */
  failed(connection: Connection, error: unknown): void
}

/** The credential that a stream lives on. */
export interface Owner {
  readonly tokenId: string
  readonly role: Role
  readonly expiresAt: Date
}

/** Where a stream begins: a position, and the log that was found to have it, or a reset to the head. */
export type Start = { position: Position; history: History } | { reset: ResetReason }

/**
 * One stream: a cursor, a filter and a socket, and no queue. What is due lies in the shared segments; a socket that takes
 * no more keeps its cursor where it is until it drains. Every `id` on the wire is a position whose events were all
 * written before it.
 */
export class Connection {
  /** The log as this connection is served from it. */
  #history: History
  /** The position of the client: all it was sent. */
  #position: Position
  /** Everything up to this id has been dealt with: the position's, or one after it at which there is no event. */
  #cursor: number
  /** Another instance has sent the client more than this one has seen yet. The ring can come there by other events. */
  #isAhead: boolean
  #isLoading = false
  #resetDue: ResetReason | undefined
  #stateDue = true
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
      this.#resetDue = start.reset
      this.#history = feed.history
      this.#position = this.#history.ring.headPosition
    } else {
      this.#history = start.history
      this.#position = start.position
    }
    this.#cursor = this.#position.id
    this.#isAhead = this.#cursor > this.#history.ring.head
  }

  /** Whether it can be given what is due. */
  get isReady(): boolean {
    return this.#open && !this.#isLoading && !this.sink.isFull
  }

  /** Writes what is due, as long as the socket takes it. Costs next to nothing when nothing is due. */
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

  /** The mode has changed: say so, at the latest when the socket takes something again. */
  stateChanged(): void {
    this.#stateDue = true
    this.pump()
  }

  /** A sign of life that moves the client's cursor. A socket that takes nothing is not sent one: it holds enough. */
  heartbeat(encode: (position: string) => Block): void {
    if (this.#open && !this.sink.isFull) this.sink.write(encode(this.#clientCursor))
  }

  /** Ends the stream with its position and a complete end. */
  end(): void {
    if (!this.#open) return
    this.#open = false
    this.sink.end(Block.fromText(this.#frame('heartbeat', {})))
  }

  /** The socket is closed, by whomever. */
  closed(): void {
    this.#open = false
  }

  get #clientCursor(): string {
    return formatCursor(this.#history.epoch, this.#position)
  }

  #frame(type: string, data: unknown): string {
    return encodeFrame(this.#clientCursor, type, data)
  }

  /** Goes on in a log that was begun anew, where it still has the event that the client stands at; else there is a reset. */
  #moveTo(history: History): void {
    const { epoch, ring } = history
    this.#cursor = this.#position.id
    if (this.#resetDue !== undefined) return
    if (epoch !== this.#history.epoch) this.#resetDue = 'unknown'
    else if (this.#cursor > ring.head) void this.#find(history)
    else {
      this.#history = history
      this.#compare()
    }
  }

  /** Where the ring holds another event than the client has, there is a reset. Behind the ring, the page is compared. */
  #compare(): void {
    const { ring } = this.#history
    if (this.#cursor < ring.floor || isSamePosition(ring.positionAt(this.#cursor), this.#position)) return
    this.#resetDue = 'unknown'
  }

  /** Looks for the client's event in a log whose ring does not reach so far: another instance may have sent it already. */
  async #find(history: History): Promise<void> {
    this.#isLoading = true
    try {
      this.#resetDue = await this.feed.findReset({ epoch: history.epoch, ...this.#position })
      if (this.#resetDue === undefined) this.#history = history
      this.#isAhead = true
    } catch (error) {
      this.feed.failed(this, error)
      return
    } finally {
      this.#isLoading = false
    }
    this.pump()
  }

  /** A reset goes first: were any other id before it and the connection cut there, the client would never hear of it. */
  #writeNotices(): boolean {
    if (this.#resetDue === undefined && !this.#stateDue) return true
    let text = this.#preamble
    if (this.#resetDue !== undefined) {
      this.#history = this.feed.history
      const { epoch, ring } = this.#history
      this.#position = ring.headPosition
      this.#cursor = this.#position.id
      this.#isAhead = false
      const { oldest } = this.feed
      const reason = this.#resetDue
      text += this.#frame('reset', {
        reason,
        oldest: formatCursor(epoch, oldest.id < this.#cursor ? oldest : this.#position),
        head: this.#clientCursor,
      })
    }
    if (this.#stateDue) text += this.#frame('server.state', this.feed.state)
    this.#preamble = ''
    this.#resetDue = undefined
    this.#stateDue = false
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
      if (this.#cursor < page.floor) this.#resetDue ??= 'expired'
      else if (!isSamePosition(page.positionAt(this.#cursor), this.#position)) {
        await this.feed.catchUp()
        this.#resetDue ??= 'unknown'
      }
      while (this.#isReading() && this.#cursor < page.head)
        this.#writeSlice(page.slice(this.#cursor, this.filter))
      // Who has not taken this page yet may never ask for the next.
      if (this.#isReading()) pages.readAhead(page.head, ring.floor)
    } catch (error) {
      this.feed.failed(this, error)
      return
    } finally {
      this.#isLoading = false
    }
    this.pump()
  }

  #isReading(): boolean {
    return this.#open && !this.sink.isFull && this.#resetDue === undefined
  }
}
