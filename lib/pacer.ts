import { setImmediate } from 'node:timers/promises'

/** For how long a loop may keep the event loop, in ms: streams and other requests are served in between. */
const SLICE_MS = 10

/**
 * Divides a long loop into slices. `isDue` is cheap enough for every pass; where it is true, `await pause()` lets the event
 * loop serve everything else that is ready.
 */
export class Pacer {
  #startedAt = performance.now()

  get isDue(): boolean {
    return performance.now() - this.#startedAt > SLICE_MS
  }

  async pause(): Promise<void> {
    await setImmediate()
    this.#startedAt = performance.now()
  }
}
