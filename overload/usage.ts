import { readCollectedMemory } from './collected.js'

/** Preloaded into the service: on SIGWINCH it collects garbage and prints what memory is left in use, and the time computed so far. */
let asked = 0
process.on('SIGWINCH', () => {
  const { user, system } = process.cpuUsage()
  const count = ++asked
  const tell = async () => {
    const { rss, used } = await readCollectedMemory()
    console.log(`usage ${count} ${rss} ${used} ${Math.round((user + system) / 1000)}`)
  }
  void tell()
})
