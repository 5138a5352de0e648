import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSource } from 'eventsource'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { EVENT_DATA } from '../schemas/events.js'
import type { Access } from './access.js'
import { History } from './history.js'
import { EVERYTHING, type Route } from './watchers.js'

const FOLLOW = fileURLToPath(new URL('examples/follow.py', import.meta.resolve('#root')))

/** How long a client is left alone after its library gave up, before the application opens it again, in ms. */
const REOPEN_MS = 200

// What fetch-event-source needs of a browser.
Object.assign(globalThis, {
  window: globalThis,
  document: { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined },
})

/**
 * A client of the feed that others wrote, used as its documentation says. It keeps to one address, reads events, and reconnects by
 * its own rules; where its library stops, it is opened again with the last id that the application has.
 */
abstract class OthersClient {
  readonly history: History
  readonly #stopped = new AbortController()
  #done: Promise<void> | undefined

  constructor(
    readonly kind: string,
    readonly name: string,
    readonly route: Route,
    readonly access: Access,
  ) {
    this.history = new History(name, kind, EVERYTHING.wants)
  }

  start(): this {
    this.#done = this.#live()
    return this
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#done
  }

  /** Follows the feed until the library gives up, or the signal comes. */
  protected abstract follow(signal: AbortSignal): Promise<void>

  /** The address, with the position of the application where it has one. */
  protected get url(): string {
    const { cursor } = this.history
    return `${this.route.origin()}/api/events${cursor === undefined ? '' : `?since=${cursor}`}`
  }

  protected get headers(): Record<string, string> {
    return { authorization: `Bearer ${this.access.token}` }
  }

  protected saw(id: string, type: string, data: string): void {
    // A client that is turned away is told the mode, without a position.
    if (id !== '') this.history.saw({ id, type, data: JSON.parse(data) as Record<string, unknown> })
  }

  async #readHead(): Promise<void> {
    const response = await fetch(`${this.route.origin()}/api/events?last=1`, {
      headers: { ...this.headers, accept: 'application/json' },
      signal: this.#stopped.signal,
    })
    const { next } = (await response.json()) as { next?: string }
    if (next !== undefined) this.history.moved(next)
  }

  async #live(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      // It begins as an application does: with a page, whose end stands in the address from then on.
      if (this.history.cursor === undefined) await this.#readHead().catch(() => undefined)
      else await this.follow(signal).catch(() => undefined)
      await delay(REOPEN_MS)
    }
  }
}

/** `eventsource`, which follows the browsers' own. */
class EventSourceClient extends OthersClient {
  protected async follow(signal: AbortSignal): Promise<void> {
    const source = new EventSource(this.url, {
      fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...this.headers } }),
    })
    for (const type of Object.keys(EVENT_DATA)) {
      source.addEventListener(type, ({ lastEventId, data }) => this.saw(lastEventId, type, String(data)))
    }
    const closed = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
      source.addEventListener('error', () => {
        if (source.readyState === EventSource.CLOSED) resolve()
      })
    })
    await closed
    source.close()
  }
}

/**
 * `@microsoft/fetch-event-source`, whose `onclose` throws so that it reconnects after a clean end, with the last id that the
 * application has (docs/clients.md): the library takes an id before its event is complete.
 */
class FetchEventSourceClient extends OthersClient {
  protected follow(signal: AbortSignal): Promise<void> {
    const { cursor: first } = this.history
    return fetchEventSource(this.url, {
      headers: this.headers,
      signal,
      openWhenHidden: true,
      fetch: (input, init) => {
        const { cursor } = this.history
        const headers = new Headers(init?.headers)
        headers.delete('last-event-id')
        // The first request begins at the address, as an application's does.
        if (cursor !== undefined && cursor !== first) headers.set('last-event-id', cursor)
        return fetch(input, { ...init, headers })
      },
      onmessage: ({ id, event, data }) => this.saw(id, event, data),
      onclose: () => {
        throw new Error('the stream ended')
      },
    })
  }
}

/** `eventsource-parser` on a body that `fetch` gave, with the reconnection that its reader writes. */
class ParserStreamClient extends OthersClient {
  protected async follow(signal: AbortSignal): Promise<void> {
    const { cursor } = this.history
    const response = await fetch(`${this.route.origin()}/api/events`, {
      signal,
      headers: {
        ...this.headers,
        accept: 'text/event-stream',
        ...(cursor !== undefined && { 'last-event-id': cursor }),
      },
    })
    if (!response.ok || !response.body) return response.body?.cancel()
    const events = response.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
    for await (const { id = '', event = 'message', data } of events) this.saw(id, event, data)
  }
}

/** Python's urllib, line by line, as the panel in FreeCAD reads: `examples/follow.py`. */
class PythonClient extends OthersClient {
  protected async follow(signal: AbortSignal): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-follow-'))
    try {
      const bookmark = join(folder, 'bookmark')
      if (this.history.cursor !== undefined) await writeFile(bookmark, this.history.cursor)
      const child = spawn('python3', [FOLLOW, bookmark], {
        env: { PATH: process.env.PATH, SILO_URL: this.route.origin(), SILO_TOKEN: this.access.token },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      signal.addEventListener('abort', () => child.kill('SIGKILL'), { once: true })
      const ended = once(child, 'close')
      for await (const line of createInterface({ input: child.stdout })) {
        const { id, type, data } = JSON.parse(line) as { id: string | null; type: string; data: object }
        this.saw(id ?? '', type, JSON.stringify(data))
      }
      await ended
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

const PYTHON = "python's urllib"

type Kind = new (kind: string, name: string, route: Route, access: Access) => OthersClient

/** The clients that others wrote, by the names that the command takes. */
export const OTHERS: Readonly<Record<string, Kind>> = {
  eventsource: EventSourceClient,
  'fetch-event-source': FetchEventSourceClient,
  'eventsource-parser': ParserStreamClient,
  [PYTHON]: PythonClient,
}

/** The kinds that can run here. @throws {Error} under CI, which installs what they need */
export function availableKinds(): string[] {
  const hasPython = spawnSync('python3', ['--version']).status === 0
  if (!hasPython && process.env.CI !== undefined) throw new Error('no python3; .ci/run must install it')
  return Object.keys(OTHERS).filter((kind) => hasPython || kind !== PYTHON)
}

/** One client of each kind at each of these routes. */
export function openOthers(
  kinds: readonly string[],
  routes: readonly Route[],
  access: Access,
): OthersClient[] {
  return kinds.flatMap((kind) => {
    const { [kind]: Client } = OTHERS
    if (!Client) throw new Error(`there is no client "${kind}": ${Object.keys(OTHERS).join(', ')}`)
    return routes.map((route, i) => new Client(kind, `${kind} ${i}`, route, access).start())
  })
}
