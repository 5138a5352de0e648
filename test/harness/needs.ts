import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findChromium } from './browser.js'
import { findPostgresPrograms } from '../../tools/harness/postgres-programs.js'

/** Folders in which servers are installed, which are not in every user's PATH. */
const SERVER_FOLDERS = ['/usr/sbin', '/usr/local/sbin']

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether `program` is installed. */
export function isInstalled(program: string): boolean {
  if (program === 'chromium') return findChromium() !== undefined
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...SERVER_FOLDERS,
    findPostgresPrograms() ?? '',
  ]
  return folders.some((folder) => isExecutable(join(folder, program)))
}

/**
 * Returns the options of a test that needs these programs: it is skipped, with the reason, if one is missing.
 * @throws {Error} under CI, which installs what the tests need (`.ci/run`)
 */
export function needs(...programs: string[]): { skip: string | false } {
  const missing = programs.filter((program) => !isInstalled(program))
  if (missing.length === 0) return { skip: false }
  const reason = `not installed here: ${missing.join(', ')}`
  if (process.env.CI !== undefined) throw new Error(`${reason}; .ci/run must install it`)
  return { skip: reason }
}
