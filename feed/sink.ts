import { once } from 'node:events'
import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'
import type { Socket } from 'node:net'
import type { Sink } from './connection.js'
import { type Block, LAST_CHUNK } from './frame.js'

/**
 * Headers of every event stream. Compression and a proxy's buffer would delay events. The connection is
 * closed with the stream, so that a shutdown does not wait for the client to close it.
 */
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

type Headers = Record<string, number | string | string[] | undefined>

const CHUNKED = { 'transfer-encoding': 'chunked' }

/**
 * Encodes the head of the response.
 * @throws {TypeError} for an invalid header name or value, such as a value of two lines
 */
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
  drained: () => void
  /** Called once when the socket is closed; `stalled` if it was destroyed because it made no progress. */
  closed: (stalled: boolean) => void
}

/**
 * Writes an event stream to the socket of its response. Blocks are already encoded for chunked transfer and
 * bypass the response, which would encode each block again for each client. The head bypasses it too, because
 * the response would keep what it has sent in memory (docs/decisions/0005).
 */
export class ResponseSink implements Sink {
  readonly #socket: Socket
  readonly #chunked: boolean
  readonly #timeouts: SinkTimeouts

  private constructor(socket: Socket, chunked: boolean, timeouts: SinkTimeouts) {
    this.#socket = socket
    this.#chunked = chunked
    this.#timeouts = timeouts
  }

  /**
   * Takes the socket over from the response and sends the head.
   * @param headers further headers of the response
   * @throws {TypeError} for an invalid header
   */
  static async open(
    response: ServerResponse,
    headers: Headers,
    timeouts: SinkTimeouts,
  ): Promise<ResponseSink> {
    // The response to a pipelined request has no socket until the responses before it are written.
    if (!response.socket) await once(response, 'socket')
    const { socket } = response
    if (!socket) throw new Error('the response has no socket')
    // The timeout of a request does not apply to a stream.
    socket.setTimeout(0)
    const chunked = response.req.httpVersion !== '1.0'
    socket.write(encodeHead({ ...headers, ...STREAM_HEADERS, ...(chunked && CHUNKED) }))
    // The response would keep these headers in memory for as long as the stream is open.
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    return new ResponseSink(socket, chunked, timeouts)
  }

  /** Calls `drained` and `closed` for the socket's events from now on. */
  watch(response: ServerResponse, { drained, closed }: SinkEvents): void {
    const socket = this.#socket
    let stalled = false
    socket.on('drain', drained)
    // Fires when the socket has made no progress at all; progress within one large write counts. It fires
    // only once before the next write, so a socket with unsent data must be destroyed now.
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
    // Nearly every socket is empty, which its length alone shows.
    return socket.writableLength > 0 && socket.writableNeedDrain
  }

  write(block: Block): void {
    const socket = this.#socket
    socket.write(this.#chunked ? block.chunked : block.plain)
    // An empty socket can't stall: it needs no timer, and no write to it has to restart one.
    if (socket.writableLength > 0 && socket.timeout !== this.#timeouts.stallMs) {
      socket.setTimeout(this.#timeouts.stallMs)
    }
  }

  end(block: Block): void {
    this.write(block)
    if (this.#chunked) this.#socket.write(LAST_CHUNK)
    this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), this.#timeouts.endGraceMs).unref()
  }
}
