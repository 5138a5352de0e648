import fp from 'fastify-plugin'
import { type Sql, connect, openHosts } from '../store/driver/connect.js'
import { makeClassesFast } from '../store/driver/fast-classes.js'
import type { Hosts } from '../store/driver/hosts.js'
import { Leases } from '../store/leases.js'
import { migrate } from '../store/migrate.js'
import { type Pool, openPool } from '../store/driver/pool.js'
import { demandOwnConnections, quoteName } from '../store/preflight.js'
import { DISK_PROBE_SETTINGS } from '../store/server.js'

/** Connections for requests. */
const REQUEST_SESSIONS = 10
/** Connections for the feed and the background tasks. */
const FEED_SESSIONS = 3
/** Connections for authentication. */
const ACCESS_SESSIONS = 2
/** Connections for imports. */
const IMPORT_SESSIONS = 3
/** Connections for lists, searches and batches of an export: the number that run at a time. */
export const LIST_SESSIONS = 4

/**
 * Timeout after which the server ends a statement. Longer than any request waits: for statements whose
 * cancellation was lost, and those of a process that has ended.
 */
const STATEMENT_TIMEOUT = '60s'
/** The same for imports, which may take ten minutes. */
const IMPORT_STATEMENT_TIMEOUT = '11min'

declare module 'fastify' {
  interface FastifyInstance {
    /** The connection pool of requests. */
    readonly db: Pool
    /**
     * The connections of the tail, of replays and of background tasks: queued requests never delay an event.
     */
    readonly feedDb: Sql
    /** The connections for reading credentials and signing in: queued requests never block authentication. */
    readonly accessDb: Sql
    /** The connections of imports. An import holds one while its rows are written. */
    readonly importDb: Sql
    /** The connections of lists, which `runList` leases. */
    readonly listDb: Leases
    /** The one connection of the pulse. */
    readonly pulseDb: Sql
    /**
     * Tries the hosts with new connections and selects one. Returns whether it accepts writes, and whether it
     * is another one than before (`isOther`).
     */
    selectHost(): Promise<{ writable: boolean; isOther: boolean }>
    /**
     * Replaces all connections. Queries on the old ones fail after `graceSeconds`. Without a grace period,
     * which is the default, they fail at once, and a host is selected again if there are several.
     */
    renewDatabase(graceSeconds?: number): void
  }
}

/**
 * Checks the database and migrates the schema. Returns the schema's name.
 * @throws {StartError} if the database can't be used, or is behind a pooler in transaction mode
 */
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

/** Decorates the connection pools, migrates the schema, and closes the connections after the last request. */
export default fp(
  async (app) => {
    const hosts = openHosts(app.config.DATABASE_URL)
    await hosts.select()
    const schema = await prepare(hosts)
    // pg_temp comes last: without it, PostgreSQL would search temporary tables before the schema.
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
          .catch((err: unknown) => app.log.warn({ err }, 'failed to close a lost database connection'))
      }
    })
    app.addHook('onClose', async () => {
      hosts.close()
      await Promise.all(Object.values(current).map((pool) => pool.end({ timeout: 1 })))
    })
  },
  { name: 'database' },
)
