import { writeSync } from 'node:fs'
import { Session, url } from 'node:inspector'
import { Worker, isMainThread, workerData } from 'node:worker_threads'

/** How often the main thread says that its event loop turns, and how often that is checked, within the timeout. */
const CHECKS = 30
/** How long the stack of the main thread is waited for, in ms. */
const STACK_TIMEOUT_MS = 2000

/** The file descriptor of the standard error. */
const STDERR = 2

/** What the two threads share: how often the loop has turned, and whether a debugger may stop it. */
const BEATS = 0
const DEBUGGED = 1

interface Watch {
  watchdog: true
  shared: SharedArrayBuffer
  timeoutMs: number
}

const isWatch = (data: unknown): data is Watch =>
  typeof data === 'object' && data !== null && 'watchdog' in data

/**
 * Starts a thread that ends this process, with its stack on the standard error, when its event loop has stood still for
 * `timeoutMs`: no signal handler and no timer of its own can. Time is counted in checks, so a suspended process has lost one, and
 * a process that a debugger has stopped loses none.
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
  // Without it the service works; it is only not ended when it hangs.
  worker.on('error', (err) => console.error(`silo: the watchdog has failed: ${err.message}`))
  worker.unref()
}

/** Runs in the thread. */
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
      // The thread's own `process.stderr` goes by way of the main thread.
      writeSync(STDERR, `${what}\n${stack}\n`)
    } finally {
      process.kill(process.pid, 'SIGKILL')
    }
  }
  setTimeout(end, STACK_TIMEOUT_MS, 'its stack can’t be read')
  const session = new Session()
  session.connectToMainThread()
  // Evaluated by an interrupt, on top of whatever the thread is doing, a regular expression included.
  session.post('Runtime.evaluate', { expression: 'new Error("the stack:").stack' }, (err, reply) => {
    const stack: unknown = err ? err.message : reply.result.value
    end(String(stack))
  })
}

if (!isMainThread && isWatch(workerData)) watch(workerData)
