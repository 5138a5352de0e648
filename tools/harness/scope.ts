import { setTimeout as delay } from 'node:timers/promises'

/** The settings of a run. */
export interface Settings {
  /** Whether to use small numbers, to see that everything works. */
  quick: boolean
  /** The folder for CPU profiles of the measured Node processes; undefined for none. */
  profiles: string | undefined
}

/** How long each resource of a scope may take to end, in ms. */
const END_LIMIT_MS = 20_000

/**
 * The lifetime of a run, a benchmark or a measurement. What is started in it ends with it, in reverse order.
 */
export class Scope {
  readonly #ends: (() => unknown)[] = []
  readonly notes = new Map<string, string>()

  /**
   * @param interrupted aborts when the user interrupts the run; everything that was started then ends, too
   */
  constructor(
    readonly settings: Settings,
    readonly interrupted: AbortSignal = new AbortController().signal,
  ) {}

  /** Returns `quick` in a run with small numbers, `full` otherwise. */
  size(full: number, quick: number): number {
    return this.settings.quick ? quick : full
  }

  /** Calls `end` when the scope ends. */
  defer(end: () => unknown): void {
    this.#ends.push(end)
  }

  /** Adds a text to the report, such as a plan. It replaces an earlier one with the same title. */
  note(title: string, text: string): void {
    this.notes.set(title, text)
  }

  /**
   * Runs `work` in a scope of its own, which ends when `work` is done.
   * @throws {Error} after `limitMs`, or when the run is interrupted
   */
  async within<T>(limitMs: number, work: (scope: Scope) => Promise<T>): Promise<T> {
    const { interrupted } = this
    interrupted.throwIfAborted()
    const inner = new Scope(this.settings, interrupted)
    const over = new AbortController()
    const ended = new Promise<never>((_resolve, reject) => {
      const { signal } = over
      interrupted.addEventListener('abort', () => reject(new Error('interrupted')), { signal })
      delay(limitMs, undefined, { signal }).then(
        () => reject(new Error(`not done within ${limitMs / 1000} s`)),
        () => undefined,
      )
    })
    try {
      return await Promise.race([work(inner), ended])
    } finally {
      over.abort()
      await inner.#close()
      for (const [title, text] of inner.notes) this.note(title, text)
    }
  }

  async #close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) {
      const ended = Promise.resolve(end()).then(() => true)
      if (!(await Promise.race([ended, delay(END_LIMIT_MS, false, { ref: false })]))) {
        throw new Error(`what a measurement started did not end within ${END_LIMIT_MS / 1000} s`)
      }
    }
  }
}
