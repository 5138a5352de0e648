/** Counts concurrent holders by key, and limits their number for each key. */
export class Slots {
  readonly #counts = new Map<string, number>()

  /** @param max maximum number of concurrent holders of a key */
  constructor(readonly max: number) {}

  /**
   * Takes a slot of the key.
   * @returns the function that releases it, to be called once; undefined where no slot is free
   */
  take(key: string): (() => void) | undefined {
    const count = this.#counts.get(key) ?? 0
    if (count >= this.max) return undefined
    this.#counts.set(key, count + 1)
    return () => this.#release(key)
  }

  #release(key: string): void {
    const remaining = (this.#counts.get(key) ?? 0) - 1
    if (remaining > 0) this.#counts.set(key, remaining)
    else this.#counts.delete(key)
  }
}
