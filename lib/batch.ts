import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import pLimit from 'p-limit'

/** How many batches may run without a delay after an idle time. */
const BURST = 10

/** How calls are batched. */
export interface BatchOptions {
  /** Max keys of a batch. */
  maxBatchSize: number
  /** Interval between batches under sustained load, in ms. */
  paceMs: number
}

/**
 * Defaults for lookups. Under sustained load there is one query every 100 ms, so 10,000 clients that
 * reconnect at once cost no more queries than 100 do.
 */
const LOOKUPS = { maxBatchSize: 10_000, paceMs: 100 }

/**
 * Coalesces concurrent calls into batches. A call that is made while a batch is running joins the next one,
 * so a result is never older than the call that requested it.
 * @param query returns the results in the order of the keys, with an Error for a key that alone has failed;
 * if it rejects, all calls of the batch reject
 */
export function batched<Key, Result>(
  query: (keys: readonly Key[]) => Promise<readonly (Result | Error)[]>,
  { maxBatchSize, paceMs }: BatchOptions = LOOKUPS,
): (key: Key) => Promise<Result> {
  const inTurn = pLimit(1)
  let lastBatch: Promise<unknown> = Promise.resolve()
  let nextAt = 0

  async function paced(): Promise<void> {
    const now = performance.now()
    nextAt = Math.max(nextAt, now - BURST * paceMs) + paceMs
    if (nextAt > now) await delay(nextAt - now)
  }

  const loader = new DataLoader<Key, Result>(
    (keys) => {
      const results = query(keys)
      // The callers receive the error.
      lastBatch = results.catch(() => undefined)
      return results
    },
    {
      cache: false,
      maxBatchSize,
      batchScheduleFn: (dispatch) =>
        void inTurn(async () => {
          await paced()
          dispatch()
          await lastBatch
        }),
    },
  )
  return (key) => loader.load(key)
}
