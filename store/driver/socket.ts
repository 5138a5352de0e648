import { once } from 'node:events'
import { Socket } from 'node:net'
import { type ConnectionOptions, type TLSSocket, connect as connectTls } from 'node:tls'
import { type Host, hostName } from '../../lib/database-url.js'
import { tlsReasonOf } from './tls.js'

/** The protocol's SSLRequest message: its length, and a code instead of a protocol version. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** Thrown when a connection can't be opened. The codes are the driver's own where it has one. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'

  constructor(
    readonly code:
      | 'CONNECT_TIMEOUT'
      | 'CONNECTION_CLOSED'
      | 'CONNECTION_ENDED'
      | 'TLS_REFUSED'
      | 'TLS_FAILED'
      | 'CERTIFICATE_REFUSED',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** The server of a connection, and how the connection is opened. */
export interface Target {
  host: Host
  /** Options of the TLS handshake; undefined for an unencrypted connection. */
  tls: ConnectionOptions | undefined
  /** Whether the connection continues unencrypted if the server has no TLS. */
  tlsIsOptional: boolean
  /** Whether the TLS handshake begins at once, without an SSLRequest. */
  tlsIsDirect: boolean
  timeoutMs: number
}

/** Waits for an event of the socket. Rejects if the socket fails or closes first. */
async function first(socket: Socket, event: string): Promise<unknown> {
  const done = new AbortController()
  const { signal } = done
  const closed = once(socket, 'close', { signal }).then(() => {
    throw new ConnectionError('CONNECTION_CLOSED', 'the server has closed the connection')
  })
  try {
    const args: unknown[] = await Promise.race([once(socket, event, { signal }), closed])
    return args[0]
  } finally {
    done.abort()
  }
}

/**
 * Sends an SSLRequest, and returns whether the server has TLS.
 * @throws {ConnectionError}
 */
async function offersTls(socket: Socket): Promise<boolean> {
  socket.write(SSL_REQUEST)
  const response = await first(socket, 'data')
  // More than one byte: an attacker in between may have sent the rest, unencrypted, to be processed as if it
  // was encrypted (CVE-2021-23222).
  if (response instanceof Buffer && response.length === 1) {
    if (response[0] === 0x53) return true
    if (response[0] === 0x4e) return false
  }
  throw new ConnectionError('TLS_FAILED', 'the server sent an invalid response to the request for TLS')
}

/** Node's error codes for a certificate whose authority is not trusted. */
const UNKNOWN_AUTHORITY = new Set<unknown>([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

function certificateError(cause: unknown): ConnectionError {
  const isUnknown = cause instanceof Error && 'code' in cause && UNKNOWN_AUTHORITY.has(cause.code)
  const advice = isUnknown ? ' (set sslrootcert to the certificate of its authority)' : ''
  const message = `the certificate of the server was rejected: ${tlsReasonOf(cause)}${advice}`
  return new ConnectionError('CERTIFICATE_REFUSED', message, { cause })
}

async function encrypt(socket: Socket, options: ConnectionOptions, isDirect: boolean): Promise<TLSSocket> {
  const encrypted = connectTls({ ...options, socket })
  encrypted.on('error', () => undefined)
  try {
    await first(encrypted, 'secureConnect')
  } catch (cause) {
    encrypted.destroy()
    // Set if the handshake succeeded and the certificate was rejected.
    const refusal: unknown = encrypted.authorizationError
    if (refusal) throw certificateError(cause)
    const advice = isDirect ? ' (sslnegotiation=direct needs PostgreSQL 17 or newer)' : ''
    throw new ConnectionError('TLS_FAILED', `failed to establish TLS: ${tlsReasonOf(cause)}${advice}`, {
      cause,
    })
  }
  return encrypted
}

/**
 * Opens a socket to a server, with TLS if the target demands it. The next message is the startup message of
 * the protocol.
 * @throws {ConnectionError}, or Node's own error of a socket
 */
export async function openSocket(target: Target, signal: AbortSignal): Promise<Socket> {
  const { host, tls, timeoutMs } = target
  const socket = new Socket()
  // Until the driver adds its listeners. An error also rejects the step that is waiting.
  socket.on('error', () => undefined)
  const end = () =>
    socket.destroy(new ConnectionError('CONNECTION_ENDED', 'the connection attempt was cancelled'))
  const timer = setTimeout(() => {
    const message = `no connection to ${hostName(host)} within ${timeoutMs / 1000} s`
    socket.destroy(new ConnectionError('CONNECT_TIMEOUT', message))
  }, timeoutMs)
  signal.addEventListener('abort', end)
  try {
    if (signal.aborted) end()
    else if ('path' in host) socket.connect(host.path)
    else socket.connect(host.port, host.host)
    await first(socket, 'connect')
    // A Unix socket does not leave the machine, so it is not encrypted.
    if (!tls || 'path' in host) return socket
    if (target.tlsIsDirect || (await offersTls(socket))) return await encrypt(socket, tls, target.tlsIsDirect)
    if (target.tlsIsOptional) return socket
    throw new ConnectionError('TLS_REFUSED', 'the server does not support TLS, which sslmode requires')
  } catch (err) {
    socket.destroy()
    throw err
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
  }
}

/**
 * Returns a socket that fails with `error` once listeners can be attached. The driver has no other way to
 * learn that connecting has failed.
 */
export function failedSocket(error: unknown): Socket {
  const socket = new Socket()
  socket.write = () => true
  setImmediate(() => socket.destroy(error instanceof Error ? error : new Error(String(error))))
  return socket
}
