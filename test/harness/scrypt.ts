import { createHook } from 'node:async_hooks'

/** How often scrypt is started while the work goes on. */
export async function countScrypts(work: () => Promise<unknown>): Promise<number> {
  let count = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'SCRYPTREQUEST') count += 1
    },
  })
  hook.enable()
  await work()
  hook.disable()
  return count
}
