import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { isCursorParameter } from '../lib/cursor-parameters.js'
import { escapeSeparators } from '../lib/line-separators.js'
import { EventPage, EventQuery, LastEventId, MAX_WAIT_S } from '../schemas/events.js'
import { EventAdmission } from './event-admission.js'
import { readEventPage } from './event-page.js'
import { prefersPage, readCursor, readFilter } from './event-parameters.js'
import { openStream, sendStreamHead, streamTimeouts } from './event-stream.js'

const isClientError = (error: Error): boolean =>
  'statusCode' in error && typeof error.statusCode === 'number' && error.statusCode < 500

/** `GET /api/events`: the live feed as a stream, or pages of the same log for clients that prefer JSON. */
const events: FastifyPluginAsyncTypebox = async (app) => {
  const admission = new EventAdmission(app)
  const timeouts = streamTimeouts(app.config)

  app.get(
    '/api/events',
    {
      // A page reserves its memory once its events are read: a long poll that waits needs none.
      config: { withoutDatabase: true, timeoutMs: 1000 * (MAX_WAIT_S + 15), responseBytes: 0 },
      onRequest: [
        async (_request, reply) => void reply.header('vary', 'Accept'),
        async (request, reply) => admission.admit(request, reply),
        app.requireRole('viewer'),
        async (request, reply) => admission.admitUser(request, reply),
      ],
      // The database can fail while the client is authenticated or its cursor is located, before the mode
      // shows that.
      errorHandler: (error, request, reply) => {
        if (prefersPage(request) || isClientError(error)) throw error
        request.log.warn({ err: error }, 'failed to open a stream')
        void admission.refuseUnavailable(request, reply)
      },
      // The events are JSON from the log. Fastify's serializer would match each of them against the schema of
      // each type of event.
      serializerCompiler: () => (page) => escapeSeparators(JSON.stringify(page)),
      // `readCursor` reads the cursor from the raw request, in any spelling. The schema must not reject a
      // repeated parameter.
      preValidation: async ({ query }) => {
        for (const name of Object.keys(query))
          if (isCursorParameter(name)) Reflect.deleteProperty(query, name)
      },
      schema: {
        tags: ['feed'],
        summary: 'Every change, live (text/event-stream) or in pages (application/json)',
        errors: ['database_unavailable', 'overloaded'],
        querystring: EventQuery,
        headers: LastEventId,
        response: {
          200: {
            description:
              'The live stream (WHATWG HTML, section 9.2), or a page for clients that prefer JSON.',
            content: {
              'text/event-stream': { schema: Type.String() },
              'application/json': { schema: EventPage },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { query } = request
      if (prefersPage(request)) return readEventPage(app, request, query, reply)
      const filter = readFilter(query)
      const cursor = readCursor(request)
      if (request.method === 'HEAD') return sendStreamHead(reply)
      const start = await app.sse.feed.locate(cursor)
      await openStream(app, request, reply, { filter, start, timeouts })
    },
  )
}

export default events
