import { connect } from '../../store/driver/connect.js'
import { compile } from './harness/compile.js'
import { QUANTILES, commitTimes, latencies } from './harness/latency.js'
import { publishPaced } from './harness/paced.js'
import { type Database, startPostgres } from '../harness/postgres.js'
import type { Question } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { startSilo } from './harness/silo.js'
import { createItem, dataOf, siloRequest, startNodeStream, startSiloStream } from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

const PER_SECOND = 100
const connections = 100

async function openLog(scope: Scope, { url }: Database) {
  const sql = connect(url, 4)
  scope.defer(() => sql.end({ timeout: 1 }))
  await sql`create table bench_log (id bigint generated always as identity primary key, data text not null)`
  return async (serial: number) => {
    await sql`
      with said as (insert into bench_log (data) values (${dataOf(serial)}) returning data)
      select pg_notify('bench', data) from said
    `
  }
}

const instances: Question = {
  title: "One instance's change to another instance's subscribers",
  method:
    '100 changes a second by `POST /api/items` to one instance, and 100 subscribers of another, on one ' +
    'database. Bare: the change and its `NOTIFY` are one statement, and a listening process writes the ' +
    'payload to its subscribers, without a log or cursors: notifications that are sent while it is down ' +
    'are lost. Both are measured from the timestamp that PostgreSQL records for the commit, before its ' +
    'flush, until the last subscriber has received the event.',
  rounds: 5,
  metrics: QUANTILES,
  targets: [{ metric: 'p99', side: 'Silo', goal: { ratio: 2, to: { side: 'bare LISTEN/NOTIFY' } } }],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope, { track_commit_timestamp: 'on' })
    const seconds = scope.size(12, 3)
    const events = PER_SECOND * seconds
    const watch = (inner: Scope, port: number, request: string) =>
      Watchers.open(inner, { program, port, requests: [request], connections, events })
    return [
      {
        name: 'Silo',
        async measure(inner) {
          const written = await startSiloStream(inner, postgres)
          const watched = await startSilo(inner, written.database)
          const watchers = await watch(inner, watched.port, siloRequest(watched))
          await publishPaced(createItem(inner, written), events, PER_SECOND)
          const { last } = await watchers.done()
          return latencies(await commitTimes(written.database, 'events'), last, PER_SECOND)
        },
      },
      {
        name: 'bare LISTEN/NOTIFY',
        async measure(inner) {
          const database = await postgres.createDatabase(inner)
          const publish = await openLog(inner, database)
          const { port, request } = await startNodeStream(inner, 'listen', database.url)
          const watchers = await watch(inner, port, request)
          await publishPaced(publish, events, PER_SECOND)
          const { last } = await watchers.done()
          return latencies(await commitTimes(database, 'bench_log'), last, PER_SECOND)
        },
      },
    ]
  },
}

export default instances
