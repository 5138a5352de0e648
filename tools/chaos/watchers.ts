import { type IncomingMessage, get } from 'node:http'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { constants, createGunzip } from 'node:zlib'
import { createParser } from 'eventsource-parser'
import type { Access } from './access.js'
import { History, type Seen } from './history.js'
import type { Instance } from '../harness/instance.js'
import type { Random } from '../harness/random.js'
import type { TruthEvent } from './truth.js'

/** A client closes its connection after this long without a byte, in ms. Heartbeats are sent every second. */
const DEAF_MS = 5000

/** A network path to the service: directly to an instance, or through a proxy. */
export interface Route {
  origin: () => string
  /** The instance, if there is no proxy in between. */
  direct?: Instance
}

/** A filter of the feed: its query string, and the events that it lets through. */
export interface Filter {
  query: string
  wants: (event: TruthEvent) => boolean
}

/** No filter. */
export const EVERYTHING: Filter = { query: '', wants: () => true }

/** How a client reads its stream: how fast, for how long, and in which encoding. */
export interface Manner {
  name: string
  /** How long the client pauses after a read, in ms. */
  restMs?: () => number
  /** How long the client stays until it closes the connection itself, in ms. */
  stayMs?: () => number
  /** Whether the client accepts a compressed stream. */
  takesGzip?: boolean
  /** Whether the stream may be cut off when an instance ends, since a slow reader has not read it all. */
  mayBeCut?: boolean
}

/** A subscriber that always reconnects, as a browser or the FreeCAD panel does. */
export class StreamWatcher {
  readonly history: History
  /** The longest time without a byte on an open stream, in ms. */
  longestSilenceMs = 0
  connections = 0
  /** How many streams an instance cut off at its shutdown. */
  cutAtShutdown = 0
  #response: IncomingMessage | undefined
  #body: Readable | undefined
  #hurries = false
  #stopped = false
  #done: Promise<void>

  constructor(
    readonly name: string,
    readonly routes: readonly Route[],
    readonly manner: Manner,
    readonly filter: Filter,
    readonly access: Pick<Access, 'token' | 'mustBeShutOut'>,
    readonly random: Random,
  ) {
    this.history = new History(name, manner.name, filter.wants)
    this.#done = this.#live()
  }

  /** Makes the client read without pauses from now on. */
  hurry(): void {
    this.#hurries = true
    this.#body?.resume()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#response?.destroy()
    await this.#done
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      await this.#connect(this.random.pick(this.routes))
      await delay(this.random.between(20, 200))
    }
  }

  async #connect(route: Route): Promise<void> {
    const response = await open(`${route.origin()}/api/events${this.filter.query}`, this.access.token, {
      accept: 'text/event-stream',
      ...(this.manner.takesGzip && { 'accept-encoding': 'gzip' }),
      ...(this.history.cursor !== undefined && { 'last-event-id': this.history.cursor }),
    })
    if (!response) return
    // It was stopped while the request was in progress.
    if (this.#stopped) {
      response.destroy()
      return
    }
    this.connections++
    this.#response = response
    const leave = this.manner.stayMs && setTimeout(() => response.destroy(), this.manner.stayMs())
    const whole = await this.#read(response, decode(response))
    clearTimeout(leave)
    this.#judgeEnd(route, whole, response.complete)
  }

  /** Reads the stream to its end. Returns whether it ended with a whole frame. */
  async #read(response: IncomingMessage, body: Readable): Promise<boolean> {
    this.#body = body
    const parser = createParser({
      onEvent: ({ id = '', event: type = 'message', data }) => {
        const seen: Seen = { id, type, data: JSON.parse(data) as Record<string, unknown> }
        // The event of a refused stream has no id (docs/decisions/0022). It is sent without access, too.
        if (id === '') return
        this.history.saw(seen)
        if (this.access.mustBeShutOut)
          this.history.problems.push(`received ${type} ${id} although its token had been revoked`)
      },
    })
    let tail = '\n\n'
    let heard = performance.now()
    const deaf = setInterval(() => {
      if (!body.isPaused() && performance.now() - heard > DEAF_MS) response.destroy()
    }, 500)
    body.setEncoding('utf8')
    body.on('data', (text: string) => {
      this.longestSilenceMs = Math.max(this.longestSilenceMs, performance.now() - heard)
      heard = performance.now()
      tail = (tail + text).slice(-2)
      parser.feed(text)
      const rest = this.manner.restMs?.() ?? 0
      if (rest === 0 || this.#hurries) return
      body.pause()
      setTimeout(() => {
        heard = performance.now()
        body.resume()
      }, rest)
    })
    await new Promise<void>((resolve) => {
      body.once('close', resolve)
      body.on('error', () => undefined)
    })
    clearInterval(deaf)
    return tail === '\n\n'
  }

  /** Checks that a stream that an instance ends on purpose has ended completely, with a whole frame. */
  #judgeEnd({ direct }: Route, whole: boolean, complete: boolean): void {
    if (complete && !whole) this.history.problems.push('a complete end in the middle of a frame')
    if (!direct || this.manner.mayBeCut || this.manner.stayMs || this.#stopped || complete) return
    const endedOnPurpose =
      performance.now() - direct.askedToEndAt < 1000 && direct.killedAt < direct.askedToEndAt
    if (endedOnPurpose) this.cutAtShutdown++
  }
}

/** A client that reads the log in JSON pages, with long polling. */
export class PageWatcher {
  readonly history: History
  pages = 0
  #stopped = false
  #done: Promise<void>

  constructor(
    readonly name: string,
    readonly kind: string,
    readonly routes: readonly Route[],
    readonly filter: Filter,
    readonly access: Access,
    readonly random: Random,
  ) {
    this.history = new History(name, kind, filter.wants)
    this.#done = this.#live()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      if (!(await this.#read(this.random.pick(this.routes)))) await delay(this.random.between(50, 300))
    }
  }

  async #read({ origin }: Route): Promise<boolean> {
    const { cursor } = this.history
    const place = cursor === undefined ? 'last=1' : `since=${cursor}&wait=2`
    const query = `?${place}&limit=${this.random.between(1, 300)}${this.filter.query.replace('?', '&')}`
    const page = await readJson<{ events: Seen[]; next: string }>(
      `${origin()}/api/events${query}`,
      this.access.token,
    )
    if (!page) return false
    if (cursor !== undefined) for (const event of page.events) this.history.saw(event)
    this.history.moved(page.next)
    this.pages++
    return true
  }
}

/** Returns the decompressed body. Each piece is passed on as soon as it arrives. */
function decode(response: IncomingMessage): Readable {
  if (response.headers['content-encoding'] !== 'gzip') return response
  const gunzip = createGunzip({ flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH })
  response.on('error', () => gunzip.destroy())
  response.on('close', () => {
    if (!response.complete) gunzip.destroy()
  })
  return response.pipe(gunzip)
}

/**
 * Sends a GET. Resolves with the response once its head has arrived, or with undefined if it is not a 200.
 */
function open(
  url: string,
  token: string,
  headers: Record<string, string>,
): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const request = get(
      url,
      { agent: false, headers: { authorization: `Bearer ${token}`, ...headers } },
      (response) => {
        request.setTimeout(0)
        if (response.statusCode === 200) return resolve(response)
        response.destroy()
        resolve(undefined)
      },
    )
    request.setTimeout(DEAF_MS, () => request.destroy())
    request.on('error', () => resolve(undefined))
  })
}

async function readJson<T>(url: string, token: string): Promise<T | undefined> {
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      signal: AbortSignal.timeout(10_000),
    })
    return response.status === 200 ? ((await response.json()) as T) : undefined
  } catch {
    return undefined
  }
}
