import { once } from 'node:events'
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  Agent as HttpAgent,
  request as requestHttp,
} from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { connect as connectTcp } from 'node:net'
import type { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { type Dispatched, StreamReader } from './grammar.js'

/** A request for a stream. */
export interface StreamRequest {
  url: URL
  method: string
  headers: Record<string, string>
  /** How long to wait for the head of the response, in ms. */
  patienceMs: number
}

interface Head {
  status: number
  headers: IncomingHttpHeaders
}

/** One response of the server, read to its end, and parsed as an event stream. */
export class EventStream {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly events: Dispatched[] = []
  readonly reader = new StreamReader()
  /** How many bytes of the body have arrived. */
  bytes = 0
  /**
   * `complete` if the message was complete (RFC 9112, section 8), `cut` if the connection broke before that.
   */
  ended: 'complete' | 'cut' | undefined

  readonly #body: Readable
  readonly #release: () => void
  readonly #waiting = new Set<() => void>()

  private constructor({ status, headers }: Head, body: Readable, release: () => void) {
    this.status = status
    this.headers = headers
    this.#body = body
    this.#release = release
    body.on('data', (bytes: Buffer) => this.#read(bytes))
    body.on('end', () => this.#end('complete'))
    body.on('error', () => this.#end('cut'))
    body.on('close', () => this.#end('cut'))
  }

  /**
   * Sends a request on a connection of its own.
   * @throws {Error} when there is no response
   */
  static async open({ url, method, headers, patienceMs }: StreamRequest): Promise<EventStream> {
    // An agent of its own: without one, Node would send `Connection: close`.
    const isTls = url.protocol === 'https:'
    const agent = isTls ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
    const request = (isTls ? requestHttps : requestHttp)(url, { method, headers, agent })
    // An error after the head is reported by the response.
    request.on('error', () => undefined)
    try {
      request.end()
      const signal = AbortSignal.timeout(patienceMs)
      const [response] = (await once(request, 'response', { signal })) as [IncomingMessage]
      const head = { status: response.statusCode ?? 0, headers: response.headers }
      return new EventStream(head, response, () => agent.destroy())
    } catch (error) {
      request.destroy()
      agent.destroy()
      throw noAnswer(error, patienceMs)
    }
  }

  /**
   * Sends the request over HTTP/1.0, which Node's client does not support.
   * @throws {Error} when there is no response
   */
  static async openHttp10({ url, method, headers, patienceMs }: StreamRequest): Promise<EventStream> {
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket =
      url.protocol === 'https:' ? connectTls({ host, port, servername: host }) : connectTcp({ host, port })
    const lines = Object.entries({ host: url.host, ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    )
    socket.write(`${method} ${url.pathname}${url.search} HTTP/1.0\r\n${lines.join('')}\r\n`, 'latin1')
    try {
      const signal = AbortSignal.timeout(patienceMs)
      let received = Buffer.alloc(0)
      while (!received.includes('\r\n\r\n')) {
        await once(socket, 'readable', { signal })
        const more = socket.read() as Buffer | null
        if (more) received = Buffer.concat([received, more])
      }
      const end = received.indexOf('\r\n\r\n')
      socket.unshift(received.subarray(end + 4))
      return new EventStream(parseHead(received.toString('latin1', 0, end)), socket, () => undefined)
    } catch (error) {
      socket.on('error', () => undefined).destroy()
      throw noAnswer(error, patienceMs)
    }
  }

  /** Waits until `isEnough` holds, the stream ends or `patienceMs` is over. Returns whether it holds. */
  async until(isEnough: (stream: this) => boolean, patienceMs: number): Promise<boolean> {
    const patience = AbortSignal.timeout(Math.ceil(patienceMs))
    patience.addEventListener('abort', () => this.#wake())
    while (!isEnough(this) && !patience.aborted && this.ended === undefined) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
    return isEnough(this)
  }

  /** Stops reading. Later bytes stay in the buffers of the system, and beyond those at the server. */
  pause(): void {
    this.#body.pause()
  }

  resume(): void {
    this.#body.resume()
  }

  close(): void {
    this.#body.destroy()
    this.#release()
  }

  #read(bytes: Buffer): void {
    this.bytes += bytes.length
    this.events.push(...this.reader.feed(bytes))
    this.#wake()
  }

  #end(how: 'complete' | 'cut'): void {
    this.ended ??= how
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

function noAnswer(error: unknown, patienceMs: number): Error {
  if (!(error instanceof Error)) return new Error('no response')
  if (error.name === 'AbortError') return new Error(`no response in ${patienceMs / 1000} s`)
  // If a host has several addresses, the error has no message, and only its code says why they all failed.
  return new Error(`no response: ${'code' in error ? String(error.code) : error.message}`)
}

function parseHead(text: string): Head {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const headers: IncomingHttpHeaders = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { status: Number(statusLine.split(' ')[1]), headers }
}
