import fp from 'fastify-plugin'

/** What the answer to anything says of caches, unless its route says otherwise: a browser keeps no item after signing out. */
export const CACHE_CONTROL = 'no-store'

/** Sends `Cache-Control` with every answer. The files of the pages, which hold no data, and streams have their own. */
export default fp(
  async (app) => {
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', CACHE_CONTROL)
    })
  },
  { name: 'cache-control' },
)
