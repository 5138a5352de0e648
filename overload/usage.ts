import { setTimeout as delay } from 'node:timers/promises'

/** What buffers held is given back some time after they were collected, so it is collected more than once. */
const ROUNDS = 4
const PAUSE_MS = 100

/** Preloaded into the service: on SIGWINCH it collects garbage and prints what memory is left in use, and the time computed so far. Needs --expose-gc. */
let asked = 0
process.on('SIGWINCH', () => {
  const { user, system } = process.cpuUsage()
  const count = ++asked
  const tell = async () => {
    for (let round = 0; round < ROUNDS; round++) {
      globalThis.gc?.()
      await delay(PAUSE_MS)
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    console.log(`usage ${count} ${rss} ${heapUsed + external} ${Math.round((user + system) / 1000)}`)
  }
  void tell()
})
