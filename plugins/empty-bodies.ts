import fp from 'fastify-plugin'

/**
 * Accepts a request without a body but with a `Content-Type` on a route that takes no body: many clients send
 * the header with every DELETE. Where a body is expected, an empty one is still refused.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', async ({ headers, routeOptions }) => {
      const length = headers['content-length']
      const isEmpty =
        headers['transfer-encoding'] === undefined && (length === undefined || Number(length) === 0)
      if (!isEmpty || routeOptions.schema?.body !== undefined) return
      delete headers['content-type']
      // Fastify recognizes an empty body only by a length of "0", not "00".
      delete headers['content-length']
    })
  },
  { name: 'empty-bodies' },
)
