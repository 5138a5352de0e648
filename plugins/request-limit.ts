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
    const inHand = new Set<FastifyRequest>()

    // After the body has arrived: those who send it slowly hold nothing that others wait for.
    app.addHook('preValidation', async (request) => {
      if (request.routeOptions.config.withoutDatabase) return
      if (inHand.size >= MOST_REQUESTS) throw new ApiError('overloaded')
      inHand.add(request)
    })
    app.addHook('onResponse', async (request) => {
      inHand.delete(request)
    })
  },
  { name: 'request-limit', dependencies: ['mode'] },
)
