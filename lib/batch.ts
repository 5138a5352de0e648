import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import pLimit from 'p-limit'

/** How many queries may come sooner than their pace after a quiet time. */
const BURST = 10

export interface BatchOptions {
  /** How many go together at most. */
  most: number
  /** How far apart batches are when there is no end of them, in ms. */
  paceMs: number
}

/** For questions: in a rush ten queries a second, so ten thousand clients that come back at once cost no more than a hundred. */
const QUESTIONS = { most: 10_000, paceMs: 100 }

/**
 * Does many things in one: those that are wanted while a batch is under way are in the next. No answer is older than its
 * question.
 * @param ask answers in the order of the keys, with an Error where only that key has failed
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
      // Whoever has asked is told of a failure.
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
