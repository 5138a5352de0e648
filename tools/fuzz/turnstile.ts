/** Runs work concurrently with other work, or exclusively. */
export class Turnstile {
  #running = 0
  #closed: Promise<unknown> | undefined
  #onIdle: () => void = () => undefined

  /** Runs `work` concurrently with other such work, once no exclusive work is running. */
  async beside<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed) await this.#closed
    this.#running++
    try {
      return await work()
    } finally {
      if (--this.#running === 0) this.#onIdle()
    }
  }

  /** Waits until no other work is running, and runs `work` while all other work waits. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed) await this.#closed
    const idle = new Promise<void>((resolve) => (this.#onIdle = resolve))
    const run = async () => {
      if (this.#running > 0) await idle
      return work()
    }
    const running = run().finally(() => {
      this.#closed = undefined
      this.#onIdle = () => undefined
    })
    this.#closed = running.catch(() => undefined)
    return running
  }
}
