import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Where Debian installs the programs of PostgreSQL, in one folder for each major version. */
const DEBIAN = '/usr/lib/postgresql'

/**
 * Returns the folder with the programs of the newest PostgreSQL that the system has; undefined if it has
 * none. The package from npm has no programs for dumps and base backups.
 */
export function findPostgresPrograms(): string | undefined {
  try {
    const [newest] = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a))
    return newest && join(DEBIAN, newest, 'bin')
  } catch {
    return undefined
  }
}
