import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What buffers held is given back some time after they were collected, so it is collected more than once. */
const ROUNDS = 4
const PAUSE_MS = 100

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** The memory that this process uses once its garbage is collected, in bytes. */
export interface Memory {
  rss: number
  /** JavaScript's heap and the buffers outside of it. */
  used: number
}

/** Collects garbage and measures what is left. */
export async function readCollectedMemory(): Promise<Memory> {
  for (let round = 0; round < ROUNDS; round++) {
    collect()
    await delay(PAUSE_MS)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, used: heapUsed + external }
}
