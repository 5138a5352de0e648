import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Number of collections: the memory of buffers is freed only some time after they were collected. */
const ROUNDS = 4
const PAUSE_MS = 100

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** The memory that a process uses after garbage collection, in bytes. */
export interface Memory {
  rss: number
  /** The JavaScript heap and the buffers outside of it. */
  used: number
}

/** Collects garbage and measures the memory that this process still uses. */
export async function readCollectedMemory(): Promise<Memory> {
  for (let round = 0; round < ROUNDS; round++) {
    collect()
    await delay(PAUSE_MS)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, used: heapUsed + external }
}
