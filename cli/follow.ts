import { setTimeout as delay } from 'node:timers/promises'
import { type EventSourceMessage, createParser } from 'eventsource-parser'
import { type Client, reasonOf } from './client.js'
import { EXIT, Failure } from './failure.js'

/** A heartbeat comes every 30 s: a connection on which nothing comes for so long is dead. In ms. */
const SILENCE_MS = 90_000
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

/** What becomes of the connection. */
export type State =
  | { state: 'live' }
  | { state: 'lost'; reason: string }
  | { state: 'reconnecting'; attempt: number; inMs: number }

export interface FeedEvent {
  id: string
  type: string
  data: Record<string, unknown>
}

interface Following {
  query: URLSearchParams
  /** The id of the last event that was dealt with; the stream goes on after it. */
  lastId: string | undefined
  onEvent: (event: FeedEvent) => void
  onState: (state: State) => void
}

/** Reads one connection to its end. It counts as live as soon as its first event is there. */
class Connection {
  /** How long the server wants to be left alone after the end, in ms. */
  retryMs = FIRST_PAUSE_MS
  isLive = false
  readonly #silence = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(
    readonly client: Client,
    readonly following: Following,
  ) {}

  /** @throws {Failure} when there is no stream to be had here */
  async read(): Promise<void> {
    const { client, following } = this
    this.#heard()
    try {
      const response = await client.send('GET', `/api/events?${following.query.toString()}`, {
        accept: 'text/event-stream',
        headers: following.lastId === undefined ? {} : { 'last-event-id': following.lastId },
        signal: this.#silence.signal,
      })
      if (response.status === 404) throw new Failure(`There are no live updates at ${client.url}.`)
      if (!response.ok || !response.body) throw await client.refusal(response)
      const parser = createParser({
        onEvent: (event) => this.#event(event),
        onRetry: (ms) => (this.retryMs = ms),
      })
      for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
        this.#heard()
        parser.feed(text)
      }
    } finally {
      clearTimeout(this.#timer)
    }
  }

  #heard(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#silence.abort(new Error('nothing has come for 90 s')), SILENCE_MS)
  }

  #event({ id = '', event: type = 'message', data }: EventSourceMessage): void {
    // Whoever is turned away gets no id: there is no place in the log to be at.
    if (id !== '' && !this.isLive) {
      this.isLive = true
      this.following.onState({ state: 'live' })
    }
    this.following.onEvent({ id, type, data: JSON.parse(data) as FeedEvent['data'] })
    if (id !== '') this.following.lastId = id
  }
}

/** A server that is away for now is no reason to end; one that refuses is. */
const isPassing = (failure: Failure, wasLive: boolean): boolean =>
  wasLive && failure.exitCode === EXIT.unreachable

/**
 * Follows the feed for ever, connecting again after whatever ends a connection, from the last event on.
 * @throws {Failure} when the server refuses, or could not be reached the first time
 */
export async function follow(client: Client, following: Following): Promise<never> {
  let wasLive = false
  let attempt = 0
  let pauseMs = FIRST_PAUSE_MS
  for (;;) {
    const connection = new Connection(client, following)
    let reason = 'the server has ended the stream'
    try {
      await connection.read()
    } catch (error) {
      wasLive ||= connection.isLive
      if (error instanceof Failure && !isPassing(error, wasLive)) throw error
      reason = error instanceof Failure ? error.message : reasonOf(error)
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
