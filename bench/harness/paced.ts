import { setTimeout as delay } from 'node:timers/promises'
import { clock } from './watchers.js'

/**
 * Calls `publish` with 1, 2, 3 … so many times a second, whether or not the earlier ones are done: who is slow is not
 * spared. Gives back when each was called, by `clock`, as soon as all are done.
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
