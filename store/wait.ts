import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { StartError } from '../errors.js'
import { connect } from './connect.js'

/** How long a server that isn't there yet is waited for, and how often it is tried, in ms. */
const PATIENCE_MS = 30_000
const PAUSE_MS = 500

/** What a server says that is there, and will take sessions soon. */
const SOON = new Set([
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P03', // cannot_connect_now
])

const isFinal = (err: unknown): boolean => err instanceof postgres.PostgresError && !SOON.has(err.code)

/** Node's error for several addresses that all failed has a code but no message. */
function reasonOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  return err.message || ('code' in err ? String(err.code) : err.name)
}

/**
 * Waits until the server at `url` answers a query, and says once that it waits.
 * @throws {StartError} when the server refuses us (a wrong password, no such database), or isn't there after 30 s
 * @throws what `signal` is aborted with
 */
export async function waitForDatabase(
  url: string,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const sql = connect(url, 1)
  const address = sql.options.host.map((host, i) => `${host}:${sql.options.port[i] ?? ''}`).join(', ')
  const patience = AbortSignal.timeout(PATIENCE_MS)
  let told = false
  try {
    for (;;) {
      try {
        await sql`select 1`
        return
      } catch (err) {
        const reason = reasonOf(err)
        if (isFinal(err)) throw new StartError(`the database at ${address} refuses: ${reason}`)
        if (patience.aborted) {
          throw new StartError(`no database at ${address} after ${PATIENCE_MS / 1000} s: ${reason}`)
        }
        if (!told) log(`waiting for the database at ${address}: ${reason}`)
        told = true
      }
      await delay(PAUSE_MS, undefined, { signal })
    }
  } finally {
    await sql.end({ timeout: 0 })
  }
}
