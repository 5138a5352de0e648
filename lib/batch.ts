import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import pLimit from 'p-limit'

/** How many batches may run without a delay after an idle time. */
const BURST = 10

/** How calls are batched. */
export interface BatchOptions {
  /** Max keys of a batch. */
  most: number
  /** Interval between batches under sustained load, in ms. */
  paceMs: number
}

/**
 * Defaults for lookups. Under sustained load there is one query every 100 ms, so 10,000 clients that
 * reconnect at once cost no more queries than 100 do.
 */
const QUESTIONS = { most: 10_000, paceMs: 100 }

/**
 * Coalesces concurrent calls into batches. A call that is made while a batch is running joins the next one,
 * so a result is never older than the call that requested it.
 * @param ask returns the results in the order of the keys, with an Error for a key that alone has failed; if
 * it rejects, all calls of the batch reject
 */
export function batched<Key, Answer>(
  ask: (keys: readonly Key[]) => Promise<readonly (Answer | Error)[]>,
  { most, paceMs }: BatchOptions = QUESTIONS,
): (key: Key) => Promise<Answer> {
  const inTurn = pLimit(1)
  let answered: Promise<unknown> = Promise.resolve()
  let due = 0

  async function paced(): Promise<void> {
    const now = performance.now()
    due = Math.max(due, now - BURST * paceMs) + paceMs
    if (due > now) await delay(due - now)
  }

  const loader = new DataLoader<Key, Answer>(
    (keys) => {
      const answers = ask(keys)
      // The callers receive the error.
      answered = answers.catch(() => undefined)
      return answers
    },
    {
      cache: false,
      maxBatchSize: most,
      batchScheduleFn: (dispatch) =>
        void inTurn(async () => {
          await paced()
          dispatch()
          await answered
        }),
    },
  )
  return (key) => loader.load(key)
}
