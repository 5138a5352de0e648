import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findChromium } from './browser.js'
import { findPostgresPrograms } from './postgres-server.js'

/** Where servers are installed, which is not on everybody's path. */
const SERVER_FOLDERS = ['/usr/sbin', '/usr/local/sbin']

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether `program` can be run here. */
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
 * The options of a test that needs these programs: it is skipped, with the reason, where one is missing.
 * @throws {Error} under CI, which installs what the tests need (`.ci/run`)
 */
export function needs(...programs: string[]): { skip: string | false } {
  const missing = programs.filter((program) => !isInstalled(program))
  if (missing.length === 0) return { skip: false }
  const reason = `not installed here: ${missing.join(', ')}`
  if (process.env.CI !== undefined) throw new Error(`${reason}; .ci/run must install it`)
  return { skip: reason }
}
