import t from 'tap'
import { batched } from '../../lib/batch.js'

t.test(
  'calls made while a batch is in flight share the next batch, whose query starts after them',
  async (t) => {
    const asked: string[][] = []
    const answers: (() => void)[] = []
    const ask = batched(async (keys: readonly string[]) => {
      asked.push([...keys])
      await new Promise<void>((resolve) => answers.push(resolve))
      return keys.map((key) => key.toUpperCase())
    })
    const first = ask('a')
    await new Promise(setImmediate)
    const rest = Promise.all(['b', 'c', 'b'].map(ask))
    await new Promise(setImmediate)
    t.strictSame(asked, [['a']])

    answers.shift()?.()
    t.equal(await first, 'A')
    await new Promise(setImmediate)
    answers.shift()?.()
    t.strictSame(await rest, ['B', 'C', 'B'])
    t.strictSame(asked, [['a'], ['b', 'c', 'b']])
  },
)

t.test('a failed batch rejects all of its calls, and the next call runs a new query', async (t) => {
  let isBroken = true
  const ask = batched(async (keys: readonly number[]) => {
    if (isBroken) throw new Error('no database')
    return keys
  })
  await t.rejects(Promise.all([ask(1), ask(2)]), { message: 'no database' })
  isBroken = false
  t.strictSame(await Promise.all([ask(3), ask(4)]), [3, 4])
})

t.test('the number of queries depends on the elapsed time, not on the number of calls', async (t) => {
  let queries = 0
  const ask = batched(async (keys: readonly number[]) => {
    queries++
    return keys
  })
  const began = performance.now()
  const answers: Promise<number>[] = []
  for (let i = 0; i < 5000; i++) {
    answers.push(ask(i))
    if (i % 5 === 0) await new Promise(setImmediate)
  }
  t.strictSame(
    await Promise.all(answers),
    Array.from({ length: 5000 }, (_, i) => i),
  )
  t.ok(queries <= 11 + (performance.now() - began) / 100, `${queries} queries`)
})

t.test('a batch never exceeds the maximum size, and batches run one after the other', async (t) => {
  const sizes: number[] = []
  let underWay = 0
  const ask = batched(
    async (keys: readonly number[]) => {
      t.equal(++underWay, 1)
      sizes.push(keys.length)
      await new Promise(setImmediate)
      underWay--
      return keys
    },
    { maxBatchSize: 4, paceMs: 0 },
  )
  const wanted = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  t.strictSame(await Promise.all(wanted.map(ask)), wanted)
  t.strictSame(sizes, [4, 4, 2])
})

t.test('one failed key does not fail its batch', async (t) => {
  const ask = batched(async (keys: readonly number[]) =>
    keys.map((key) => (key === 2 ? new Error('two') : key)),
  )
  t.match(await Promise.allSettled([1, 2, 3].map(ask)), [
    { value: 1 },
    { reason: { message: 'two' } },
    { value: 3 },
  ])
})
