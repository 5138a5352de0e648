import { getHeapStatistics } from 'node:v8'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { onDisconnect } from '../lib/disconnect.js'
import { FairQueue, QueueFull, type Share } from '../lib/fair-queue.js'

const MIB = 1024 * 1024
/** What all responses together may hold: an eighth of the heap, within these bounds. */
const MIN_BYTES = 16 * MIB
const MAX_BYTES = 128 * MIB
const HEAP_PART = 8
/** How much of what is left one user takes at most. */
const USER_PART = 1 / 8
/** How many requests of one user may wait. */
const MAX_WAITING = 1000
/** How long a request waits, in ms. */
const TURN_TIMEOUT_MS = 7000
const RETRY_AFTER_S = 10
/** While requests wait, a client that takes nothing of a response for this long is disconnected, in ms. */
const STALL_MS = 4000

/** What a request and its response hold beside the body, about. */
const OVERHEAD_BYTES = 4 * 1024
const DEFAULT_RESPONSE_BYTES = 16 * 1024
/** A body is there as text and as what is parsed of it. */
const BODY_FACTOR = 2

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * What a response of the route may come to, in bytes. So much is reserved before its rows are read. With 0 the route itself
     * reserves.
     */
    responseBytes?: number
    /** The route reads its bodies as streams, and bounds what it keeps of them. */
    streamsBody?: boolean
  }
  interface FastifyRequest {
    /** What its response holds of the memory for responses. */
    memory: ReservedMemory | undefined
  }
  interface FastifyInstance {
    /**
     * Waits until a response of so many bytes may be made, and reserves them until it is sent or its client has disconnected, in place of
     * what was reserved for it.
     * @throws {ApiError} overloaded when that takes too long, or too many wait
     */
    reserveMemory(reply: FastifyReply, bytes: number): Promise<void>
  }
}

/** What a response holds. */
interface ReservedMemory {
  resize(bytes: number): void
  release(): void
}

/** How many bytes a body may come to that is read as a whole. */
function bodyBytes({ headers, routeOptions }: FastifyRequest): number {
  const limit = routeOptions.bodyLimit
  if (headers['transfer-encoding'] !== undefined) return limit
  return Math.min(Number(headers['content-length'] ?? 0), limit)
}

/**
 * Bounds the memory of responses: one that its client does not read stays in memory as a whole. What a response may come to is reserved
 * before its rows are read, for its user and in all, and given back when it is sent or the client has disconnected. A request that
 * finds no memory free waits, and is refused when that takes too long (docs/decisions/0035-responses-reserve-their-memory.md).
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

    /** Clients that read have their time; those that don't must not keep the others waiting for long. */
    function disconnectStalled(): void {
      for (const { raw } of holders) {
        // Without a socket it waits behind another response of its connection, which has one.
        if (raw.headersSent && raw.socket && raw.socket.timeout !== STALL_MS) raw.setTimeout(STALL_MS)
      }
    }

    const tooMuch = (): ApiError =>
      new ApiError('overloaded', {
        message: 'Too much that was sent to you is not read yet. Read it, or ask for less at a time.',
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
      // After authentication, before the body is read. No promise where there is nothing to wait for.
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
