import { once } from 'node:events'
import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'
import type { Socket } from 'node:net'
import type { Sink } from './connection.js'
import { type Block, LAST_CHUNK } from './frame.js'

/**
 * Compression would hold events back until its window fills, and a proxy's buffer would too. The connection ends with
 * the stream, so that a shutdown does not wait for the client to let go of it.
 */
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

type Headers = Record<string, number | string | string[] | undefined>

const CHUNKED = { 'transfer-encoding': 'chunked' }

/** @throws {TypeError} for a name or a value that can't be one, such as two lines */
function encodeHead(headers: Headers): string {
  const lines = ['HTTP/1.1 200 OK', `date: ${new Date().toUTCString()}`]
  for (const [name, values] of Object.entries(headers)) {
    if (values === undefined) continue
    validateHeaderName(name)
    for (const value of [values].flat()) {
      validateHeaderValue(name, String(value))
      lines.push(`${name}: ${value}`)
    }
  }
  return `${lines.join('\r\n')}\r\n\r\n`
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
 * deliveries than through the response, which would code every block anew for every client (docs/decisions). So does its
 * head, of which the response would keep all it had sent.
 */
export class ResponseSink implements Sink {
  readonly #socket: Socket
  readonly #chunked: boolean
  readonly #patience: Patience

  private constructor(socket: Socket, chunked: boolean, patience: Patience) {
    this.#socket = socket
    this.#chunked = chunked
    this.#patience = patience
  }

  /**
   * Sends the head of the response and takes its socket over.
   * @param headers what else the response carries
   */
  static async open(response: ServerResponse, headers: Headers, patience: Patience): Promise<ResponseSink> {
    // A pipelined request has no socket until the answers before it are written.
    if (!response.socket) await once(response, 'socket')
    const { socket } = response
    if (!socket) throw new Error('the response has no socket')
    // What bounds a request is no bound of a stream.
    socket.setTimeout(0)
    const chunked = response.req.httpVersion !== '1.0'
    socket.write(encodeHead({ ...headers, ...STREAM_HEADERS, ...(chunked && CHUNKED) }))
    // Kept for a response that is still to be sent; ten thousand idle streams would keep them ten thousand times.
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    return new ResponseSink(socket, chunked, patience)
  }

  /** Says what happens to the socket from now on. */
  watch(response: ServerResponse, { drained, closed }: SinkEvents): void {
    const socket = this.#socket
    let stalled = false
    socket.on('drain', drained)
    // Fires when nothing at all has moved, also within one large write. It fires once until the next write reaches the socket,
    // so whoever has anything left to take must be cut now or never.
    response.on('timeout', () => {
      if (socket.writableLength === 0) return void socket.setTimeout(0)
      stalled = true
      socket.destroy()
    })
    if (response.closed) closed(false)
    else response.once('close', () => closed(stalled))
  }

  get isFull(): boolean {
    const socket = this.#socket
    // Nearly all hold nothing, and the length alone tells it.
    return socket.writableLength > 0 && socket.writableNeedDrain
  }

  write(block: Block): void {
    const socket = this.#socket
    socket.write(this.#chunked ? block.chunked : block.plain)
    // Whoever has taken everything can't stall: no timer for him, and none to set anew with each of his events.
    if (socket.writableLength > 0 && socket.timeout !== this.#patience.stallMs) {
      socket.setTimeout(this.#patience.stallMs)
    }
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
