import t from 'tap'
import { singleFlight } from '../../lib/single-flight.js'

/** A function whose runs end when the test says so. */
function controlled() {
  const ends: { resolve: (result: string) => void; reject: (error: Error) => void }[] = []
  const fly = singleFlight(
    () => new Promise<string>((resolve, reject) => void ends.push({ resolve, reject })),
  )
  return { fly, ends }
}

t.test('calls during a run share its result, and the next call begins another run', async (t) => {
  const { fly, ends } = controlled()
  const calls = [fly(), fly(), fly()]
  t.equal(ends.length, 1)
  ends[0]?.resolve('first')
  t.strictSame(await Promise.all(calls), ['first', 'first', 'first'])

  const next = fly()
  t.equal(ends.length, 2)
  ends[1]?.resolve('second')
  t.equal(await next, 'second')
})

t.test('a failed run rejects its calls, and the next call begins another run', async (t) => {
  const { fly, ends } = controlled()
  const calls = [fly(), fly()]
  ends[0]?.reject(new Error('no database'))
  for (const call of calls) await t.rejects(call, { message: 'no database' })

  const next = fly()
  ends[1]?.resolve('again')
  t.equal(await next, 'again')
})

t.test('a function that throws before its first promise rejects its calls, too', async (t) => {
  let isBroken = true
  const fly = singleFlight((): Promise<string> => {
    if (isBroken) throw new Error('broken')
    return Promise.resolve('works')
  })
  await t.rejects(fly(), { message: 'broken' })
  isBroken = false
  t.equal(await fly(), 'works')
})

t.test('idle waits for the run in flight, does not begin one, and does not reject', async (t) => {
  const { fly, ends } = controlled()
  await fly.idle()
  t.equal(ends.length, 0)

  let isIdle = false
  const call = fly()
  const idle = fly.idle().then(() => (isIdle = true))
  await new Promise(setImmediate)
  t.equal(isIdle, false)
  ends[0]?.reject(new Error('no database'))
  await t.rejects(call)
  await idle
  t.equal(isIdle, true)
})
