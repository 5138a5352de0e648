import { readFile } from 'node:fs/promises'
import { Missing } from '../../harness/missing.js'

/** The unit of processor time in /proc, in ms: Linux uses hundredths of a second (proc(5), sysconf(3)). */
const TICK_MS = 10

async function readProc(pid: number, file: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    throw new Missing(`/proc/${pid}/${file} can't be read here`)
  }
}

/** Returns the process ids of a process and its children, such as the workers of nginx. */
export async function familyOf(pid: number): Promise<number[]> {
  const children = await readProc(pid, `task/${pid}/children`)
  return [pid, ...children.split(' ').filter(Boolean).map(Number)]
}

/** Returns the processor time that these processes have used so far, in user and in kernel mode, in ms. */
export async function processorTime(pids: readonly number[]): Promise<number> {
  const stats = await Promise.all(pids.map((pid) => readProc(pid, 'stat')))
  const ticks = stats.flatMap((stat) =>
    stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13),
  )
  return ticks.reduce((sum, text) => sum + Number(text), 0) * TICK_MS
}

/** Returns the memory of these processes in bytes: their proportional set size. */
export async function memoryOf(pids: readonly number[]): Promise<number> {
  const rollups = await Promise.all(pids.map((pid) => readProc(pid, 'smaps_rollup')))
  const kilobytes = rollups.map((rollup) => Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1]))
  return kilobytes.reduce((sum, value) => sum + value, 0) * 1024
}
