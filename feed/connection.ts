import type { Role } from '../schemas/auth.js'
import { formatCursor } from './cursor.js'
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
  readonly oldest: number
  /** A page could not be read; the feed pumps the connection again when the log answers. */
  failed(connection: Connection, error: unknown): void
}

/** The credential that a stream lives on. */
export interface Owner {
  readonly tokenId: string
  readonly role: Role
  readonly expiresAt: Date
}

/** Where a stream begins: a position, or a reset to the head. */
export type Start = { cursor: number } | { reset: ResetReason }

/**
 * One stream: a cursor, a filter and a socket, and no queue. What is due lies in the shared segments; a socket that takes
 * no more keeps its cursor where it is until it drains. Every `id` on the wire is a position whose events were all
 * written before it.
 */
export class Connection {
  /** The position of the client: all it was sent, and the history that this is a position in. */
  #cursor = 0
  #epoch: string
  #loading = false
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
    this.#epoch = feed.history.epoch
    if ('reset' in start) this.#resetDue = start.reset
    else this.#cursor = start.cursor
  }

  /** Whether it can be given what is due. */
  get isReady(): boolean {
    return this.#open && !this.#loading && !this.sink.isFull
  }

  /** Writes what is due, as long as the socket takes it. Costs next to nothing when nothing is due. */
  pump(): void {
    const { ring } = this.feed.history
    while (this.isReady && this.#writeNotices() && this.#cursor < ring.head) {
      if (this.#cursor < ring.floor) return void this.#load()
      this.#writeSlice(ring.slice(this.#cursor, this.filter))
    }
  }

  /** The mode has changed: say so, at the latest when the socket takes something again. */
  stateChanged(): void {
    this.#stateDue = true
    this.pump()
  }

  /** The log has become another one; whatever the client has seen says nothing about it. */
  historyChanged(): void {
    this.#resetDue = 'unknown'
    this.pump()
  }

  /** A sign of life that moves the client's cursor. A socket that takes nothing is not sent one: it holds enough. */
  heartbeat(encode: (position: string) => Block): void {
    if (this.#open && !this.sink.isFull) this.sink.write(encode(this.#position))
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

  get #position(): string {
    return formatCursor(this.#epoch, this.#cursor)
  }

  #frame(type: string, data: unknown): string {
    return encodeFrame(this.#position, type, data)
  }

  /** A reset goes first: were any other id before it and the connection cut there, the client would never hear of it. */
  #writeNotices(): boolean {
    if (this.#resetDue === undefined && !this.#stateDue) return true
    const { epoch, ring } = this.feed.history
    let text = this.#preamble
    if (this.#resetDue !== undefined) {
      this.#cursor = ring.head
      this.#epoch = epoch
      const reason = this.#resetDue
      const oldest = formatCursor(epoch, Math.min(this.feed.oldest, ring.head))
      text += this.#frame('reset', { reason, oldest, head: formatCursor(epoch, ring.head) })
    }
    if (this.#stateDue) text += this.#frame('server.state', this.feed.state)
    this.#preamble = ''
    this.#resetDue = undefined
    this.#stateDue = false
    this.sink.write(Block.fromText(text))
    return !this.sink.isFull
  }

  #writeSlice({ block, cursor }: Slice): void {
    this.#cursor = cursor
    if (block) this.sink.write(block)
  }

  async #load(): Promise<void> {
    const { ring, pages } = this.feed.history
    this.#loading = true
    try {
      const page = await pages.read(this.#cursor, ring.floor)
      if (this.#cursor < page.floor) this.#resetDue ??= 'expired'
      while (this.#isReading() && this.#cursor < page.head)
        this.#writeSlice(page.slice(this.#cursor, this.filter))
      // Who has not taken this page yet may never ask for the next.
      if (this.#isReading()) pages.readAhead(page.head, ring.floor)
    } catch (error) {
      this.feed.failed(this, error)
      return
    } finally {
      this.#loading = false
    }
    this.pump()
  }

  #isReading(): boolean {
    return this.#open && !this.sink.isFull && this.#resetDue === undefined
  }
}
