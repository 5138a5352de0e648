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
      const { handler, config } = route
      if (config?.withoutDatabase) return
      route.handler = async function (request, reply) {
        takePlace(request, 'handler')
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
