/** Preloaded into the service: on SIGWINCH it collects garbage and prints what memory is left in use. Needs --expose-gc. */
let asked = 0
process.on('SIGWINCH', () => {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  console.log(`memory ${++asked} ${rss} ${heapUsed + external}`)
})
