import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'

/** The hooks of a route that writes items. */
export interface ItemWrite {
  /** Requires the role `editor`. */
  onRequest: onRequestHookHandler
  /** Refuses the request while the server is read-only. */
  preHandler: () => Promise<void>
  /**
   * Triggers a read of the log, so that the events of the write are sent at once instead of by the next poll.
   * A refused request has written nothing; after a server error that is not known.
   */
  onResponse: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Options of every route that writes items: `app.post(path, { ...app.itemWrite, schema }, handler)`. */
    readonly itemWrite: ItemWrite
  }
}

/** Decorates `itemWrite`, the options of every route that writes items. */
export default fp(
  async (app) => {
    app.decorate('itemWrite', {
      onRequest: app.requireRole('editor'),
      preHandler: app.requireWritable,
      onResponse: async (_request, { statusCode }) => {
        if (statusCode < 400 || statusCode >= 500) app.sse.poll()
      },
    })
  },
  { name: 'item-write', dependencies: ['auth', 'mode', 'sse'] },
)
