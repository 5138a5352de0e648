import fp from 'fastify-plugin'
import { type Sql, openHosts } from '../store/connect.js'
import { makeClassesFast } from '../store/fast-classes.js'
import { migrate } from '../store/migrate.js'
import { openPool } from '../store/pool.js'

const REQUEST_SESSIONS = 10
const FEED_SESSIONS = 3

declare module 'fastify' {
  interface FastifyInstance {
    /** The pool that requests share. */
    readonly db: Sql
    /** The few sessions of the tail, the replay and the pulse: a queue of requests never delays an event. */
    readonly feedDb: Sql
    /** Drops every connection at once and opens others, to another host where there is one: what hangs on a dead server fails now. */
    renewDatabase(): void
  }
}

/** Decorates the `db` pool, brings the schema up to date, and ends the sessions after the last request. */
export default fp(
  async (app) => {
    const hosts = openHosts(app.config.DATABASE_URL)
    await hosts.select()
    const open = () => ({
      db: openPool(hosts, REQUEST_SESSIONS),
      feedDb: openPool(hosts, FEED_SESSIONS),
    })
    let current = open()
    await makeClassesFast(current.db)
    await migrate(current.db)

    app.decorate('db', { getter: () => current.db })
    app.decorate('feedDb', { getter: () => current.feedDb })
    app.decorate('renewDatabase', () => {
      const { db, feedDb } = current
      hosts.forget()
      current = open()
      for (const sql of [db, feedDb]) {
        sql
          .end({ timeout: 0 })
          .catch((err: unknown) => app.log.warn({ err }, 'ending a lost database session'))
      }
    })
    app.addHook('onClose', async () => {
      hosts.close()
      await Promise.all([current.db.end({ timeout: 1 }), current.feedDb.end({ timeout: 1 })])
    })
  },
  { name: 'database' },
)
