import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import postgres from 'postgres'
import { ApiError, type ErrorCode } from '../errors.js'
import { ErrorBody } from '../schemas/errors.js'
import { rightError } from '../store/author.js'
import { isTlsAlert } from '../store/tls.js'
import { LINGER_MS } from './unread-bodies.js'

/** Fastify's own errors that are the client's, and what the API calls them. */
const FASTIFY_ERRORS: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
}

/** What the driver, the socket or the server says when there is no database to talk to, or no longer. */
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
  // The selection of a host (store/hosts.ts, store/socket.ts, store/startup.ts).
  'AUTH_METHOD_REFUSED',
  'CERTIFICATE_REFUSED',
  'NO_HOST',
  'TLS_FAILED',
  'TLS_REFUSED',
  '08000', // connection_exception, and its kind: poolers say so when they can't reach their server
  '08003',
  '08006',
  '08P01',
  '25P03', // idle_in_transaction_session_timeout
  '28000', // invalid_authorization_specification: the rules or the password have changed while we run
  '28P01',
  '3D000', // invalid_catalog_name
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P04', // database_dropped
  '57P05', // idle_session_timeout
])

/** What the server says to a statement that it can't run at the moment, though nothing is wrong with it. */
export const SQLSTATE = {
  readOnly: '25006',
  inRecovery: '55000',
  diskFull: '53100',
  serializationFailure: '40001',
  deadlock: '40P01',
} as const

export const hasSqlState = (error: unknown, ...states: string[]): boolean =>
  error instanceof postgres.PostgresError && states.includes(error.code)

/** What the server says to a write that has waited for a lock for as long as it may (store/author.ts). */
const LOCK_NOT_AVAILABLE = '55P03'

/** Whether an error of a query says that the database is away, rather than that the query is wrong. */
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
    return new ApiError('server_read_only', { message: 'The database takes no writes at the moment.' })
  }
  if (hasSqlState(error, SQLSTATE.diskFull)) {
    return new ApiError('server_read_only', { message: "The database's disk is full." })
  }
  if (hasSqlState(error, SQLSTATE.serializationFailure, SQLSTATE.deadlock)) {
    return new ApiError('overloaded', { message: 'Another change came in between. Try again.' })
  }
  if (error instanceof postgres.PostgresError) {
    return error.code === LOCK_NOT_AVAILABLE
      ? new ApiError('overloaded', { message: 'Another writer still holds what this would change.' })
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

/** What the HTTP parser gives up on, before there is a request; anything else it refuses is not valid. */
const PARSER_ERRORS: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/**
 * Makes Fastify's `clientErrorHandler`, which answers what never became a request in the one error form, and hangs up.
 * @param headers of every such response
 */
export const parserErrorResponder =
  (headers: Record<string, string>) =>
  (error: NodeJS.ErrnoException, socket: Socket): void => {
    // Answered: what still comes, and is refused once more, is lost. See unread-bodies.ts.
    if (socket.writableEnded) return
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const cut = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    socket.once('close', () => clearTimeout(cut))
    const answer = new ApiError(PARSER_ERRORS[error.code ?? ''] ?? 'invalid_request')
    const body = JSON.stringify(answer.body)
    socket.end(
      [
        `HTTP/1.1 ${answer.statusCode} ${STATUS_CODES[answer.statusCode] ?? ''}`,
        ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        `content-length: ${Buffer.byteLength(body)}`,
        'connection: close',
        '',
        body,
      ].join('\r\n'),
    )
  }

/** What is wrong with an address that leads to no route. */
const ADDRESS_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'holds a "%" that begins no valid character',
  FST_ERR_MAX_PARAM_LENGTH: 'has a part that is too long',
}

/** Makes Fastify's `frameworkErrors`, which answers an address that the router can't read; that passes no hook. */
export const routerErrorResponder =
  (headers: Record<string, string>) =>
  (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
    const answer = new ApiError('invalid_request', {
      details: [{ field: 'path', message: ADDRESS_ERRORS[error.code] ?? 'is not valid' }],
    })
    reply.code(answer.statusCode).headers(headers).send(answer.body)
  }

/** Turns whatever is thrown into the one error form, which every route is declared to answer, and logs what is our fault. */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      const { response, ...schema } = route.schema ?? {}
      route.schema = { ...schema, response: Object.assign({ '4xx': ErrorBody, '5xx': ErrorBody }, response) }
    })
    app.setErrorHandler((error: Error, request: FastifyRequest, reply: FastifyReply) => {
      const answer = toApiError(error)
      if (answer.code === 'internal') request.log.error({ err: error }, 'request failed')
      // Fastify would close at once after a body that it refuses: unread-bodies.ts has more patience.
      const isFastifys = reply.hasHeader('connection') && !reply.raw.hasHeader('connection')
      if (isFastifys && reply.raw.shouldKeepAlive) reply.header('connection', 'keep-alive')
      return reply
        .code(answer.statusCode)
        .headers({
          ...(answer.statusCode === 503 && { 'retry-after': '2' }),
          ...answer.options.headers,
          ...(answer.code === 'internal' && { 'request-id': request.id }),
          // The same for every 401 (RFC 6750, section 3): what was wrong with a token helps only who tries them.
          ...(answer.statusCode === 401 && { 'www-authenticate': 'Bearer realm="silo"' }),
        })
        .type('application/json; charset=utf-8')
        .send(answer.body)
    })
    // Set before there are hooks, or they would not run for it.
    app.setNotFoundHandler(() => {
      throw new ApiError('not_found')
    })
    // Node would answer 417, in no form; an expectation that is not known may be passed over (RFC 9110, section 10.1.1).
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  },
  { name: 'errors' },
)
