import postgres from 'postgres'
import { request } from 'undici'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { COMMON, PARTICULAR, RARE, type Size, fillCatalogue } from './harness/catalogue.js'
import { type Database, type DatabaseServer, startPostgres } from '../harness/postgres.js'
import type { Figures, Question, Side } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { type Silo, startSilo } from './harness/silo.js'
import { median } from './harness/statistics.js'
import { type Asked, askWithWrk } from './harness/wrk.js'

const FEW: Size = { items: 10_000, revisions: 5, events: 100_000 }
const MANY: Size = { items: 1_000_000, revisions: 5, events: 10_000_000 }
/** How many events a client that reconnects has missed. */
const MISSED = 500
const REPEATS = 40

/** Matches a plan that scans one of the growing tables as a whole. No plan may do so. */
const WHOLE = /Seq Scan on (?:items|past_revisions|events)\b/

interface Operation {
  name: string
  /** Matches the statement of the operation among those in the server's log. */
  statement: RegExp
  asked: (items: number, first: number) => Asked
}

const json = { 'content-type': 'application/json' }

/** The measured operations. Writes come first, so that the reads find the rows that they leave behind. */
const OPERATIONS: readonly Operation[] = [
  {
    name: 'create',
    statement: /insert into items/,
    asked: () => ({
      method: 'POST',
      path: '/api/items',
      headers: json,
      body: '{"part_number":"B-{n}","description":"Socket head cap screw M6 x 20"}',
      numbers: 1_000_000,
    }),
  },
  {
    name: 'change',
    statement: /update items/,
    asked: (items, first) => ({
      method: 'PUT',
      path: '/api/items/P-{n}',
      headers: json,
      body: `{"long_description":"Lot {n} of ${first}"}`,
      numbers: items,
    }),
  },
  {
    name: 'list of 50',
    statement: /from items\s+where\s+archived_at is null\s+order by/,
    asked: () => ({ method: 'GET', path: '/api/items?limit=50' }),
  },
  {
    name: 'newest 50',
    statement: /from items\s+where\s+archived_at is null\s+order by/,
    asked: () => ({ method: 'GET', path: '/api/items?limit=50&sort=-updated_at' }),
  },
  ...[PARTICULAR, COMMON, RARE].map((word): Operation => ({
    name: `search, "${word}"`,
    statement: /like lower\(/,
    asked: () => ({ method: 'GET', path: `/api/items?limit=50&search=${word}` }),
  })),
  {
    name: 'read',
    statement: /from items\s+where lower\(part_number\)/,
    asked: (items) => ({ method: 'GET', path: '/api/items/P-{n}', numbers: items }),
  },
  {
    name: 'history',
    statement: /from revisions/,
    asked: (items) => ({ method: 'GET', path: '/api/items/P-{n}/revisions', numbers: items }),
  },
]

/** Opens a stream that has missed events. Returns the time until the last of them arrives, in ms. */
async function reconnect({ origin, authorization }: Silo, { from, to }: Missed): Promise<number> {
  const began = performance.now()
  const { body } = await request(`${origin}/api/events`, {
    headers: { authorization, 'last-event-id': from },
  })
  let text = ''
  for await (const chunk of body) {
    text += String(chunk)
    if (text.includes(`id: ${to}\n`)) break
  }
  const ms = performance.now() - began
  body.destroy()
  return ms
}

/** Creates items one by one. Returns the time from each request to its event at a subscriber, in ms. */
async function follow({ origin, authorization }: Silo, serial: string): Promise<number[]> {
  const { body } = await request(`${origin}/api/events`, { headers: { authorization } })
  const times: number[] = []
  let text = ''
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  for (let i = 0; i < REPEATS; i++) {
    const part_number = `T-${serial}-${i}`
    const began = performance.now()
    const created = request(`${origin}/api/items`, {
      method: 'POST',
      headers: { authorization, ...json },
      body: JSON.stringify({ part_number }),
    })
    while (!text.includes(part_number)) text += String((await chunks.next()).value)
    times.push(performance.now() - began)
    await (await created).body.dump()
    text = ''
  }
  body.destroy()
  return times
}

/** The cursors of a client that has missed the newest events. */
interface Missed {
  from: string
  to: string
}

async function missNewest({ origin, authorization }: Silo): Promise<Missed> {
  const { body } = await request(`${origin}/api/events?last=${MISSED + 1}`, {
    headers: { authorization, accept: 'application/json' },
  })
  const { events, head } = (await body.json()) as { events: { id: string }[]; head: string }
  const [first] = events
  if (!first) throw new Error('the log holds no events')
  return { from: first.id, to: head }
}

/** Returns the plans that the server logged while `work` ran, each with its statement. */
async function plansOf({ superuserUrl }: Database, work: () => Promise<unknown>): Promise<string[]> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => undefined })
  try {
    const written = async () => {
      const [row] = await sql<{ log: string }[]>`select pg_read_file(pg_current_logfile()) as log`
      return row?.log ?? ''
    }
    const before = (await written()).length
    await work()
    const log = (await written()).slice(before)
    return log.split(/^(?=\d{4}-\d\d-\d\d )/m).filter((entry) => entry.includes('Query Text:'))
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const withoutPrefix = (entry: string): string => entry.slice(entry.indexOf('Query Text:')).trimEnd()

/**
 * Performs each operation once on a service whose statements are explained, and adds the plans to the report.
 * @throws {Error} when a plan is missing or scans a growing table as a whole
 */
async function explain(scope: Scope, database: Database, { items }: Size): Promise<void> {
  const sql = postgres(database.superuserUrl, { max: 1, onnotice: () => undefined })
  await sql.unsafe('alter role silo set auto_explain.log_min_duration = 0')
  // The service opens connections at any time, so the setting is reset after the service has ended.
  scope.defer(async () => {
    await sql.unsafe('alter role silo reset auto_explain.log_min_duration')
    await sql.end()
  })
  const silo = await startSilo(scope, database)
  const plans: [string, string | undefined][] = []
  const find = async (name: string, statement: RegExp, work: () => Promise<unknown>) => {
    const found = (await plansOf(database, work)).filter((entry) => statement.test(entry))
    plans.push([name, found.map(withoutPrefix).at(-1)])
  }
  const authorized = (asked: Asked): Asked => ({
    ...asked,
    headers: { ...asked.headers, authorization: silo.authorization },
  })
  // Before anything is written: new events would be served from memory.
  const missed = await missNewest(silo)
  await find('reconnect', /from events\s+where id >/, () => reconnect(silo, missed))
  for (const { name, statement, asked } of OPERATIONS) {
    const once = () =>
      askWithWrk(scope, silo.origin, authorized(asked(items, 3)), { connections: 1, seconds: 1, first: 0 })
    await find(name, statement, once)
  }
  await find('tail', /from events\s+where id >/, () => follow(silo, 'explained'))
  for (const [name, plan] of plans) {
    if (plan === undefined) throw new Error(`no plan of "${name}" was found in the server's log`)
    scope.note(`Plan with ${items.toLocaleString('en')} items: ${name}`, plan)
    if (WHOLE.test(plan)) throw new Error(`"${name}" reads a table whole:\n${plan}`)
  }
}

async function measure(scope: Scope, database: Database, { items }: Size, round: number): Promise<Figures> {
  const silo = await startSilo(scope, database)
  const headers = { authorization: silo.authorization }
  const figures: Record<string, number> = {}
  const missed = await missNewest(silo)
  const returns: number[] = []
  for (let i = 0; i < REPEATS; i++) returns.push(await reconnect(silo, missed))
  figures.reconnect = median(returns)
  for (const { name, asked } of OPERATIONS) {
    const wanted = asked(items, round)
    const all = { ...wanted, headers: { ...wanted.headers, ...headers } }
    const first = wanted.method === 'POST' ? 1_000_000 * round : 0
    await askWithWrk(scope, silo.origin, all, { connections: 1, seconds: scope.size(2, 1), first })
    const again = wanted.method === 'POST' ? first + 500_000 : 0
    const options = { connections: 1, seconds: scope.size(4, 1), first: again }
    figures[name] = (await askWithWrk(scope, silo.origin, all, options)).p50
  }
  figures.tail = median(await follow(silo, String(round)))
  return figures
}

async function fill(server: DatabaseServer, scope: Scope, size: Size): Promise<Database> {
  const database = await server.createDatabase(scope)
  const sql = connect(database.url, 1)
  await migrate(sql)
  await sql.end()
  const began = performance.now()
  await fillCatalogue(database, size)
  const seconds = Math.round((performance.now() - began) / 1000)
  scope.note(`Filling ${size.items.toLocaleString('en')} items`, `took ${seconds} s`)
  return database
}

const label = ({ items, revisions, events }: Size): string =>
  [items, items * revisions, events].map((count) => count.toLocaleString('en')).join(' / ')

const growth: Question = {
  title: 'Growth',
  method:
    `Items / revisions / events in the database. "${PARTICULAR}" is in ten items, "${COMMON}" in a fifth ` +
    `of them and "${RARE}" in one of a thousand, so its results, which are sorted, grow with the items. ` +
    'Requests: p50 over one connection of wrk, with the items in random order. Reconnect: until a client ' +
    `that missed ${MISSED} events has received the last one. Tail: from a \`POST\` until a subscriber has ` +
    'received its event. The plans are those that PostgreSQL logged (auto_explain) for the statements of ' +
    'the service; the benchmark fails if one of them scans a whole table.',
  metrics: [...OPERATIONS.map(({ name }) => name), 'reconnect', 'tail'].map((name) => ({
    name,
    unit: 'ms',
    better: 'lower',
  })),
  targets: [...OPERATIONS.map(({ name }) => name), 'reconnect', 'tail'].map((metric) => ({
    metric,
    side: label(MANY),
    goal: { ratio: 1.5, to: { side: label(FEW) } },
  })),
  async sides(scope) {
    const server = await startPostgres(scope, {
      shared_buffers: '1GB',
      max_wal_size: '8GB',
      logging_collector: 'on',
      log_rotation_size: '0',
      session_preload_libraries: 'auto_explain',
      'auto_explain.log_analyze': 'on',
      'auto_explain.log_buffers': 'on',
    })
    const many = scope.settings.quick ? { items: 30_000, revisions: 5, events: 300_000 } : MANY
    const databases = [
      { name: label(FEW), size: FEW, database: await fill(server, scope, FEW) },
      { name: label(MANY), size: many, database: await fill(server, scope, many) },
    ]
    for (const { database, size } of databases)
      await scope.within(300_000, (inner) => explain(inner, database, size))
    return databases.map(({ name, size, database }): Side => {
      let round = 0
      return { name, measure: (inner) => measure(inner, database, size, ++round) }
    })
  },
}

export default growth
