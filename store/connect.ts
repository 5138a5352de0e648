import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import postgres from 'postgres'
import { AUTH_METHODS, type AuthMethod, parseDatabaseUrl } from '../lib/database-url.js'
import { within } from '../lib/deadline.js'
import { parseStored, stringifyJson } from '../lib/json.js'
import { StartError } from '../errors.js'
import { type Endpoint, Hosts, type ServerState } from './hosts.js'
import { setUpStatement } from './settings.js'
import { failedSocket, openSocket } from './socket.js'
import { superviseStartup } from './startup.js'
import { tlsOptions } from './tls.js'

const OID = { int8: 20, textArray: 1009, uuidArray: 2951, jsonb: 3802 }

/**
 * An array as PostgreSQL reads it (its documentation, section 8.15.2), every element quoted. The driver puts it in the array's place, and
 * gives that when it sends a query again whose prepared statement is no longer valid.
 */
const arrayLiteral = (values: readonly string[] | string): string =>
  typeof values === 'string'
    ? values
    : `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`

const readsNoArrays = (): readonly string[] => {
  throw new TypeError('arrays are sent, never read: select rows, or JSON')
}

const types = {
  // Ids of the log are drawn one by one from 1, so a double holds every one that will ever exist (2^53).
  int8: { to: OID.int8, from: [OID.int8], parse: Number, serialize: String },
  textArray: { to: OID.textArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
  uuidArray: { to: OID.uuidArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
  // Numbers of any length: what a double would change stays as it is written (docs/decisions/0028).
  jsonb: { to: OID.jsonb, from: [OID.jsonb], parse: parseStored, serialize: stringifyJson },
}

/** A pool, or the connection of a transaction: what every store function takes as its first argument. */
export type Sql = postgres.Sql<{
  int8: number
  textArray: readonly string[]
  uuidArray: readonly string[]
  jsonb: unknown
}>

export interface ConnectOptions {
  /** Settings of PostgreSQL for each connection, on top of those that the service relies on. */
  settings?: Record<string, string>
  /** Keeps a connection for as long as it lives; otherwise each is replaced after 30 to 60 minutes. */
  keepsConnections?: boolean
}

/** The name that the process runs under, where it has one. */
function systemUser(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}

/**
 * The text of the password file: the one that is named, or the user's own if there is one.
 * @throws {StartError} for one that can't be read, or that others may read
 */
function readPasswords(named: string | undefined): string {
  const file = named ?? join(homedir(), '.pgpass')
  try {
    if (process.platform === 'win32' || (statSync(file).mode & 0o077) === 0) return readFileSync(file, 'utf8')
  } catch (err) {
    if (named === undefined) return ''
    const reason = err instanceof Error && 'code' in err ? String(err.code) : String(err)
    throw new StartError(`the password file can't be read (${reason}): ${file}`)
  }
  if (named === undefined) return ''
  throw new StartError(`the password file may be read by others: chmod 600 ${file}`)
}

/**
 * Reads the address of a database, and the files that it names.
 * @throws {StartError} or {DatabaseUrlError} for an address that can't be obeyed
 */
export function openHosts(url: string): Hosts {
  const address = parseDatabaseUrl(url, process.env, systemUser())
  const passwords = address.password === undefined ? readPasswords(address.passfile) : ''

  async function probe(endpoint: Endpoint, signal: AbortSignal): Promise<ServerState> {
    const sql = connect(hosts.only(endpoint), 1)
    const end = () => void sql.end({ timeout: 0 })
    signal.addEventListener('abort', end)
    try {
      signal.throwIfAborted()
      // To connect takes two steps, each with its limit, and then there is the query.
      const [state] = await within(
        3 * address.connectTimeoutMs,
        sql<ServerState[]>`
          select pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off' as writable,
                 pg_catalog.pg_is_in_recovery() as in_recovery
        `,
      )
      if (!state) throw new Error('a query without a table gave no row')
      return state
    } finally {
      signal.removeEventListener('abort', end)
      await sql.end({ timeout: 0 })
    }
  }

  const hosts = new Hosts(address, tlsOptions(address.tls), passwords, probe)
  return hosts
}

/** What counts as the same machine, which alone hears what is sent there. */
const LOOPBACK = /^(?:127\.|::ffff:127\.|::1$)/

/** How a server may ask for the password where the address says nothing: over an open network, not as it is. */
function defaultMethods(socket: Socket): readonly AuthMethod[] | undefined {
  // A Unix socket has no remote address.
  const isOpen = !(socket instanceof TLSSocket) && !LOOPBACK.test(socket.remoteAddress ?? '::1')
  return isOpen ? AUTH_METHODS.filter((method) => method !== 'password') : undefined
}

/** The address of a database, or what `openHosts` made of it: pools that are given the same agree on the host. */
export type Database = string | Hosts

/**
 * Opens a pool of at most `max` connections; the first query connects.
 *
 * The driver is given an open connection that is set up (socket.ts, startup.ts) and reads no address itself: with several hosts it
 * tries the first one again and again, without a pause and without an end, and it takes parameters that it doesn't know for settings.
 *
 * A lost server is tried again after a constant short while: the driver's growing back-off would keep the service
 * degraded for up to 20 s after the server is back. It does not ask a new connection for its array types, either: the answer
 * is awaited by nobody, so a connection that is killed at that moment would end the process (porsager/postgres#1192).
 * @throws {StartError} or {DatabaseUrlError} for an address that can't be obeyed
 */
export function connect(
  database: Database,
  max: number,
  { settings, keepsConnections = false }: ConnectOptions = {},
): Sql {
  const hosts = typeof database === 'string' ? openHosts(database) : database
  const { address } = hosts
  const setUp = setUpStatement(settings)
  const ending = new AbortController()

  async function connectSocket() {
    try {
      const target = await hosts.current(ending.signal)
      const socket = await openSocket(target, ending.signal)
      superviseStartup(socket, setUp, address.authMethods ?? defaultMethods(socket))
      return socket
    } catch (err) {
      // A rejection would leave the driver waiting for ever.
      return failedSocket(err)
    }
  }

  const options = {
    max,
    types,
    // Where the server is, `connectSocket` knows; the driver is not to look for it in PGHOST.
    host: 'database',
    // How its messages call the server.
    path: hosts.name,
    user: address.user,
    password: () => hosts.password(),
    database: address.database,
    ssl: false,
    fetch_types: false,
    connect_timeout: address.connectTimeoutMs / 1000,
    keep_alive: address.keepAliveSeconds,
    ...(keepsConnections && { max_lifetime: null }),
    backoff: () => 0.25,
    onnotice: () => undefined,
    connection: {
      application_name: address.applicationName,
      ...(address.options !== undefined && { options: address.options }),
    },
    socket: connectSocket,
  }
  const sql: Sql = postgres(options)
  const end = sql.end.bind(sql)
  sql.end = async (how) => {
    const ended = end(how)
    // What is still connecting would otherwise come to life after the end.
    if (how?.timeout === 0) ending.abort()
    try {
      await ended
    } finally {
      ending.abort()
    }
  }
  return sql
}
