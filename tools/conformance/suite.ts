import { setTimeout as delay } from 'node:timers/promises'
import { NotApplicable, Violation, demand } from './check.js'
import type { Dispatched } from './grammar.js'
import { EventStream, type StreamRequest } from './stream.js'
import type { Target } from './target.js'

/** How many triggers run concurrently. */
const WRITERS = 16

/** What a check changes in the request for a stream. */
export interface Ask {
  lastEventId?: string | undefined
  query?: Record<string, string>
  headers?: Record<string, string>
  method?: string
  /** The bearer token, in place of that of the target; null for none. */
  token?: string | null
}

/** What all checks share: the server, a stream that stays open, and every stream that was opened. */
export class Suite {
  readonly #answers: EventStream[] = []
  #reference: EventStream | undefined

  constructor(readonly target: Target) {}

  /** Every stream that was opened, closed ones included. */
  get streams(): EventStream[] {
    return this.#answers.filter(({ status }) => status === 200)
  }

  /** The stream that stays open, with which all others are compared. */
  get reference(): EventStream {
    if (!this.#reference) throw new NotApplicable('the stream is not open')
    return this.#reference
  }

  /** Opens the stream that stays open and with which all others are compared. */
  async openReference(): Promise<EventStream> {
    this.#reference = await this.open()
    return this.#reference
  }

  /**
   * Opens a stream.
   * @throws {Violation} when there is no response
   */
  async open(ask: Ask = {}): Promise<EventStream> {
    return this.#keep(EventStream.open(this.#request(ask)))
  }

  async openHttp10(): Promise<EventStream> {
    return this.#keep(EventStream.openHttp10(this.#request({})))
  }

  async #keep(opening: Promise<EventStream>): Promise<EventStream> {
    try {
      const stream = await opening
      this.#answers.push(stream)
      return stream
    } catch (error) {
      throw error instanceof Error ? new Violation(error.message) : error
    }
  }

  #request({ lastEventId, query = {}, headers = {}, method = 'GET', token }: Ask): StreamRequest {
    const { target } = this
    const url = new URL(target.url)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const bearer = token === undefined ? target.token : token
    return {
      url,
      method,
      headers: {
        accept: 'text/event-stream',
        ...(typeof bearer === 'string' && { authorization: `Bearer ${bearer}` }),
        // A browser sends the UTF-8 bytes of the id. Node's client takes the bytes of a header as Latin-1.
        ...(lastEventId !== undefined && { 'last-event-id': Buffer.from(lastEventId).toString('latin1') }),
        ...headers,
      },
      patienceMs: target.patienceMs,
    }
  }

  /** Closes every stream but the reference. */
  closeOthers(): void {
    for (const stream of this.#answers) if (stream !== this.#reference) stream.close()
  }

  close(): void {
    for (const stream of this.#answers) stream.close()
  }

  /** Whether an event is an entry of the log, and not about the stream itself. */
  isLogged({ type }: Dispatched): boolean {
    const { heartbeat, reset, notices } = this.target
    return ![heartbeat, reset, ...notices].includes(type)
  }

  logged(stream: EventStream): Dispatched[] {
    return stream.events.filter((event) => this.isLogged(event))
  }

  /** Triggers at least `count` events. Returns them. */
  async make(count = 1): Promise<Dispatched[]> {
    return this.makeOf(Array.from({ length: count }, () => 'conformance'))
  }

  /**
   * Triggers events, at least one for each text, and waits until they arrive on the reference.
   * @returns the events, in the order of the reference
   * @throws {Violation} when they do not arrive
   */
  async makeOf(texts: readonly string[]): Promise<Dispatched[]> {
    const { reference, target } = this
    const before = this.logged(reference).length
    const left = texts.values()
    async function write(): Promise<void> {
      for (const text of left) await target.trigger(text)
    }
    await Promise.all(Array.from({ length: WRITERS }, write))
    const made = () => this.logged(reference).slice(before)
    await reference.until(() => made().length >= texts.length, target.patienceMs)
    demand(reference.ended === undefined, 'the reference stream has ended')
    const came = made().length
    demand(came >= texts.length, `${came} of ${texts.length} events arrived on an open stream`)
    await this.quiet(reference)
    return made()
  }

  /** Waits until nothing has arrived for a moment. */
  async quiet(stream: EventStream): Promise<void> {
    for (let bytes = -1; bytes !== stream.bytes && stream.ended === undefined;) {
      bytes = stream.bytes
      await delay(this.target.quietMs)
    }
  }

  /**
   * Demands that the log entries on `stream`, from its first one on, are exactly `due`. Waits for them.
   * @param when what the client had done, for the message of a violation
   * @throws {Violation} when the entries are others
   */
  async demandExactly(stream: EventStream, due: readonly Dispatched[], when: string): Promise<void> {
    const seen = () => this.logged(stream).slice(0, due.length)
    // Compares the newest entry only, which is fast with thousands. After a wrong one, the later ones mostly
    // are wrong, too.
    const goesWrong = (events: Dispatched[]) => !isSame(events.at(-1), due[events.length - 1])
    demand(stream.status === 200, `${when}, the status was ${stream.status}`)
    await stream.until(() => {
      const events = seen()
      return events.length === due.length || (events.length > 0 && goesWrong(events))
    }, this.target.patienceMs)
    const came = seen()
    const wrong = due.findIndex((event, i) => !isSame(came[i], event))
    const [wanted, got] = [due[wrong], came[wrong]]
    if (!wanted) return
    const place = `${when}, ${describe(wanted)} was expected as number ${wrong + 1} of ${due.length}`
    if (got) throw new Violation(`${place}, and ${describe(got)} was received`)
    const how =
      stream.ended === undefined
        ? `nothing was received in ${this.target.patienceMs / 1000} s`
        : 'the stream ended'
    throw new Violation(`${place}, and ${how}`)
  }
}

/** @throws {Violation} when the event has no id */
export function idOf(event: Dispatched | undefined): string {
  demand(event?.id !== undefined && event.id !== '', `the event ${event?.type} has no id`)
  return event.id
}

/** Returns the type and the id of an event, for messages. */
export const describe = ({ id, type }: Dispatched): string => `${type} (id ${id ?? 'missing'})`

/** Whether two events have the same id, type and data. */
export function isSame(a: Dispatched | undefined, b: Dispatched | undefined): boolean {
  return a?.id === b?.id && a?.type === b?.type && a?.data === b?.data
}
