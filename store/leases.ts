import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectOptions, Database, Sql } from './driver/connect.js'
import { type Query, type Session, isQuery, openSession } from './driver/pool.js'

/** Interval at which cancelling a query that has not been sent yet is retried, in ms. */
const CANCEL_RETRY_MS = 50

/**
 * Leases database connections, each to one caller at a time, so that a query can be cancelled: PostgreSQL
 * cancels whatever a connection is running, and on a connection of `openPool` that can be the query of
 * another request (docs/decisions/0029).
 */
export class Leases {
  readonly #sessions: Session[]
  readonly #idle: Session[]

  constructor(database: Database, max: number, options: ConnectOptions = {}) {
    this.#sessions = Array.from({ length: max }, () => openSession(database, options))
    this.#idle = [...this.#sessions]
  }

  /**
   * Calls `work` with a connection of its own. When `signal` aborts, the running queries are cancelled and
   * further ones are refused. The caller must not make more concurrent calls than there are connections. The
   * call settles once its connection is free.
   * @throws the reason of `signal` for a query that it cancels or prevents
   */
  async run<T>(signal: AbortSignal, work: (sql: Sql) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const session = this.#idle.pop()
    if (!session) throw new Error('more leases are taken than there are connections')
    const running = new Set<Query>()
    const canceling: Promise<void>[] = []
    const cancel = () => {
      for (const query of running) canceling.push(cancelQuery(query, running))
    }
    const begun = () => {
      if (signal.aborted) cancel()
    }
    signal.addEventListener('abort', cancel, { once: true })
    try {
      return await work(leased(session, signal, running, begun))
    } catch (err) {
      throw signal.aborted ? (signal.reason as Error) : err
    } finally {
      signal.removeEventListener('abort', cancel)
      // A late cancellation would cancel a query of the next caller.
      await Promise.allSettled([...running, ...canceling])
      this.#idle.push(session)
    }
  }

  /** Closes all connections. */
  async end(options: { timeout: number }): Promise<void> {
    await Promise.all(this.#sessions.map(({ sql }) => sql.end(options)))
  }
}

/**
 * Returns the connection of `session`. A query is in `running` for as long as it runs, and `begun` is called
 * for each.
 */
function leased(session: Session, signal: AbortSignal, running: Set<Query>, begun: () => void): Sql {
  function dispatch(query: Query): void {
    const settled = () => void running.delete(query)
    running.add(query)
    query.then(settled, settled)
    session.run(query)
    begun()
  }
  return new Proxy(session.sql, {
    apply(target, self, args) {
      signal.throwIfAborted()
      const made: unknown = Reflect.apply(target, self, args)
      if (isQuery(made)) made.handler = dispatch
      return made
    },
  })
}

/**
 * Cancels a query once it has been sent. A query that is cancelled earlier makes the driver lose the
 * connection that it opens for the query (docs/decisions/0029).
 */
async function cancelQuery(query: Query, running: Set<Query>): Promise<void> {
  while (running.has(query)) {
    if (query.state) return query.canceller(query)
    await delay(CANCEL_RETRY_MS)
  }
}
