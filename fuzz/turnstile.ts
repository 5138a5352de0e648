/** Lets work run beside other work, or alone. */
export class Turnstile {
  #running = 0
  #closed: Promise<unknown> | undefined
  #onIdle: () => void = () => undefined

  async beside<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed) await this.#closed
    this.#running++
    try {
      return await work()
    } finally {
      if (--this.#running === 0) this.#onIdle()
    }
  }

  /** Waits until nothing else runs, and keeps everything else waiting. */
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
