import { execFile } from 'node:child_process'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { parseCursor } from '../../feed/cursor.js'
import type { Sql } from '../../store/driver/connect.js'
import { connect } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { needs } from '../harness/needs.js'
import { PostgresServer } from '../harness/postgres-server.js'
import { createDataDir, startService } from '../harness/service.js'
import { eventually } from '../../tools/harness/eventually.js'
import { type Seen, Watcher, listen } from '../harness/watcher.js'

const execute = promisify(execFile)

const POSTGRES = needs('pg_ctl', 'pg_dump', 'pg_restore', 'pg_basebackup')

interface Page {
  events: Seen[]
  next: string
  head: string
}

const numbersOf = (events: readonly Seen[]) => events.map(({ data }) => data.part_number)
const wasReset = ({ seen }: Watcher) => seen.some(({ type }) => type === 'reset')

const create = (sql: Sql, ...numbers: string[]) =>
  sql`insert into items (part_number) select unnest(${numbers}::text[])`

const headReached = (app: FastifyInstance, id: number) =>
  eventually(`the tail is at ${id}`, () => parseCursor(app.sse.head)?.id === id, { timeoutMs: 30_000 })

/** An API client of the service at `origin`. */
class Client {
  constructor(
    readonly t: Test,
    readonly origin: string,
    readonly token: string,
  ) {}

  watch(lastEventId?: string): Promise<Watcher> {
    return Watcher.open(this.t, this.origin, { token: this.token, lastEventId })
  }

  async read<T>(path: string): Promise<T> {
    const headers = { authorization: `Bearer ${this.token}`, accept: 'application/json' }
    const res = await fetch(`${this.origin}${path}`, { headers })
    if (!res.ok) throw new Error(`${path}: ${res.status}`)
    return (await res.json()) as T
  }

  page(query: string): Promise<Page> {
    return this.read<Page>(`/api/events?${query}`)
  }

  /** Returns the cursor of each event of the log, by its part number. */
  async cursors(): Promise<Map<unknown, string>> {
    const { events } = await this.page('since=earliest&limit=1000')
    return new Map(events.map(({ id, data }) => [data.part_number, id]))
  }

  async eventCursor(): Promise<string> {
    return (await this.read<{ event_cursor: string }>('/api/items?limit=1')).event_cursor
  }

  /**
   * Resumes after `cursor` by a stream and by a page, and asserts that both return the same.
   * @returns the part numbers of the events up to `until`, or `reset`
   */
  async comeBack(cursor: string, until: string): Promise<unknown[] | 'reset'> {
    const watcher = await this.watch(cursor)
    await watcher.until((w) => wasReset(w) || numbersOf(w.events).includes(until), 20_000)
    const streamed = wasReset(watcher) ? 'reset' : numbersOf(watcher.events)
    await watcher.close()
    const { events } = await this.page(`since=${cursor}&limit=1000`)
    const paged = events[0]?.type === 'reset' ? 'reset' : numbersOf(events)
    this.t.strictSame(paged, streamed, `a page returns the same after ${cursor}`)
    return streamed
  }
}

/**
 * The part numbers of a restore: five events are in the backup, four come after it and are lost, and six come
 * after the restore.
 */
const OLD = ['OLD-1', 'OLD-2', 'OLD-3', 'OLD-4', 'OLD-5']
const LOST = ['LOST-1', 'LOST-2', 'LOST-3', 'LOST-4']
const NEW = ['NEW-1', 'NEW-2', 'NEW-3', 'NEW-4', 'NEW-5', 'NEW-6']

/** The cursors that clients have before the restore. */
interface Places {
  cursors: Map<unknown, string>
  /**
   * The `event_cursor` of lists that were read at the time of the backup (`kept`) and before the restore
   * (`lost`).
   */
  listed: { kept: string; lost: string }
}

/**
 * Resumes from every cursor of before the restore: those of lost events get a reset, the others miss nothing.
 */
async function demandHonesty(t: Test, client: Client, { cursors, listed }: Places): Promise<void> {
  const at = (number: string) => cursors.get(number) ?? 'missing'
  t.strictSame(
    await client.comeBack(at('OLD-2'), 'NEW-6'),
    [...OLD.slice(2), ...NEW],
    'before the end of the backup',
  )
  t.strictSame(await client.comeBack(at('OLD-5'), 'NEW-6'), NEW, 'at the end of the backup')
  t.strictSame(await client.comeBack(listed.kept, 'NEW-6'), NEW, 'with the event_cursor of the backup')
  for (const number of LOST) t.equal(await client.comeBack(at(number), 'NEW-6'), 'reset', number)
  t.equal(await client.comeBack(listed.lost, 'NEW-6'), 'reset', 'with the event_cursor of a lost event')
}

t.test('a data folder replaced by an older copy resets the clients with lost events', async (t) => {
  const folder = await createDataDir(t)
  const env = { SILO_DATA_DIR: join(folder, 'silo'), SILO_ADMIN_PASSWORD: 'admin-password-1' }
  const password = { username: 'admin', password: 'admin-password-1' }
  async function start() {
    const service = startService(t, env)
    const origin = await service.url()
    const signedIn = await fetch(`${origin}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(password),
    })
    const { token } = (await signedIn.json()) as { token: string }
    const make = async (...numbers: string[]) => {
      for (const part_number of numbers) {
        await fetch(`${origin}/api/items`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ part_number }),
        })
      }
    }
    return { service, client: new Client(t, origin, token), make }
  }
  const first = await start()
  await first.make(...OLD)
  const kept = await eventually('the list', async () => {
    const cursor = await first.client.eventCursor()
    return parseCursor(cursor)?.id === OLD.length && cursor
  })
  await first.service.kill('SIGTERM')
  await execute('cp', ['-a', env.SILO_DATA_DIR, join(folder, 'backup')])

  const second = await start()
  t.strictSame(
    await second.client.page(`since=${kept}`),
    { events: [], next: kept, head: kept },
    'a restart resets no client',
  )
  await second.make(...LOST)
  const cursors = await eventually('the events', async () => {
    const found = await second.client.cursors()
    return found.size === OLD.length + LOST.length && found
  })
  const lost = await second.client.eventCursor()
  await second.service.kill('SIGTERM')
  await rm(env.SILO_DATA_DIR, { recursive: true })
  await rename(join(folder, 'backup'), env.SILO_DATA_DIR)

  const third = await start()
  const early = await third.client.watch(cursors.get('LOST-4'))
  await early.untilSeen('server.state')
  t.equal(early.seen[0]?.type, 'reset', 'it is reset also before anything new was written')
  await third.make(...NEW)
  await demandHonesty(t, third.client, { cursors, listed: { kept, lost } })
  await third.service.kill('SIGTERM')
})

/** Starts a PostgreSQL server for this test, and two instances on its database. */
async function setUp(t: Test, settings: Record<string, string> = {}) {
  const server = await PostgresServer.start(t, settings)
  const databaseUrl = server.url()
  const apps = [await startApp(t, { databaseUrl }), await startApp(t, { databaseUrl })]
  const sql = connect(databaseUrl, 1)
  t.teardown(() => sql.end())
  const token = await createToken(sql, 'viewer')
  const clients = await Promise.all(apps.map(async (app) => new Client(t, await listen(app), token)))
  const [client, other] = clients
  if (!client || !other) throw new Error('there are two')
  const reached = (id: number) => Promise.all(apps.map((app) => headReached(app, id)))
  return { server, databaseUrl, apps, sql, token, client, other, reached }
}

/**
 * Writes the events of the backup, runs `backUp`, writes the events that the restore loses, and returns the
 * cursors.
 */
async function live(
  { sql, client, reached }: { sql: Sql; client: Client; reached: (id: number) => Promise<unknown> },
  backUp: () => Promise<unknown>,
): Promise<Places> {
  await create(sql, ...OLD)
  await reached(OLD.length)
  const kept = await client.eventCursor()
  await backUp()
  await create(sql, ...LOST)
  await reached(OLD.length + LOST.length)
  return { cursors: await client.cursors(), listed: { kept, lost: await client.eventCursor() } }
}

/**
 * Asserts that the open streams of both instances are reset to the end of the restored log, and continue from
 * there.
 */
async function demandStreamsGoOn(t: Test, streams: Watcher[], write: () => Promise<unknown>): Promise<void> {
  for (const stream of streams) {
    await stream.untilSeen('reset', 30_000)
    const told = stream.seen.find(({ type }) => type === 'reset')
    t.match(told?.data, { reason: 'unknown' })
    t.equal(parseCursor(String(told?.data.head))?.id, OLD.length, 'the head is the end of the restored log')
  }
  await eventually('it takes writes', async () => (await write().catch(() => undefined)) !== undefined, {
    timeoutMs: 30_000,
  })
  for (const stream of streams) {
    await stream.until(({ events }) => numbersOf(events).includes('NEW-6'), 20_000)
    t.strictSame(numbersOf(stream.events).slice(-6), NEW, 'the new events follow')
    t.equal(stream.endedCleanly, undefined, 'on the same connection')
  }
}

for (const [how, options] of [
  ['in one transaction', ['--single-transaction']],
  ['table by table', []],
] as const) {
  t.test(`pg_restore --clean ${how} under two running instances resets open streams`, POSTGRES, async (t) => {
    const { server, databaseUrl, sql, client, other, reached } = await setUp(t)
    const dump = join(server.folder, 'dump')
    const places = await live({ sql, client, reached }, () =>
      server.run('pg_dump', '--format=custom', `--file=${dump}`, databaseUrl),
    )
    const streams = await Promise.all([
      client.watch(),
      other.watch(),
      client.watch(places.cursors.get('LOST-2')),
    ])
    for (const stream of streams) await stream.untilSeen('server.state')
    // A client waits for a page meanwhile.
    const waiting = other.page(`since=${places.listed.lost}&wait=30`)
    await server.run('pg_restore', '--clean', '--if-exists', ...options, `--dbname=${databaseUrl}`, dump)
    t.equal((await waiting).events[0]?.type, 'reset', 'a waiting page returns the reset')
    await demandStreamsGoOn(t, streams, () => create(sql, ...NEW))
    await demandHonesty(t, client, places)
    await demandHonesty(t, other, places)
  })
}

t.test('a restore of a dump that has every event resets no open stream', POSTGRES, async (t) => {
  const { server, databaseUrl, sql, client, other, reached } = await setUp(t)
  const dump = join(server.folder, 'dump')
  await create(sql, ...OLD)
  await reached(OLD.length)
  await server.run('pg_dump', '--format=custom', `--file=${dump}`, databaseUrl)
  const streams = await Promise.all([client.watch(), other.watch()])
  for (const stream of streams) await stream.untilSeen('server.state')
  await server.run('pg_restore', '--clean', '--if-exists', `--dbname=${databaseUrl}`, dump)
  await eventually(
    'it takes writes',
    async () => (await create(sql, 'NEW-1').catch(() => undefined)) !== undefined,
    { timeoutMs: 30_000 },
  )
  for (const stream of streams) {
    await stream.untilEvents(1, 20_000)
    t.strictSame(numbersOf(stream.events), ['NEW-1'])
    t.notOk(wasReset(stream))
  }
})

t.test(
  'after a dump is loaded into another database, only the clients that received lost events are reset',
  POSTGRES,
  async (t) => {
    const { server, databaseUrl, sql, client, reached, token } = await setUp(t)
    const dump = join(server.folder, 'dump')
    const places = await live({ sql, client, reached }, () =>
      server.run('pg_dump', '--format=custom', `--file=${dump}`, databaseUrl),
    )
    await server.run('createdb', `--maintenance-db=${databaseUrl}`, 'moved')
    await server.run('pg_restore', `--dbname=${server.url('moved')}`, dump)
    const moved = await startApp(t, { databaseUrl: server.url('moved') })
    await create(moved.db, ...NEW)
    await headReached(moved, OLD.length + NEW.length)
    await demandHonesty(t, new Client(t, await listen(moved), token), places)
  },
)

t.test(
  'a database that is dropped and loaded again under a running instance resets its open streams',
  POSTGRES,
  async (t) => {
    const server = await PostgresServer.start(t)
    await server.run('createdb', `--maintenance-db=${server.url()}`, 'silo')
    const databaseUrl = server.url('silo')
    const app = await startApp(t, { databaseUrl })
    const client = new Client(t, await listen(app), await createToken(app.db, 'viewer'))
    const sql = connect(databaseUrl, 1)
    t.teardown(() => sql.end())
    const dump = join(server.folder, 'dump')
    const reached = (id: number) => headReached(app, id)
    const places = await live({ sql, client, reached }, () =>
      server.run('pg_dump', '--format=custom', `--file=${dump}`, databaseUrl),
    )
    const stream = await client.watch()
    await stream.untilSeen('server.state')
    await server.run('dropdb', '--force', `--maintenance-db=${server.url()}`, 'silo')
    await server.run('createdb', `--maintenance-db=${server.url()}`, 'silo')
    await server.run('pg_restore', `--dbname=${databaseUrl}`, dump)
    await stream.untilSeen('reset', 30_000)
    await eventually(
      'it takes writes',
      async () => (await create(sql, ...NEW).catch(() => undefined)) !== undefined,
      { timeoutMs: 30_000 },
    )
    await stream.until(({ events }) => numbersOf(events).includes('NEW-6'), 20_000)
    await demandHonesty(t, client, places)
  },
)

t.test(
  'after a standby is promoted, only the clients that received events that it lacks are reset',
  POSTGRES,
  async (t) => {
    const { server, sql, client, other, reached } = await setUp(t)
    const standby = await PostgresServer.prepare(t)
    const places = await live({ sql, client, reached }, () => standby.backUp(server))
    const streams = await Promise.all([client.watch(), other.watch()])
    for (const stream of streams) await stream.untilSeen('server.state')
    await server.stop('immediate')
    await standby.write(join(standby.data, 'standby.signal'))
    await standby.startInPlaceOf(server)
    await standby.promote()
    await demandStreamsGoOn(t, streams, () => create(sql, ...NEW))
    await demandHonesty(t, client, places)
    await demandHonesty(t, other, places)
  },
)

t.test('a promoted standby that has every event resets no client', POSTGRES, async (t) => {
  const { server, sql, client, other, reached } = await setUp(t)
  const standby = await PostgresServer.prepare(t)
  await create(sql, ...OLD)
  await reached(OLD.length)
  await standby.backUp(server)
  const streams = await Promise.all([client.watch(), other.watch()])
  for (const stream of streams) await stream.untilSeen('server.state')
  const cursor = await client.eventCursor()
  await server.stop('fast')
  await standby.write(join(standby.data, 'standby.signal'))
  await standby.startInPlaceOf(server)
  await standby.promote()
  const page = async () => (await client.page(`since=${cursor}`).catch(() => undefined))?.next === cursor
  await eventually('the log is read again', page, { timeoutMs: 30_000 })
  await eventually(
    'it takes writes',
    async () => (await create(sql, 'NEW-1').catch(() => undefined)) !== undefined,
    { timeoutMs: 30_000 },
  )
  for (const stream of streams) {
    await stream.untilEvents(1, 20_000)
    t.strictSame(numbersOf(stream.events), ['NEW-1'])
    t.notOk(wasReset(stream))
  }
})

t.test(
  'a promoted standby that lacks a commit but has a later id resets every client',
  POSTGRES,
  async (t) => {
    const { server, databaseUrl, sql, client, reached, token } = await setUp(t)
    await create(sql, 'KEPT-1')
    const slow = connect(databaseUrl, 1)
    t.teardown(() => slow.end())
    await slow.unsafe(
      "begin; insert into items (part_number) values ('UNDONE'); set constraints all immediate",
    )
    await create(sql, 'KEPT-2')
    const standby = await PostgresServer.prepare(t)
    await standby.backUp(server)
    await slow.unsafe('commit')
    await reached(3)
    const cursors = await client.cursors()
    t.strictSame([...cursors.keys()], ['KEPT-1', 'UNDONE', 'KEPT-2'])
    await standby.write(join(standby.data, 'standby.signal'))
    await standby.start()
    await standby.promote()
    const promoted = await startApp(t, { databaseUrl: standby.url() })
    t.strictSame([...(await promoted.db`select id from events order by id`)], [{ id: 1 }, { id: 3 }])
    await create(promoted.db, 'NEW-6')
    const guest = new Client(t, await listen(promoted), token)
    t.equal(await guest.comeBack(cursors.get('KEPT-2') ?? '', 'NEW-6'), 'reset')
  },
)

t.test('a point-in-time recovery resets only the clients beyond its target', POSTGRES, async (t) => {
  const archive = join(await createDataDir(t), 'archive')
  await mkdir(archive, { mode: 0o777, recursive: true })
  await execute('chmod', ['-R', '777', join(archive, '..')])
  const { server, sql, client, reached, token } = await setUp(t, {
    archive_mode: 'on',
    archive_command: `cp %p ${archive}/%f`,
  })
  const recovered = await PostgresServer.prepare(t)
  await recovered.backUp(server)
  const places = await live({ sql, client, reached }, () => sql`select pg_create_restore_point('before')`)
  const [file] = await sql<{ name: string }[]>`select pg_walfile_name(pg_switch_wal()) as name`
  await eventually(
    'the log is archived',
    async () =>
      (await sql`select from pg_stat_archiver where last_archived_wal >= ${file?.name ?? ''}`).length > 0,
    { timeoutMs: 30_000 },
  )
  await recovered.write(join(recovered.data, 'recovery.signal'))
  await recovered.start({
    archive_mode: 'off',
    restore_command: `cp ${archive}/%f %p`,
    recovery_target_name: 'before',
    recovery_target_action: 'promote',
  })
  const owner = connect(recovered.url(), 1)
  t.teardown(() => owner.end())
  await eventually(
    'it has recovered',
    async () => (await owner`select where not pg_is_in_recovery()`).length > 0,
    { timeoutMs: 30_000 },
  )
  const app = await startApp(t, { databaseUrl: recovered.url() })
  await create(app.db, ...NEW)
  await eventually(
    'the tail has them',
    () => (parseCursor(app.sse.head)?.id ?? 0) >= OLD.length + NEW.length,
    { timeoutMs: 30_000 },
  )
  await demandHonesty(t, new Client(t, await listen(app), token), places)
})

t.test('truncating the log under a running instance resets its open streams', POSTGRES, async (t) => {
  const { sql, client, other, reached } = await setUp(t)
  await create(sql, ...OLD)
  await reached(OLD.length)
  const streams = await Promise.all([client.watch(), other.watch()])
  for (const stream of streams) await stream.untilSeen('server.state')
  await sql`truncate events restart identity`
  for (const stream of streams) await stream.untilSeen('reset', 20_000)
  await create(sql, ...NEW)
  for (const stream of streams) {
    await stream.untilEvents(NEW.length, 20_000)
    t.strictSame(numbersOf(stream.events), NEW)
  }
})
