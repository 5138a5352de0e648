/** A function whose concurrent calls share one run. */
export interface SingleFlight<Result> {
  /** Begins a run, or joins the one that is in flight. */
  (): Promise<Result>
  /** Resolves when no run is in flight, whether the last one succeeded or failed. Starts no run. */
  idle(): Promise<void>
}

/**
 * Wraps `fn` so that a call during a run of it joins that run and gets its result or its error. The result
 * may therefore be older than the call: where a caller needs what has happened before its call, `batched`
 * (batch.ts) begins another run.
 */
export function singleFlight<Result>(fn: () => Promise<Result>): SingleFlight<Result> {
  let running: Promise<Result> | undefined
  // An async function, so that an exception that `fn` throws synchronously becomes a rejection.
  const run = async () => fn()
  const join = (): Promise<Result> =>
    (running ??= run().finally(() => {
      running = undefined
    }))
  async function idle(): Promise<void> {
    await running?.catch(() => undefined)
  }
  return Object.assign(join, { idle })
}
