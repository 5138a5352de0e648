/** Thrown when a result did not arrive within its deadline. */
export class NoResponse extends Error {
  override readonly name = 'NoResponse'
  readonly code = 'NO_ANSWER'
}

/** The number of ticks of a deadline. */
const BEATS = 5

/**
 * Resolves with `work`, or rejects with `NoResponse` after `ms`. `work` is not cancelled and its result is
 * dropped: after a rejection, a write may still happen. The deadline is counted in ticks, so that a blocked
 * event loop counts as one tick. Otherwise a busy process, which may not even have sent its query yet, would
 * conclude that the database is down.
 * @throws {NoResponse}
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    let beats = 0
    timer = setInterval(() => {
      beats++
      if (beats === BEATS) reject(new NoResponse(`no response within ${ms} ms`))
    }, ms / BEATS)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearInterval(timer)
  }
}
