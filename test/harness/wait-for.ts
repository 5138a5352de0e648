import { setTimeout as delay } from 'node:timers/promises'

/**
 * Polls `found` until it returns a value other than undefined and false, and returns that value.
 * @throws after `deadline` ms, with `what`
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
