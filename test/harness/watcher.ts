import { type EventSourceMessage, createParser } from 'eventsource-parser'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { Agent, type Dispatcher, request } from 'undici'
import { eventually } from '../../tools/harness/eventually.js'

export interface WatchOptions {
  token: string
  /** The query string that follows `/api/events`, with its `?`. */
  query?: string
  lastEventId?: string | undefined
}

/** One event as a client received it. */
export interface Seen {
  id: string
  type: string
  data: Record<string, unknown>
}

/** Returns the address of the application, which is started if it does not listen yet. */
export async function listen(app: FastifyInstance): Promise<string> {
  return app.server.listening ? app.listeningOrigin : app.listen({ host: '127.0.0.1', port: 0 })
}

/** A subscriber that follows the feed over a real socket and records every event. */
export class Watcher {
  readonly seen: Seen[] = []
  /** The events of the log, without `server.state`, `heartbeat` and `reset`. */
  readonly events: Seen[] = []
  retryMs: number | undefined
  /** True when the server completed the response, false when the connection was closed before that. */
  endedCleanly: boolean | undefined
  readonly #agent = new Agent({ bodyTimeout: 0 })

  private constructor() {}

  static async open(t: Test, origin: string, options: WatchOptions): Promise<Watcher> {
    const watcher = new Watcher()
    const response = await request(`${origin}/api/events${options.query ?? ''}`, {
      dispatcher: watcher.#agent,
      headers: {
        authorization: `Bearer ${options.token}`,
        accept: 'text/event-stream',
        ...(options.lastEventId !== undefined && { 'last-event-id': options.lastEventId }),
      },
    })
    if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${await response.body.text()}`)
    void watcher.#follow(response.body)
    t.teardown(() => watcher.close())
    return watcher
  }

  get lastId(): string | undefined {
    return this.seen.at(-1)?.id
  }

  /** Waits until the recorded events satisfy `isEnough`. */
  async until(isEnough: (watcher: this) => boolean, timeoutMs = 10_000): Promise<this> {
    const what = () => `the awaited events; the newest are ${JSON.stringify(this.seen.slice(-5))}`
    await eventually(what, () => isEnough(this), { timeoutMs })
    return this
  }

  untilEvents(count: number, timeoutMs?: number): Promise<this> {
    return this.until((watcher) => watcher.events.length >= count, timeoutMs)
  }

  untilSeen(type: string, timeoutMs?: number): Promise<this> {
    return this.until((watcher) => watcher.seen.some((event) => event.type === type), timeoutMs)
  }

  untilEnded(timeoutMs?: number): Promise<this> {
    return this.until((watcher) => watcher.endedCleanly !== undefined, timeoutMs)
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  async #follow(body: Dispatcher.ResponseData['body']): Promise<void> {
    const parser = createParser({
      onEvent: (event) => this.#saw(event),
      onRetry: (ms) => {
        this.retryMs = ms
      },
    })
    try {
      body.setEncoding('utf8')
      for await (const text of body) parser.feed(String(text))
      this.endedCleanly = true
    } catch {
      this.endedCleanly = false
    }
  }

  #saw({ id = '', event: type = 'message', data }: EventSourceMessage): void {
    const seen = { id, type, data: JSON.parse(data) as Record<string, unknown> }
    this.seen.push(seen)
    if (/^(item|revision)\./.test(type)) this.events.push(seen)
  }
}
