/**
 * Preloaded into the service under test. Reports each pause of the event loop that is longer than the bound
 * to the run, and measures memory on request.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { readCollectedMemory } from '../harness/collected.js'
import { withLongestPause } from './loop-delay.js'
import type { FromProbe } from './vitals.js'

/** Interval at which the longest pause is read, in ms. */
const WINDOW_MS = 50

const boundMs = Number(new URL(import.meta.url).searchParams.get('pause'))
const tell = (message: FromProbe): void => void process.send?.(message)

let window: Promise<void> = Promise.resolve()

process.on('message', async (message) => {
  if (message === 'memory') return tell({ memory: await readCollectedMemory() })
  // The interval in which the last response was sent, and the next one.
  await window
  await window
  tell({ isSettled: true })
})
// The channel must not keep the process of the service alive.
process.channel?.unref()

async function watchWindow(): Promise<void> {
  const { pauseMs } = await withLongestPause(() => delay(WINDOW_MS, undefined, { ref: false }))
  if (pauseMs > boundMs) tell({ pauseMs: Math.round(pauseMs) })
}

async function watchLoop(): Promise<void> {
  for (;;) await (window = watchWindow())
}
void watchLoop()
