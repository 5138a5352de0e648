import fp from 'fastify-plugin'

/**
 * The largest body of a request that nobody has signed, in bytes: the longest password and username that a form can hold, in
 * percent-encoding. Whatever is larger is refused before it is parsed.
 */
export const MAX_PUBLIC_BODY_BYTES = 16 * 1024

/** Bounds the bodies that are read from clients that have not signed in: small ones for public routes. Where there is no route, unknown-addresses.ts reads none. */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      if (route.schema?.security?.length === 0) route.bodyLimit = MAX_PUBLIC_BODY_BYTES
    })
  },
  { name: 'public-bodies' },
)
