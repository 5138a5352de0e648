/** Preloaded into the service: on SIGWINCH it collects garbage and prints what memory is left in use, and the time computed so far. Needs --expose-gc. */
let asked = 0
process.on('SIGWINCH', () => {
  const { user, system } = process.cpuUsage()
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  console.log(`usage ${++asked} ${rss} ${heapUsed + external} ${Math.round((user + system) / 1000)}`)
})
