/** Thrown where an answer did not come in time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly code = 'NO_ANSWER'
}

/** A wait is counted in so many beats. */
const BEATS = 5

/**
 * What `work` comes to, or a rejection after `ms`. The work itself goes on and its result is dropped, so this is for
 * questions, never for writes. A time in which this process stood still counts as one beat: it had not even sent the
 * question, perhaps, and in a rush it would take itself for a dead database.
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    let beats = 0
    timer = setInterval(() => {
      beats++
      if (beats === BEATS) reject(new NoAnswer(`no answer within ${ms} ms`))
    }, ms / BEATS)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearInterval(timer)
  }
}
