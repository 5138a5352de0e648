import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { batched } from '../lib/batch.js'
import { within } from '../lib/deadline.js'
import { Feed } from '../feed/feed.js'
import { POLL_MS } from '../feed/poll.js'
import { Tail } from '../feed/tail.js'
import { ForkedLog, findEvents, readEvents, readWriters } from '../store/events.js'

/** Timeout of a query to the log, in ms. */
const READ_DEADLINE_MS = 5000

/**
 * Sends the event log to clients. They receive only what is in the log, so all a writer can do is trigger a
 * read.
 */
export interface Broadcaster {
  readonly feed: Feed
  /** Triggers a read of the log after a commit, on this instance and on the others. */
  poll(): void
  /** The number of open streams. */
  readonly clients: number
  /** The cursor of the last settled event that this instance has read. */
  readonly head: string
  /** How long visible events have been held back by a missing id, in ms. */
  readonly lagMs: number
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly sse: Broadcaster
  }
}

/** Decorates `sse`: the tail that follows the log, and the feed that sends it to the subscribers. */
export default fp(
  async (app) => {
    const { config, instances, mode } = app
    const onError = (err: unknown) => app.log.warn({ err }, 'failed to read the event log')

    const withDeadline = <T>(query: Promise<T>) => within(READ_DEADLINE_MS, query)

    /**
     * Reads the log. If the database server was promoted or recovered, the pulse adopts the log before it is
     * read again.
     */
    async function readLog<T>(read: () => Promise<T>): Promise<T> {
      try {
        return await withDeadline(read())
      } catch (err) {
        if (!(err instanceof ForkedLog)) throw err
        await app.pulse()
        return withDeadline(read())
      }
    }

    const find = batched(
      async (ids: readonly number[]) => {
        const { checks, ...found } = await readLog(() => findEvents(app.feedDb, [...new Set(ids)]))
        return ids.map((id) => ({ ...found, check: checks.get(id) }))
      },
      { maxBatchSize: 1000, paceMs: 100 },
    )

    const feed = new Feed(
      {
        heartbeatMs: config.HEARTBEAT_MS,
        read: (after, upTo, limit) => readLog(() => readEvents(app.feedDb, after, upTo, limit)),
        find,
        poll: () => tail.poll(),
        onError,
      },
      { mode: mode.current },
    )
    const tail: Tail = new Tail(
      {
        read: async (after, limit) => {
          const page = await readLog(() => readEvents(app.feedDb, after, Number.MAX_SAFE_INTEGER, limit))
          feed.onRead(page.prunedTo)
          return page
        },
        writers: () => withDeadline(readWriters(app.feedDb)),
      },
      feed,
      onError,
    )

    mode.onChange((current) => feed.broadcastState({ mode: current }))

    const polling = setInterval(() => void tail.poll(), POLL_MS)

    await tail.start()
    await instances.join({ watchers: () => feed.clients, poll: () => void tail.poll() })

    app.decorate('sse', {
      feed,
      poll() {
        void tail.poll()
        instances.notify()
      },
      get clients() {
        return feed.clients
      },
      get head() {
        return feed.head
      },
      get lagMs() {
        return tail.lagMs
      },
    })

    // Not in onClose: that runs only after every request has ended, and an open stream is a request.
    app.addHook('preClose', async () => {
      mode.drain()
      await delay(config.DRAIN_DELAY_MS)
      feed.end()
    })
    app.addHook('onClose', async () => {
      clearInterval(polling)
      await tail.stop()
    })
  },
  { name: 'sse', dependencies: ['database', 'mode', 'instances'] },
)
