import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectOptions, Database, Sql } from './connect.js'
import { type Query, type Session, isQuery, openSession } from './pool.js'

/** How soon it is tried again to cancel a query that has not been sent yet, in ms. */
const CANCEL_RETRY_MS = 50

/**
 * Database connections that are leased, one caller at a time. So a query can be canceled: PostgreSQL cancels whatever a connection
 * runs, and on a connection of `openPool` that may be somebody else's query (docs/decisions/0029).
 */
export class Leases {
  readonly #sessions: Session[]
  readonly #idle: Session[]

  constructor(database: Database, max: number, options: ConnectOptions = {}) {
    this.#sessions = Array.from({ length: max }, () => openSession(database, options))
    this.#idle = [...this.#sessions]
  }

  /**
   * Calls `work` with a connection of its own. When `signal` aborts, what it runs is canceled, and it can't begin another query.
   * The caller sees to it that there are no more calls at a time than connections; a call has ended when its connection is free.
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
      // A cancellation that comes late would hit the next caller's query.
      await Promise.allSettled([...running, ...canceling])
      this.#idle.push(session)
    }
  }

  async end(options: { timeout: number }): Promise<void> {
    await Promise.all(this.#sessions.map(({ sql }) => sql.end(options)))
  }
}

/** The connection of `session`, which keeps its queries in `running` for as long as they run, and calls `begun` for each. */
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

/** Cancels a query once it has been sent: the driver loses a connection that it opens for a query that is canceled before. */
async function cancelQuery(query: Query, running: Set<Query>): Promise<void> {
  while (running.has(query)) {
    if (query.state) return query.canceller(query)
    await delay(CANCEL_RETRY_MS)
  }
}
