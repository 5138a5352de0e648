import fp from 'fastify-plugin'

/**
 * Lets a request without a body carry a `Content-Type` where the route takes no body: many clients send it with every DELETE.
 * Where a body is expected, an empty one is still refused.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', async ({ headers, routeOptions }) => {
      const length = headers['content-length']
      const isEmpty =
        headers['transfer-encoding'] === undefined && (length === undefined || Number(length) === 0)
      if (!isEmpty || routeOptions.schema?.body !== undefined) return
      delete headers['content-type']
      // Fastify knows an empty body by "0" alone, not by "00".
      delete headers['content-length']
    })
  },
  { name: 'empty-bodies' },
)
