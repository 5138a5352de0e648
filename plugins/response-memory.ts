import { getHeapStatistics } from 'node:v8'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { onDisconnect } from '../lib/disconnect.js'
import { FairQueue, QueueFull, type Share } from '../lib/fair-queue.js'

const MIB = 1024 * 1024
/** Lower bound of the memory for all responses, in bytes. */
const MIN_BYTES = 16 * MIB
/** Upper bound of the memory for all responses, in bytes. */
const MAX_BYTES = 128 * MIB
/** The memory for all responses is the heap's size limit divided by this number, within the bounds above. */
const HEAP_PART = 8
/** Maximum memory of one user, as a share of the memory that no response holds. */
const USER_PART = 1 / 8
/** Maximum number of requests of one user that wait. */
const MAX_WAITING = 1000
/** How long a request may wait for memory, in ms. */
const TURN_TIMEOUT_MS = 7000
const RETRY_AFTER_S = 10
/** How long a client may read nothing of a response while requests wait, before it is disconnected, in ms. */
const STALL_MS = 4000

/** Approximate memory of a request and its response without their bodies, in bytes. */
const OVERHEAD_BYTES = 4 * 1024
/** Maximum size of a response whose route does not set `responseBytes`. */
const DEFAULT_RESPONSE_BYTES = 16 * 1024
/** The body of a request is in memory as text and as the parsed value. */
const BODY_FACTOR = 2

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Maximum size of the route's responses, in bytes. Reserved before the handler runs. With 0, the route
     * reserves memory itself.
     */
    responseBytes?: number
    /** Whether the route reads bodies as streams and bounds the memory that it uses for them. */
    streamsBody?: boolean
  }
  interface FastifyRequest {
    /** The memory that is reserved for the response. */
    memory: ReservedMemory | undefined
  }
  interface FastifyInstance {
    /**
     * Waits until memory is free and reserves it for the response, in place of an earlier reservation. It is
     * released when the response is sent or the client has disconnected.
     * @throws {ApiError} `overloaded` when the wait times out, or too many requests of the user wait
     */
    reserveMemory(reply: FastifyReply, bytes: number): Promise<void>
  }
}

/** A reservation of memory for a response. */
interface ReservedMemory {
  resize(bytes: number): void
  release(): void
}

/** Returns the maximum size of a request body that is read as a whole, in bytes. */
function bodyBytes({ headers, routeOptions }: FastifyRequest): number {
  const limit = routeOptions.bodyLimit
  if (headers['transfer-encoding'] !== undefined) return limit
  return Math.min(Number(headers['content-length'] ?? 0), limit)
}

/**
 * Bounds the memory of responses: a response that its client does not read stays in memory as a whole. Its
 * maximum size is reserved before its rows are read, for the user and in all, and released when it is sent or
 * the client has disconnected. A request that finds no free memory waits, and is refused after a timeout
 * (docs/decisions/0035).
 */
export default fp(
  async (app) => {
    const max = Math.min(MAX_BYTES, Math.max(MIN_BYTES, getHeapStatistics().heap_size_limit / HEAP_PART))
    const queue = new FairQueue({
      max,
      maxPerKey: max,
      maxOfFree: USER_PART,
      maxWaitingPerKey: MAX_WAITING,
    })
    const holders = new Set<FastifyReply>()

    function hold(reply: FastifyReply, share: Share): void {
      const { request } = reply
      const release = () => {
        forget()
        holders.delete(reply)
        share.release()
      }
      let forget = (): void => undefined
      holders.add(reply)
      request.memory = { resize: (bytes) => share.resize(bytes), release }
      forget = onDisconnect(request.raw.socket, release)
    }

    function tryReserve(reply: FastifyReply, bytes: number): boolean {
      const share = queue.tryTake(reply.request.principal.user_id, bytes)
      if (share) hold(reply, share)
      return share !== undefined
    }

    /**
     * Shortens the timeout of clients that don't read their response, so that the requests that wait get the
     * memory.
     */
    function disconnectStalled(): void {
      for (const { raw } of holders) {
        // A pipelined response has no socket yet; the response before it on the same connection has one.
        if (raw.headersSent && raw.socket && raw.socket.timeout !== STALL_MS) raw.setTimeout(STALL_MS)
      }
    }

    const tooMuch = (): ApiError =>
      new ApiError('overloaded', {
        message:
          'Too much of your response data is unread. Read the pending responses, or request less at a time.',
        headers: { 'retry-after': String(RETRY_AFTER_S) },
      })

    async function reserveMemory(reply: FastifyReply, bytes: number): Promise<void> {
      const { memory, principal, raw } = reply.request
      memory?.release()
      if (tryReserve(reply, bytes)) return
      const ending = new AbortController()
      const forget = onDisconnect(raw.socket, () => ending.abort(new ApiError('overloaded')))
      const timer = setTimeout(() => ending.abort(tooMuch()), TURN_TIMEOUT_MS)
      disconnectStalled()
      try {
        hold(reply, await queue.take(principal.user_id, bytes, ending.signal))
      } catch (error) {
        throw error instanceof QueueFull ? tooMuch() : error
      } finally {
        clearTimeout(timer)
        forget()
      }
    }

    app.decorateRequest('memory', undefined)
    app.decorate('reserveMemory', reserveMemory)
    app.addHook('onRoute', (route) => {
      const { config, schema, preParsing = [] } = route
      if (schema?.security?.length === 0 || config?.responseBytes === 0) return
      const responseBytes = OVERHEAD_BYTES + (config?.responseBytes ?? DEFAULT_RESPONSE_BYTES)
      // After authentication, before the body is read. No promise is created for a request that need not
      // wait.
      route.preParsing = [
        ...[preParsing].flat(),
        (request, reply, payload, done) => {
          const bytes = responseBytes + (config?.streamsBody ? 0 : BODY_FACTOR * bodyBytes(request))
          if (tryReserve(reply, bytes)) done(null, payload)
          else reserveMemory(reply, bytes).then(() => done(null, payload), done)
        },
      ]
    })
    app.addHook('onSend', (request, _reply, payload, done) => {
      if (typeof payload === 'string') request.memory?.resize(OVERHEAD_BYTES + Buffer.byteLength(payload))
      else if (payload instanceof Uint8Array) request.memory?.resize(OVERHEAD_BYTES + payload.length)
      else if (payload === null || payload === undefined) request.memory?.resize(OVERHEAD_BYTES)
      done()
    })
    app.addHook('onResponse', (request, _reply, done) => {
      request.memory?.release()
      done()
    })
  },
  { name: 'response-memory', dependencies: ['auth'] },
)
