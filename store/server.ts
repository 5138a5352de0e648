import type { StoredMode } from '../schemas/mode.js'
import { type Credential, author } from './author.js'
import type { Sql } from './connect.js'

/** The mode that an admin chose for all instances, and what the server lets this connection do. */
export interface StoredState {
  mode: StoredMode
  writable: boolean
  in_recovery: boolean
  /** The server was promoted or recovered, and the event log was not adopted since (`adoptLog`). */
  forked: boolean
}

export async function readState(sql: Sql): Promise<StoredState> {
  const [row] = await sql<StoredState[]>`
    select mode, current_setting('transaction_read_only') = 'off' as writable, pg_is_in_recovery() as in_recovery,
           coalesce((select timeline <> wal_timeline() from event_log), false) as forked
      from server_settings
  `
  if (!row) throw new Error('server_settings has lost its row')
  return row
}

/** What the rows below take, in bytes, is several times this: as little as a connection can be given. */
export const DISK_PROBE_SETTINGS = { work_mem: '64kB' }

/**
 * Writes some hundred kilobytes of a temporary file, which costs no transaction and leaves nothing behind, so a standby and a database that is
 * read-only can do it, too. `sql` has `DISK_PROBE_SETTINGS`.
 * @throws SQLSTATE 53100 when the disk is full
 */
export async function probeDisk(sql: Sql): Promise<void> {
  await sql`select count(*) from generate_series(1, 10000)`
}

export async function writeMode(sql: Sql, by: Credential, mode: StoredMode): Promise<void> {
  await sql`
    with ${author(sql, by, 'admin')}
    update server_settings
       set mode = ${mode}
      from author
  `
}
