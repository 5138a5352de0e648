interface Waiting {
  rank: number
  start: () => void
  refuse: () => void
}

/**
 * Runs a limited number of tasks concurrently. Of the waiting tasks, the one with the lowest rank is next,
 * and among equals the first that arrived. When the queue is full, a new task replaces the last one if its
 * own rank is lower, and is refused otherwise.
 */
export class RankedQueue {
  readonly #waiting: Waiting[] = []
  #running = 0

  /**
   * @param concurrency max running tasks
   * @param maxWaiting max waiting tasks
   * @param refusal makes the error of a refused task
   */
  constructor(
    readonly concurrency: number,
    readonly maxWaiting: number,
    readonly refusal: () => Error,
  ) {}

  /**
   * Runs a task when its turn comes.
   * @throws the error of `refusal` if the queue is full
   */
  async run<T>(rank: number, task: () => Promise<T>): Promise<T> {
    if (this.#running < this.concurrency) this.#running += 1
    else await this.#wait(rank)
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      // The slot passes to the next waiting task directly, so that a new task can't take it first.
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
