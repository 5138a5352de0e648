import { connect } from '../../store/driver/connect.js'
import { compile } from './harness/compile.js'
import { eventually } from '../harness/eventually.js'
import { type Database, startPostgres } from '../harness/postgres.js'
import { processorTime } from './harness/processes.js'
import { Program } from '../harness/program.js'
import type { Question } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { startSilo } from './harness/silo.js'
import { openPool, siloRequest } from './harness/streams.js'
import { Watchers, clock } from './harness/watchers.js'

/** Number of events that the ring holds at least. */
const RING = 16_000

/** Writes `events` events by creating as many items. */
async function fillLog({ url }: Database, events: number): Promise<void> {
  const sql = connect(url, 1)
  await sql`
    insert into items (part_number, description)
    select 'BENCH-' || n, 'Hexagon socket head cap screw, M6 x 20, ISO 4762, steel 8.8, zinc plated'
      from generate_series(1, ${events}::integer) n
  `
  await sql.end()
}

/** Returns the processor time that the service's database connections have used, in ms. */
async function databaseTime({ superuserUrl }: Database): Promise<number> {
  const sql = connect(superuserUrl, 1)
  const sessions = await sql<{ pid: number }[]>`
    select pid
      from pg_stat_activity
     where datname = current_database()
       and pid <> pg_backend_pid()
       and backend_type = 'client backend'
  `
  await sql.end()
  return processorTime(sessions.map(({ pid }) => pid))
}

const replay: Question = {
  title: 'Replay of 100,000 events, to one client and to 100 at once',
  method:
    'From the first connection until the last client has received the last event, including authorisation. ' +
    'psql reads the same rows in the same order and discards them. Measured after a first replay to one ' +
    'client, so that Node has compiled the code; the pages that it read do not fit into the cache of ' +
    'pages. The ring: the newest 16,000 events, which the service has in memory, to one client. The ' +
    'processor time of the database is that of the connections of the service during the replay.',
  metrics: [
    { name: 'events, one client', unit: '/s', better: 'higher' },
    { name: 'events, 100 clients', unit: '/s', better: 'higher' },
    { name: 'database, one client', unit: 'ms', better: 'lower' },
    { name: 'database, 100 clients', unit: 'ms', better: 'lower' },
  ],
  targets: [
    { metric: 'events, one client', side: 'Silo', goal: { ratio: 0.5, to: { side: 'psql' } } },
    {
      metric: 'database, 100 clients',
      side: 'Silo',
      goal: { ratio: 3, to: { metric: 'database, one client' } },
    },
  ],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope)
    const events = scope.size(100_000, 10_000)
    const template = await postgres.createDatabase(scope)
    await scope.within(60_000, async (inner) => {
      await startSilo(inner, template)
      await fillLog(template, events)
    })

    const replayTo = (connections: number) =>
      scope.within(60_000, async (inner) => {
        const database = await postgres.createDatabase(inner, template)
        const silo = await startSilo(inner, database)
        const requests = [siloRequest(silo, '?since=earliest')]
        const { port } = silo
        const warmUp = await Watchers.start(inner, { program, port, requests, connections: 1, events })
        await warmUp.done()
        const before = await databaseTime(database)
        const watchers = await Watchers.start(inner, { program, port, requests, connections, events })
        const { began, last } = await watchers.done()
        const perSecond = (connections * events * 1000) / ((last.at(-1) ?? NaN) - began)
        return { perSecond, database: (await databaseTime(database)) - before }
      })

    const replayOfRing = async (inner: Scope) => {
      const database = await postgres.createDatabase(inner, template)
      const silo = await startSilo(inner, database)
      const send = openPool(inner, silo.port, 1)
      const headers = { authorization: silo.authorization, accept: 'application/json' }
      const headOf = async () =>
        (JSON.parse(await send('GET', '/api/events?last=1', headers)) as { head: string }).head
      const before = await headOf()
      const sql = connect(database.url, 1)
      inner.defer(() => sql.end({ timeout: 1 }))
      await sql`
        insert into items (part_number, description)
        select 'NEW-' || n, 'Hexagon socket head cap screw, M6 x 20, ISO 4762, steel 8.8, zinc plated'
          from generate_series(1, ${RING}::integer) n
      `
      const [log] = await sql<{ newest: number }[]>`select max(id) as newest from events`
      const isReached = (head: string) => Number(head.split('-')[1]) >= (log?.newest ?? 0)
      await eventually('the log is read', async () => isReached(await headOf()))
      const requests = [siloRequest(silo, `?since=${before}`)]
      const watchers = await Watchers.start(inner, {
        program,
        port: silo.port,
        requests,
        connections: 1,
        events: RING,
      })
      const { began, last } = await watchers.done()
      return { 'events, one client': (RING * 1000) / ((last.at(-1) ?? NaN) - began) }
    }

    return [
      {
        name: 'Silo',
        async measure() {
          const one = await replayTo(1)
          const hundred = await replayTo(100)
          return {
            'events, one client': one.perSecond,
            'events, 100 clients': hundred.perSecond,
            'database, one client': one.database,
            'database, 100 clients': hundred.database,
          }
        },
      },
      { name: 'its ring', measure: replayOfRing },
      {
        name: 'psql',
        async measure(inner) {
          const { hostname, port, username, password, pathname } = new URL(template.url)
          const env = {
            PGHOST: hostname,
            PGPORT: port,
            PGUSER: username,
            PGPASSWORD: password,
            PGDATABASE: pathname.slice(1),
          }
          const select = 'select id, type, part_number, data, at from events order by id'
          const began = clock()
          const psql = await Program.start(inner, 'psql', ['-XAtq', '-o', '/dev/null', '-c', select], { env })
          await psql.done()
          return { 'events, one client': (events * 1000) / (clock() - began) }
        },
      },
    ]
  },
}

export default replay
