import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'

/**
 * Requests that may be waiting for the database at a time. Ten sessions answer a thousand ordinary ones in about a tenth
 * of a second; whoever came after them would wait for nothing but his own timeout.
 */
const MOST_REQUESTS = 1000

/** Refuses requests at once while so many wait for the pool that another would only wait in vain. */
export default fp(
  async (app) => {
    const lookedUp = new Set<FastifyRequest>()
    const inWork = new Set<FastifyRequest>()

    function takePlace(request: FastifyRequest, places: Set<FastifyRequest>): void {
      if (lookedUp.size + inWork.size >= MOST_REQUESTS) throw new ApiError('overloaded')
      places.add(request)
    }

    // Who asks is looked up in the same database. After that the body may take its time, and holds no place.
    app.addHook('onRequest', async (request) => {
      if (!request.routeOptions.config.withoutDatabase && !request.is404) takePlace(request, lookedUp)
    })
    app.addHook('preParsing', async (request) => {
      lookedUp.delete(request)
    })
    // An answer may take its time, too. But one that was only given up leaves its query in the pool's queue.
    app.addHook('onSend', async (request) => {
      lookedUp.delete(request)
      if (!request.isGivenUp) inWork.delete(request)
    })
    app.addHook('onRoute', (route) => {
      const { handler, config } = route
      if (config?.withoutDatabase) return
      route.handler = async function (request, reply) {
        takePlace(request, inWork)
        try {
          return await handler.call(this, request, reply)
        } finally {
          inWork.delete(request)
        }
      }
    })
  },
  { name: 'request-limit', dependencies: ['mode', 'handler-timeout'] },
)
