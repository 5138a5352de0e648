import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { onDisconnect } from '../lib/disconnect.js'
import { FairQueue, QueueFull, type Share } from '../lib/fair-queue.js'
import { ApiError } from '../errors.js'

/**
 * Maximum number of requests that wait for the database at a time. Any further request would only wait until
 * it timed out.
 */
const MAX_WAITING_REQUESTS = 1000

/**
 * Maximum number of writes that hold a connection. A write may wait for a lock, and reads must not wait
 * behind it.
 */
const MAX_WRITES = 7
const MAX_WRITES_PER_USER = 4
const MAX_WAITING_WRITES_PER_USER = 250
/**
 * How long a write may wait for its turn, in ms. Less than the request timeout, so that no write begins after
 * its request has timed out.
 */
const TURN_TIMEOUT_MS = 7000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route itself limits how many database connections its requests hold. */
    boundsConnections?: boolean
  }
  interface FastifyRequest {
    /** The phase in which this request holds a slot, if it holds one. */
    slotPhase: 'authentication' | 'handler' | undefined
  }
}

/** Limits how many requests wait for the database. Further ones are refused with `overloaded` at once. */
export default fp(
  async (app) => {
    let waiting = 0

    function takeSlot(request: FastifyRequest, phase: 'authentication' | 'handler'): void {
      if (waiting >= MAX_WAITING_REQUESTS) throw new ApiError('overloaded')
      waiting++
      request.slotPhase = phase
    }

    function releaseSlot(request: FastifyRequest): void {
      if (request.slotPhase === undefined) return
      waiting--
      request.slotPhase = undefined
    }

    const writes = new FairQueue({
      max: MAX_WRITES,
      maxPerKey: MAX_WRITES_PER_USER,
      maxWaitingPerKey: MAX_WAITING_WRITES_PER_USER,
    })

    /**
     * Waits for the user's turn to write.
     * @throws {ApiError} `overloaded` when the wait times out, the client disconnects, or too many writes of
     * the user wait
     */
    async function takeWrite(request: FastifyRequest): Promise<Share> {
      const ending = new AbortController()
      const forget = onDisconnect(request.raw.socket, () => ending.abort(new ApiError('overloaded')))
      const timer = setTimeout(() => ending.abort(new ApiError('overloaded')), TURN_TIMEOUT_MS)
      try {
        return await writes.take(request.principal.user_id, 1, ending.signal)
      } catch (err) {
        if (err instanceof QueueFull) throw new ApiError('overloaded')
        throw err
      } finally {
        clearTimeout(timer)
        forget()
      }
    }

    app.decorateRequest('waitsFor', undefined)
    // The credential is read from the same database. The slot is released while the body is read, which may
    // take long.
    app.addHook('onRequest', async (request) => {
      if (!request.routeOptions.config.withoutDatabase && !request.is404) takeSlot(request, 'authentication')
    })
    app.addHook('preParsing', async (request) => releaseSlot(request))
    // The slot is released before the response is sent, which may take long. After a timeout, however, the
    // query of the handler is still in the pool's queue, and the slot is held until the handler ends.
    app.addHook('onSend', async (request) => {
      if (!request.isTimedOut || request.slotPhase === 'authentication') releaseSlot(request)
    })
    app.addHook('onRoute', (route) => {
      const { handler, config, method, schema } = route
      if (config?.withoutDatabase) return
      const isWrite = [method].flat().some((name) => !['GET', 'HEAD', 'OPTIONS'].includes(name))
      const isQueued = isWrite && schema?.security?.length !== 0 && !config?.boundsConnections
      route.handler = async function (request, reply) {
        takeSlot(request, 'handler')
        let share: Share | undefined
        try {
          if (isQueued) share = await takeWrite(request)
          return await handler.call(this, request, reply)
        } catch (err) {
          if (!request.isTimedOut) throw err
          // An error was sent when the request timed out.
          request.log.debug({ err }, 'a handler failed after its request had timed out')
          return undefined
        } finally {
          share?.release()
          releaseSlot(request)
        }
      }
    })
  },
  { name: 'request-limit', dependencies: ['mode', 'handler-timeout'] },
)
