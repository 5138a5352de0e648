import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { parseCursor } from '../feed/cursor.js'
import { singleFlight } from '../lib/single-flight.js'
import { findPruneEdge, pruneEvents } from '../store/events.js'

/** Maximum number of events that one statement deletes. */
const BATCH = 1000
/** Maximum interval between two runs, in ms. */
const MAX_INTERVAL_MS = 60_000
/** Minimum interval between two runs, in ms. */
const MIN_INTERVAL_MS = 1000

/**
 * Deletes events that are older than `EVENT_RETENTION_HOURS`. Every instance does, and concurrent runs are
 * harmless.
 */
export default fp(
  async (app) => {
    const ageSeconds = app.config.EVENT_RETENTION_HOURS * 3600
    let closing = false

    async function deleteOld(): Promise<void> {
      const settled = parseCursor(app.sse.head)?.id ?? 0
      while (!closing) {
        const edge = await findPruneEdge(app.feedDb, ageSeconds, settled, BATCH)
        if (!edge) return
        if (edge.ahead) {
          app.log.warn(
            edge.ahead,
            'deleting an event with a time in the future: the clock of the database was ahead when it ' +
              'was written',
          )
        }
        const began = performance.now()
        if ((await pruneEvents(app.feedDb, edge)) < BATCH) return
        // Pause three times as long as the batch took, which leaves 75 % of the time to writers.
        await delay(3 * (performance.now() - began))
      }
    }
    const prune = singleFlight(() =>
      deleteOld().catch((err: unknown) => app.log.warn({ err }, 'failed to delete old events')),
    )

    const timer = setInterval(
      () => {
        if (app.mode.refusal) return
        void prune()
      },
      Math.max(MIN_INTERVAL_MS, Math.min(MAX_INTERVAL_MS, ageSeconds * 100)),
    )
    app.addHook('onClose', async () => {
      closing = true
      clearInterval(timer)
      await prune.idle()
    })
  },
  { name: 'retention', dependencies: ['sse'] },
)
