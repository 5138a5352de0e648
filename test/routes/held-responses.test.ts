import t from 'tap'
import { HeldResponses } from '../../routes/held-responses.js'

/** Holds a response that a test can end, as a client that disconnects would. */
function hold(held: HeldResponses) {
  let isOver = false
  let leave: () => void = () => undefined
  const over = held.hold(60_000, (release) => (leave = release)).then(() => (isOver = true))
  return { over, leave: () => leave(), isOver: () => isOver }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('at most a thousand responses are held at a time, and the next is sent at once', async (t) => {
  const held = new HeldResponses(1000)
  const first = Array.from({ length: 1000 }, () => hold(held))
  const next = hold(held)
  await next.over
  await turn()
  t.equal(first.filter(({ isOver }) => isOver()).length, 0)
  first[0]?.leave()
  await first[0]?.over
  const last = hold(held)
  await turn()
  t.equal(last.isOver(), false, 'a client that disconnects makes room')
  held.releaseAll()
  await Promise.all([...first, last].map(({ over }) => over))
  await hold(held).over
  t.pass('nothing is held after all are released')
})
