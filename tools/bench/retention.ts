import postgres from 'postgres'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { fillCatalogue, insertUpdates } from './harness/catalogue.js'
import { type Database, startPostgres } from '../harness/postgres.js'
import { publishPaced } from './harness/paced.js'
import type { Figures, Question } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { startSilo } from './harness/silo.js'
import { quantile } from './harness/statistics.js'
import { createItem } from './harness/streams.js'
import { clock } from './harness/watchers.js'

const PER_SECOND = 100
const WARM_UP = 200

/** Creates items at an even pace. Returns how long each took after the warm-up, in ms. */
async function writeTimes(
  scope: Scope,
  silo: Parameters<typeof createItem>[1],
  count: number,
): Promise<number[]> {
  const create = createItem(scope, silo)
  const times: number[] = []
  await publishPaced(
    async (serial) => {
      const began = clock()
      await create(serial)
      times.push(clock() - began)
    },
    count,
    PER_SECOND,
  )
  return times.slice(WARM_UP)
}

/** Vacuums the log. Returns its size on the disk, index included, and the number of its events. */
async function sizeOf({ superuserUrl }: Database): Promise<{ bytes: number; events: number }> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => undefined })
  // The first vacuum empties pages of the index. The second one frees them, which is allowed once a later
  // transaction has begun, because a running scan may still visit these pages.
  await sql.unsafe('vacuum events')
  await sql`select pg_current_xact_id()`
  await sql.unsafe('vacuum events')
  const [row] = await sql<{ bytes: number; events: number }[]>`
    select pg_total_relation_size('events')::float8 as bytes, (select count(*)::float8 from events) as events
  `
  await sql.end()
  if (!row) throw new Error('no size')
  return row
}

/** Writes as many events as were pruned. Returns the size of the log then, divided by `before`. */
async function refill(database: Database, before: number, events: number): Promise<number> {
  const sql = postgres(database.superuserUrl, { max: 1, onnotice: () => undefined })
  await sql.unsafe(insertUpdates(10_000), [events, 0])
  await sql.end()
  return (await sizeOf(database)).bytes / before
}

const retention: Question = {
  title: 'Pruning of old events',
  method:
    `${PER_SECOND} creates a second at a fixed rate, whether or not earlier ones are done. On one side the ` +
    'log retains everything; on the other the service prunes 1,000,000 old events meanwhile. Then the log ' +
    'is vacuumed twice, as autovacuum does repeatedly, and as many events as were pruned are written ' +
    'again: the space is the size of the log then, relative to its size before the pruning.',
  metrics: [
    { name: 'p50', unit: 'ms', better: 'lower' },
    { name: 'p99', unit: 'ms', better: 'lower' },
    { name: 'pruned', unit: '/s', better: 'higher' },
    { name: 'space', unit: '×', better: 'lower' },
  ],
  targets: [
    { metric: 'p99', side: 'pruning', goal: { ratio: 1.3, to: { side: 'keeping' } } },
    { metric: 'space', side: 'pruning', goal: { value: 1.05 } },
  ],
  async sides(scope) {
    const server = await startPostgres(scope)
    const template = await server.createDatabase(scope)
    const sql = connect(template.url, 1)
    await migrate(sql)
    await sql.end()
    const events = scope.size(1_000_000, 50_000)
    await fillCatalogue(template, { items: 10_000, revisions: 1, events })
    const measure = async (inner: Scope, hours: number): Promise<Figures> => {
      const database = await server.createDatabase(inner, template)
      const before = await sizeOf(database)
      const silo = await startSilo(inner, database, { EVENT_RETENTION_HOURS: String(hours) })
      const seconds = inner.size(30, 5)
      const times = await writeTimes(inner, silo, seconds * PER_SECOND)
      const after = await sizeOf(database)
      const pruned = before.events + seconds * PER_SECOND - after.events
      return {
        p50: quantile(times, 0.5),
        p99: quantile(times, 0.99),
        pruned: pruned / seconds,
        ...(pruned > 0 && { space: await refill(database, before.bytes, pruned) }),
      }
    }
    return [
      { name: 'keeping', measure: (inner) => measure(inner, 876_000) },
      // So short that the service searches for old events every second.
      { name: 'pruning', measure: (inner) => measure(inner, 0.002) },
    ]
  },
}

export default retention
