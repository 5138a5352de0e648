import { setTimeout as delay } from 'node:timers/promises'
import { clock } from './watchers.js'

/**
 * Calls `publish` with 1, 2, 3 … at a fixed rate, whether or not earlier calls are done, so that a slow
 * server does not slow the load down. Waits for all calls. Returns when each was made, by `clock`.
 */
export async function publishPaced(
  publish: (serial: number) => Promise<unknown>,
  count: number,
  perSecond: number,
): Promise<number[]> {
  const began = clock()
  const called: number[] = []
  const published: Promise<unknown>[] = []
  const failed = new AbortController()
  while (called.length < count) {
    const due = began + (called.length * 1000) / perSecond
    if (clock() < due) await delay(due - clock())
    called.push(clock())
    published.push(publish(called.length).catch((err: unknown) => failed.abort(err)))
    failed.signal.throwIfAborted()
  }
  await Promise.all(published)
  failed.signal.throwIfAborted()
  return called
}
