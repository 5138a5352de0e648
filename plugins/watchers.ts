import { randomUUID } from 'node:crypto'
import fp from 'fastify-plugin'
import { reportWatchers } from '../store/instances.js'

/** How often an instance tells the others how many watch here, in ms. */
const REPORT_MS = 2000
/** An instance that has not reported for this long is gone, in seconds. */
const TTL_S = 10

declare module 'fastify' {
  interface FastifyInstance {
    /** How many streams are open on all instances; what the others say is a few seconds old. */
    readonly watchers: number
  }
}

/** Decorates `watchers`, from what the instances tell each other through the database. */
export default fp(
  async (app) => {
    const id = randomUUID()
    let others = 0
    let reporting: Promise<void> | undefined

    async function report(): Promise<void> {
      if (app.mode.databaseLost) return
      try {
        others = await reportWatchers(app.feedDb, { id, watchers: app.sse.clients }, TTL_S)
      } catch (err) {
        app.log.warn({ err }, 'how many watch elsewhere is not known')
      }
    }

    app.decorate('watchers', { getter: () => app.sse.clients + others })

    const timer = setInterval(() => {
      reporting ??= report().finally(() => {
        reporting = undefined
      })
    }, REPORT_MS)
    app.addHook('onClose', async () => {
      clearInterval(timer)
      await reporting
    })
  },
  { name: 'watchers', dependencies: ['database', 'mode', 'sse'] },
)
