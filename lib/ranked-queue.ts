interface Waiting {
  rank: number
  start: () => void
  refuse: () => void
}

/**
 * Runs a few tasks at a time; of those that wait, the one with the lowest rank is next, and of the same rank the first that came.
 * When all positions are taken, a task takes that of the last in line if its own rank is lower, and is refused otherwise.
 */
export class RankedQueue {
  readonly #waiting: Waiting[] = []
  #running = 0

  /**
   * @param concurrency how many run at a time
   * @param maxWaiting how many wait at most
   * @param refusal makes the error of a task that is refused
   */
  constructor(
    readonly concurrency: number,
    readonly maxWaiting: number,
    readonly refusal: () => Error,
  ) {}

  async run<T>(rank: number, task: () => Promise<T>): Promise<T> {
    if (this.#running < this.concurrency) this.#running += 1
    else await this.#wait(rank)
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      // A task that ends hands its position on, so that none which comes in between gets ahead.
      if (next) next.start()
      else this.#running -= 1
    }
  }

  #wait(rank: number): Promise<void> {
    if (this.#waiting.length >= this.maxWaiting) {
      const last = this.#waiting.at(-1)
      if (!last || last.rank <= rank) throw this.refusal()
      this.#waiting.pop()
      last.refuse()
    }
    return new Promise((start, reject) => {
      const position = this.#waiting.findIndex((other) => other.rank > rank)
      const waiting = { rank, start, refuse: () => reject(this.refusal()) }
      this.#waiting.splice(position < 0 ? this.#waiting.length : position, 0, waiting)
    })
  }
}
