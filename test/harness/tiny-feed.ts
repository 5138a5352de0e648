import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

interface Entry {
  id: number
  text: string
}

/** The correct behaviours of `TinyFeed`, each of which a test can replace by a faulty one. */
const faultless = {
  token: 'tiny' as string | undefined,
  status: 200,
  headers: {} as Record<string, string>,
  greeting: 'retry: 3000\n\n',
  lineOfId: (id: string) => `id: ${id}\n`,
  encode: (text: string) => JSON.stringify({ text }),
  lineOfData: (data: string) => `data: ${data}\n`,
  heartbeatMs: 200,
  heartbeat: 'heartbeat',
  cursorOf: (header: string | undefined, query: string | undefined) => header ?? query,
  resumesAfter: (id: number) => id,
  resets: true,
  filters: true,
  refusesUnknownTypes: true,
  /** Sends an event to a client, whose index among the connected clients is `nth`. */
  deliver: (response: ServerResponse, frame: string, nth: number): void => {
    if (nth >= 0) response.write(frame)
  },
  forgets: true,
  headStatus: 200,
  postStatus: 405,
  end: (response: ServerResponse): void => void response.end(),
}
export type Behaviour = typeof faultless

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}
const HISTORY = 'h1'
const TYPES = ['made', 'other']

/** The smallest server that keeps the contract of a resumable feed, except for the faults in `wrong`. */
export class TinyFeed {
  readonly #log: Entry[] = []
  readonly #clients = new Map<ServerResponse, { isHidden: boolean }>()
  readonly #behaviour: Behaviour
  readonly #server = createServer((request, response) => this.#answer(request, response))
  #forgotten = 0

  private constructor(wrong: Partial<Behaviour>) {
    this.#behaviour = { ...faultless, ...wrong }
  }

  static async open(t: Test, wrong: Partial<Behaviour> = {}): Promise<TinyFeed> {
    const feed = new TinyFeed(wrong)
    await once(feed.#server.listen(0, '127.0.0.1'), 'listening')
    const beating = setInterval(() => feed.#beat(), feed.#behaviour.heartbeatMs)
    t.teardown(() => {
      clearInterval(beating)
      feed.#server.closeAllConnections()
      feed.#server.close()
    })
    return feed
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/feed`)
  }

  get clients(): number {
    return this.#clients.size + (this.#behaviour.forgets ? 0 : this.#forgotten)
  }

  publish(text: string): void {
    const entry = { id: this.#log.length + 1, text }
    this.#log.push(entry)
    const frame = this.#frameOf(entry)
    for (const [nth, [response, { isHidden }]] of [...this.#clients].entries()) {
      if (!isHidden) this.#behaviour.deliver(response, frame, nth)
    }
  }

  stop(): void {
    for (const response of this.#clients.keys()) this.#behaviour.end(response)
    this.#server.close()
  }

  #frame(id: number, type: string, data: string): string {
    const { lineOfId, lineOfData } = this.#behaviour
    return `${lineOfId(`${HISTORY}-${id}`)}event: ${type}\n${lineOfData(data)}\n`
  }

  #frameOf({ id, text }: Entry): string {
    return this.#frame(id, 'made', this.#behaviour.encode(text))
  }

  #beat(): void {
    const beat = this.#frame(this.#log.length, this.#behaviour.heartbeat, '{}')
    for (const response of this.#clients.keys()) response.write(beat)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { token, headStatus, postStatus, refusesUnknownTypes } = this.#behaviour
    const { searchParams } = new URL(request.url ?? '', this.url)
    const type = searchParams.get('types')
    if (request.url === '/publish') return void this.#receive(request, response)
    if (request.method === 'POST') return void response.writeHead(postStatus, { allow: 'GET, HEAD' }).end()
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      return void response.writeHead(401, { 'www-authenticate': 'Bearer' }).end()
    }
    if (request.method === 'HEAD') return void response.writeHead(headStatus).end()
    if (refusesUnknownTypes && type !== null && !TYPES.includes(type)) {
      return void response.writeHead(400).end()
    }
    this.#stream(request, response, searchParams)
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.publish(await text(request))
    response.end()
  }

  #stream(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void {
    const { status, headers, filters, greeting, cursorOf } = this.#behaviour
    response.writeHead(status, { ...HEADERS, ...headers })
    response.flushHeaders()
    const isHidden = filters && query.get('types') === 'other'
    const cursor = cursorOf([request.headers['last-event-id']].flat()[0], query.get('since') ?? undefined)
    response.write(greeting + this.#catchUp(cursor, isHidden))
    this.#clients.set(response, { isHidden })
    response.on('close', () => {
      this.#clients.delete(response)
      this.#forgotten += 1
    })
  }

  /** Returns what a client with this cursor receives first: a reset, or the events that it has missed. */
  #catchUp(cursor: string | undefined, isHidden: boolean): string {
    if (cursor === undefined) return ''
    const id = Number(/^h1-(\d{1,9})$/.exec(cursor)?.[1] ?? Infinity)
    if (id > this.#log.length)
      return this.#behaviour.resets ? this.#frame(this.#log.length, 'reset', '{}') : ''
    const after = this.#behaviour.resumesAfter(id)
    const missed = this.#log.filter((entry) => entry.id > after && !isHidden)
    return missed.map((entry) => this.#frameOf(entry)).join('')
  }
}
