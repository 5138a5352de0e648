import fp from 'fastify-plugin'
import { type Sql, connect, openHosts } from '../store/connect.js'
import { makeClassesFast } from '../store/fast-classes.js'
import type { Hosts } from '../store/hosts.js'
import { Leases } from '../store/leases.js'
import { migrate } from '../store/migrate.js'
import { type Pool, openPool } from '../store/pool.js'
import { demandOwnConnections, quoteName } from '../store/preflight.js'
import { DISK_PROBE_SETTINGS } from '../store/server.js'

const REQUEST_SESSIONS = 10
const FEED_SESSIONS = 3
const ACCESS_SESSIONS = 2
const IMPORT_SESSIONS = 3
/** How many lists, searches and batches of an export are read at a time. */
export const LIST_SESSIONS = 4

/**
 * After this the server itself ends a statement: longer than any request waits, for statements whose cancellation was lost and for
 * those of a process that is gone.
 */
const STATEMENT_TIMEOUT = '60s'
/** The same for imports, which may take ten minutes. */
const IMPORT_STATEMENT_TIMEOUT = '11min'

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
    /** The one connection of the pulse. */
    readonly pulseDb: Sql
    /** Asks the hosts, by new connections, whether one takes writes, and selects it; `isOther` tells that it is not the one that was used. */
    selectHost(): Promise<{ writable: boolean; isOther: boolean }>
    /** Drops every connection at once and opens others, to another host where there is one: what hangs on a dead server fails now, or after `graceSeconds`. */
    renewDatabase(graceSeconds?: number): void
  }
}

/** Brings the schema up to date, and gives back its name. */
async function prepare(hosts: Hosts): Promise<string> {
  const [sql, other] = [connect(hosts, 1), connect(hosts, 1)]
  try {
    await demandOwnConnections(sql, other)
    await makeClassesFast(sql)
    return await migrate(sql)
  } finally {
    await Promise.all([sql, other].map((pool) => pool.end({ timeout: 1 })))
  }
}

/** Decorates the `db` pool, brings the schema up to date, and ends the sessions after the last request. */
export default fp(
  async (app) => {
    const hosts = openHosts(app.config.DATABASE_URL)
    await hosts.select()
    const schema = await prepare(hosts)
    // One schema, and last the connection's own temporary tables, which would otherwise be found before all.
    const settings = {
      search_path: `${quoteName(schema)}, pg_temp`,
      statement_timeout: STATEMENT_TIMEOUT,
    }
    const open = () => ({
      db: openPool(hosts, REQUEST_SESSIONS, { settings }),
      feedDb: openPool(hosts, FEED_SESSIONS, { settings }),
      accessDb: openPool(hosts, ACCESS_SESSIONS, { settings }),
      importDb: openPool(hosts, IMPORT_SESSIONS, {
        settings: { ...settings, statement_timeout: IMPORT_STATEMENT_TIMEOUT },
      }),
      listDb: new Leases(hosts, LIST_SESSIONS, { settings }),
      pulseDb: connect(hosts, 1, { settings: { ...settings, ...DISK_PROBE_SETTINGS } }),
    })
    let current = open()

    app.decorate('db', { getter: () => current.db })
    app.decorate('feedDb', { getter: () => current.feedDb })
    app.decorate('accessDb', { getter: () => current.accessDb })
    app.decorate('importDb', { getter: () => current.importDb })
    app.decorate('listDb', { getter: () => current.listDb })
    app.decorate('pulseDb', { getter: () => current.pulseDb })
    app.decorate('selectHost', async () => {
      const before = hosts.selected
      const { writable, endpoint } = await hosts.select()
      return { writable, isOther: before !== undefined && before.host !== endpoint.host }
    })
    app.decorate('renewDatabase', (graceSeconds = 0) => {
      const lost = Object.values(current)
      if (graceSeconds === 0) hosts.forget()
      current = open()
      for (const pool of lost) {
        pool
          .end({ timeout: graceSeconds })
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
