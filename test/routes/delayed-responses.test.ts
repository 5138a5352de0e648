import t from 'tap'
import { DelayedResponses } from '../../routes/delayed-responses.js'

/** Delays a response that a test can end, as a client that disconnects would. */
function delay(delayed: DelayedResponses) {
  let isOver = false
  let leave: () => void = () => undefined
  const over = delayed.delay(60_000, (release) => (leave = release)).then(() => (isOver = true))
  return { over, leave: () => leave(), isOver: () => isOver }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('at most a thousand responses are delayed at a time, and the next is sent at once', async (t) => {
  const delayed = new DelayedResponses(1000)
  const first = Array.from({ length: 1000 }, () => delay(delayed))
  const next = delay(delayed)
  await next.over
  await turn()
  t.equal(first.filter(({ isOver }) => isOver()).length, 0)
  first[0]?.leave()
  await first[0]?.over
  const last = delay(delayed)
  await turn()
  t.equal(last.isOver(), false, 'a client that disconnects makes room')
  delayed.releaseAll()
  await Promise.all([...first, last].map(({ over }) => over))
  await delay(delayed).over
  t.pass('nothing is delayed after all are released')
})
