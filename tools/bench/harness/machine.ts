import { execFile } from 'node:child_process'
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'
import { promisify } from 'node:util'
import { findPrograms } from '../../../embedded/programs.js'

/** Returns the load averages of the machine over 1, 5 and 15 minutes. */
export const load = (): string =>
  loadavg()
    .map((value) => value.toFixed(2))
    .join(', ')

/** Returns the processors, memory, operating system and versions with which the figures were measured. */
export async function describeMachine(): Promise<string> {
  const [cpu] = cpus()
  const { stdout } = await promisify(execFile)((await findPrograms()).postgres, ['--version'])
  const memory = Math.round(totalmem() / 2 ** 30)
  return [
    `${cpus().length} × ${cpu?.model.trim() ?? 'unknown processor'}, ${memory} GiB, ` +
      `${type()} ${release()} ${arch()}`,
    `Node ${process.version}`,
    stdout.trim(),
  ].join('; ')
}
