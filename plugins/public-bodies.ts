import fp from 'fastify-plugin'

/**
 * Maximum size of a request body from an unauthenticated client, in bytes: fits the longest username and
 * password of a form, percent-encoded. A larger body is refused before it is parsed.
 */
export const MAX_PUBLIC_BODY_BYTES = 16 * 1024

/**
 * Limits the bodies of public routes, which are read from unauthenticated clients. Where there is no route,
 * no body is read (unknown-addresses.ts).
 */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      if (route.schema?.security?.length === 0) route.bodyLimit = MAX_PUBLIC_BODY_BYTES
    })
  },
  { name: 'public-bodies' },
)
