/** The limits of a queue. */
export interface FairQueueOptions {
  /** Max weight of all shares. */
  max: number
  /** Max weight of the shares of one key. */
  maxPerKey: number
  /**
   * Max weight of the shares of one key, as a factor of the free weight. So keys that never release their
   * shares don't take all of it: with a factor f, each of them leaves 1 / (1 + f) of what was free before it,
   * and small shares still fit where large ones don't.
   */
  maxOfFree?: number
  /** Max waiting callers of one key. */
  maxWaitingPerKey: number
}

/** Thrown when too many callers of the same key are waiting. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull'
}

/** A share of the queue's capacity. */
export interface Share {
  /** Changes the weight, once it is known. It may exceed the limits, which makes others wait longer. */
  resize(weight: number): void
  /** Releases the share. Further calls do nothing. */
  release(): void
}

interface Waiting {
  weight: number
  admit(share: Share): void
}

interface Line {
  inUse: number
  waiting: Set<Waiting>
}

/**
 * A weighted semaphore that is fair to keys, such as users. The callers of one key are admitted in the order
 * of their arrival; the keys with waiting callers take turns. So a key that requests all of the capacity does
 * not delay another key for longer than the running calls take.
 */
export class FairQueue<Key = string> {
  readonly #lines = new Map<Key, Line>()
  /** The keys with waiting callers, in the order of their turns. */
  readonly #turns = new Set<Key>()
  #inUse = 0

  constructor(readonly options: FairQueueOptions) {}

  /** The weight of all shares. */
  get inUse(): number {
    return this.#inUse
  }

  /** Takes a share of `weight` if that is possible without waiting; undefined otherwise. */
  tryTake(key: Key, weight: number): Share | undefined {
    const line = this.#lines.get(key) ?? { inUse: 0, waiting: new Set() }
    if (line.waiting.size > 0 || !this.#fits(line, weight)) return undefined
    this.#lines.set(key, line)
    return this.#admit(key, line, weight)
  }

  /**
   * Takes a share of `weight`, and waits for it if necessary.
   * @throws {QueueFull} if too many callers of the key are waiting
   * @throws the reason of `signal` if it aborts before there is a share
   */
  async take(key: Key, weight: number, signal: AbortSignal): Promise<Share> {
    signal.throwIfAborted()
    const share = this.tryTake(key, weight)
    if (share) return share
    const line = this.#lineOf(key)
    if (line.waiting.size >= this.options.maxWaitingPerKey)
      throw new QueueFull('too many callers are waiting')
    return new Promise((resolve, reject) => {
      const cancel = () => {
        line.waiting.delete(waiting)
        this.#settle(key, line)
        reject(signal.reason as Error)
      }
      const waiting: Waiting = {
        weight,
        admit: (share) => {
          signal.removeEventListener('abort', cancel)
          resolve(share)
        },
      }
      signal.addEventListener('abort', cancel, { once: true })
      line.waiting.add(waiting)
      this.#turns.add(key)
    })
  }

  #lineOf(key: Key): Line {
    const line = this.#lines.get(key) ?? { inUse: 0, waiting: new Set() }
    this.#lines.set(key, line)
    return line
  }

  /** Whether a share fits within the limits. A share that is larger than a limit is admitted alone. */
  #fits(line: Line, weight: number): boolean {
    const { max, maxPerKey, maxOfFree } = this.options
    if (this.#inUse === 0) return true
    if (this.#inUse + weight > max) return false
    if (maxOfFree !== undefined && line.inUse + weight > (max - this.#inUse) * maxOfFree) return false
    return line.inUse === 0 || line.inUse + weight <= maxPerKey
  }

  #admit(key: Key, line: Line, weight: number): Share {
    let held = weight
    let isHeld = true
    line.inUse += held
    this.#inUse += held
    const change = (to: number): void => {
      line.inUse += to - held
      this.#inUse += to - held
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

  /** Removes a key that has neither shares nor waiting callers. */
  #settle(key: Key, line: Line): void {
    if (line.waiting.size === 0) this.#turns.delete(key)
    if (line.inUse === 0 && line.waiting.size === 0) this.#lines.delete(key)
  }

  #admitWaiting(): void {
    for (const key of [...this.#turns]) {
      const line = this.#lines.get(key)
      const [next] = line?.waiting ?? []
      if (!line || !next || !this.#fits(line, next.weight)) continue
      line.waiting.delete(next)
      // The next turn of the key comes after those of all others.
      this.#turns.delete(key)
      if (line.waiting.size > 0) this.#turns.add(key)
      next.admit(this.#admit(key, line, next.weight))
    }
  }
}
