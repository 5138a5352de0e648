import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'

/** The result of some work in this process, and the longest pause of the event loop while it ran, in ms. */
export async function withLongestPause<T>(work: () => Promise<T>): Promise<{ result: T; pauseMs: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  try {
    const result = await work()
    // The last pause is recorded by the timer that comes after it.
    await delay(5)
    return { result, pauseMs: histogram.max / 1e6 }
  } finally {
    histogram.disable()
  }
}
