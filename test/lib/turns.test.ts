import t from 'tap'
import { Turns } from '../../lib/turns.js'

t.test('calls of one key begin in order, up to the maximum, and other keys do not wait', async (t) => {
  const turns = new Turns<object>(2)
  const [one, other] = [{}, {}]
  const begun: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) turns.begin(one, () => begun.push(name))
  turns.begin(other, () => begun.push('x'))
  t.strictSame(begun, ['a', 'b', 'x'])
  turns.end(one)
  t.strictSame(begun, ['a', 'b', 'x', 'c'])
  turns.end(one)
  turns.end(one)
  turns.end(one)
  for (const name of ['e', 'f', 'g']) turns.begin(one, () => begun.push(name))
  t.strictSame(begun, ['a', 'b', 'x', 'c', 'd', 'e', 'f'])
})
