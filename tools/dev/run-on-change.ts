import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { watch } from 'node:fs'
import { join } from 'node:path'

/** How long no file must change before a restart, in ms: a build writes many files. */
const QUIET_MS = 300

/** A program that is restarted when a file changes. */
export interface RunOptions {
  /** The working directory, to which the paths are relative. */
  cwd: string
  /** Arguments of `node` for the program. It must end on SIGTERM. */
  program: readonly string[]
  /** The watched folders, with their subfolders. */
  folders: readonly string[]
  /** Names of the files whose changes count. */
  names: RegExp
  /** Ends the program and the watching. */
  signal: AbortSignal
  /** Called with each started process. */
  onStart?: (child: ChildProcess) => void
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/**
 * Starts a program, and starts it again whenever files change, once it has ended. A program that ends by
 * itself is started at the next change.
 * @returns a promise that resolves after `signal` is aborted and the program has ended
 */
export async function runOnChange(options: RunOptions): Promise<void> {
  const { cwd, program, folders, names, signal, onStart } = options
  const changes = new EventEmitter()
  let timer: NodeJS.Timeout | undefined
  for (const folder of folders) {
    watch(join(cwd, folder), { recursive: true, signal }, (_event, name) => {
      if (name === null || !names.test(name)) return
      clearTimeout(timer)
      timer = setTimeout(() => changes.emit('change'), QUIET_MS)
    })
  }
  const aborted = once(signal, 'abort')
  let changed = once(changes, 'change')
  while (!signal.aborted) {
    const child = spawn(process.execPath, program, { cwd, stdio: 'inherit' })
    onStart?.(child)
    await Promise.race([changed, aborted])
    changed = once(changes, 'change')
    if (!isRunning(child)) continue
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  }
  clearTimeout(timer)
}
