import { setImmediate } from 'node:timers/promises'

/** Max time that a loop may hold the event loop, in ms. Streams and other requests are served in between. */
const SLICE_MS = 10

/**
 * Divides a long loop into slices. Check `shouldPause` in every pass, which is cheap. If it is true, await
 * `pause`, which lets the event loop process everything else that is ready.
 */
export class Pacer {
  #startedAt = performance.now()

  get shouldPause(): boolean {
    return performance.now() - this.#startedAt > SLICE_MS
  }

  async pause(): Promise<void> {
    await setImmediate()
    this.#startedAt = performance.now()
  }
}
