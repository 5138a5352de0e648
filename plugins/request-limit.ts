import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'

/**
 * Requests that may be waiting for the database at a time. Ten sessions answer a thousand ordinary ones in about a tenth
 * of a second; whoever came after them would wait for nothing but his own timeout.
 */
const MOST_REQUESTS = 1000

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether it counts among those that may be waiting for the database. */
    isWaiting: boolean
  }
}

/** Refuses requests at once while so many wait for the pool that another would only wait in vain. */
export default fp(
  async (app) => {
    let waiting = 0

    function takePlace(request: FastifyRequest): void {
      if (waiting >= MOST_REQUESTS) throw new ApiError('overloaded')
      waiting++
      request.isWaiting = true
    }

    function leavePlace(request: FastifyRequest): void {
      if (!request.isWaiting) return
      waiting--
      request.isWaiting = false
    }

    app.decorateRequest('isWaiting', false)
    // Who asks is looked up in the same database. After that the body may take its time, and holds no place.
    app.addHook('onRequest', async (request) => {
      if (!request.routeOptions.config.withoutDatabase && !request.is404) takePlace(request)
    })
    app.addHook('preParsing', async (request) => leavePlace(request))
    // An answer may take its time, too. But one that was only given up leaves its query in the pool's queue.
    app.addHook('onSend', async (request) => {
      if (!request.isGivenUp) leavePlace(request)
    })
    app.addHook('onRoute', (route) => {
      const { handler, config } = route
      if (config?.withoutDatabase) return
      route.handler = async function (request, reply) {
        takePlace(request)
        try {
          return await handler.call(this, request, reply)
        } finally {
          leavePlace(request)
        }
      }
    })
  },
  { name: 'request-limit', dependencies: ['mode', 'handler-timeout'] },
)
