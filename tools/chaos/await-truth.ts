import { setTimeout as delay } from 'node:timers/promises'

/**
 * Polls `query` until its row is `done`. Errors are retried, because the server may be down meanwhile.
 * @throws {Error} after `ms`, with the last error of `query` as its cause
 */
export async function awaitTruth(
  ms: number,
  what: string,
  query: () => Promise<{ done: boolean }[]>,
): Promise<void> {
  const until = performance.now() + ms
  let last: unknown
  do {
    try {
      const [row] = await query()
      if (row?.done) return
    } catch (err) {
      last = err
    }
    await delay(50)
  } while (performance.now() < until)
  throw new Error(`${what}: not within ${ms} ms`, { cause: last })
}
