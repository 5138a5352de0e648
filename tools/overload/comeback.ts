import { execFile } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Program } from '../harness/program.js'
import { startPostgres } from '../harness/postgres.js'
import type { Scope } from '../harness/scope.js'
import { connect, type Sql } from '../../store/driver/connect.js'
import { Member, all, findWrong, percentiles } from './crowd.js'
import type { Experiment, Findings } from './findings.js'
import { Service, createPeople } from './service.js'

/** Timeout until every client has received the events that it missed, in ms. */
const SERVED_TIMEOUT_MS = 60_000
/**
 * Maximum time until every client has received the events that it missed, as a multiple of the time that a
 * bare server takes in the same run. It is far above the measured ratio (docs/reliability.md), because the
 * kernel repeats a connection attempt beyond the backlog only after 1, 3, 7 and 15 s.
 */
const MAX_TIMES_BARE = 6
/**
 * Maximum number of SQL statements while the service starts, and in each second after that, however many
 * clients reconnect.
 */
const ASKED = { atStart: 60, aSecond: 40 }
/** Number of different positions at which the clients disconnect, one event apart. */
const SPREAD = 200
/** File descriptors that a process needs in addition to those of the clients. */
const OTHER_FILES = 100
const MISSED = 20

const write = (sql: Sql, name: string, count: number) =>
  sql`
    insert into items (part_number)
    select ${name}::text || '-' || n from generate_series(1, ${count}::integer) n
  `

const readHead = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ id: number }[]>`select max(id) as id from events`
  return row?.id ?? 0
}

async function readCalls(sql: Sql): Promise<{ query: string; calls: number }[]> {
  return sql<{ query: string; calls: number }[]>`
    select s.query, s.calls
      from pg_stat_statements s
      join pg_database d on d.oid = s.dbid
     where d.datname = current_database()
       and s.toplevel
       and s.userid <> current_user::regrole
       -- What a write makes its triggers do is the writer's.
       and s.query !~* '^(insert into (events|past_revisions)|select 1 from only)'
     order by s.calls desc
  `
}

async function openFilesLimit(): Promise<number> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ulimit -n'])
  return stdout.trim() === 'unlimited' ? Infinity : Number(stdout)
}

/** Connects `count` clients to a bare server at once. Returns when each had received its events, in ms. */
async function measureBare(scope: Scope, count: number): Promise<number[]> {
  return scope.within(2 * SERVED_TIMEOUT_MS, async (inner) => {
    const program = await Program.node(inner, 'dist/tools/overload/bare-server.js', [
      `${MISSED}`,
      `${MISSED}`,
    ])
    const [, port] = await program.printed(/^port (\d+)$/m)
    const crowd = Array.from({ length: count }, () => new Member(Number(port), 'none'))
    inner.defer(() => {
      for (const member of crowd) member.leave()
    })
    const began = performance.now()
    for (const member of crowd) {
      member.awaited = MISSED
      member.connect()
    }
    await all(crowd, ({ reachedAt }) => reachedAt !== undefined, SERVED_TIMEOUT_MS)
    return crowd.map(({ reachedAt = Infinity }) => reachedAt - began)
  })
}

/**
 * Lets `count` clients reconnect after one restart. Returns how many statements the service sent from its
 * start until every client was served.
 */
async function comeBack(scope: Scope, findings: Findings, count: number): Promise<number> {
  const server = await startPostgres(scope, { shared_preload_libraries: 'pg_stat_statements' })
  const database = await server.createDatabase(scope)
  const first = await Service.start(scope, database.url)
  const admin = connect(database.superuserUrl, 2)
  scope.defer(() => admin.end({ timeout: 1 }))
  await admin.unsafe('create extension pg_stat_statements')
  const crowd = (await createPeople(admin, count)).map((token) => new Member(first.port, token))
  scope.defer(() => {
    for (const member of crowd) member.leave()
  })

  findings.progress(`connecting ${count}`)
  for (const [i, member] of crowd.entries()) {
    member.leavesAfter = 1 + (i % SPREAD)
    member.connect()
    if (i % 100 === 99) await delay(20)
  }
  const unconnected = await all(crowd, ({ position }) => position !== undefined, 60_000)
  findings.bound(unconnected === 0, `${unconnected} of ${count} could not connect at first`)
  for (let i = 0; i < SPREAD / 20; i++) await write(admin, `before-${i}`, 20)
  const staying = await all(crowd, ({ isOpen }) => !isOpen, 60_000)
  findings.bound(staying === 0, `${staying} of ${count} did not receive all events before the restart`)
  findings.progress('killing the service, and reconnecting all clients')
  await first.kill()
  await write(admin, 'missed', MISSED)
  const missedTo = await readHead(admin)

  const bare = percentiles(await measureBare(scope, count))

  await admin`select pg_stat_statements_reset()`
  const started = performance.now()
  const second = await Service.start(scope, database.url, {}, first.port)
  const began = performance.now()
  for (const member of crowd) {
    member.leavesAfter = Infinity
    member.awaited = missedTo
    member.connect()
  }
  // Write while the clients reconnect, so that they resume from a log that grows.
  const over = new AbortController()
  const writing = (async () => {
    for (let i = 0; !over.signal.aborted; i++) {
      await write(admin, `live-${i}`, 1)
      await delay(100)
    }
  })()
  const late = await all(crowd, ({ reachedAt }) => reachedAt !== undefined, SERVED_TIMEOUT_MS)
  const { cpuMs } = await second.usage()
  const calls = await readCalls(admin)
  const askedAtMost = ASKED.atStart + (ASKED.aSecond * (performance.now() - started)) / 1000
  over.abort()
  await writing
  const head = await readHead(admin)
  const behind = await all(crowd, ({ position = 0 }) => position >= head, 60_000)

  const served = percentiles(crowd.map(({ reachedAt = Infinity }) => reachedAt - began))
  const wrong = await findWrong(admin, crowd)
  const closed = crowd.filter(({ isOpen }) => !isOpen)
  const asked = calls.reduce((sum, { calls }) => sum + calls, 0)
  findings.figure(`${count} reconnect: last one served after, ms`, served.most)
  findings.figure(`${count} reconnect: half of them served after, ms`, served.median)
  findings.figure(`${count} reconnect to a bare server: all of them served after, ms`, bare.most)
  findings.figure(`${count} reconnect to a bare server: half of them served after, ms`, bare.median)
  findings.figure(`${count} reconnect: processor time of the service since its start, ms`, cpuMs)
  findings.figure(`${count} reconnect: statements`, asked)
  findings.bound(
    closed.length === 0,
    `${closed.length} of ${count} were closed or refused: ${closed[0]?.ending ?? ''}`,
  )
  findings.bound(late === 0, `${late} of ${count} were never served`)
  // With few clients, on a machine with other work, the time means nothing.
  findings.bound(
    scope.settings.quick || served.most <= MAX_TIMES_BARE * bare.most,
    `the last of ${count} was served after ${Math.round(served.most)} ms, ` +
      `with a bare server after ${Math.round(bare.most)} ms`,
  )
  findings.bound(behind === 0, `${behind} of ${count} did not receive the last event`)
  findings.bound(wrong === undefined, wrong ?? '')
  const list = calls.map(({ query, calls }) => `${calls} × ${query}`).join('\n')
  findings.bound(
    asked <= askedAtMost,
    `${asked} statements, more than ${Math.round(askedAtMost)}, for ${count}:\n${list}`,
  )
  findings.bound(second.program.running, 'the service ended')
  return asked
}

/** All clients reconnect at once after the service was killed, each from its own position. */
const comeback: Experiment = async (scope, findings) => {
  const files = await openFilesLimit()
  const most = Math.min(scope.size(10_000, 400), files - OTHER_FILES)
  if (most < scope.size(10_000, 400))
    findings.figure(`"ulimit -n" is ${files}, so no more clients reconnect than`, most)
  for (const count of [scope.size(1000, 100), most]) {
    await scope.within(300_000, (inner) => comeBack(inner, findings, count))
  }
}

export default comeback
