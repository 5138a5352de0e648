import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import postgres from 'postgres'
import { AUTH_METHODS, type AuthMethod, parseDatabaseUrl } from '../../lib/database-url.js'
import { within } from '../../lib/deadline.js'
import { parseStored, stringifyJson } from '../../lib/json.js'
import { StartError } from '../../errors.js'
import { type Endpoint, Hosts, type ServerState } from './hosts.js'
import { setUpStatement } from '../settings.js'
import { failedSocket, openSocket } from './socket.js'
import { PADDING, superviseStartup } from '../startup.js'
import { tlsOptions } from './tls.js'

const OID = { int8: 20, textArray: 1009, uuidArray: 2951, jsonb: 3802 }

/**
 * Formats an array as PostgreSQL's array literal (its documentation, section 8.15.2), with every element
 * quoted. A text is returned unchanged: the driver replaces the parameter by the literal, and serializes that
 * again when it resends a query whose prepared statement has become invalid.
 */
const arrayLiteral = (values: readonly string[] | string): string =>
  typeof values === 'string'
    ? values
    : `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`

const readsNoArrays = (): readonly string[] => {
  throw new TypeError('arrays are sent, never read: select rows, or JSON')
}

const types = {
  // A sequence draws the ids of the log from 1, so a double represents every one that will ever exist (2^53).
  int8: { to: OID.int8, from: [OID.int8], parse: Number, serialize: String },
  textArray: { to: OID.textArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
  uuidArray: { to: OID.uuidArray, from: [], parse: readsNoArrays, serialize: arrayLiteral },
  // Numbers of any length: one that a double would change keeps its text (docs/decisions/0028).
  jsonb: { to: OID.jsonb, from: [OID.jsonb], parse: parseStored, serialize: stringifyJson },
}

/** A pool, or the connection of a transaction: the first argument of every store function. */
export type Sql = postgres.Sql<{
  int8: number
  textArray: readonly string[]
  uuidArray: readonly string[]
  jsonb: unknown
}>

/** Options of a pool. */
export interface ConnectOptions {
  /** PostgreSQL settings of each connection, in addition to those that the service relies on. */
  settings?: Record<string, string>
  /** Keeps each connection open. By default the driver replaces a connection after 30 to 60 minutes. */
  keepsConnections?: boolean
}

/** Returns the name of the user that runs the process, if it has one. */
function systemUser(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}

/**
 * Reads the named password file, or the user's own if there is one.
 * @throws {StartError} if the named file can't be read, or other users may read it
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
  throw new StartError(`the password file is accessible to other users: run chmod 600 ${file}`)
}

/**
 * Parses the URL of a database, and reads the files that it names.
 * @throws {StartError} or {DatabaseUrlError} for a URL that can't be used
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
      // The connection timeout applies to the opening of the socket, and again to the startup. The query gets
      // the same time.
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

/** Loopback addresses: data sent to them does not leave the machine. */
const LOOPBACK = /^(?:127\.|::ffff:127\.|::1$)/

/**
 * Returns the authentication methods that are accepted if the URL names none; undefined for all. Over an
 * unencrypted network connection, the server may not request the password in plain text.
 */
function defaultMethods(socket: Socket): readonly AuthMethod[] | undefined {
  // A Unix socket has no remote address.
  const isOpen = !(socket instanceof TLSSocket) && !LOOPBACK.test(socket.remoteAddress ?? '::1')
  return isOpen ? AUTH_METHODS.filter((method) => method !== 'password') : undefined
}

/**
 * The URL of a database, or the result of `openHosts` for it. Pools that share a `Hosts` use the same host.
 */
export type Database = string | Hosts

/**
 * Opens a pool of at most `max` connections; the first query connects.
 *
 * The driver gets an open socket whose startup is supervised (socket.ts, startup.ts), and never reads the
 * URL: with several hosts it retries the first one without a delay and without an end, and it sends
 * parameters that it doesn't know to the server as settings (docs/decisions/0025).
 *
 * A lost server is retried at a short, constant interval: with the driver's growing back-off the service
 * would stay degraded for up to 20 s after the server has returned. `fetch_types` is off because the driver
 * does not await the query that it sends for the array types, so a connection that is killed during that
 * query would end the process (porsager/postgres#1192).
 * @throws {StartError} or {DatabaseUrlError} for a URL that can't be used
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
      // If this rejected, the driver would wait forever.
      return failedSocket(err)
    }
  }

  const options = {
    max,
    types,
    // A placeholder, because `connectSocket` knows the server. Without it, the driver would read PGHOST.
    host: 'database',
    // The name of the server in the driver's messages.
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
      ...PADDING,
    },
    socket: connectSocket,
  }
  const sql: Sql = postgres(options)
  const end = sql.end.bind(sql)
  sql.end = async (how) => {
    const ended = end(how)
    // A connection that is still being opened would otherwise outlive the pool.
    if (how?.timeout === 0) ending.abort()
    try {
      await ended
    } finally {
      ending.abort()
    }
  }
  return sql
}
