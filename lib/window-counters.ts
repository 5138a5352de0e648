interface Window {
  count: number
  /** When the window ends, by `performance.now`. */
  end: number
}

/**
 * Counts by key in windows of a fixed length, each of which begins with its first count. No key is evicted
 * before its window ends, so counting other keys can't reset it. The caller must bound the number of counts
 * within a window.
 */
export class WindowCounters {
  readonly #windows = new Map<string, Window>()
  #sweepAt = 0

  constructor(readonly lengthMs: number) {}

  #window(key: string): Window | undefined {
    const window = this.#windows.get(key)
    return window && window.end > performance.now() ? window : undefined
  }

  /** Returns the count of the key's window. */
  get(key: string): number {
    return this.#window(key)?.count ?? 0
  }

  /** Returns the time until the key's window ends, in ms. */
  msLeft(key: string): number {
    return Math.max(0, (this.#window(key)?.end ?? 0) - performance.now())
  }

  /**
   * Increments the count of the key.
   * @returns a function that undoes this, unless the window has ended
   */
  count(key: string): () => void {
    this.#sweep()
    const window = this.#window(key) ?? { count: 0, end: performance.now() + this.lengthMs }
    window.count += 1
    this.#windows.set(key, window)
    return () => {
      window.count -= 1
      if (window.count === 0 && this.#windows.get(key) === window) this.#windows.delete(key)
    }
  }

  /** The number of keys in memory. */
  get size(): number {
    return this.#windows.size
  }

  #sweep(): void {
    const now = performance.now()
    if (now < this.#sweepAt) return
    this.#sweepAt = now + this.lengthMs
    for (const [key, { end }] of this.#windows) if (end <= now) this.#windows.delete(key)
  }
}
