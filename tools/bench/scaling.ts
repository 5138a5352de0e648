import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { compile } from './harness/compile.js'
import { publishPaced } from './harness/paced.js'
import { type Database, startPostgres } from '../harness/postgres.js'
import { processorTime } from './harness/processes.js'
import type { Figures, Question, Side } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { type Silo, startSilo } from './harness/silo.js'
import { createItem, siloRequest } from './harness/streams.js'
import { Watchers } from './harness/watchers.js'
import { latencies } from './harness/latency.js'

const INSTANCES = [1, 2, 4, 8]
const PER_SECOND = 50
const IDLE_MS = 10_000

/** The load that all instances together have caused on the database so far. */
interface Cost {
  at: number
  sessions: number
  transactions: number
  cpuMs: number
}

async function costOf({ superuserUrl }: Database): Promise<Cost> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => undefined })
  try {
    const sessions = await sql<{ pid: number }[]>`
      select pid
        from pg_stat_activity
       where datname = current_database()
         and pid <> pg_backend_pid()
         and backend_type = 'client backend'
    `
    const [row] = await sql<{ transactions: number }[]>`
      select (xact_commit + xact_rollback)::float8 as transactions
        from pg_stat_database
       where datname = current_database()
    `
    if (!row) throw new Error('no statistics')
    const cpuMs = await processorTime(sessions.map(({ pid }) => pid))
    return { at: performance.now(), sessions: sessions.length, transactions: row.transactions, cpuMs }
  } finally {
    await sql.end()
  }
}

const since = (from: Cost, to: Cost) => {
  const seconds = (to.at - from.at) / 1000
  return {
    transactions: (to.transactions - from.transactions) / seconds,
    cpu: (to.cpuMs - from.cpuMs) / seconds / 10,
  }
}

async function measure(
  scope: Scope,
  program: string,
  database: Database,
  instances: number,
): Promise<Figures> {
  const silos: Silo[] = []
  for (let i = 0; i < instances; i++) silos.push(await startSilo(scope, database))
  const [first] = silos
  const last = silos.at(-1)
  if (!first || !last) throw new RangeError('no instances')
  // The subscriber connects before the measurement, so that opening its stream is not part of the figures.
  const create = createItem(scope, first)
  const count = scope.size(20, 4) * PER_SECOND
  const watchers = await Watchers.open(scope, {
    program,
    port: last.port,
    requests: [siloRequest(last)],
    connections: 1,
    events: count,
  })
  const idleFrom = await costOf(database)
  await delay(scope.size(IDLE_MS, 2000))
  const idle = since(idleFrom, await costOf(database))

  const busyFrom = await costOf(database)
  const called = await publishPaced(create, count, PER_SECOND)
  const busyTo = await costOf(database)
  const busy = since(busyFrom, busyTo)
  const { last: seen } = await watchers.done()
  const { p50 = NaN, p99 = NaN } = latencies(called, seen, PER_SECOND)
  return {
    'database connections': busyTo.sessions,
    'transactions, idle': idle.transactions,
    'transactions, writing': busy.transactions,
    'processor, idle': idle.cpu,
    'processor, writing': busy.cpu,
    p50,
    p99,
  }
}

const scaling: Question = {
  title: 'What instances cost the one database',
  method:
    `Instances on one database, all on this machine: idle, and while one of them serves ${PER_SECOND} ` +
    'creates a second. The processor time is that of their connections in PostgreSQL, in percent of one ' +
    'core. p50 and p99 are measured from a request to the first instance until a subscriber of the last ' +
    'instance has received the event.',
  metrics: [
    { name: 'database connections', unit: '', better: 'lower' },
    { name: 'transactions, idle', unit: '/s', better: 'lower' },
    { name: 'transactions, writing', unit: '/s', better: 'lower' },
    { name: 'processor, idle', unit: '%', better: 'lower' },
    { name: 'processor, writing', unit: '%', better: 'lower' },
    { name: 'p50', unit: 'ms', better: 'lower' },
    { name: 'p99', unit: 'ms', better: 'lower' },
  ],
  targets: [],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const server = await startPostgres(scope, { max_connections: '200' })
    return INSTANCES.map((instances): Side => ({
      name: instances === 1 ? '1 instance' : `${instances} instances`,
      measure: async (inner) => measure(inner, program, await server.createDatabase(inner), instances),
    }))
  },
}

export default scaling
