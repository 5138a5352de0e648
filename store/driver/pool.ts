import { type ConnectOptions, type Database, type Sql, connect } from './connect.js'

type Transaction = Parameters<Parameters<Sql['begin']>[1]>[0]

/** A database connection of a pool: a driver's pool of size one. */
export interface Session {
  sql: Sql
  /** Runs a query on the connection, as the driver would have. */
  run: (query: Query) => void
  /** The number of queries, and of transactions, that have not settled. */
  running: number
  /** When the connection was last idle, or last settled a query, by `performance.now`. */
  lastActiveAt: number
}

/** A query of the driver. A fragment of another query is one, too, but is never awaited. */
export type Query = Promise<unknown> & {
  /** Runs the query once it is awaited. */
  handler: unknown
  /** Set once the query has been sent. */
  state: unknown
  /** Cancels the query. */
  canceller: (query: Query) => Promise<void>
}

/** Whether a value is a query of the driver. */
export const isQuery = (made: unknown): made is Query =>
  made instanceof Promise && 'handler' in made && 'state' in made && 'canceller' in made

/**
 * Opens a database connection.
 * @throws {TypeError} when the undocumented fields of the driver's queries have changed
 */
export function openSession(database: Database, options: ConnectOptions = {}): Session {
  const sql = connect(database, 1, options)
  const query: unknown = sql``
  if (!isQuery(query) || typeof query.handler !== 'function' || typeof query.canceller !== 'function')
    throw new TypeError('the driver has changed')
  const { handler } = query
  return { sql, run: (query) => void Reflect.apply(handler, undefined, [query]), running: 0, lastActiveAt: 0 }
}

/** A pool that routes each query to one of its connections. */
export type Pool = Sql & {
  /** How long all connections have been busy without settling a query, in ms; 0 while one is idle. */
  readonly stalledMs: number
}

/**
 * Opens a pool of at most `max` connections, each opened when it is first needed. A query goes to the
 * connection with the fewest queries.
 *
 * postgres.js compacts its queues of connections only when they become empty, and searches them linearly with
 * each query, so queries get slower over time (docs/decisions/0012). So each connection is a driver's pool of
 * size one.
 * @throws {TypeError} when the undocumented fields of the driver's queries have changed
 */
export function openPool(database: Database, max: number, options: ConnectOptions = {}): Pool {
  const first = openSession(database, options)
  const sessions = [first, ...Array.from({ length: max - 1 }, () => openSession(database, options))]

  function leastBusy(): Session {
    let found = first
    for (const session of sessions) {
      if (session.running === 0) return session
      if (session.running < found.running) found = session
    }
    return found
  }

  function begin(session: Session): void {
    if (session.running === 0) session.lastActiveAt = performance.now()
    session.running++
  }

  function settle(session: Session): void {
    session.running--
    session.lastActiveAt = performance.now()
  }

  function dispatch(query: Query): void {
    const session = leastBusy()
    const settled = () => settle(session)
    begin(session)
    query.then(settled, settled)
    session.run(query)
  }

  /**
   * Runs a transaction. It counts as one query, however long it takes; others are sent to its connection only
   * if no connection has fewer.
   */
  async function transact<T>(work: (tx: Transaction) => Promise<T>) {
    const session = leastBusy()
    begin(session)
    try {
      return await session.sql.begin(work)
    } finally {
      settle(session)
    }
  }

  const end: Sql['end'] = async (options) => {
    await Promise.all(sessions.map(({ sql }) => sql.end(options)))
  }
  const own = {
    begin: transact,
    end,
    get stalledMs() {
      const now = performance.now()
      return Math.min(
        ...sessions.map(({ running, lastActiveAt }) => (running === 0 ? 0 : now - lastActiveAt)),
      )
    },
  }
  const pool: unknown = new Proxy(first.sql, {
    apply(target, self, args) {
      const made: unknown = Reflect.apply(target, self, args)
      if (isQuery(made)) made.handler = dispatch
      return made
    },
    get: (target, name): unknown => Reflect.get(Object.hasOwn(own, name) ? own : target, name),
  })
  return pool as Pool
}
