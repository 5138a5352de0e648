/** Lets at most so many callers in at a time, each under its key; what a key holds says nothing about another. */
export class Slots {
  readonly #taken = new Map<string, number>()

  /** @param most how many callers a key lets in at a time */
  constructor(readonly most: number) {}

  /**
   * Takes a place.
   * @returns what gives it back, to be called once; nothing when there is none
   */
  take(key: string): (() => void) | undefined {
    const taken = this.#taken.get(key) ?? 0
    if (taken >= this.most) return undefined
    this.#taken.set(key, taken + 1)
    return () => this.#giveBack(key)
  }

  #giveBack(key: string): void {
    const left = (this.#taken.get(key) ?? 0) - 1
    if (left > 0) this.#taken.set(key, left)
    else this.#taken.delete(key)
  }
}
