/** What of one key runs and waits. */
interface Line {
  running: number
  waiting: (() => void)[]
}

/**
 * Lets so many calls of one key begin at a time, in the order in which they came; keys know nothing of each other. A key that is
 * forgotten takes its waiting calls along, without an end.
 */
export class Turns<Key extends object> {
  readonly #lines = new WeakMap<Key, Line>()

  /** @param max how many calls of one key run at a time */
  constructor(readonly max: number) {}

  /** Calls `begin`, at once or when its turn has come. `end` must follow each. */
  begin(key: Key, begin: () => void): void {
    let line = this.#lines.get(key)
    if (!line) this.#lines.set(key, (line = { running: 0, waiting: [] }))
    if (line.running < this.max) {
      line.running += 1
      begin()
    } else line.waiting.push(begin)
  }

  end(key: Key): void {
    const line = this.#lines.get(key)
    if (!line) return
    const next = line.waiting.shift()
    if (next) next()
    else line.running -= 1
  }
}
