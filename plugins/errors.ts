import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import postgres from 'postgres'
import { ApiError, type ErrorCode } from '../errors.js'
import { ErrorBody } from '../schemas/errors.js'
import { rightError } from '../store/author.js'
import { isTlsAlert } from '../store/driver/tls.js'
import { LINGER_MS } from './unread-bodies.js'

/** Fastify's errors that the client causes, and their error codes in the API. */
const FASTIFY_ERRORS: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
}

/** Error codes of the driver, the socket and the server that mean that the database can't be reached. */
const UNAVAILABLE = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'NO_ANSWER',
  // Errors while a host is selected (store/driver/hosts.ts, store/driver/socket.ts, store/startup.ts).
  'AUTH_METHOD_REFUSED',
  'CERTIFICATE_REFUSED',
  'NO_HOST',
  'TLS_FAILED',
  'TLS_REFUSED',
  '08000', // connection_exception and its subclasses: sent by poolers that can't reach their server
  '08003',
  '08006',
  '08P01',
  '25P03', // idle_in_transaction_session_timeout
  '28000', // invalid_authorization_specification: pg_hba.conf or the password has changed since the start
  '28P01',
  '3D000', // invalid_catalog_name
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P04', // database_dropped
  '57P05', // idle_session_timeout
])

/** SQLSTATEs of statements that are correct but can't run at the moment. */
export const SQLSTATE = {
  readOnly: '25006',
  inRecovery: '55000',
  diskFull: '53100',
  serializationFailure: '40001',
  deadlock: '40P01',
} as const

/** Whether an error was sent by PostgreSQL with one of these SQLSTATEs. */
export const hasSqlState = (error: unknown, ...states: string[]): boolean =>
  error instanceof postgres.PostgresError && states.includes(error.code)

/** SQLSTATE of a write that has waited for a lock for longer than its `lock_timeout` (store/author.ts). */
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Whether the error of a query means that the database can't be reached, rather than that the query is wrong.
 */
export function isUnavailable(error: unknown): boolean {
  if (isTlsAlert(error)) return true
  return error instanceof Error && 'code' in error && UNAVAILABLE.has(String(error.code))
}

function toApiError(error: FastifyError | ApiError | Error): ApiError {
  if (error instanceof ApiError) return error
  if (isUnavailable(error)) return new ApiError('database_unavailable')
  const lost = rightError(error)
  if (lost) return lost
  if (hasSqlState(error, SQLSTATE.readOnly, SQLSTATE.inRecovery)) {
    return new ApiError('server_read_only', { message: 'The database accepts no writes. Retry later.' })
  }
  if (hasSqlState(error, SQLSTATE.diskFull)) {
    return new ApiError('server_read_only', { message: "The database's disk is full." })
  }
  if (hasSqlState(error, SQLSTATE.serializationFailure, SQLSTATE.deadlock)) {
    return new ApiError('overloaded', {
      message: 'The request conflicts with a concurrent change. Retry it.',
    })
  }
  if (error instanceof postgres.PostgresError) {
    return error.code === LOCK_NOT_AVAILABLE
      ? new ApiError('overloaded', {
          message: 'Another transaction holds a lock on the data to change. Retry later.',
        })
      : new ApiError('internal')
  }
  const known = 'code' in error && FASTIFY_ERRORS[error.code]
  if (known) return new ApiError(known)
  if (
    'statusCode' in error &&
    error.statusCode !== undefined &&
    error.statusCode >= 400 &&
    error.statusCode < 500
  ) {
    return new ApiError('invalid_request', { message: error.message })
  }
  return new ApiError('internal')
}

/** Errors of the HTTP parser, which occur before there is a request. Any other one is an invalid request. */
const PARSER_ERRORS: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/** The response to the newest request of each connection. */
const newestResponse = new WeakMap<Socket, ServerResponse>()

/** Connections that get the error response after the response to their last valid request. */
const waiting = new WeakSet<Socket>()

/**
 * Creates Fastify's `clientErrorHandler`: responds to HTTP parse errors, for which there is no request
 * object, with an error body of the API, and closes the connection. Responses are sent in the order of the
 * requests (RFC 9112, section 9.3.2): if the invalid bytes follow a complete request, its response comes
 * first. Otherwise its client would receive an error for a write that succeeds.
 * @param headers the headers of every such response
 */
export const parserErrorResponder =
  (headers: Record<string, string>) =>
  (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (waiting.has(socket)) return
    const before = newestResponse.get(socket)
    if (!before?.req.complete || before.writableFinished) return refuse(headers, error, socket)
    waiting.add(socket)
    before.once('close', () => refuse(headers, error, socket))
  }

function refuse(headers: Record<string, string>, error: NodeJS.ErrnoException, socket: Socket): void {
  // A response was sent already. The parser also fails on the bytes that follow, which are ignored (see
  // unread-bodies.ts).
  if (socket.writableEnded) return
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  const apiError = new ApiError(PARSER_ERRORS[error.code ?? ''] ?? 'invalid_request')
  const body = JSON.stringify(apiError.body)
  socket.end(
    [
      `HTTP/1.1 ${apiError.statusCode} ${STATUS_CODES[apiError.statusCode] ?? ''}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
}

/** Messages for a URL that leads to no route. */
const ADDRESS_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'contains an invalid percent-encoding',
  FST_ERR_MAX_PARAM_LENGTH: 'has a segment that is too long',
}

/**
 * Creates Fastify's `frameworkErrors`: responds to URLs that the router can't parse. Such a response bypasses
 * the hooks.
 * @param headers the headers of every such response
 */
export const routerErrorResponder =
  (headers: Record<string, string>) =>
  (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
    const apiError = ApiError.invalid('path', ADDRESS_ERRORS[error.code] ?? 'is not valid')
    reply.code(apiError.statusCode).headers(headers).send(apiError.body)
  }

/**
 * Converts every error to the API's error body, declares that body for every route, and logs internal errors.
 */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      const { response, ...schema } = route.schema ?? {}
      route.schema = { ...schema, response: Object.assign({ '4xx': ErrorBody, '5xx': ErrorBody }, response) }
    })
    app.setErrorHandler((error: Error, request: FastifyRequest, reply: FastifyReply) => {
      const apiError = toApiError(error)
      if (apiError.code === 'internal') request.log.error({ err: error }, 'request failed')
      // Fastify closes the connection after a body that it refuses. Keep it open: unread-bodies.ts drains the
      // body first.
      const isFastifys = reply.hasHeader('connection') && !reply.raw.hasHeader('connection')
      if (isFastifys && reply.raw.shouldKeepAlive) reply.header('connection', 'keep-alive')
      return reply
        .code(apiError.statusCode)
        .headers({
          ...(apiError.statusCode === 503 && { 'retry-after': '2' }),
          ...apiError.options.headers,
          ...(apiError.code === 'internal' && { 'request-id': request.id }),
          // The same for every 401 (RFC 6750, section 3): the reason why a token is invalid would only help
          // an attacker.
          ...(apiError.statusCode === 401 && { 'www-authenticate': 'Bearer realm="silo"' }),
        })
        .type('application/json; charset=utf-8')
        .send(apiError.body)
    })
    app.server.on('request', ({ socket }, response) => newestResponse.set(socket, response))
    // Must be set before hooks are added, or they would not run for it.
    app.setNotFoundHandler(() => {
      throw new ApiError('not_found')
    })
    // Node would respond with 417 and no body. An unknown expectation may be ignored (RFC 9110, section
    // 10.1.1).
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  },
  { name: 'errors' },
)
