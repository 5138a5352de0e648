/**
 * Breaks everything that can be broken on one machine while clients write and watch, and then asks the database whether
 * anybody saw anything but the truth. The same seed makes the same plan; the machine's timing is its own.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Sql } from '../store/connect.js'
import { Access } from './access.js'
import { type Verdict, judge, keepTruth } from './checker.js'
import { FAULTS, killBackends, nextFault } from './faults.js'
import { Instance } from './instance.js'
import { Nginx } from './nginx.js'
import { Postgres } from './postgres.js'
import { Proxy } from './proxy.js'
import { Random } from './random.js'
import { EVERYTHING, type Filter, PageWatcher, type Route, StreamWatcher } from './watchers.js'
import { ApiWriter, HOT_ITEMS, SqlWriter } from './writers.js'

export interface Options {
  seed: number
  seconds: number
  /** How long the subscribers may take to reach the head once everything works again, in ms. 30,000 by default. */
  settleMs?: number
  /** A module that each instance loads first, to make the service wrong on purpose. */
  preload?: string
  /** Changes the database after the migrations, for the same reason. */
  sabotage?: (sql: Sql) => Promise<unknown>
  log?: (line: string) => void
}

export interface Report extends Verdict {
  seed: number
  seconds: number
  faults: Record<string, number>
  longestSilenceMs: number
  withNginx: boolean
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
  const pages = [EVERYTHING, ...FILTERS].map(
    (filter, i) =>
      new PageWatcher(
        `pages ${i}`,
        [...direct, ...proxied],
        filter,
        access,
        new Random(random.between(0, 2 ** 31)),
      ),
  )
  return { streams, pages }
}

/** One run. It starts everything it needs, and ends everything it started. */
export async function runChaos(options: Options): Promise<Report> {
  const log = options.log ?? (() => undefined)
  // The plan has dice of its own: what clients throw depends on the machine's timing.
  const plan = new Random(options.seed)
  const random = new Random(options.seed + 1)
  const postgres = await Postgres.start()
  const sql = connect(postgres.url, 1)
  const { preload, settleMs = 30_000 } = options
  const env = {
    DATABASE_URL: postgres.url,
    JWT_SECRET: randomBytes(32).toString('hex'),
    SILO_ADMIN_PASSWORD: randomBytes(16).toString('hex'),
    HEARTBEAT_MS: '1000',
    EVENT_RETENTION_HOURS: String(60 / 3600),
    SHUTDOWN_TIMEOUT_MS: '5000',
  }
  const instances: Instance[] = []
  const proxies: Proxy[] = []
  let nginx: Nginx | undefined
  try {
    for (const name of ['one', 'two', 'three']) instances.push(await Instance.start(name, env, preload))
    await keepTruth(sql)
    await options.sabotage?.(sql)
    const access = await Access.create(sql, 'chaos')
    const guest = await Access.create(sql, 'guest')
    nginx = await startNginx(instances, log)
    for (const { port } of instances.slice(0, 2)) proxies.push(await Proxy.open(() => port))
    await sql`insert into items (part_number) select unnest(${HOT_ITEMS}::text[])`

    const { streams, pages } = openWatchers(instances, proxies, nginx, access, guest, random)
    const watchers = [...streams, ...pages]
    const reachable = () =>
      random.pick([...instances.map(({ origin }) => origin), ...(nginx ? [nginx.origin] : [])])
    const sqlForWriter = connect(postgres.url, 1)
    const writers = [
      ...Array.from({ length: 6 }, (_, i) =>
        new ApiWriter(`api-${i}`, new Random(random.between(0, 2 ** 31)), reachable, access.token).start(),
      ),
      new SqlWriter('sql', new Random(random.between(0, 2 ** 31)), sqlForWriter).start(),
    ]

    const faults = await breakThings(options, plan, { instances, postgres, sql, nginx, proxies, guest }, log)

    log('stopping the writers')
    await Promise.all(writers.map((writer) => writer.stop()))
    log('the last word')
    await sqlForWriter.end({ timeout: 1 })
    await sayLastWord(sql, instances, access.token)
    log('waiting for the watchers')
    for (const stream of streams) stream.hurry()
    const histories = watchers.map(({ history }) => history)
    const late = await settle(sql, histories, settleMs)
    if (late.length > 0) late.push(...(await Promise.all(instances.map(describe))))
    await Promise.all(watchers.map((watcher) => watcher.stop()))

    const verdict = await judge(
      sql,
      histories,
      writers.flatMap(({ writes }) => writes),
    )
    const crashed = instances.filter(({ crashes }) => crashes > 0)
    const cut = streams.filter(({ cutAtShutdown }) => cutAtShutdown > 0)
    return {
      ...verdict,
      problems: [
        ...verdict.problems,
        ...late,
        ...crashed.map(({ name, log }) => `${name} ended by itself:\n${log}`),
        ...cut.map(({ name, cutAtShutdown }) => `${name} was cut at ${cutAtShutdown} shutdowns`),
      ],
      seed: options.seed,
      seconds: options.seconds,
      faults,
      longestSilenceMs: Math.round(
        Math.max(
          ...streams
            .filter(({ manner }) => manner.name.startsWith('plain at'))
            .map((w) => w.longestSilenceMs),
        ),
      ),
      withNginx: nginx !== undefined,
    }
  } finally {
    for (const instance of instances) await instance.end('SIGKILL')
    for (const proxy of proxies) proxy.close()
    await nginx?.stop()
    await sql.end({ timeout: 1 })
    await postgres.stop()
  }
}

/** Undefined where nginx is not installed; then no stream goes through it, and the report says so. */
async function startNginx(
  instances: readonly Instance[],
  log: (line: string) => void,
): Promise<Nginx | undefined> {
  try {
    return await Nginx.start(instances.map(({ port }) => port))
  } catch (err) {
    const isMissing = err instanceof Error && 'code' in err && err.code === 'ENOENT'
    if (!isMissing || process.env.CI !== undefined) throw err
    log('nginx is not installed: nothing goes through it')
    return undefined
  }
}

type Target = Parameters<(typeof FAULTS)[number]['run']>[0]

async function breakThings(
  { seconds }: Options,
  random: Random,
  target: Target,
  log: (line: string) => void,
) {
  const counts: Record<string, number> = {}
  const until = performance.now() + seconds * 1000
  const available = FAULTS.filter(({ name }) => target.nginx ?? !name.startsWith('nginx'))
  while (performance.now() < until) {
    const { fault, afterMs } = nextFault(random, available)
    await delay(afterMs)
    log(`${((until - performance.now()) / 1000).toFixed(0)} s left: ${fault.name}`)
    await fault.run(target, random)
    counts[fault.name] = (counts[fault.name] ?? 0) + 1
  }
  return counts
}

/**
 * The last write is made while the other instances can't hear of it. Nothing is written after it, so only their own looking
 * again, when they listen again, can bring it to their watchers.
 */
async function sayLastWord(sql: Sql, [first]: readonly Instance[], token: string): Promise<void> {
  for (;;) {
    await killBackends(sql, 'listening')
    if (await writeLastWord(first?.origin ?? '', token)) return
    await delay(200)
  }
}

/** False when it was refused, or nobody knows: the checker doesn't ask for it, the watchers only for whatever came last. */
async function writeLastWord(origin: string, token: string): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/api/items/${HOT_ITEMS[0] ?? ''}/revisions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ comment: 'the last word' }),
      signal: AbortSignal.timeout(10_000),
    })
    await response.arrayBuffer()
    return response.status === 201
  } catch {
    return false
  }
}

/** What an instance says of itself, for when something is wrong. */
async function describe({ name, origin, log }: Instance): Promise<string> {
  const response = await fetch(`${origin}/ready`).catch((err: unknown) => err)
  const ready = response instanceof Response ? await response.text() : String(response)
  return `${name}: ${ready}\n${log.split('\n').slice(-15).join('\n')}`
}

/** Waits until every watcher stands at the end of the log. */
async function settle(
  sql: Sql,
  histories: { name: string; position: number }[],
  settleMs: number,
): Promise<string[]> {
  const [newest] = await sql<{ id: number }[]>`select max(id) as id from chaos_truth`
  const head = newest?.id ?? 0
  const until = performance.now() + settleMs
  const behind = () => histories.filter(({ position }) => position < head)
  while (behind().length > 0 && performance.now() < until) await delay(50)
  return behind().map(({ name, position }) => `${name} stays at ${position}, the log is at ${head}`)
}
