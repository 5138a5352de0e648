import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Memory } from '../harness/collected.js'

/** A message from the probe in the service. */
export type FromProbe = { pauseMs: number } | { memory: Memory } | { isSettled: true }

const isProbe = (message: unknown): message is FromProbe =>
  typeof message === 'object' &&
  message !== null &&
  ('pauseMs' in message || 'memory' in message || 'isSettled' in message)

/** The event loop and the memory of the service under test, as its probe reports them. */
export class Vitals {
  #longestMs = 0
  #longestEverMs = 0
  readonly #listeners: ((pauseMs: number) => void)[] = []

  constructor(readonly service: ChildProcess) {
    service.on('message', (message: unknown) => {
      if (!isProbe(message) || !('pauseMs' in message)) return
      this.#longestMs = Math.max(this.#longestMs, message.pauseMs)
      this.#longestEverMs = Math.max(this.#longestEverMs, message.pauseMs)
      for (const listener of this.#listeners) listener(message.pauseMs)
    })
  }

  /** The longest pause beyond the bound so far, in ms; 0 if there was none. */
  get longestMs(): number {
    return this.#longestEverMs
  }

  onPause(listener: (pauseMs: number) => void): void {
    this.#listeners.push(listener)
  }

  /** Returns the longest pause beyond the bound while `work` runs, in ms; 0 if there was none. */
  async pauseDuring(work: () => Promise<unknown>): Promise<number> {
    await this.#settle()
    this.#longestMs = 0
    await work()
    await this.#settle()
    return this.#longestMs
  }

  /** Waits until every pause so far has been reported. */
  async #settle(): Promise<void> {
    await this.#ask('settle', (message) => 'isSettled' in message)
  }

  /**
   * Returns the memory in use after garbage collection.
   * @throws {Error} when the service ends meanwhile
   */
  async readMemory(): Promise<Memory> {
    const message = await this.#ask('memory', (message) => 'memory' in message)
    if (!('memory' in message)) throw new Error('the probe did not measure the memory')
    return message.memory
  }

  async #ask(question: string, isAnswer: (message: FromProbe) => boolean): Promise<FromProbe> {
    const ended = new AbortController()
    const onExit = () => ended.abort(new Error('the service ended'))
    this.service.once('exit', onExit)
    try {
      if (!this.service.connected) throw new Error('the service ended')
      this.service.send(question)
      return await this.#answer(isAnswer, ended.signal)
    } finally {
      this.service.off('exit', onExit)
    }
  }

  async #answer(isAnswer: (message: FromProbe) => boolean, signal: AbortSignal): Promise<FromProbe> {
    for (;;) {
      const [message] = (await once(this.service, 'message', { signal })) as [unknown]
      if (isProbe(message) && isAnswer(message)) return message
    }
  }
}
