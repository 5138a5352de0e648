import { randomUUID } from 'node:crypto'
import fp from 'fastify-plugin'
import { singleFlight } from '../lib/single-flight.js'
import type { Sql } from '../store/driver/connect.js'
import { notifyInstances } from '../store/events.js'
import { type Others, reportWatchers } from '../store/instances.js'

/** How often an instance reports its number of open streams and checks that it is still listening, in ms. */
const REPORT_MS = 2000
/** An instance that has not reported for this long counts as gone, in s. */
const TTL_S = 10

/** The callbacks of this instance. */
export interface Participant {
  /** Returns the number of open streams on this instance. */
  watchers(): number
  /** Called when another instance may have committed events. */
  poll(): void
}

/** The instances on this database, and the notifications between them. */
export interface Instances {
  /** The other instances, as of the last report; undefined before the first one. */
  readonly others: Others | undefined
  /** Registers this instance. Resolves once it listens to the others, or the attempt to listen has failed. */
  join(participant: Participant): Promise<void>
  /** Notifies the other instances to read the log. */
  notify(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly instances: Instances
  }
}

/** Decorates `instances`: reports this instance in the database, and notifies the others through it. */
export default fp(
  async (app) => {
    const { mode } = app
    /** Identifies this instance; different at each start. */
    const id = randomUUID()

    // One notification at a time; all commits meanwhile share the next one. NOTIFY takes a lock on the whole
    // database.
    let notifying = false
    let notifyAgain = false
    async function notifyOthers(): Promise<void> {
      notifyAgain = true
      if (notifying) return
      notifying = true
      try {
        while (notifyAgain) {
          notifyAgain = false
          await notifyInstances(app.feedDb, id)
        }
      } catch (err) {
        app.log.debug({ err }, 'failed to notify other instances; they will read the log at their next poll')
      } finally {
        notifying = false
      }
    }

    /**
     * The pool through which this instance listens. The pool is replaced when the database was unreachable or
     * has changed.
     */
    let listeningBy: Sql | undefined
    const mayListen = () => !mode.databaseLost && mode.refusal !== 'standby' && listeningBy !== app.feedDb
    async function listen(participant: Participant): Promise<void> {
      const by = app.feedDb
      listeningBy = by
      try {
        await by.listen(
          'silo_events',
          (sender) => {
            // This instance has read the log already for its own commits. A notification of the trigger, for
            // a write in SQL, has no id.
            if (sender !== id) participant.poll()
          },
          // Notifications that were sent while the connection was down are not repeated.
          () => participant.poll(),
        )
      } catch (err) {
        if (listeningBy === by) listeningBy = undefined
        app.log.warn({ err }, 'failed to listen for notifications; the log is still polled')
      }
    }

    let others: Others | undefined
    let watchers = () => 0
    const report = singleFlight(async () => {
      try {
        others = await reportWatchers(app.feedDb, { id, watchers: watchers() }, TTL_S)
      } catch (err) {
        app.log.warn({ err }, 'failed to report to other instances')
      }
    })

    let timer: NodeJS.Timeout | undefined
    app.addHook('onClose', async () => {
      clearInterval(timer)
      await report.idle()
    })

    app.decorate('instances', {
      get others() {
        return others
      },
      async join(participant) {
        watchers = () => participant.watchers()
        mode.onChange(() => {
          if (mayListen()) void listen(participant)
        })
        timer = setInterval(() => {
          if (mode.databaseLost) return
          if (mayListen()) void listen(participant)
          // A report is a write.
          if (mode.refusal) return
          void report()
        }, REPORT_MS)
        if (mayListen()) await listen(participant)
      },
      notify() {
        void notifyOthers()
      },
    })
  },
  { name: 'instances', dependencies: ['database', 'mode'] },
)
