import { setTimeout as delay } from 'node:timers/promises'

export interface Settings {
  /** Small numbers, to see that everything works. */
  quick: boolean
  /** Where the Node processes that are measured leave their CPU profiles. */
  profiles: string | undefined
}

/** How long whatever was started may take to end, in ms. */
const END_LIMIT_MS = 20_000

/** The life of a run, a question or a measurement: what is started in it ends with it, last come, first gone. */
export class Scope {
  readonly #ends: (() => unknown)[] = []
  readonly notes = new Map<string, string>()

  /** @param interrupted aborts when somebody wants all to end: what was started ends too, database servers included */
  constructor(
    readonly settings: Settings,
    readonly interrupted: AbortSignal = new AbortController().signal,
  ) {}

  /** The size of something: `full`, or `quick` in a smoke run. */
  size(full: number, quick: number): number {
    return this.settings.quick ? quick : full
  }

  /** Has `end` called when the scope ends. */
  defer(end: () => unknown): void {
    this.#ends.push(end)
  }

  /** Text that belongs to the result, such as a plan or a path; one a title. */
  note(title: string, text: string): void {
    this.notes.set(title, text)
  }

  /** Runs `work` in a scope of its own that ends with it, at the latest after `limitMs`. */
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
