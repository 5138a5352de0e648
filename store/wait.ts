import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { StartError } from '../errors.js'
import { openHosts } from './driver/connect.js'
import { NoHostError, describeFailure } from './driver/hosts.js'
import { ConnectionError } from './driver/socket.js'
import { isTlsAlert } from './driver/tls.js'

/** How long startup waits for a server that can't be reached, in ms. */
const WAIT_TIMEOUT_MS = 30_000
/** Interval between two attempts to connect, in ms. */
const RETRY_DELAY_MS = 500

/** SQLSTATEs of a server that will accept connections soon. */
const TEMPORARY = new Set([
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P03', // cannot_connect_now
  '08006', // connection_failure: a pooler that can't reach its server
  '08P01', // protocol_violation: poolers report nearly every error by it
])

/** Codes of errors that a retry can't resolve. */
const FINAL_CODES = new Set([
  'TLS_REFUSED',
  'CERTIFICATE_REFUSED',
  'AUTH_METHOD_REFUSED',
  'SASL_SIGNATURE_MISMATCH',
])

function isFinal(err: unknown): boolean {
  if (err instanceof NoHostError) return err.failures.every(({ error }) => isFinal(error))
  if (err instanceof postgres.PostgresError) return !TEMPORARY.has(err.code)
  if (isTlsAlert(err) || (err instanceof ConnectionError && isTlsAlert(err.cause))) return true
  return err instanceof Error && 'code' in err && FINAL_CODES.has(String(err.code))
}

/** Returns advice for an error whose message does not contain it; empty if there is none. */
function adviceFor(err: unknown): string {
  if (!(err instanceof postgres.PostgresError)) return ''
  if (err.code === '28000' && err.message.includes('no encryption')) return ' (set sslmode=require)'
  if (err.code === '08P01' && err.message.includes('startup parameter')) {
    return ' (add it to ignore_startup_parameters of the pooler)'
  }
  return ''
}

/**
 * Waits until a server at `url` accepts connections, and logs once that it waits.
 * @throws {StartError} when the server refuses the connection (a wrong password, no such database), or can't
 * be reached within `WAIT_TIMEOUT_MS`
 * @throws the reason with which `signal` is aborted
 */
export async function waitForDatabase(
  url: string,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const hosts = openHosts(url)
  const timeout = AbortSignal.timeout(WAIT_TIMEOUT_MS)
  const ended = new Promise<void>((resolve) => {
    for (const end of [signal, timeout]) end.addEventListener('abort', () => resolve(), { once: true })
  })
  let reason = 'no response'
  let isWaiting = false
  try {
    for (;;) {
      signal.throwIfAborted()
      if (timeout.aborted) {
        throw new StartError(
          `no connection to the database at ${hosts.name} within ${WAIT_TIMEOUT_MS / 1000} s: ${reason}`,
        )
      }
      try {
        if (await Promise.race([hosts.select(), ended])) return
        continue
      } catch (err) {
        reason = `${describeFailure(err)}${adviceFor(err)}`
        if (isFinal(err))
          throw new StartError(`the database at ${hosts.name} rejected the connection: ${reason}`)
      }
      if (!isWaiting) log(`waiting for the database at ${hosts.name}: ${reason}`)
      isWaiting = true
      await Promise.race([delay(RETRY_DELAY_MS), ended])
    }
  } finally {
    hosts.close()
  }
}
