/**
 * Preloaded into the service under test: tells the run of each pause of the event loop that is longer than the bound, and measures
 * memory when it is asked to.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { readCollectedMemory } from '../overload/collected.js'
import { withLongestPause } from './loop-delay.js'
import type { FromProbe } from './vitals.js'

/** How often the longest pause is read, in ms. */
const WINDOW_MS = 50

const boundMs = Number(new URL(import.meta.url).searchParams.get('pause'))
const tell = (message: FromProbe): void => void process.send?.(message)

let window: Promise<void> = Promise.resolve()

process.on('message', async (message) => {
  if (message === 'memory') return tell({ memory: await readCollectedMemory() })
  // The window in which the last request was answered, and the next.
  await window
  await window
  tell({ isSettled: true })
})
// The service ends when it has nothing more to do.
process.channel?.unref()

async function watchWindow(): Promise<void> {
  const { pauseMs } = await withLongestPause(() => delay(WINDOW_MS, undefined, { ref: false }))
  if (pauseMs > boundMs) tell({ pauseMs: Math.round(pauseMs) })
}

async function watchLoop(): Promise<void> {
  for (;;) await (window = watchWindow())
}
void watchLoop()
