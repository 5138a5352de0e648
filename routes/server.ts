import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ServerState } from '../schemas/mode.js'
import { ServerStateChange, ServerStatus } from '../schemas/server.js'
import { writeMode } from '../store/server.js'

/** The mode that holds on every instance. */
const server: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/server/mode',
    {
      schema: {
        tags: ['server'],
        summary: "This instance's mode, and how many watch",
        response: { 200: ServerStatus },
      },
      onRequest: app.requireRole('viewer'),
    },
    async () => ({
      mode: app.mode.current,
      watchers: app.sse.clients + (app.instances.others?.watchers ?? 0),
    }),
  )

  app.put(
    '/api/server/mode',
    {
      schema: {
        tags: ['server'],
        summary: 'Choose the mode of all instances; the answer is what holds on this one',
        errors: ['forbidden', 'database_unavailable'],
        body: ServerStateChange,
        response: { 200: ServerState },
      },
      onRequest: app.requireRole('admin'),
    },
    async (request) => {
      await writeMode(app.db, request.principal, request.body.mode)
      // The first may be a pulse that began before the write; the second can't be.
      await app.pulse()
      await app.pulse()
      return { mode: app.mode.current }
    },
  )
}

export default server
