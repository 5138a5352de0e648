import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Runs `work`. Returns its result, and the longest pause of the event loop of this process meanwhile, in ms.
 */
export async function withLongestPause<T>(work: () => Promise<T>): Promise<{ result: T; pauseMs: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  try {
    const result = await work()
    // The last pause is recorded by the timer that fires after it.
    await delay(5)
    return { result, pauseMs: histogram.max / 1e6 }
  } finally {
    histogram.disable()
  }
}
