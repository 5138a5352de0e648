import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'

/** How long a connection may be idle, in ms: longer than the maximum of the parameter `wait`. */
const DEADLINE_MS = 100_000
/** How much of an endless response is read, in bytes. */
const ENOUGH_OF_STREAM = 32 * 1024
/** Maximum size of a response head, in bytes: the default of nginx, a page of memory. */
const LONGEST_HEAD = 4096

const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d) [\t\x20-\x7e]*$/
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/

/** A request as it is sent. Every string but the text of the body holds bytes, one a character. */
export interface Request {
  method: string
  target: string
  headers: [name: string, value: string][]
  body?: Body | undefined
  /** How the body is sent; at once by default. */
  pace?: Pace
}

/**
 * How a body is sent: held back for a while, in single bytes, abandoned before its end, without an end, or
 * shorter or longer than its Content-Length.
 */
export type Pace = 'held' | 'bytes' | 'abandoned' | 'endless' | 'shorter' | 'longer'

/** A request body. */
export interface Body {
  text: string
  encoding: 'utf8' | 'latin1' | 'utf16le'
}

/** A response. */
export interface Answer {
  status: number
  headers: Map<string, string>
  body: Buffer
  /** False if only the beginning was read, because the response is endless. */
  complete: boolean
}

/** Thrown when the response is missing, incomplete or not valid HTTP. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** How long a body is held back, or how long after it an abandoned connection is closed, in ms. */
const HELD_MS = 150
/** How many bytes of a body are sent one by one. */
const SINGLE_BYTES = 64
/** By how many bytes a declared length is wrong. */
const WRONG_BY = 7

/** Whether a request may be left without a response, because its body is shorter than declared. */
export const mayGoUnanswered = ({ pace }: Request): boolean => pace === 'abandoned' || pace === 'shorter'

/** Whether the connection can't be used for another request afterwards. */
const isBroken = ({ pace }: Request): boolean => pace !== undefined && pace !== 'held' && pace !== 'bytes'

const CUTS_LINES = /[\r\n]/
const FRAMES = /^(?:content-length|transfer-encoding|connection|upgrade)$/i

/** Whether the server may read more or less than one request. The connection can't be used afterwards. */
const isSplit = (request: Request): boolean => isBroken(request) || isFramedByHand(request)

const isFramedByHand = ({ target, headers }: Request): boolean =>
  CUTS_LINES.test(target) || headers.some(([name, value]) => FRAMES.test(name) || CUTS_LINES.test(value))

/** Returns the Content-Length to declare. */
function saidLength(length: number, pace: Pace | undefined): number {
  if (pace === 'longer') return Math.max(0, length - WRONG_BY)
  return pace === 'shorter' || pace === 'abandoned' || pace === 'endless' ? length + WRONG_BY : length
}

function encode({ method, target, headers, body, pace }: Request): { head: Buffer; bytes: Buffer } {
  const bytes = body && Buffer.from(body.text, body.encoding)
  const framed = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(bytes && !framed ? [`content-length: ${saidLength(bytes.length, pace)}`] : []),
    '',
    '',
  ]
  return { head: Buffer.from(lines.join('\r\n'), 'latin1'), bytes: bytes ?? Buffer.alloc(0) }
}

function readHead(text: string): { status: number; headers: Map<string, string> } {
  const [first = '', ...lines] = text.split('\r\n')
  const status = STATUS_LINE.exec(first)?.[1]
  if (status === undefined) throw new WireError(`the status line is ${JSON.stringify(first.slice(0, 100))}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined || value === undefined) {
      throw new WireError(`a header line is ${JSON.stringify(line.slice(0, 100))}`)
    }
    const before = headers.get(name.toLowerCase())
    headers.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`)
  }
  return { status: Number(status), headers }
}

async function write(socket: Socket, request: Request): Promise<void> {
  const { head, bytes } = encode(request)
  const { pace } = request
  if (pace === undefined) return void socket.write(Buffer.concat([head, bytes]))
  socket.write(head)
  if (pace === 'held') await delay(HELD_MS)
  const single = pace === 'bytes' ? Math.min(bytes.length, SINGLE_BYTES) : 0
  for (let i = 0; i < single; i++) {
    socket.write(bytes.subarray(i, i + 1))
    await setImmediate()
  }
  socket.write(bytes.subarray(single))
  if (pace === 'shorter') socket.end()
  if (pace === 'abandoned') setTimeout(() => socket.destroy(), HELD_MS)
}

/**
 * An HTTP/1.1 client that sends requests that no library would send, and accepts only responses that follow
 * the grammar (RFC 9112). So it detects text that has escaped from a header or a body.
 */
export class Connection {
  #socket: Socket | undefined
  #pieces: AsyncIterator<Buffer> | undefined
  #rest: Buffer = Buffer.alloc(0)
  /** Reads the next bytes, also between responses. */
  #reading: Promise<boolean> | undefined
  /** Whether the server has closed the connection. */
  #isOver = false

  constructor(readonly port: number) {}

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  /**
   * Sends a request and reads its response, or the beginning of an endless one.
   * @throws {WireError} when the response is missing, incomplete or not valid
   */
  async ask(request: Request): Promise<Answer> {
    const { status, headers, pieces } = await this.open(request)
    const isEndless = headers.get('content-type')?.startsWith('text/event-stream') ?? false
    const body: Buffer[] = []
    let length = 0
    let complete = true
    for await (const piece of pieces) {
      body.push(piece)
      length += piece.length
      // The first event is enough, or so many bytes.
      if (isEndless && (length > ENOUGH_OF_STREAM || Buffer.concat(body).includes('\ndata: '))) {
        complete = false
        break
      }
    }
    if (!complete || headers.get('connection') === 'close' || isSplit(request)) this.close()
    // Reads on, so that a connection that the server closes before the next request is not used for it. An
    // error is such an end, too.
    else void this.#more().catch(() => undefined)
    return { status, headers, body: Buffer.concat(body), complete }
  }

  /**
   * Sends a request. Returns the head of the response, and its body piece by piece.
   * @throws {WireError} when the head is missing, incomplete or not valid
   */
  async open(
    request: Request,
  ): Promise<{ status: number; headers: Map<string, string>; pieces: AsyncGenerator<Buffer> }> {
    if (isSplit(request)) this.close()
    try {
      const socket = await this.#connected()
      await write(socket, request)
      const { status, headers } = await this.#head()
      return { status, headers, pieces: this.#body(request.method, status, headers) }
    } catch (error) {
      this.close()
      throw error
    }
  }

  async #connected(): Promise<Socket> {
    if (this.#socket && !this.#isOver) {
      if (this.#rest.length === 0) return this.#socket
      throw new WireError(`bytes follow a response: ${JSON.stringify(this.#rest.toString('latin1', 0, 100))}`)
    }
    const socket = connect(this.port, '127.0.0.1')
    socket.setTimeout(DEADLINE_MS, () => socket.destroy(new WireError('no response came in time')))
    await once(socket, 'connect')
    // Ignored: the data that the server sent before it reset the connection is more useful than the error.
    socket.on('error', () => undefined)
    this.#socket = socket
    this.#pieces = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    this.#rest = Buffer.alloc(0)
    this.#reading = undefined
    this.#isOver = false
    return socket
  }

  /** Waits for more bytes. Returns false at the end of the connection. */
  async #more(): Promise<boolean> {
    return (this.#reading ??= this.#read())
  }

  #add(bytes: Buffer): true {
    this.#reading = undefined
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    return true
  }

  async #read(): Promise<boolean> {
    const pieces = this.#pieces
    const isCurrent = () => pieces === this.#pieces
    try {
      const next = await pieces?.next()
      // Otherwise another connection has been opened meanwhile.
      if (isCurrent() && next && !next.done) return this.#add(next.value)
    } catch (error) {
      if (isCurrent()) this.#isOver = true
      throw error
    }
    if (isCurrent()) this.#isOver = true
    return false
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }

  /** Consumes everything up to and including `mark`. Returns what precedes it. */
  async #until(mark: string, longest: number): Promise<string> {
    for (;;) {
      const at = this.#rest.indexOf(mark)
      if (at > longest || (at < 0 && this.#rest.length > longest)) {
        throw new WireError(`more than ${longest} bytes come before ${JSON.stringify(mark)}`)
      }
      if (at >= 0) return this.#take(at + mark.length).toString('latin1', 0, at)
      if (!(await this.#more()))
        throw new WireError('the connection was closed before the response was complete')
    }
  }

  async #head(): Promise<{ status: number; headers: Map<string, string> }> {
    for (;;) {
      const head = readHead(await this.#until('\r\n\r\n', LONGEST_HEAD))
      if (head.status >= 200) return head
    }
  }

  async *#exactly(length: number): AsyncGenerator<Buffer> {
    let left = length
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        throw new WireError('the connection was closed before the response was complete')
      }
      const piece = this.#take(Math.min(left, this.#rest.length))
      left -= piece.length
      yield piece
    }
  }

  async *#body(method: string, status: number, headers: Map<string, string>): AsyncGenerator<Buffer> {
    if (method === 'HEAD' || status === 204 || status === 304) return
    const length = headers.get('content-length')
    if (headers.get('transfer-encoding') === 'chunked') {
      for (;;) {
        const size = await this.#until('\r\n', 100)
        if (!/^[0-9a-f]+$/i.test(size)) throw new WireError(`a chunk begins with ${JSON.stringify(size)}`)
        yield* this.#exactly(parseInt(size, 16))
        if ((await this.#until('\r\n', 100)) !== '') throw new WireError('a chunk is longer than declared')
        if (parseInt(size, 16) === 0) return
      }
    } else if (length !== undefined) {
      if (!/^\d+$/.test(length)) throw new WireError(`the length of the body is ${JSON.stringify(length)}`)
      yield* this.#exactly(Number(length))
    } else {
      do yield this.#take(this.#rest.length)
      while (await this.#more())
    }
  }
}
