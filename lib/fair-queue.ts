/** What a queue lets in. */
export interface FairQueueOptions {
  /** How much is let in at a time, in all. */
  max: number
  /** How much of it one key takes at most. */
  maxPerKey: number
  /**
   * How much of what is free one key takes at most, as a factor. So keys that keep what they have never take all of it: with a factor
   * f, each of them leaves 1 / (1 + f) of what was free before it, and what is small still fits where the large does not.
   */
  maxOfFree?: number
  /** How many callers of one key may wait. */
  maxWaitingPerKey: number
}

/** Thrown where too many callers of the same key wait already. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull'
}

/** What was taken of a queue. */
export interface Share {
  /** Changes its weight, once it is known. May exceed the limits: then others wait for longer. */
  resize(weight: number): void
  /** Gives it back. Calls after the first do nothing. */
  release(): void
}

interface Waiting {
  weight: number
  admit(share: Share): void
}

interface Line {
  taken: number
  waiting: Set<Waiting>
}

/**
 * A semaphore that is shared by keys (users, say): of one key's callers, the first comes first; of the keys that wait, each has its
 * turn. So a key that wants everything gets its share, and another key never waits behind more than what is running.
 */
export class FairQueue<Key = string> {
  readonly #lines = new Map<Key, Line>()
  /** The keys with callers that wait, in the order of their turns. */
  readonly #turns = new Set<Key>()
  #taken = 0

  constructor(readonly options: FairQueueOptions) {}

  /** How much is let in at the moment. */
  get taken(): number {
    return this.#taken
  }

  /** Takes a share of `weight` where that needs no wait. */
  tryTake(key: Key, weight: number): Share | undefined {
    const line = this.#lines.get(key) ?? { taken: 0, waiting: new Set() }
    if (line.waiting.size > 0 || !this.#fits(line, weight)) return undefined
    this.#lines.set(key, line)
    return this.#admit(key, line, weight)
  }

  /**
   * Waits for a share of `weight`.
   * @throws {QueueFull} where too many callers of the key wait already
   * @throws the reason of `signal`, when that aborts before there is a share
   */
  async take(key: Key, weight: number, signal: AbortSignal): Promise<Share> {
    signal.throwIfAborted()
    const taken = this.tryTake(key, weight)
    if (taken) return taken
    const line = this.#lineOf(key)
    if (line.waiting.size >= this.options.maxWaitingPerKey) throw new QueueFull('too many callers wait')
    return new Promise((resolve, reject) => {
      const leave = () => {
        line.waiting.delete(waiting)
        this.#settle(key, line)
        reject(signal.reason as Error)
      }
      const waiting: Waiting = {
        weight,
        admit: (share) => {
          signal.removeEventListener('abort', leave)
          resolve(share)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      line.waiting.add(waiting)
      this.#turns.add(key)
    })
  }

  #lineOf(key: Key): Line {
    const line = this.#lines.get(key) ?? { taken: 0, waiting: new Set() }
    this.#lines.set(key, line)
    return line
  }

  /** Whether there is room; what is larger than all of it is let in alone. */
  #fits(line: Line, weight: number): boolean {
    const { max, maxPerKey, maxOfFree } = this.options
    if (this.#taken === 0) return true
    if (this.#taken + weight > max) return false
    if (maxOfFree !== undefined && line.taken + weight > (max - this.#taken) * maxOfFree) return false
    return line.taken === 0 || line.taken + weight <= maxPerKey
  }

  #admit(key: Key, line: Line, weight: number): Share {
    let held = weight
    let isHeld = true
    line.taken += held
    this.#taken += held
    const change = (to: number): void => {
      line.taken += to - held
      this.#taken += to - held
      held = to
      this.#settle(key, line)
      this.#admitWaiting()
    }
    return {
      resize: (to) => {
        if (isHeld && to !== held) change(to)
      },
      release: () => {
        if (!isHeld) return
        isHeld = false
        change(0)
      },
    }
  }

  /** Forgets a key that neither has nor wants anything. */
  #settle(key: Key, line: Line): void {
    if (line.waiting.size === 0) this.#turns.delete(key)
    if (line.taken === 0 && line.waiting.size === 0) this.#lines.delete(key)
  }

  #admitWaiting(): void {
    for (const key of [...this.#turns]) {
      const line = this.#lines.get(key)
      const [next] = line?.waiting ?? []
      if (!line || !next || !this.#fits(line, next.weight)) continue
      line.waiting.delete(next)
      // Its next turn comes after those of all others.
      this.#turns.delete(key)
      if (line.waiting.size > 0) this.#turns.add(key)
      next.admit(this.#admit(key, line, next.weight))
    }
  }
}
