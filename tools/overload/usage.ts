import { readCollectedMemory } from '../harness/collected.js'

/**
 * Preloaded into the service. On SIGWINCH it collects garbage and prints the memory still in use, and the
 * processor time used so far.
 */
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
