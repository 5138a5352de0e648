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
import { EVENT_DATA } from '../../schemas/events.js'
import type { Access } from './access.js'
import { History } from './history.js'
import { EVERYTHING, type Route } from './watchers.js'

const FOLLOW = fileURLToPath(new URL('examples/follow.py', import.meta.resolve('#root')))

/** How long the application waits before it opens a client again whose library has stopped, in ms. */
const REOPEN_MS = 200

// The browser globals that fetch-event-source uses.
Object.assign(globalThis, {
  window: globalThis,
  document: { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined },
})

/**
 * A third-party client of the feed, used as its documentation says. It uses one address, and reads events and
 * reconnects by its own rules. When its library stops, it is opened again with the last id that the
 * application has.
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

  /** Follows the feed until the library stops or `signal` aborts. */
  protected abstract follow(signal: AbortSignal): Promise<void>

  /** The address of the feed, with the cursor of the application as `since` if it has one. */
  protected get url(): string {
    const { cursor } = this.history
    return `${this.route.origin()}/api/events${cursor === undefined ? '' : `?since=${cursor}`}`
  }

  protected get headers(): Record<string, string> {
    return { authorization: `Bearer ${this.access.token}` }
  }

  protected saw(id: string, type: string, data: string): void {
    // The event of a refused stream has no id (docs/decisions/0022).
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
      // Start as an application does: read a page, and then follow the feed with its end as `since`.
      if (this.history.cursor === undefined) await this.#readHead().catch(() => undefined)
      else await this.follow(signal).catch(() => undefined)
      await delay(REOPEN_MS)
    }
  }
}

/** `eventsource`, which behaves as the EventSource of browsers. */
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
 * `@microsoft/fetch-event-source`. Its `onclose` throws, so that it reconnects after a clean end of the
 * stream. It reconnects with the last id that the application has (docs/clients.md): the library stores an id
 * before the event is complete.
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
        // The first request has its cursor in the URL only, as that of an application does.
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

/** `eventsource-parser` on the body of a `fetch`. The application reconnects. */
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

/** Python's urllib, which reads line by line as the panel in FreeCAD does: `examples/follow.py`. */
class PythonClient extends OthersClient {
  protected async follow(signal: AbortSignal): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-follow-'))
    try {
      const bookmark = join(folder, 'bookmark')
      if (this.history.cursor !== undefined) await writeFile(bookmark, this.history.cursor)
      // An abort during the writes above has no listener yet.
      signal.throwIfAborted()
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

/** The third-party clients, by the names that the command line accepts. */
export const OTHERS: Readonly<Record<string, Kind>> = {
  eventsource: EventSourceClient,
  'fetch-event-source': FetchEventSourceClient,
  'eventsource-parser': ParserStreamClient,
  [PYTHON]: PythonClient,
}

/**
 * Returns the kinds of clients that can run on this machine.
 * @throws {Error} under CI if Python is missing, since CI installs it
 */
export function availableKinds(): string[] {
  const hasPython = spawnSync('python3', ['--version']).status === 0
  if (!hasPython && process.env.CI !== undefined)
    throw new Error('python3 is not installed, but .ci/run must install it')
  return Object.keys(OTHERS).filter((kind) => hasPython || kind !== PYTHON)
}

/**
 * Opens one client of each kind at each route.
 * @throws {Error} for an unknown kind
 */
export function openOthers(
  kinds: readonly string[],
  routes: readonly Route[],
  access: Access,
): OthersClient[] {
  return kinds.flatMap((kind) => {
    const { [kind]: Client } = OTHERS
    if (!Client)
      throw new Error(`unknown client "${kind}"; the clients are ${Object.keys(OTHERS).join(', ')}`)
    return routes.map((route, i) => new Client(kind, `${kind} ${i}`, route, access).start())
  })
}
