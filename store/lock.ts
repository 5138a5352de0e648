import { type Sql, connect } from './driver/connect.js'

/**
 * Key of the advisory lock of the one service that runs on an embedded database; a constant that no other
 * program uses.
 */
const SERVICE_LOCK = 7_149_002

/** An advisory lock, held by a database connection. */
export interface ServiceLock {
  /**
   * Whether the lock is still held. After the connection was lost it is not, and another service may have
   * taken it.
   */
  isHeld(): Promise<boolean>
  /** Releases the lock by closing the connection. */
  release(): Promise<void>
}

/**
 * Takes the advisory lock that marks an embedded database as in use. A connection holds it, so it is released
 * however the process ends, and neither a stale file nor a reused process id can mislead.
 * @returns the lock, or `undefined` while another service holds it
 */
export async function takeServiceLock(url: string): Promise<ServiceLock | undefined> {
  // Without this the driver would replace the connection after a while, and the new one would not hold the
  // lock.
  const sql = connect(url, 1, { keepsConnections: true })
  const release = () => sql.end({ timeout: 0 })
  try {
    const [lock] = await sql<{ locked: boolean }[]>`select pg_try_advisory_lock(${SERVICE_LOCK}) as locked`
    if (lock?.locked) return { isHeld: () => readIsHeld(sql).catch(() => false), release }
  } catch (err) {
    await release()
    throw err
  }
  await release()
  return undefined
}

async function readIsHeld(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ held: boolean }[]>`
    select exists (
             select from pg_locks
              where locktype = 'advisory'
                and objid = ${SERVICE_LOCK}
                and pid = pg_backend_pid()
                and granted
           ) as held
  `
  return row?.held === true
}
