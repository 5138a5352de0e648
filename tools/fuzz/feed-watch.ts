import { type Dispatched, StreamReader } from '../conformance/grammar.js'
import { parsers } from './parsers.js'
import type { Judge } from './judge.js'
import { Connection } from './wire.js'

/** How long the subscriber may take to reach the end of the log, in ms. */
const SETTLE_MS = 30_000

const isLogged = ({ type }: Dispatched): boolean => /^(item|revision)\./.test(type)

/** A subscriber that follows the feed during a whole run and stores every byte. */
export class FeedWatch {
  readonly #connection: Connection
  readonly #pieces: Buffer[] = []
  readonly #reader = new StreamReader()
  readonly #events: Dispatched[] = []
  readonly #wrong: string[] = []
  #moved: () => void = () => undefined
  #ended = false

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  static async open(port: number, credential: string): Promise<FeedWatch> {
    const watch = new FeedWatch(new Connection(port))
    const { status, pieces } = await watch.#connection.open({
      method: 'GET',
      target: '/api/events?since=earliest',
      headers: [
        ['host', 'silo.example'],
        ['accept', 'text/event-stream'],
        ['authorization', credential],
      ],
    })
    if (status !== 200) watch.#wrong.push(`the feed responded with ${status}`)
    void watch.#follow(pieces)
    return watch
  }

  get bytes(): number {
    return this.#pieces.reduce((sum, { length }) => sum + length, 0)
  }

  /** The events received that are entries of the log. */
  get logged(): Dispatched[] {
    return this.#events.filter(isLogged)
  }

  async #follow(pieces: AsyncGenerator<Buffer>): Promise<void> {
    try {
      for await (const piece of pieces) {
        this.#pieces.push(piece)
        this.#events.push(...this.#reader.feed(piece))
        this.#moved()
      }
      this.#wrong.push('the service ended the stream')
    } catch (error) {
      this.#wrong.push(`the stream broke: ${String(error)}`)
    }
    this.#ended = true
    this.#moved()
  }

  /**
   * Waits until the event with this id, the last one, has been received, or notes that it has not in time.
   */
  async settle(lastId: string, patienceMs = SETTLE_MS): Promise<void> {
    const late = AbortSignal.timeout(patienceMs)
    late.addEventListener('abort', () => this.#moved())
    while (!this.#ended && !late.aborted && this.#reader.lastId !== lastId) {
      await new Promise<void>((resolve) => (this.#moved = resolve))
    }
    if (this.#reader.lastId !== lastId) {
      this.#wrong.push(`the feed stays at ${this.#reader.lastId ?? 'nothing'}, the log is at ${lastId}`)
    }
  }

  close(): void {
    this.#connection.close()
  }

  /**
   * Checks everything received against the grammar, the schemas of the events and third-party parsers.
   * Returns a sentence for each problem.
   */
  async verdict(judge: Judge): Promise<string[]> {
    const pieces = [...this.#pieces]
    const events = [...this.#events]
    const wrong = [...this.#wrong, ...this.#reader.malformed, ...this.#reader.violations]
    if (pieces.some((piece) => piece.some((byte) => byte < 0x20 && byte !== 0x0a))) {
      wrong.push('the feed has a control character other than the line feed')
    }
    for (const { type, data } of events) wrong.push(...judge.judgeEvent(type, data))
    const types = [...new Set(events.map(({ type }) => type))]
    const known = ({ id, type, data }: { id: string | undefined; type: string; data: string }) =>
      JSON.stringify([id ?? '', type, data])
    const ours = events.map(known)
    for (const [name, parse] of Object.entries(parsers)) {
      const theirs = await parse(pieces, types).then(
        (parsed) => parsed.map(known),
        (error: unknown) => [`failed: ${String(error)}`],
      )
      const at = ours.findIndex((event, i) => event !== theirs[i])
      if (at >= 0 || theirs.length !== ours.length) {
        wrong.push(
          `${name} read ${theirs.length} of ${ours.length} events; ` +
            `the first other one is ${theirs[at] ?? 'missing'}`,
        )
      }
    }
    return wrong
  }
}
