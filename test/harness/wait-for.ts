import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits until `found` gives something (not undefined, not false), and gives that back.
 * @throws after `deadline` ms, with what was waited for
 */
export async function waitFor<T>(
  what: string,
  found: () => T | undefined | false | Promise<T | undefined | false>,
  deadline = 60_000,
): Promise<T> {
  const until = Date.now() + deadline
  for (;;) {
    const result = await found()
    if (result !== undefined && result !== false) return result
    if (Date.now() > until) throw new Error(`waited ${deadline} ms in vain for ${what}`)
    await delay(20)
  }
}
