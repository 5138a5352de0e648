const RETRY_MS = 3000

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Makes of `act` what can be asked for at any time: it runs once for all that ask while it waits or runs and, where it
 * fails, again after a while. Runs are `spacing` ms apart, give or take a half: a thousand pages that see the same event
 * must not all ask in the same moment.
 */
export function onDemand(act, spacing) {
  let asked = false
  let running = false

  async function run() {
    running = true
    while (asked) {
      asked = false
      try {
        await act()
      } catch {
        asked = true
        await pause(RETRY_MS)
      }
      await pause(spacing * (0.5 + Math.random()))
    }
    running = false
  }

  return () => {
    asked = true
    if (!running) run()
  }
}
