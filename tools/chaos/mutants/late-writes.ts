import * as genuine from '../../../feed/connection.js'

export * from '../../../feed/connection.js'

type Options = ConstructorParameters<typeof genuine.Connection>
type Rest = Options extends [unknown, unknown, ...infer Others] ? Others : never

const MAX_DELAY_MS = 10

/** Delays each write by a random time, so that a later block can overtake an earlier one. */
class LateSink implements genuine.Sink {
  #ended = false

  constructor(readonly sink: genuine.Sink) {}

  get isFull(): boolean {
    return this.sink.isFull
  }

  write(...block: Parameters<genuine.Sink['write']>): void {
    setTimeout(() => {
      if (!this.#ended) this.sink.write(...block)
    }, Math.random() * MAX_DELAY_MS)
  }

  end(...block: Parameters<genuine.Sink['end']>): void {
    this.#ended = true
    this.sink.end(...block)
  }
}

/** Behaves as if there were an `await` between the slice of a connection and its write. */
export class Connection extends genuine.Connection {
  constructor(feed: Options[0], sink: Options[1], ...rest: Rest) {
    super(feed, new LateSink(sink), ...rest)
  }
}
