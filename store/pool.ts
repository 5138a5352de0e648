import { type ConnectOptions, type Database, type Sql, connect } from './connect.js'

type Transaction = Parameters<Parameters<Sql['begin']>[1]>[0]

export interface Session {
  sql: Sql
  /** Runs a query on it, as the driver would have. */
  run: (query: Query) => void
  /** Queries that it was given and has not answered. */
  running: number
  /** When it was last idle, or answered a query, by `performance.now`. */
  lastAnswer: number
}

/**
 * A query of the driver. Its `handler` runs it once it is awaited, `canceller` cancels it, and `state` is set once it has been sent. A
 * part of another query is one, too, and never awaited.
 */
export type Query = Promise<unknown> & {
  handler: unknown
  state: unknown
  canceller: (query: Query) => Promise<void>
}

export const isQuery = (made: unknown): made is Query =>
  made instanceof Promise && 'handler' in made && 'state' in made && 'canceller' in made

export function openSession(database: Database, options: ConnectOptions = {}): Session {
  const sql = connect(database, 1, options)
  const query: unknown = sql``
  if (!isQuery(query) || typeof query.handler !== 'function' || typeof query.canceller !== 'function')
    throw new TypeError('the driver has changed')
  const { handler } = query
  return { sql, run: (query) => void Reflect.apply(handler, undefined, [query]), running: 0, lastAnswer: 0 }
}

export type Pool = Sql & {
  /** For how long all connections have been busy without an answer to anybody, in ms; 0 while one is idle. */
  readonly stalledMs: number
}

/**
 * Opens a pool of at most `max` sessions that come as they are needed; a query goes to the one that has least to do.
 *
 * The driver's pool remembers every query since all of its sessions were busy, or none was, and searches what it remembers with
 * each: it gets slower from query to query (docs/decisions/0012). So each session is a pool of the driver's of its own, of one.
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
    if (session.running === 0) session.lastAnswer = performance.now()
    session.running++
  }

  function settle(session: Session): void {
    session.running--
    session.lastAnswer = performance.now()
  }

  function dispatch(query: Query): void {
    const session = leastBusy()
    const settled = () => settle(session)
    begin(session)
    query.then(settled, settled)
    session.run(query)
  }

  /** A transaction is one thing to do, however long it takes: nobody else is sent to its session while there is another. */
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
      return Math.min(...sessions.map(({ running, lastAnswer }) => (running === 0 ? 0 : now - lastAnswer)))
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
