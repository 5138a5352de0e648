import { setTimeout as delay } from 'node:timers/promises'
import { Value } from '@sinclair/typebox/value'
import { type EventSourceMessage, createParser } from 'eventsource-parser'
import { EventData } from './responses.js'
import { type Client, describeFailure } from './client.js'
import { EXIT, Failure } from './failure.js'

/**
 * A connection that receives nothing for this long is closed, in ms: three times the default of HEARTBEAT_MS.
 */
const SILENCE_MS = 90_000
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

/**
 * A change of the connection's state. `attempt` counts the attempts to reconnect since it was lost, from 1.
 */
export type State =
  | { state: 'live' }
  | { state: 'lost'; reason: string }
  | { state: 'reconnecting'; attempt: number; inMs: number }

/** An event of the stream. `id` is empty if the server has refused the stream. */
export interface FeedEvent {
  id: string
  type: string
  data: Record<string, unknown>
}

interface Following {
  /** The filter, as query parameters of `GET /api/events`. */
  query: URLSearchParams
  /** The id of the last event that was processed: the stream resumes after it. Updated with each event. */
  lastId: string | undefined
  onEvent: (event: FeedEvent) => void
  onState: (state: State) => void
}

/** One connection to the feed. It is live once it has received an event with an id. */
class Connection {
  /** How long to wait before reconnecting, in ms: the server's `retry:`, if it has sent one. */
  retryMs = FIRST_PAUSE_MS
  isLive = false
  readonly #silence = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(
    readonly client: Client,
    readonly following: Following,
  ) {}

  /**
   * Reads the connection to its end.
   * @throws {Failure} if the server can't be reached, has no feed, or refuses the request
   */
  async read(): Promise<void> {
    const { client, following } = this
    this.#resetTimer()
    try {
      const response = await client.send('GET', `/api/events?${following.query.toString()}`, {
        accept: 'text/event-stream',
        headers: following.lastId === undefined ? {} : { 'last-event-id': following.lastId },
        signal: this.#silence.signal,
      })
      if (response.status === 404) throw new Failure(`${client.url} has no live feed.`)
      if (!response.ok || !response.body) throw await client.refusal(response)
      const parser = createParser({
        onEvent: (event) => this.#event(event),
        onRetry: (ms) => (this.retryMs = ms),
      })
      for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
        this.#resetTimer()
        parser.feed(text)
      }
    } finally {
      clearTimeout(this.#timer)
    }
  }

  #resetTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#silence.abort(new Error('nothing received for 90 s')), SILENCE_MS)
  }

  #event({ id = '', event: type = 'message', data }: EventSourceMessage): void {
    // The event of a refused stream has no id: such a connection never becomes live.
    if (id !== '' && !this.isLive) {
      this.isLive = true
      this.following.onState({ state: 'live' })
    }
    const content: unknown = JSON.parse(data)
    if (!Value.Check(EventData, content)) throw new Error('the data of an event is not a JSON object')
    this.following.onEvent({ id, type, data: content })
    if (id !== '') this.following.lastId = id
  }
}

/**
 * Whether to retry after a failure: if the server can't be reached after a connection was live, but not if it
 * refuses.
 */
const isPassing = (failure: Failure, wasLive: boolean): boolean =>
  wasLive && failure.exitCode === EXIT.unreachable

/**
 * Follows the feed. Whenever a connection ends, it reconnects and resumes after the last event.
 * @throws {Failure} if the server refuses the request, or can't be reached before any connection was live
 */
export async function follow(client: Client, following: Following): Promise<never> {
  let wasLive = false
  let attempt = 0
  let pauseMs = FIRST_PAUSE_MS
  for (;;) {
    const connection = new Connection(client, following)
    let reason = 'the server closed the stream'
    try {
      await connection.read()
    } catch (error) {
      wasLive ||= connection.isLive
      if (error instanceof Failure && !isPassing(error, wasLive)) throw error
      reason = error instanceof Failure ? error.message : describeFailure(error)
    }
    wasLive ||= connection.isLive
    if (connection.isLive) attempt = 0
    if (attempt === 0) following.onState({ state: 'lost', reason })
    attempt += 1
    pauseMs = attempt === 1 ? connection.retryMs : Math.max(connection.retryMs, pauseMs * 2)
    const inMs = Math.min(pauseMs, LONGEST_PAUSE_MS)
    following.onState({ state: 'reconnecting', attempt, inMs })
    await delay(inMs)
  }
}
