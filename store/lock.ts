import { connect } from './connect.js'

/** What the one service that runs on an embedded database holds; any constant that nobody else takes. */
const SERVICE_LOCK = 7_149_002

/**
 * Takes the lock that says "this database has its service". A session holds it, so the end of the process frees it
 * however it comes about, and no stale file or reused process id can mislead.
 * @returns what gives the lock back, or `undefined` while another service holds it
 */
export async function takeServiceLock(url: string): Promise<(() => Promise<void>) | undefined> {
  // The library would replace an old session by a new one, which no longer holds the lock.
  const sql = connect(url, 1, { keepsConnections: true })
  const release = () => sql.end({ timeout: 0 })
  try {
    const [lock] = await sql<{ taken: boolean }[]>`select pg_try_advisory_lock(${SERVICE_LOCK}) as taken`
    if (lock?.taken) return release
  } catch (err) {
    await release()
    throw err
  }
  await release()
  return undefined
}
