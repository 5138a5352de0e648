/** The calls of one key. */
interface Line {
  running: number
  waiting: (() => void)[]
}

/**
 * Limits the concurrent calls of each key, and begins waiting calls in the order in which they came. Keys are
 * independent. When a key is garbage-collected, its waiting calls are dropped and never begin.
 */
export class Turns<Key extends object> {
  readonly #lines = new WeakMap<Key, Line>()

  /** @param max max concurrent calls of a key */
  constructor(readonly max: number) {}

  /** Calls `begin`, at once or when its turn comes. The caller must call `end` for each call. */
  begin(key: Key, begin: () => void): void {
    let line = this.#lines.get(key)
    if (!line) this.#lines.set(key, (line = { running: 0, waiting: [] }))
    if (line.running < this.max) {
      line.running += 1
      begin()
    } else line.waiting.push(begin)
  }

  /** Ends a call, and begins the next one of its key. */
  end(key: Key): void {
    const line = this.#lines.get(key)
    if (!line) return
    const next = line.waiting.shift()
    if (next) next()
    else line.running -= 1
  }
}
