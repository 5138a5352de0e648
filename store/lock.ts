import { type Sql, connect } from './connect.js'

/** What the one service that runs on an embedded database holds; any constant that nobody else takes. */
const SERVICE_LOCK = 7_149_002

/** The lock, held by a database connection. */
export interface ServiceLock {
  /** Whether it is still held: not after the connection was lost, for another service may have it by then. */
  isHeld(): Promise<boolean>
  release(): Promise<void>
}

/**
 * Takes the lock that says "this database has its service". A session holds it, so the end of the process frees it
 * however it comes about, and no stale file or reused process id can mislead.
 * @returns the lock, or `undefined` while another service holds it
 */
export async function takeServiceLock(url: string): Promise<ServiceLock | undefined> {
  // The library would replace an old session by a new one, which no longer holds the lock.
  const sql = connect(url, 1, { keepsConnections: true })
  const release = () => sql.end({ timeout: 0 })
  try {
    const [lock] = await sql<{ taken: boolean }[]>`select pg_try_advisory_lock(${SERVICE_LOCK}) as taken`
    if (lock?.taken) return { isHeld: () => readIsHeld(sql).catch(() => false), release }
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
