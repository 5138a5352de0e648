import { writeSync } from 'node:fs'
import { Session, url } from 'node:inspector'
import { Worker, isMainThread, workerData } from 'node:worker_threads'

/** How often the thread checks the main thread within the timeout. The main thread counts twice as often. */
const CHECKS = 30
/** How long the thread waits for the stack of the main thread, in ms. */
const STACK_TIMEOUT_MS = 2000

/** The file descriptor of the standard error. */
const STDERR = 2

/** Index in the shared memory: how often the event loop has turned. */
const BEATS = 0
/** Index in the shared memory: 1 while a debugger may stop the event loop. */
const DEBUGGED = 1

interface Watch {
  watchdog: true
  shared: SharedArrayBuffer
  timeoutMs: number
}

const isWatch = (data: unknown): data is Watch =>
  typeof data === 'object' && data !== null && 'watchdog' in data

/**
 * Starts a thread that kills this process, after it has written the stack of the main thread to standard
 * error, when the event loop has been blocked for `timeoutMs`. A blocked process runs neither signal handlers
 * nor timers of its own (docs/decisions/0030). Time is counted in checks: a suspended process loses one of
 * them, and a process with a debugger loses none.
 */
export function startWatchdog(timeoutMs: number): void {
  const shared = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)
  const state = new Int32Array(shared)
  const beat = () => {
    Atomics.add(state, BEATS, 1)
    Atomics.store(state, DEBUGGED, url() === undefined ? 0 : 1)
  }
  beat()
  setInterval(beat, timeoutMs / CHECKS / 2).unref()
  const data: Watch = { watchdog: true, shared, timeoutMs }
  const worker = new Worker(new URL(import.meta.url), { workerData: data, execArgv: [] })
  // The service works without the watchdog, but is not killed when it hangs.
  worker.on('error', (err) => console.error(`silo: the watchdog has failed: ${err.message}`))
  worker.unref()
}

/** Checks the main thread from the watchdog's thread. */
function watch({ shared, timeoutMs }: Watch): void {
  const state = new Int32Array(shared)
  let last = -1
  let missed = 0
  const timer = setInterval(() => {
    const beats = Atomics.load(state, BEATS)
    missed = beats !== last || Atomics.load(state, DEBUGGED) === 1 ? 0 : missed + 1
    last = beats
    if (missed < CHECKS) return
    clearInterval(timer)
    endProcess(timeoutMs)
  }, timeoutMs / CHECKS)
}

function endProcess(timeoutMs: number): void {
  const end = (stack: string) => {
    const what = `silo: the event loop has stood still for ${timeoutMs / 1000} s: ending the process`
    try {
      // The thread's own `process.stderr` is written by the main thread, which is blocked.
      writeSync(STDERR, `${what}\n${stack}\n`)
    } finally {
      process.kill(process.pid, 'SIGKILL')
    }
  }
  setTimeout(end, STACK_TIMEOUT_MS, 'its stack can’t be read')
  const session = new Session()
  session.connectToMainThread()
  // The main thread evaluates the expression in an interrupt, even while it executes a regular expression.
  session.post('Runtime.evaluate', { expression: 'new Error("the stack:").stack' }, (err, reply) => {
    const stack: unknown = err ? err.message : reply.result.value
    end(String(stack))
  })
}

if (!isMainThread && isWatch(workerData)) watch(workerData)
