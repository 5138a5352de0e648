import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Sink } from './connection.js'
import { type Block, LAST_CHUNK } from './frame.js'

/**
 * Compression would hold events back until its window fills, and a proxy's buffer would too. The connection ends with
 * the stream, so that a shutdown does not wait for the client to let go of it.
 */
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

export interface Patience {
  /** How long a client may take to read what is left when the stream ends, before it is cut, in ms. */
  endGraceMs: number
  /** A socket that takes nothing of what it was given for this long belongs to nobody any more, in ms. */
  stallMs: number
}

export interface SinkEvents {
  drained: () => void
  /** The socket is closed; `stalled` when we cut it because it took nothing. */
  closed: (stalled: boolean) => void
}

/**
 * An event stream's response. Its blocks carry their own chunk coding and go straight to the socket: a fifth more
 * deliveries than through the response, which would code every block anew for every client (docs/decisions).
 */
export class ResponseSink implements Sink {
  readonly #socket: Socket
  readonly #chunked: boolean
  readonly #patience: Patience

  private constructor(response: ServerResponse, socket: Socket, patience: Patience) {
    this.#socket = socket
    this.#chunked = response.chunkedEncoding
    this.#patience = patience
  }

  /**
   * Sends the head of the response and takes its socket over.
   * @param headers what else the response carries
   */
  static async open(
    response: ServerResponse,
    headers: Record<string, number | string | string[] | undefined>,
    patience: Patience,
  ): Promise<ResponseSink> {
    // A pipelined request has no socket until the answers before it are written.
    if (!response.socket) await once(response, 'socket')
    const { socket } = response
    if (!socket) throw new Error('the response has no socket')
    for (const [name, value] of Object.entries(headers))
      if (value !== undefined) response.setHeader(name, value)
    response.writeHead(200, HEADERS)
    response.flushHeaders()
    return new ResponseSink(response, socket, patience)
  }

  /** Says what happens to the socket from now on. */
  watch(response: ServerResponse, { drained, closed }: SinkEvents): void {
    const socket = this.#socket
    let stalled = false
    socket.on('drain', drained)
    // Fires when nothing at all has moved, also within one large write; a quiet stream is not a stalled one. It fires once
    // until the next write reaches the socket, so whoever has anything left to take must be cut now or never.
    response.setTimeout(this.#patience.stallMs, () => {
      if (socket.writableLength === 0) return
      stalled = true
      socket.destroy()
    })
    if (response.closed) closed(false)
    else response.once('close', () => closed(stalled))
  }

  write(block: Block): boolean {
    return this.#socket.write(this.#chunked ? block.chunked : block.plain)
  }

  end(block: Block): void {
    this.write(block)
    if (this.#chunked) this.#socket.write(LAST_CHUNK)
    this.#socket.destroySoon()
    setTimeout(() => this.destroy(), this.#patience.endGraceMs).unref()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
