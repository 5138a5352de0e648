import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { onDisconnect } from '../lib/disconnect.js'
import { FairQueue, QueueFull, type Share } from '../lib/fair-queue.js'
import { ApiError } from '../errors.js'

/**
 * Requests that may be waiting for the database at a time. Ten sessions answer a thousand ordinary ones in about a tenth
 * of a second; whoever came after them would wait for nothing but his own timeout.
 */
const MOST_REQUESTS = 1000

/** How many writes hold a connection at a time: a write may wait for a lock, and reads must not wait for it. */
const MAX_WRITES = 7
const MAX_WRITES_PER_USER = 4
const MAX_WAITING_WRITES_PER_USER = 250
/** How long a write waits for its turn, in ms: less than its request has, so that none begins after it was answered. */
const TURN_TIMEOUT_MS = 7000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route itself bounds how many database connections its requests hold. */
    boundsConnections?: boolean
  }
  interface FastifyRequest {
    /** What it may be waiting for the database for, if it counts among those that do. */
    waitsFor: 'look-up' | 'handler' | undefined
  }
}

/** Refuses requests at once while so many wait for the pool that another would only wait in vain. */
export default fp(
  async (app) => {
    let waiting = 0

    function takePlace(request: FastifyRequest, what: 'look-up' | 'handler'): void {
      if (waiting >= MOST_REQUESTS) throw new ApiError('overloaded')
      waiting++
      request.waitsFor = what
    }

    function leavePlace(request: FastifyRequest): void {
      if (request.waitsFor === undefined) return
      waiting--
      request.waitsFor = undefined
    }

    const writes = new FairQueue({
      max: MAX_WRITES,
      maxPerKey: MAX_WRITES_PER_USER,
      maxWaitingPerKey: MAX_WAITING_WRITES_PER_USER,
    })

    /** Waits until the user of a write has a connection for it. */
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
    // Who asks is looked up in the same database. After that the body may take its time, and holds no place.
    app.addHook('onRequest', async (request) => {
      if (!request.routeOptions.config.withoutDatabase && !request.is404) takePlace(request, 'look-up')
    })
    app.addHook('preParsing', async (request) => leavePlace(request))
    // An answer may take its time, too. But a handler that was only given up has its query in the pool's queue still.
    app.addHook('onSend', async (request) => {
      if (!request.isGivenUp || request.waitsFor === 'look-up') leavePlace(request)
    })
    app.addHook('onRoute', (route) => {
      const { handler, config, method, schema } = route
      if (config?.withoutDatabase) return
      const isWrite = [method].flat().some((name) => !['GET', 'HEAD', 'OPTIONS'].includes(name))
      const isQueued = isWrite && schema?.security?.length !== 0 && !config?.boundsConnections
      route.handler = async function (request, reply) {
        takePlace(request, 'handler')
        let share: Share | undefined
        try {
          if (isQueued) share = await takeWrite(request)
          return await handler.call(this, request, reply)
        } catch (err) {
          if (!request.isGivenUp) throw err
          // It was answered when its time was over.
          request.log.debug({ err }, 'a handler failed after its request was answered')
          return undefined
        } finally {
          share?.release()
          leavePlace(request)
        }
      }
    })
  },
  { name: 'request-limit', dependencies: ['mode', 'handler-timeout'] },
)
