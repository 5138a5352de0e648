import fp from 'fastify-plugin'

/** The default `Cache-Control`: a browser must not keep items after its user has signed out. */
export const CACHE_CONTROL = 'no-store'

/** Sends `Cache-Control` with every response. Static files, which hold no data, and streams set their own. */
export default fp(
  async (app) => {
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', CACHE_CONTROL)
    })
  },
  { name: 'cache-control' },
)
