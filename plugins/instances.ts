import { randomUUID } from 'node:crypto'
import fp from 'fastify-plugin'
import type { Sql } from '../store/connect.js'
import { notifyLooks } from '../store/events.js'
import { type Others, reportWatchers } from '../store/instances.js'

/** How often an instance tells the others how many watch here, and sees to it that it hears them, in ms. */
const REPORT_MS = 2000
/** An instance that has not reported for this long is gone, in seconds. */
const TTL_S = 10
/** An instance that was heard is among those that have reported by then, in ms. */
const NEWCOMER_MS = 10_000

/** What an instance does for the others. */
export interface Participant {
  /** Says how many watch here. */
  watchers(): number
  /** Something may have been committed elsewhere. */
  look(): void
}

/** The instances on this database, and what they tell each other through it. */
export interface Instances {
  /** The others, as they were a few seconds ago; undefined as long as nobody has looked. */
  readonly others: Others | undefined
  /** Makes this instance one of them. Resolves when it hears the others, or has tried to. */
  join(participant: Participant): Promise<void>
  /** Makes the others look, where there are any. */
  announce(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly instances: Instances
  }
}

/** Decorates `instances`. */
export default fp(
  async (app) => {
    const { mode } = app
    /** Names this instance among the others, anew at each start. */
    const id = randomUUID()

    // One notification at a time, and one more for all that was committed meanwhile: NOTIFY locks the whole database.
    let notifying = false
    let notifyAgain = false
    async function notify(): Promise<void> {
      notifyAgain = true
      if (notifying) return
      notifying = true
      try {
        while (notifyAgain) {
          notifyAgain = false
          await notifyLooks(app.feedDb, id)
        }
      } catch (err) {
        app.log.debug({ err }, 'the other instances will notice by their poll')
      } finally {
        notifying = false
      }
    }

    /** When another instance was last heard, by `performance.now`. */
    let lastHeard = -Infinity
    /** The pool by which this instance listens: another one takes its place when the database was lost or has changed. */
    let listeningBy: Sql | undefined
    const mayListen = () => !mode.databaseLost && mode.refusal !== 'standby' && listeningBy !== app.feedDb
    async function listen(participant: Participant): Promise<void> {
      const by = app.feedDb
      listeningBy = by
      try {
        const hear = (speaker: string) => {
          // For what it says itself it has looked before.
          if (speaker === id) return
          // The database's own clients have no name.
          if (speaker !== '') lastHeard = performance.now()
          participant.look()
        }
        const greet = () => {
          // What was notified while the session was down is not repeated.
          participant.look()
          void notify()
        }
        await by.listen('silo_events', hear, greet)
      } catch (err) {
        listeningBy = undefined
        app.log.warn({ err }, 'not listening for other instances; the poll goes on')
      }
    }

    let others: Others | undefined
    async function report(participant: Participant): Promise<void> {
      try {
        others = await reportWatchers(app.feedDb, { id, watchers: participant.watchers() }, TTL_S)
      } catch (err) {
        app.log.warn({ err }, 'what the other instances do is not known')
      }
    }

    let timer: NodeJS.Timeout | undefined
    let reporting: Promise<void> | undefined
    app.addHook('onClose', async () => {
      clearInterval(timer)
      await reporting
    })

    app.decorate('instances', {
      get others() {
        return others
      },
      async join(participant) {
        mode.onChange(() => {
          if (mayListen()) void listen(participant)
        })
        timer = setInterval(() => {
          if (mode.databaseLost) return
          if (mayListen()) void listen(participant)
          // To report is to write.
          if (mode.refusal) return
          reporting ??= report(participant).finally(() => {
            reporting = undefined
          })
        }, REPORT_MS)
        if (mayListen()) await listen(participant)
      },
      announce() {
        const alone = others?.instances === 0 && performance.now() - lastHeard > NEWCOMER_MS
        if (!alone) void notify()
      },
    })
  },
  { name: 'instances', dependencies: ['database', 'mode'] },
)
