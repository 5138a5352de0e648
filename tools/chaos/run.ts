/**
 * Injects faults into the instances, their database and the network while clients write and subscribe. Then
 * compares what the clients received with what the database committed. The same seed produces the same plan
 * of faults; the timing differs.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { within } from '../../lib/deadline.js'
import { connect, type Sql } from '../../store/driver/connect.js'
import { Access } from './access.js'
import { Backups } from './backups.js'
import { type Verdict, judge, judgeHistories, judgeWrites } from './checker.js'
import { availableKinds, openOthers } from './clients.js'
import { FAULTS, type Fault, type Target, killBackends, planFaults } from './faults.js'
import type { History } from './history.js'
import { Instance } from '../harness/instance.js'
import { Nginx } from '../harness/nginx.js'
import { Postgres } from '../harness/postgres-pair.js'
import { Proxy } from './proxy.js'
import { Random } from '../harness/random.js'
import { keepTruth, readNewestId, readTruth } from './truth.js'
import { EVERYTHING, type Filter, PageWatcher, type Route, StreamWatcher } from './watchers.js'
import { ApiWriter, ConditionalWriter, HOT_ITEMS, SqlWriter, type Write } from './writers.js'

/** The options of a run. */
export interface Options {
  seed: number
  seconds: number
  /** Number of instances of the service, 1 to 3; 3 by default. */
  instances?: number
  /** Names of the faults to inject; all by default. */
  faults?: readonly string[]
  /** Kinds of third-party clients to run; all that can run here by default. */
  clients?: readonly string[]
  /**
   * Whether the run leaves ids missing in the log, by transactions that roll back after they have drawn an id
   * and by a primary that is killed while transactions commit. By default, the seed decides.
   */
  leavesHoles?: boolean
  /**
   * How long the clients may take to reach the end of the log after the last write, in ms; 30,000 by default.
   */
  settleMs?: number
  /** Ends the run at the first problem. */
  stopsAtFirst?: boolean
  /** A module that each instance imports first, to make the service faulty on purpose. */
  preload?: string
  /** Changes the database after the migrations, for the same purpose. */
  sabotage?: (sql: Sql) => Promise<unknown>
  log?: (line: string) => void
}

/** What a run measured of one kind of fault. */
export interface FaultFigures {
  /** How often the fault was injected. */
  times: number
  /** The longest time from break to repair, in ms. */
  longestMs: number
}

/** The result of a run, with its figures. */
export interface Report extends Verdict {
  seed: number
  seconds: number
  faults: Record<string, FaultFigures>
  /** The longest time that a directly connected subscriber received nothing on an open stream, in ms. */
  longestSilenceMs: number
  /** Whether streams also went through nginx. */
  withNginx: boolean
  /** Promotions after which no client may be reset, because no id was missing in the log. */
  wholePromotions: number
}

const FILTERS: readonly Filter[] = [
  { query: '?part_number=HOT-*', wants: ({ part_number }) => part_number.startsWith('HOT-') },
  { query: '?types=revision.created', wants: ({ type }) => type === 'revision.created' },
  {
    query: '?types=item.created,item.deleted&part_number=api-1*,sql-0',
    wants: ({ type, part_number }) =>
      (type === 'item.created' || type === 'item.deleted') &&
      (part_number.toLowerCase().startsWith('api-1') || part_number.toLowerCase() === 'sql-0'),
  },
]

function openWatchers(
  instances: readonly Instance[],
  proxies: readonly Proxy[],
  nginx: Nginx | undefined,
  compressor: Nginx | undefined,
  others: readonly string[],
  access: Access,
  guest: Access,
  random: Random,
) {
  const direct: Route[] = instances.map((instance) => ({ origin: () => instance.origin, direct: instance }))
  const proxied: Route[] = proxies.map((proxy) => ({ origin: () => `http://127.0.0.1:${proxy.port}` }))
  const fronted: Route[] = nginx ? [{ origin: () => nginx.origin }] : direct
  const streams: StreamWatcher[] = []
  const stream = (count: number, name: string, routes: Route[], rest: object, filters = [EVERYTHING]) => {
    for (let i = 0; i < count; i++) {
      const filter = filters[i % filters.length] ?? EVERYTHING
      streams.push(
        new StreamWatcher(
          `${name} ${i}`,
          routes,
          { name, ...rest },
          filter,
          name === 'guest' ? guest : access,
          new Random(random.between(0, 2 ** 31)),
        ),
      )
    }
  }
  for (const [i, route] of direct.entries()) stream(2, `plain at ${i}`, [route], {})
  stream(4, 'plain by nginx', fronted, {})
  stream(6, 'filtered', direct, {}, [...FILTERS])
  stream(4, 'slow', direct, { restMs: () => random.between(0, 40), mayBeCut: true })
  stream(3, 'stalled', direct, {
    restMs: () => (random.chance(0.02) ? random.between(3000, 15_000) : 0),
    mayBeCut: true,
  })
  stream(6, 'hopping', [...direct, ...fronted], { stayMs: () => random.between(100, 4000) })
  stream(6, 'by a broken network', proxied, {})
  stream(3, 'guest', direct, {})
  const page = (kind: string, i: number, routes: readonly Route[], filter: Filter) =>
    new PageWatcher(`${kind} ${i}`, kind, routes, filter, access, new Random(random.between(0, 2 ** 31)))
  const pages = [EVERYTHING, ...FILTERS].map((filter, i) => page('pages', i, [...direct, ...proxied], filter))
  if (compressor) {
    const compressed: Route[] = [{ origin: () => compressor.origin }]
    stream(3, 'compressed', compressed, { takesGzip: true })
    pages.push(page('compressed pages', 0, compressed, EVERYTHING))
  }
  const [first = [], ...rest] = direct.map((route) => [route])
  const ways = [
    first,
    nginx ? fronted : rest.flat(),
    ...(compressor ? [[{ origin: () => compressor.origin }]] : []),
  ]
  return {
    streams,
    pages,
    others: openOthers(
      others,
      ways.flatMap(([route]) => route ?? []),
      access,
    ),
  }
}

/** How long a client may take to stop, in ms: longer than any timeout of its requests. */
const STOP_TIMEOUT_MS = 30_000

/**
 * Stops clients of the run.
 * @throws {Error} with the name of a client that does not stop in time
 */
async function stopAll(clients: readonly { name: string; stop(): Promise<void> }[]): Promise<void> {
  const stop = async (client: { name: string; stop(): Promise<void> }) => {
    try {
      await within(STOP_TIMEOUT_MS, client.stop())
    } catch (cause) {
      throw new Error(`the client "${client.name}" of the run does not stop`, { cause })
    }
  }
  await Promise.all(clients.map(stop))
}

/** How long the service may take to accept a write after the last fault, in ms. */
const LAST_WRITE_MS = 30_000

/** Runs chaos once. Starts everything that it needs and ends everything that it started. */
export async function runChaos(options: Options): Promise<Report> {
  const log = options.log ?? (() => undefined)
  // The plan has its own generator: how often clients draw from theirs depends on the timing of the machine.
  const plan = new Random(options.seed)
  const random = new Random(options.seed + 1)
  const { leavesHoles = plan.chance(0.5) } = options
  const postgres = await Postgres.start()
  // The run's own connections reach the current primary through this proxy. Those of `sql` can write even
  // while the database is read-only by default.
  const way = await Proxy.open(() => postgres.port)
  const url = `postgres://silo@127.0.0.1:${way.port}/postgres`
  const sql = connect(url, 1, { settings: { default_transaction_read_only: 'off' } })
  const { settleMs = 30_000 } = options
  const preloads = options.preload === undefined ? [] : [options.preload]
  const env = {
    DATABASE_URL: postgres.hostsUrl,
    JWT_SECRET: randomBytes(32).toString('hex'),
    SILO_ADMIN_PASSWORD: randomBytes(16).toString('hex'),
    HEARTBEAT_MS: '1000',
    EVENT_RETENTION_HOURS: String(60 / 3600),
    SHUTDOWN_TIMEOUT_MS: '5000',
  }
  const instances: Instance[] = []
  const proxies: Proxy[] = []
  let nginx: Nginx | undefined
  let compressor: Nginx | undefined
  try {
    instances.push(await Instance.start('one', env, ...preloads))
    const more = ['two', 'three'].slice(0, (options.instances ?? 3) - 1)
    instances.push(...(await Promise.all(more.map((name) => Instance.start(name, env, ...preloads)))))
    await keepTruth(sql)
    await options.sabotage?.(sql)
    const access = await Access.create(sql, 'chaos')
    const guest = await Access.create(sql, 'guest')
    const ports = instances.map(({ port }) => port)
    nginx = await unlessMissing(() => Nginx.start(ports), log)
    compressor = nginx && (await Nginx.startCompressing(ports))
    for (const port of ports.slice(0, 2)) proxies.push(await Proxy.open(() => port))
    await sql`insert into items (part_number) select unnest(${HOT_ITEMS}::text[])`
    const backups = new Backups(sql, postgres)
    if (postgres.hasAllPrograms) await backups.take()

    const { clients: kinds = availableKinds() } = options
    const { streams, pages, others } = openWatchers(
      instances,
      proxies,
      nginx,
      compressor,
      kinds,
      access,
      guest,
      random,
    )
    const watchers = [...streams, ...pages, ...others]
    const histories = watchers.map(({ history }) => history)
    const reachable = () =>
      random.pick([...instances.map(({ origin }) => origin), ...(nginx ? [nginx.origin] : [])])
    const sqlForWriter = connect(url, 1)
    const dice = () => new Random(random.between(0, 2 ** 31))
    const conditional =
      compressor && new ConditionalWriter('conditional', dice(), () => compressor?.origin ?? '', access.token)
    const writers = [
      ...Array.from({ length: 6 }, (_, i) => new ApiWriter(`api-${i}`, dice(), reachable, access.token)),
      new SqlWriter('sql', dice(), sqlForWriter, leavesHoles),
      ...(conditional ? [conditional] : []),
    ]
    for (const writer of writers) writer.start()
    const writes = () => writers.flatMap((writer) => writer.writes)

    const problems: string[] = []
    const target = {
      instances,
      postgres,
      sql,
      nginx,
      compressor,
      proxies,
      guest,
      backups,
      leavesHoles,
      problems,
    }
    const isWrong = async () =>
      options.stopsAtFirst === true &&
      (problems.length > 0 || (await findProblems(target, histories, writes())).length > 0)
    const broken = await breakThings(options, plan, target, log, isWrong)

    log('stopping the writers')
    await stopAll(writers)
    await sqlForWriter.end({ timeout: 1 })
    const late: string[] = []
    if (!broken.isStopped) {
      log('making the last write')
      await makeLastWrite(sql, instances, access.token)
      log('waiting for the clients')
      for (const stream of streams) stream.hurry()
      late.push(...(await settle(sql, histories, settleMs)))
      if (late.length > 0) late.push(...(await Promise.all(instances.map(describe))))
    }
    await stopAll(watchers)

    const truth = await readTruth(sql, backups.restores)
    const verdict = await judge(sql, truth, histories, writes(), backups.leftEpochs)
    const crashed = instances.filter(({ crashes }) => crashes > 0)
    const cut = streams.filter(({ cutAtShutdown }) => cutAtShutdown > 0)
    return {
      ...verdict,
      problems: [
        ...problems,
        ...verdict.problems,
        ...(conditional?.problems ?? []),
        ...late,
        ...crashed.map(({ name, log }) => `${name} crashed:\n${log}`),
        ...cut.map(
          ({ name, cutAtShutdown }) => `${name} was closed without an end at ${cutAtShutdown} shutdowns`,
        ),
      ],
      seed: options.seed,
      seconds: options.seconds,
      faults: broken.figures,
      longestSilenceMs: Math.round(
        Math.max(
          ...streams
            .filter(({ manner }) => manner.name.startsWith('plain at'))
            .map((w) => w.longestSilenceMs),
        ),
      ),
      withNginx: nginx !== undefined,
      wholePromotions: backups.wholePromotions,
    }
  } finally {
    for (const instance of instances) await instance.end('SIGKILL')
    for (const proxy of proxies) proxy.close()
    await nginx?.stop()
    await compressor?.stop()
    await sql.end({ timeout: 1 })
    way.close()
    await postgres.stop()
  }
}

/**
 * Starts nginx. Returns undefined if it is not installed; then no stream goes through it, and the report says
 * so.
 * @throws {Error} when nginx does not start, and under CI also when it is not installed
 */
async function unlessMissing(
  start: () => Promise<Nginx>,
  log: (line: string) => void,
): Promise<Nginx | undefined> {
  try {
    return await start()
  } catch (err) {
    const isMissing = err instanceof Error && 'code' in err && err.code === 'ENOENT'
    if (!isMissing || process.env.CI !== undefined) throw err
    log('nginx is not installed: no client connects through it')
    return undefined
  }
}

/** Returns the problems that can be found during the run. */
async function findProblems(
  { sql, backups }: Target,
  histories: readonly History[],
  writes: readonly Write[],
): Promise<string[]> {
  const told = [...writes]
  try {
    const truth = await readTruth(sql, backups.restores)
    const { problems } = judgeHistories(truth, histories, backups.leftEpochs)
    return [...problems, ...judgeWrites(truth.committed, told)]
  } catch {
    // The database is down at the moment. If it stays down, the end of the run fails.
    return []
  }
}

/**
 * Returns the faults of a run that can be made on this machine.
 * @throws {Error} for an unknown name, and under CI for a fault that can't be made here
 */
function selectFaults(
  { faults }: Options,
  { nginx, postgres }: Target,
  log: (line: string) => void,
): Fault[] {
  const unknown = faults?.find((name) => !FAULTS.some((fault) => fault.name === name))
  if (unknown !== undefined)
    throw new Error(`unknown fault "${unknown}"; the faults are ${FAULTS.map(({ name }) => name).join(', ')}`)
  const selected = FAULTS.filter(({ name }) => faults?.includes(name) ?? true)
  const has = { nginx: nginx !== undefined, 'all programs of PostgreSQL': postgres.hasAllPrograms }
  const possible = selected.filter(({ needs }) => needs === undefined || has[needs])
  for (const { name, needs } of selected.filter((fault) => !possible.includes(fault))) {
    if (process.env.CI !== undefined)
      throw new Error(`the fault "${name}" needs ${String(needs)}, which .ci/run must install`)
    log(`skipping the fault "${name}": ${String(needs)} not installed`)
  }
  return possible
}

async function breakThings(
  options: Options,
  random: Random,
  target: Target,
  log: (line: string) => void,
  isWrong: () => Promise<boolean>,
): Promise<{ figures: Record<string, FaultFigures>; isStopped: boolean }> {
  const figures: Record<string, FaultFigures> = {}
  const until = performance.now() + options.seconds * 1000
  for (const { fault, afterMs } of planFaults(random, selectFaults(options, target, log))) {
    await delay(Math.min(afterMs, Math.max(0, until - performance.now())))
    if (performance.now() >= until) break
    log(`${((until - performance.now()) / 1000).toFixed(0)} s left: ${fault.name}`)
    const began = performance.now()
    await fault.run(target, random)
    const { times, longestMs } = figures[fault.name] ?? { times: 0, longestMs: 0 }
    figures[fault.name] = {
      times: times + 1,
      longestMs: Math.max(longestMs, Math.round(performance.now() - began)),
    }
    if (await isWrong()) return { figures, isStopped: true }
  }
  return { figures, isStopped: false }
}

/**
 * Makes the last write while the other instances do not listen. Nothing is written after it, so their
 * subscribers receive it only if these instances read the log when they listen again.
 */
async function makeLastWrite(sql: Sql, [first]: readonly Instance[], token: string): Promise<void> {
  const until = performance.now() + LAST_WRITE_MS
  for (;;) {
    await killBackends(sql, 'listening')
    const failure = await tryLastWrite(first?.origin ?? '', token)
    if (failure === undefined) return
    if (performance.now() > until)
      throw new Error(`the last write failed: ${failure}\n${first ? await describe(first) : ''}`)
    await delay(200)
  }
}

/**
 * Makes the last write. It may be repeated after an unknown outcome: the checker does not judge it, and the
 * subscribers only have to reach the newest event.
 * @returns why it failed; undefined if it did not
 */
async function tryLastWrite(origin: string, token: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${origin}/api/items/${HOT_ITEMS[0] ?? ''}/revisions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ comment: 'the last write' }),
      signal: AbortSignal.timeout(10_000),
    })
    const body = await response.text()
    return response.status === 201 ? undefined : `${response.status} ${body}`
  } catch (err) {
    return String(err)
  }
}

/** Returns the `/ready` response and the newest log lines of an instance, for error reports. */
async function describe({ name, origin, log }: Instance): Promise<string> {
  const signal = AbortSignal.timeout(2000)
  const response = await fetch(`${origin}/ready`, { signal }).catch((err: unknown) => err)
  const ready = response instanceof Response ? await response.text() : String(response)
  return `${name}: ${ready}\n${log.split('\n').slice(-15).join('\n')}`
}

/** Waits until every client has reached the end of the log. Returns a sentence for each that has not. */
async function settle(sql: Sql, histories: readonly History[], settleMs: number): Promise<string[]> {
  const head = await readNewestId(sql)
  const until = performance.now() + settleMs
  const behind = () => histories.filter(({ position }) => position.id !== head)
  while (behind().length > 0 && performance.now() < until) await delay(50)
  return behind().map(({ name, position }) => `${name} stopped at ${position.id}, but the log is at ${head}`)
}
