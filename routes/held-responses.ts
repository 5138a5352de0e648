/** Holds responses back for a while: a bounded number of them, and none once they are released. */
export class HeldResponses {
  readonly #releases = new Set<() => void>()
  #isReleased = false

  /** @param max how many are held at a time */
  constructor(readonly max: number) {}

  /**
   * Waits before a response is sent. Resolves after `ms`; at once where `max` others wait, and after `releaseAll`.
   * @param onGone is given what ends the wait early, for a client that has gone
   */
  async hold(ms: number, onGone: (release: () => void) => void): Promise<void> {
    if (this.#isReleased || this.#releases.size >= this.max) return
    await new Promise<void>((resolve) => {
      const release = () => {
        clearTimeout(timer)
        this.#releases.delete(release)
        resolve()
      }
      const timer = setTimeout(release, ms)
      this.#releases.add(release)
      onGone(release)
    })
  }

  /** Ends all waits, and holds nothing back from now on: the process ends. */
  releaseAll(): void {
    this.#isReleased = true
    for (const release of [...this.#releases]) release()
  }
}
