import type { StoredMode } from '../schemas/mode.js'
import { type Credential, author } from './author.js'
import type { Sql } from './driver/connect.js'

/** The stored mode, and the state of the database server. */
export interface StoredState {
  /** The mode that an admin chose for all instances. */
  mode: StoredMode
  /** Whether transactions can write. */
  writable: boolean
  in_recovery: boolean
  /**
   * Whether the server was promoted or recovered, and the event log has not been adopted since (`adoptLog`).
   */
  forked: boolean
}

/** Reads the stored mode and the state of the server. */
export async function readState(sql: Sql): Promise<StoredState> {
  const [row] = await sql<StoredState[]>`
    select mode, current_setting('transaction_read_only') = 'off' as writable,
           pg_is_in_recovery() as in_recovery,
           coalesce((select timeline <> wal_timeline() from event_log), false) as forked
      from server_settings
  `
  if (!row) throw new Error('server_settings has lost its row')
  return row
}

/**
 * Settings for `probeDisk`: the minimum of `work_mem`, so that its rows exceed the memory and go to a
 * temporary file.
 */
export const DISK_PROBE_SETTINGS = { work_mem: '64kB' }

/**
 * Writes a temporary file of some hundred kilobytes. This needs no transaction id and leaves nothing behind,
 * so it also works on a standby and in a read-only database. `sql` must have `DISK_PROBE_SETTINGS`.
 * @throws {PostgresError} SQLSTATE 53100 when the disk is full
 */
export async function probeDisk(sql: Sql): Promise<void> {
  await sql`select count(*) from generate_series(1, 10000)`
}

/**
 * Stores the mode for all instances.
 * @throws {PostgresError} SQLSTATE SL401 or SL403 when `by` is not the valid credential of an admin
 */
export async function writeMode(sql: Sql, by: Credential, mode: StoredMode): Promise<void> {
  await sql`
    with ${author(sql, by, 'admin')}
    update server_settings
       set mode = ${mode}
      from author
  `
}
