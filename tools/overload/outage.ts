import { setTimeout as delay } from 'node:timers/promises'
import { Postgres } from '../harness/postgres-pair.js'
import { type Sql, connect } from '../../store/driver/connect.js'
import { Member, all, findWrong } from './crowd.js'
import type { Experiment } from './findings.js'
import { Service, createPeople } from './service.js'

/** How long until every client must know the mode and every request must have a response, in ms. */
const TOLD_MS = 2000
const WATCHERS = 50
const AWAY_MS = 4000

/** PostgreSQL freezes, is restarted and crashes, while streams are open and requests arrive. */
const outage: Experiment = async (scope, findings) => {
  const postgres = await Postgres.start()
  scope.defer(() => postgres.stop())
  const service = await Service.start(scope, postgres.url)
  const sql = connect(postgres.url, 1)
  scope.defer(() => sql.end({ timeout: 1 }))
  const tokens = await createPeople(sql, WATCHERS)
  const members = tokens.map((token) => new Member(service.port, token))
  scope.defer(() => {
    for (const member of members) member.leave()
  })
  for (const member of members) member.connect()
  await all(members, ({ mode }) => mode === 'normal', 10_000)

  const failures = {
    'frozen (SIGSTOP)': () => postgres.freeze(AWAY_MS),
    'stopped (fast) and started': () => postgres.restart('fast', AWAY_MS),
    'crashed (immediate) and started': () => postgres.restart('immediate', AWAY_MS),
  }
  for (const [name, fail] of Object.entries(failures)) {
    const began = performance.now()
    for (const member of members) member.modeAt = Infinity
    const failing = fail()
    let slowest = 0
    let health = 0
    const answers = new Set<number>()
    while (performance.now() - began < AWAY_MS - 500) {
      const asked = performance.now()
      const headers = { authorization: `Bearer ${tokens[0] ?? ''}` }
      const [items, alive] = await Promise.all([
        fetch(`${service.origin}/api/items`, { headers }),
        fetch(`${service.origin}/health`),
      ])
      await Promise.all([items.arrayBuffer(), alive.arrayBuffer()])
      slowest = Math.max(slowest, performance.now() - asked)
      answers.add(items.status)
      if (alive.status === 200) health++
      else findings.bound(false, `/health responded with ${alive.status} while PostgreSQL was ${name}`)
      await delay(50)
    }
    const told = Math.max(...members.map(({ modeAt }) => modeAt - began))
    const deaf = members.filter(({ mode }) => mode !== 'degraded').length
    findings.figure(`${name}: every client notified of "degraded" after, ms`, told)
    findings.figure(
      `${name}: slowest response, ms (${[...answers].join(', ')}; /health 200 × ${health})`,
      slowest,
    )
    findings.bound(
      deaf === 0 && told <= TOLD_MS,
      `${name}: ${deaf} not notified, the last after ${Math.round(told)} ms`,
    )
    findings.bound(slowest <= TOLD_MS, `${name}: a response took ${Math.round(slowest)} ms`)
    await failing
    await writeOnce(sql, name)
    const [row] = await sql<{ id: number }[]>`select max(id) as id from events`
    const behind = await all(
      members,
      ({ position = 0, mode }) => position >= Number(row?.id) && mode === 'normal',
      20_000,
    )
    findings.bound(behind === 0, `${name}: ${behind} did not receive what they had missed, or "normal"`)
  }
  const cut = members.filter(({ connects, isOpen }) => connects > 1 || !isOpen).length
  const wrong = await findWrong(sql, members)
  findings.bound(cut === 0, `${cut} streams were closed`)
  findings.bound(wrong === undefined, wrong ?? '')
  findings.figure('streams open throughout', WATCHERS - cut)
}

/**
 * Writes some items. Retries, since the first query after an outage may use a connection that was lost in it.
 */
async function writeOnce(sql: Sql, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await sql`
        insert into items (part_number)
        select ${name.slice(0, 6)}::text || '-' || n from generate_series(1, 20) n
        on conflict do nothing
      `
      return
    } catch (err) {
      if (attempt === 50) throw err
      await delay(100)
    }
  }
}

export default outage
