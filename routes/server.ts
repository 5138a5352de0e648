import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ServerState } from '../schemas/mode.js'
import { ServerStateChange, ServerStatus } from '../schemas/server.js'
import { writeMode } from '../store/server.js'

/** Routes to read the mode of this instance, and to set the mode of all instances. */
const server: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/server/mode',
    {
      schema: {
        tags: ['server'],
        summary: 'Read the mode of this instance and the number of open streams',
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
        summary: 'Set the mode of all instances; the response is the mode of this one',
        errors: ['forbidden', 'database_unavailable'],
        body: ServerStateChange,
        response: { 200: ServerState },
      },
      onRequest: app.requireRole('admin'),
    },
    async (request) => {
      await writeMode(app.db, request.principal, request.body.mode)
      // The first call may join a pulse that began before the write. The second call waits for a pulse that
      // began after the write.
      await app.pulse()
      await app.pulse()
      return { mode: app.mode.current }
    },
  )
}

export default server
