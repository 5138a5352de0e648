import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Health, Readiness, ReadyQuery } from '../schemas/server.js'

/**
 * How long every connection of the request pool may be busy without a response before the instance is not
 * ready, in ms.
 */
const STALLED_MS = 5000

/** Health checks for load balancers: whether the process is alive, and whether it is ready for requests. */
const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/health',
    {
      schema: {
        tags: ['health'],
        summary: 'Check whether the process is alive',
        security: [],
        response: { 200: Health },
      },
      config: { withoutDatabase: true, anyHost: true },
    },
    async () => ({ status: 'ok' as const, mode: app.mode.current }),
  )

  app.get(
    '/ready',
    {
      schema: {
        tags: ['health'],
        summary: 'Check whether this instance is ready for requests',
        security: [],
        querystring: ReadyQuery,
        response: { 200: Readiness, 503: Readiness },
      },
      config: { withoutDatabase: true, anyHost: true },
    },
    async (request, reply) => {
      await app.pulse()
      const { current: mode, databaseLost, refusal } = app.mode
      const stalled = app.db.stalledMs > STALLED_MS
      const isDatabaseReady = !databaseLost && !stalled
      const ready = mode !== 'draining' && (isDatabaseReady || request.query.degraded === 'ok')
      const reachable = stalled ? ('stalled' as const) : refusal ? ('read-only' as const) : ('ok' as const)
      return reply.code(ready ? 200 : 503).send({
        status: ready ? ('ok' as const) : ('unavailable' as const),
        mode,
        database: databaseLost ? ('lost' as const) : reachable,
        sse_clients: app.sse.clients,
        event_log: { head: app.sse.head, lag_ms: app.sse.lagMs },
      })
    },
  )
}

export default health
