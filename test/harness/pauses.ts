import { monitorEventLoopDelay } from 'node:perf_hooks'

/** The longest pause of the event loop, and the p99 of a request of another user, in ms. */
export interface Pauses {
  longest: number
  p99: number
}

/**
 * Measures the longest pause of this process's event loop while `work` runs, and the p99 of `probe`, a
 * request of another user that is repeated meanwhile.
 */
export async function measurePauses(
  work: () => Promise<unknown>,
  probe: () => Promise<unknown>,
): Promise<Pauses> {
  const took: number[] = []
  const delays = monitorEventLoopDelay({ resolution: 1 })
  let running = true
  async function repeat() {
    while (running) {
      const startedAt = performance.now()
      await probe()
      took.push(performance.now() - startedAt)
    }
  }
  await probe()
  delays.enable()
  const probing = repeat()
  try {
    await work()
  } finally {
    running = false
    await probing
    delays.disable()
  }
  took.sort((a, b) => a - b)
  return { longest: delays.max / 1e6, p99: took[Math.floor(took.length * 0.99)] ?? 0 }
}
