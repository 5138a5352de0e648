const RETRY_MS = 3000

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Returns a function that requests a run of `act`. Requests during a run, or during the pause after it, are
 * combined into one further run. A run that fails is repeated. The pause is `spacing` ms on average, with a
 * jitter of a half, so that pages that receive the same event don't send their requests all at once.
 */
export function onDemand(act: () => Promise<void>, spacing: number): () => void {
  let requested = false
  let running = false

  async function run(): Promise<void> {
    running = true
    while (requested) {
      requested = false
      try {
        await act()
      } catch {
        requested = true
        await pause(RETRY_MS)
      }
      await pause(spacing * (0.5 + Math.random()))
    }
    running = false
  }

  return () => {
    requested = true
    if (!running) void run()
  }
}
