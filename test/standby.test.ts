import t, { type Test } from 'tap'
import { connect } from '../store/driver/connect.js'
import { createToken, startApp } from './harness/app.js'
import { bearer } from './harness/people.js'
import { findPostgresPrograms } from '../tools/harness/postgres-programs.js'
import { PostgresServer } from './harness/postgres-server.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher, listen } from './harness/watcher.js'

const programs = findPostgresPrograms()
if (programs === undefined && process.env.CI !== undefined) throw new Error('.ci/run must install postgresql')
const POSTGRES = {
  skip: programs === undefined ? 'the programs of PostgreSQL are not installed here' : false,
}

/** Starts a standby of `server` that streams from it. */
async function startStandby(t: Test, server: PostgresServer): Promise<PostgresServer> {
  const standby = await PostgresServer.prepare(t)
  await standby.run(
    'pg_basebackup',
    `--dbname=${server.url()}`,
    `--pgdata=${standby.data}`,
    '--checkpoint=fast',
    '--write-recovery-conf',
  )
  await standby.start()
  return standby
}

t.test(
  'an instance on a standby follows it live, waits for uncommitted events, and writes after a promotion',
  POSTGRES,
  async (t) => {
    const server = await PostgresServer.start(t)
    const primary = await startApp(t, { databaseUrl: server.url() })
    const token = await createToken(primary.db, 'editor')
    const standby = await startStandby(t, server)

    const app = await startApp(t, { databaseUrl: standby.url() })
    t.match((await app.inject('/ready')).json(), { status: 'ok', mode: 'read-only', database: 'read-only' })
    const watcher = await Watcher.open(t, await listen(app), { token })
    await watcher.untilSeen('server.state')
    const create = (on: typeof app, part_number: string) =>
      on.inject({ method: 'POST', url: '/api/items', headers: bearer(token), payload: { part_number } })
    const numbers = () => watcher.events.map(({ data }) => data.part_number)

    const refused = await create(app, 'N-1')
    t.equal(refused.statusCode, 503)
    t.match(refused.json(), { error: 'server_read_only', message: /standby/ })

    // An id that is drawn and not committed. The locks of the primary are not visible on the standby.
    const slow = connect(server.url(), 1)
    t.teardown(() => slow.end())
    await slow.unsafe("begin; insert into items (part_number) values ('SLOW'); set constraints all immediate")
    t.equal((await create(primary, 'QUICK')).statusCode, 201)
    await eventually('the tail of the standby waits', () => app.sse.lagMs > 0, { timeoutMs: 20_000 })
    t.strictSame(numbers(), [])
    await slow.unsafe('commit')
    await eventually('both events', () => numbers().length === 2, { timeoutMs: 20_000 })
    t.strictSame(numbers(), ['SLOW', 'QUICK'])

    await standby.promote()
    await eventually('the mode', () => app.mode.current === 'normal', { timeoutMs: 2000 })
    t.equal((await create(app, 'N-2')).statusCode, 201)
    await eventually('its event', () => watcher.seen.at(-1)?.type !== 'server.state', { timeoutMs: 20_000 })
    t.strictSame(numbers(), ['SLOW', 'QUICK', 'N-2'], 'without a reset: the log was adopted before the write')
  },
)

t.test('of several hosts the one that takes writes is used, also after a promotion', POSTGRES, async (t) => {
  const server = await PostgresServer.start(t)
  const standby = await startStandby(t, server)
  const hosts = [standby.url(), server.url()].map((url) => new URL(url).host)
  const app = await startApp(t, { databaseUrl: `postgres://silo@${hosts.join(',')}/postgres` })
  const token = await createToken(app.db, 'editor')
  const create = (part_number: string) =>
    app.inject({ method: 'POST', url: '/api/items', headers: bearer(token), payload: { part_number } })
  t.equal((await create('A-1')).statusCode, 201, 'the standby is listed first, and is not used')
  const follower = connect(standby.url(), 1)
  t.teardown(() => follower.end({ timeout: 1 }))
  const isThere = async () => (await follower`select from items`.catch(() => [])).length === 1
  await eventually('the standby to follow', isThere, { timeoutMs: 20_000 })

  await server.stop('immediate')
  await eventually('the service to notice', () => app.mode.current !== 'normal', { timeoutMs: 10_000 })
  await standby.promote()
  await eventually('the service to find the other', () => app.mode.current === 'normal', {
    timeoutMs: 20_000,
  })
  t.equal((await create('A-2')).statusCode, 201)
})
