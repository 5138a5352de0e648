import DataLoader from 'dataloader'

/** How many questions are asked at once, at most. */
const MOST = 1000

/**
 * Asks many questions in one: those that come while an answer is under way share the next. So ten thousand clients that
 * come back at once cost a handful of queries, and no answer is older than its question.
 * @param ask answers in the order of the keys
 */
export function batched<Key, Answer>(
  ask: (keys: readonly Key[]) => Promise<readonly Answer[]>,
): (key: Key) => Promise<Answer> {
  let underWay: Promise<unknown> = Promise.resolve()
  const loader = new DataLoader<Key, Answer>(
    (keys) => {
      const answers = ask(keys)
      underWay = answers.catch(() => undefined)
      return answers
    },
    { cache: false, maxBatchSize: MOST, batchScheduleFn: (dispatch) => void underWay.then(dispatch) },
  )
  return (key) => loader.load(key)
}
