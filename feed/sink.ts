import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Sink } from './connection.js'
import { type Block, LAST_CHUNK } from './frame.js'

/** Timeouts of a stream's socket. */
export interface SinkTimeouts {
  /**
   * How long the client may take to read what is left when the stream ends, before the socket is destroyed,
   * in ms.
   */
  endGraceMs: number
  /** How long a socket with unsent data may make no progress before it is destroyed, in ms. */
  stallMs: number
}

/** Callbacks for the events of a stream's socket. */
export interface SinkEvents {
  /** Called when a full socket has drained. */
  onDrain: () => void
  /** Called once when the socket is closed; `stalled` if it was destroyed because it made no progress. */
  onClose: (stalled: boolean) => void
}

/**
 * Writes an event stream to the socket of its response. Blocks are already encoded for chunked transfer and
 * bypass the response, which would encode each block again for each client (docs/decisions/0005).
 */
export class ResponseSink implements Sink {
  readonly #socket: Socket
  readonly #isChunked: boolean
  readonly #timeouts: SinkTimeouts

  /**
   * @param socket the socket of the response, to which the head was written
   * @param isChunked whether the head announces the chunked transfer coding
   */
  constructor(socket: Socket, isChunked: boolean, timeouts: SinkTimeouts) {
    this.#socket = socket
    this.#isChunked = isChunked
    this.#timeouts = timeouts
  }

  /** Calls `onDrain` and `onClose` for the socket's events from now on. */
  watch(response: ServerResponse, { onDrain, onClose }: SinkEvents): void {
    const socket = this.#socket
    let stalled = false
    socket.on('drain', onDrain)
    // Fires when the socket has made no progress at all; progress within one large write counts. It fires
    // only once before the next write, so a socket with unsent data must be destroyed now.
    response.on('timeout', () => {
      if (socket.writableLength === 0) return void socket.setTimeout(0)
      stalled = true
      socket.destroy()
    })
    if (response.closed) onClose(false)
    else response.once('close', () => onClose(stalled))
  }

  get isFull(): boolean {
    const socket = this.#socket
    // Nearly every socket is empty, which its length shows.
    return socket.writableLength > 0 && socket.writableNeedDrain
  }

  write(block: Block): void {
    const socket = this.#socket
    socket.write(this.#isChunked ? block.chunked : block.plain)
    // An empty socket can't stall: it needs no timer, and no write to it has to restart one.
    if (socket.writableLength > 0 && socket.timeout !== this.#timeouts.stallMs) {
      socket.setTimeout(this.#timeouts.stallMs)
    }
  }

  end(block: Block): void {
    this.write(block)
    if (this.#isChunked) this.#socket.write(LAST_CHUNK)
    this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), this.#timeouts.endGraceMs).unref()
  }
}
