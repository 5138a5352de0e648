import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'

/**
 * The largest body of a request that nobody has signed, in bytes: the longest password and username that a form can hold, in
 * percent-encoding. Whatever is larger is refused before it is parsed.
 */
export const MAX_PUBLIC_BODY_BYTES = 16 * 1024

/** Bounds the bodies that are read from clients that have not signed in: small ones for public routes, none where there is no route. */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      if (route.schema?.security?.length === 0) route.bodyLimit = MAX_PUBLIC_BODY_BYTES
    })
    // The handler of an unknown path would be called only after the body was read.
    app.addHook('onRequest', async (request) => {
      if (request.is404) throw new ApiError('not_found')
    })
  },
  { name: 'public-bodies' },
)
