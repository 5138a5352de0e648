import postgres from 'postgres'
import { openSocket } from './socket.js'

const OID = { int8: 20, textArray: 1009, uuidArray: 2951 }

/** An array as PostgreSQL reads it (its documentation, section 8.15.2), every element quoted. */
const arrayLiteral = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`

const readsNoArrays = (): readonly string[] => {
  throw new TypeError('arrays are sent, never read: select rows, or JSON')
}

const types = {
  // Ids of the log are drawn one by one from 1, so a double holds every one that will ever exist (2^53).
  int8: { to: OID.int8, from: [OID.int8], parse: Number, serialize: String },
  textArray: { to: OID.textArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
  uuidArray: { to: OID.uuidArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
}

/** A pool, or the connection of a transaction: what every store function takes as its first argument. */
export type Sql = postgres.Sql<{
  int8: number
  textArray: readonly string[]
  uuidArray: readonly string[]
}>

/**
 * Opens a pool of at most `max` connections; the first query connects.
 *
 * A lost server is tried again after a constant short while: the library's growing back-off would keep the service
 * degraded for up to 20 s after the server is back. It does not ask a new session for its array types, either: the answer
 * is awaited by nobody, so a session that is killed at that moment would end the process (porsager/postgres#1192).
 */
export function connect(url: string, max: number): Sql {
  const options = {
    max,
    types,
    fetch_types: false,
    connect_timeout: 5,
    backoff: () => 0.25,
    onnotice: () => undefined,
    connection: { application_name: 'silo' },
    socket: openSocket,
  }
  return postgres(url, options)
}
