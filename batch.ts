import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'

/** How many questions are asked at once, at most. */
const MOST = 10_000
/** How far apart queries are when there is no end of questions, in ms, and how many may come sooner after a quiet time. */
const PACE_MS = 100
const BURST = 10

/**
 * Asks many questions in one: those that come while an answer is under way share the next. In a rush that is ten queries a
 * second, so ten thousand clients that come back at once cost no more of them than a hundred. No answer is older than its
 * question.
 * @param ask answers in the order of the keys
 */
export function batched<Key, Answer>(
  ask: (keys: readonly Key[]) => Promise<readonly Answer[]>,
): (key: Key) => Promise<Answer> {
  let underWay: Promise<unknown> = Promise.resolve()
  let due = 0

  async function turn(): Promise<void> {
    await underWay
    const now = performance.now()
    due = Math.max(due, now - BURST * PACE_MS) + PACE_MS
    if (due > now) await delay(due - now)
  }

  const loader = new DataLoader<Key, Answer>(
    (keys) => {
      const answers = ask(keys)
      underWay = answers.catch(() => undefined)
      return answers
    },
    { cache: false, maxBatchSize: MOST, batchScheduleFn: (dispatch) => void turn().then(dispatch) },
  )
  return (key) => loader.load(key)
}
