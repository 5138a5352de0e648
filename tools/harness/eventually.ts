import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 5
const TIMEOUT_MS = 60_000

interface Options {
  /** Default: 60 s, because the machine may be busy. */
  timeoutMs?: number
  /** Whether an error of `probe` counts as "not yet", as while a server restarts. Default: false. */
  retryErrors?: boolean
}

/**
 * Calls `probe` until it returns a value other than undefined and false, and returns that value.
 * @param what what is awaited, for the error message; a function is called when the wait has failed
 * @throws {Error} after the timeout, with the last error of `probe` as its cause
 */
export async function eventually<T>(
  what: string | (() => string),
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { timeoutMs = TIMEOUT_MS, retryErrors = false }: Options = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let cause: unknown
    try {
      const result = await probe()
      if (result !== undefined && result !== false) return result
    } catch (err) {
      if (!retryErrors) throw err
      cause = err
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`, { cause })
    }
    await delay(POLL_MS)
  }
}
