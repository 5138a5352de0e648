/** Counts concurrent holders by key, and limits their number for each key. */
export class Slots {
  readonly #taken = new Map<string, number>()

  /** @param most maximum number of concurrent holders of a key */
  constructor(readonly most: number) {}

  /**
   * Takes a slot of the key.
   * @returns the function that releases it, to be called once; undefined where no slot is free
   */
  take(key: string): (() => void) | undefined {
    const taken = this.#taken.get(key) ?? 0
    if (taken >= this.most) return undefined
    this.#taken.set(key, taken + 1)
    return () => this.#release(key)
  }

  #release(key: string): void {
    const left = (this.#taken.get(key) ?? 0) - 1
    if (left > 0) this.#taken.set(key, left)
    else this.#taken.delete(key)
  }
}
