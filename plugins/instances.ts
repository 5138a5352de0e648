import fp from 'fastify-plugin'
import { type Others, reportWatchers } from '../store/instances.js'

/** How often an instance tells the others how many watch here, in ms. */
const REPORT_MS = 2000
/** An instance that has not reported for this long is gone, in seconds. */
const TTL_S = 10

declare module 'fastify' {
  interface FastifyInstance {
    /** The other instances, as they were a few seconds ago; undefined as long as nobody has looked. */
    readonly others: Others | undefined
  }
}

/** Decorates `others`, from what the instances tell each other through the database. */
export default fp(
  async (app) => {
    let others: Others | undefined
    let reporting: Promise<void> | undefined

    async function report(): Promise<void> {
      if (app.mode.databaseLost) return
      try {
        others = await reportWatchers(app.feedDb, { id: app.sse.instance, watchers: app.sse.clients }, TTL_S)
      } catch (err) {
        app.log.warn({ err }, 'what the other instances do is not known')
      }
    }

    app.decorate('others', { getter: () => others })

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
  { name: 'instances', dependencies: ['database', 'mode', 'sse'] },
)
