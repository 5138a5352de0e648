import { createHook } from 'node:async_hooks'

/** Counts the calls of scrypt while `work` runs: their number, and the maximum that ran concurrently. */
export async function countScryptsAtOnce(
  work: () => Promise<unknown>,
): Promise<{ total: number; most: number }> {
  const underWay = new Set<number>()
  let total = 0
  let most = 0
  const hook = createHook({
    init(id, type) {
      if (type !== 'SCRYPTREQUEST') return
      underWay.add(id)
      total += 1
      most = Math.max(most, underWay.size)
    },
    after: (id) => void underWay.delete(id),
  })
  hook.enable()
  await work()
  hook.disable()
  return { total, most }
}

export async function countScrypts(work: () => Promise<unknown>): Promise<number> {
  return (await countScryptsAtOnce(work)).total
}
