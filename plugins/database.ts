import fp from 'fastify-plugin'
import { type Sql, openHosts } from '../store/connect.js'
import { makeClassesFast } from '../store/fast-classes.js'
import { Leases } from '../store/leases.js'
import { migrate } from '../store/migrate.js'
import { type Pool, openPool } from '../store/pool.js'

const REQUEST_SESSIONS = 10
const FEED_SESSIONS = 3
const ACCESS_SESSIONS = 2
const IMPORT_SESSIONS = 3
/** How many lists, searches and batches of an export are read at a time. */
export const LIST_SESSIONS = 4

declare module 'fastify' {
  interface FastifyInstance {
    /** The pool that requests share. */
    readonly db: Pool
    /** The few sessions of the tail, the replay and the pulse: a queue of requests never delays an event. */
    readonly feedDb: Sql
    /** The few sessions of sign-ins and of looking up credentials: a queue of requests keeps nobody out. */
    readonly accessDb: Sql
    /** The sessions of imports, each of which takes one for as long as its rows are written. */
    readonly importDb: Sql
    /** The sessions of lists, which `runList` hands out. */
    readonly listDb: Leases
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
      accessDb: openPool(hosts, ACCESS_SESSIONS),
      importDb: openPool(hosts, IMPORT_SESSIONS),
      listDb: new Leases(hosts, LIST_SESSIONS),
    })
    let current = open()
    await makeClassesFast(current.db)
    await migrate(current.db)

    app.decorate('db', { getter: () => current.db })
    app.decorate('feedDb', { getter: () => current.feedDb })
    app.decorate('accessDb', { getter: () => current.accessDb })
    app.decorate('importDb', { getter: () => current.importDb })
    app.decorate('listDb', { getter: () => current.listDb })
    app.decorate('renewDatabase', () => {
      const lost = Object.values(current)
      hosts.forget()
      current = open()
      for (const pool of lost) {
        pool
          .end({ timeout: 0 })
          .catch((err: unknown) => app.log.warn({ err }, 'ending a lost database session'))
      }
    })
    app.addHook('onClose', async () => {
      hosts.close()
      await Promise.all(Object.values(current).map((pool) => pool.end({ timeout: 1 })))
    })
  },
  { name: 'database' },
)
