import { setTimeout as delay } from 'node:timers/promises'
import { startPostgres } from '../harness/postgres.js'
import { connect } from '../../store/driver/connect.js'
import { Member, all } from './crowd.js'
import type { Experiment } from './findings.js'
import { Service, createPeople } from './service.js'

const PLACES = 100
const ASKING = 300
/**
 * How many requests of one user may wait for memory for their responses (docs/decisions/0035). In addition, a
 * few requests hold such memory already and are not refused either.
 */
const WAITING = 1000
const REQUESTS = 1200
/**
 * How long `/health` is polled while the requests wait, in ms: less than the timeout of a waiting request.
 */
const WATCH_MS = 5000

/** Opens more streams than there are slots, and sends more requests than the pool can serve. */
const limits: Experiment = async (scope, findings) => {
  const server = await startPostgres(scope)
  const database = await server.createDatabase(scope)
  const service = await Service.start(scope, database.url, { SSE_MAX_CLIENTS: String(PLACES) })
  const sql = connect(database.url, 1)
  scope.defer(() => sql.end({ timeout: 1 }))
  const tokens = await createPeople(sql, ASKING)
  const members = tokens.map((token) => new Member(service.port, token))
  scope.defer(() => {
    for (const member of members) member.leave()
  })
  for (const member of members) member.connect()
  await all(members, ({ mode, isOpen }) => mode !== undefined || !isOpen, 30_000)
  const open = members.filter(({ isOpen, mode }) => isOpen && mode === 'normal').length
  const retries = members
    .filter(({ isOpen }) => !isOpen)
    .map(({ ending }) => Number(/^HTTP\/1\.1 200 [^]*\nretry: (\d+)\n/.exec(ending)?.[1]))
  const inBounds = retries.filter((ms) => ms >= 20_000 && ms <= 60_000).length
  const authorization = `Bearer ${tokens[0] ?? ''}`
  const page = await fetch(`${service.origin}/api/events`, {
    headers: { authorization, accept: 'application/json' },
  })
  await page.arrayBuffer()
  findings.figure(`${ASKING} streams for ${PLACES} slots: open`, open)
  findings.figure('  refused with status 200 and a retry delay', inBounds)
  findings.figure('  retry, shortest and longest, ms', `${Math.min(...retries)}, ${Math.max(...retries)}`)
  findings.figure(
    '  a page at the limit',
    `${page.status}, Retry-After: ${page.headers.get('retry-after') ?? 'none'}`,
  )
  findings.bound(
    open === PLACES && inBounds === ASKING - PLACES,
    `${open} streams were accepted, ${inBounds} refused with a retry delay`,
  )
  findings.bound(
    new Set(retries).size > retries.length / 2,
    'the retry delays of the refused clients are not spread',
  )
  findings.bound(
    page.status === 503 && page.headers.has('retry-after'),
    `a page had the status ${page.status}`,
  )

  await sql`insert into items (part_number) values ('A-1')`
  await sql`begin`
  await sql`lock table items in access exclusive mode`
  const refusedAfter: number[] = []
  const began = performance.now()
  const requests = Array.from({ length: REQUESTS }, async () => {
    const asked = performance.now()
    const response = await fetch(`${service.origin}/api/items/A-1`, { headers: { authorization } })
    await response.arrayBuffer()
    const isRefused = response.status === 503 && response.headers.has('retry-after')
    if (isRefused) refusedAfter.push(performance.now() - asked)
    return { isRefused, isAnswered: response.status === 200 }
  })
  let slowest = 0
  while (performance.now() - began < WATCH_MS) {
    const asked = performance.now()
    const health = await fetch(`${service.origin}/health`)
    await health.arrayBuffer()
    findings.bound(health.status === 200, `/health responded with ${health.status}`)
    slowest = Math.max(slowest, performance.now() - asked)
    await delay(50)
  }
  const refused = refusedAfter.length
  await sql`commit`
  const ends = await Promise.all(requests)
  const answered = ends.filter(({ isAnswered }) => isAnswered).length
  findings.figure(`${REQUESTS} requests while the table is locked: refused immediately`, refused)
  findings.figure('  slowest refusal, ms', Math.max(...refusedAfter))
  findings.figure('  slowest response of /health, ms', slowest)
  findings.figure('  served once the table is unlocked', answered)
  // A request that waits until its timeout is refused, too. A slow machine can have some of these.
  findings.bound(
    refused > 0 &&
      refused <= REQUESTS - WAITING &&
      ends.every(({ isRefused, isAnswered }) => isRefused || isAnswered),
    `${refused} were refused, ${answered} served, ${REQUESTS - refusedAfter.length - answered} neither`,
  )
}

export default limits
