/** Delays responses: a bounded number of them at a time, and none after `releaseAll`. */
export class DelayedResponses {
  readonly #releases = new Set<() => void>()
  #isReleased = false

  /** @param max maximum number of responses that are delayed at a time */
  constructor(readonly max: number) {}

  /**
   * Resolves after `ms`, or at `releaseAll`. Resolves at once where `max` responses are delayed already, and
   * after `releaseAll`.
   * @param onClosed receives the function that ends the wait early, to be called when the client disconnects
   */
  async delay(ms: number, onClosed: (release: () => void) => void): Promise<void> {
    if (this.#isReleased || this.#releases.size >= this.max) return
    await new Promise<void>((resolve) => {
      const release = () => {
        clearTimeout(timer)
        this.#releases.delete(release)
        resolve()
      }
      const timer = setTimeout(release, ms)
      this.#releases.add(release)
      onClosed(release)
    })
  }

  /** Ends all delays, and delays no further response: for the shutdown. */
  releaseAll(): void {
    this.#isReleased = true
    for (const release of [...this.#releases]) release()
  }
}
