import t from 'tap'
import { FairQueue, QueueFull, type Share } from '../../lib/fair-queue.js'

const never = new AbortController().signal

/** Takes a share for each of `keys` in order, and records the order in which the shares are granted. */
function takeAll(queue: FairQueue, keys: string[], order: string[]): Promise<Share>[] {
  return keys.map(async (key) => {
    const share = await queue.take(key, 1, never)
    order.push(key)
    return share
  })
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('a key takes no more than its share, and the other keys do not wait for it', async (t) => {
  const queue = new FairQueue({ max: 4, maxPerKey: 2, maxWaitingPerKey: 10 })
  const order: string[] = []
  const shares = takeAll(queue, ['a', 'a', 'a', 'a', 'b', 'c'], order)
  await turn()
  t.strictSame(order, ['a', 'a', 'b', 'c'])
  ;(await shares[4])?.release()
  await turn()
  t.strictSame(order, ['a', 'a', 'b', 'c'], 'a released share does not go to a key that has its maximum')
  ;(await shares[0])?.release()
  ;(await shares[0])?.release()
  await turn()
  t.strictSame(order, ['a', 'a', 'b', 'c', 'a'])
})

t.test('waiting keys are served in turn', async (t) => {
  const queue = new FairQueue({ max: 1, maxPerKey: 1, maxWaitingPerKey: 10 })
  const order: string[] = []
  const shares = takeAll(queue, ['a', 'a', 'a', 'b', 'b', 'c'], order)
  for (const share of shares) void share.then((taken) => setImmediate(() => taken.release()))
  await Promise.all(shares)
  t.strictSame(order, ['a', 'a', 'b', 'c', 'a', 'b'])
})

t.test('a caller that aborts while it waits leaves no trace', async (t) => {
  const queue = new FairQueue({ max: 1, maxPerKey: 1, maxWaitingPerKey: 1 })
  const first = await queue.take('a', 1, never)
  const leaving = new AbortController()
  const second = queue.take('a', 1, leaving.signal)
  await t.rejects(queue.take('a', 1, never), QueueFull)
  leaving.abort(new Error('gone'))
  await t.rejects(second, { message: 'gone' })
  await t.rejects(queue.take('a', 1, leaving.signal), { message: 'gone' })
  const third = queue.take('a', 1, never)
  first.release()
  ;(await third).release()
  t.equal(queue.inUse, 0)
})

t.test('weights are counted and can be resized, and one above the maximum is granted alone', async (t) => {
  const queue = new FairQueue({ max: 10, maxPerKey: 6, maxWaitingPerKey: 10 })
  const first = await queue.take('a', 6, never)
  let isIn = false
  const second = queue.take('a', 3, never).then((share) => ((isIn = true), share))
  await turn()
  t.notOk(isIn)
  first.resize(2)
  ;(await second).release()
  first.release()
  const huge = await queue.take('b', 100, never)
  t.equal(queue.inUse, 100)
  huge.resize(50)
  huge.release()
  t.equal(queue.inUse, 0)
})

t.test('keys that keep their shares leave a part of the capacity to every other key', async (t) => {
  const queue = new FairQueue({ max: 100, maxPerKey: 100, maxOfFree: 1 / 4, maxWaitingPerKey: 10 })
  for (let key = 0; key < 5; key++) while (queue.tryTake(`${key}`, 1));
  t.ok(queue.inUse < 70, `${queue.inUse} of 100`)
  t.ok(queue.tryTake('another', 1))
  t.notOk(queue.tryTake('a large one', 50))
  t.equal(queue.tryTake('0', 1), undefined)
})

t.test('a key whose callers wait gets nothing ahead of them', async (t) => {
  const queue = new FairQueue({ max: 2, maxPerKey: 2, maxWaitingPerKey: 10 })
  const first = await queue.take('a', 1, never)
  const second = queue.take('a', 2, never)
  t.equal(queue.tryTake('a', 1), undefined)
  first.release()
  ;(await second).release()
  t.equal(queue.inUse, 0)
})
