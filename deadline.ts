/** Thrown where an answer did not come in time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly code = 'NO_ANSWER'
}

/**
 * What `work` comes to, or a rejection after `ms`. The work itself goes on and its result is dropped, so this is for
 * questions, never for writes.
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const giveUp = () => reject(new NoAnswer(`no answer within ${ms} ms`))
    // When this process was the late one, the answer lies in the socket: timers run before sockets are read, this after.
    timer = setTimeout(() => setImmediate(giveUp), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
