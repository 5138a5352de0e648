/**
 * Sends hostile requests over real sockets to the real service, on a PostgreSQL of its own, while a
 * subscriber follows the feed.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instance } from '../harness/instance.js'
import { startEmbedded } from '../../embedded/postgres.js'
import type { EventType } from '../../schemas/events.js'
import { type Sql, connect } from '../../store/driver/connect.js'
import { Acknowledged } from './acknowledged.js'
import { type Operation, readDocument } from './document.js'
import { FeedWatch } from './feed-watch.js'
import { GUEST, type Inhabitant, giveTokens, settle, settleGuest } from './inhabitants.js'
import { Judge } from './judge.js'
import type { Known } from './requests.js'
import { type Found, search } from './search.js'
import { LEAK_BYTES, Suspects } from './suspects.js'
import { Turnstile } from './turnstile.js'
import { Vitals } from './vitals.js'
import { type Answer, Connection, type Request } from './wire.js'

/** A longer pause of the event loop is a finding, in ms. */
const MAX_PAUSE_MS = 500

/** The largest run whose recorded requests can be repeated, in cases. */
const MAX_CASES = 100_000

const MODE = '/api/server/mode'

/** Relative frequency of operations. Hashing a password is slow, and a mode makes other requests fail. */
const WEIGHTS: Record<string, number> = {
  'POST /api/auth/login': 0.2,
  'POST /login': 0.2,
  'POST /api/users': 0.2,
  'PATCH /api/users/{username}': 0.2,
  [`PUT ${MODE}`]: 0.1,
  'POST /api/items': 2,
  'PUT /api/items/{part_number}': 2,
  'POST /api/items/import': 2,
  'POST /api/items/{part_number}/revisions': 2,
  'GET /api/events': 2,
}

/** The options of a run. */
export interface Options {
  cases: number
  seed: number
  /** The only operation to test, such as `GET /api/items`. */
  only?: string | undefined
  /** The only request to test. */
  request?: Request | undefined
  /** A module that the service imports first, to make it faulty on purpose. */
  preload?: string
  /** Ends the run early, with a report of what was tested until then. */
  interrupted: AbortSignal
}

/** The result of a run, with its figures. */
export interface Report extends Found {
  seed: number
  seconds: number
  acknowledged: number
  events: number
  feedBytes: number
  /** Problems of the feed, or of the process as a whole, one sentence each. */
  problems: string[]
}

const range = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i))

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** Returns every string with this name anywhere in a JSON value. */
function stringsUnder(value: unknown, name: string): string[] {
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
    key === name && typeof inner === 'string' ? [inner] : stringsUnder(inner, name),
  )
}

/** Fills the service and reads its content: users, tokens, items and cursors of lists. */
class Site {
  readonly acknowledged = new Acknowledged()

  constructor(
    readonly port: number,
    readonly admin: Inhabitant,
  ) {}

  async ask(request: Partial<Request> & { target: string }, type = 'application/json'): Promise<string> {
    const { method = 'GET', target, body } = request
    const whole: Request = {
      method,
      target,
      body,
      headers: [
        ['host', 'silo.example'],
        ['accept', 'application/json'],
        ['authorization', this.admin.credential],
        ...(body ? [['content-type', type] as [string, string]] : []),
      ],
    }
    const connection = new Connection(this.port)
    const answer = await connection.ask(whole)
    connection.close()
    if (answer.status >= 300)
      throw new Error(`${method} ${target}: ${answer.status} ${answer.body.toString()}`)
    this.acknowledged.note(whole, answer)
    return answer.body.toString()
  }

  async stringsAt(target: string, name: string): Promise<string[]> {
    return stringsUnder(JSON.parse(await this.ask({ target })), name)
  }

  async importItems(partNumbers: readonly string[]): Promise<void> {
    const rows = partNumbers.map((number) => `${number},Winding unit,4 kg\n`)
    const text = `Part Number,Name,Weight\n${rows.join('')}`
    await this.ask(
      { method: 'POST', target: '/api/items/import', body: { text, encoding: 'utf8' } },
      'text/csv',
    )
  }

  async makeNormal(): Promise<void> {
    const body = { text: '{"mode":"normal"}', encoding: 'utf8' as const }
    await this.ask({ method: 'PUT', target: MODE, body })
  }
}

async function inhabit(site: Site, sql: Sql, cases: number): Promise<Known> {
  const { admin } = site
  const hot = range(20, (i) => `HOT-${i}`)
  const cold = range(100 + Math.ceil(cases / 30), (i) => `FZ-${i}`)
  await site.importItems([...hot, ...cold])
  await settleGuest(sql)
  const viewer = await settle(sql, 'fuzz-viewer', 'viewer')
  const editor = await settle(sql, 'fuzz-editor', 'editor')
  // Requests with the credentials of these users may take away each other's rights and their own.
  const doomed: Inhabitant[] = []
  for (const i of range(10 + Math.ceil(cases / 500), (i) => i)) {
    doomed.push(await settle(sql, `fuzz-${i}`, i % 2 === 0 ? 'admin' : 'editor'))
  }
  const tokens = await giveTokens(sql, admin, Math.min(60, 20 + Math.ceil(cases / 100)))
  const ids = await site.stringsAt('/api/items?limit=200', 'id')
  const byNumber = await site.stringsAt('/api/items?limit=1', 'next_cursor')
  const byTime = await site.stringsAt('/api/items?limit=1&sort=-updated_at', 'next_cursor')
  const positions = await site.stringsAt('/api/events?limit=20', 'id')
  const etags = ['"1"', '"2"', 'W/"1"', '*', '"1", "2", "3"', '"0"']

  const valuesFor = ({ method, path }: Operation, name: string): readonly string[] | undefined => {
    switch (name) {
      case 'part_number':
        if (path === '/api/events') return ['HOT-*', 'FZ-1,FZ-2', '*', 'hot-3']
        if (path === '/api/items') return undefined
        return method === 'DELETE'
          ? cold
          : [...hot, ...hot.map((number) => number.toLowerCase()), ...cold.slice(0, 20)]
      case 'id':
        return path.includes('tokens') ? tokens : ids
      case 'username':
        return path.includes('login') ? [GUEST.username] : doomed.map(({ username }) => username)
      case 'password':
        return path.includes('login') ? [GUEST.password] : undefined
      case 'revision_number':
        return range(12, (i) => String(i + 1))
      case 'cursor':
        return [...byNumber, ...byTime]
      case 'since':
      case 'lastEventId':
      case 'last_event_id':
      case 'last-event-id':
        return ['earliest', ...positions]
      case 'types':
        return ['item.created', 'item.updated,revision.created', 'item.deleted']
      case 'wait':
        return ['0', '1']
      case 'if-match':
      case 'if-none-match':
        return etags
      case 'search':
        return ['HOT', 'winding', 'unit FZ-1']
      case 'name':
        if (path.startsWith('/docs')) return ['swagger-ui.css', 'swagger-ui-bundle.js']
        return path.startsWith('/web') ? ['style.css', 'page.js', 'icon.svg', 'login.html'] : undefined
      case 'next':
        return ['/', '/items/HOT-1', '//silo.invalid/', '/\\silo.invalid']
      default:
        return undefined
    }
  }
  return {
    credentials: [admin, viewer, editor, ...doomed].map(({ credential }) => credential),
    valuesFor,
    exclusive: { 'POST /api/items': ['part_number', 'category'] },
    pointless: { 'PUT /api/items/{part_number}': ['part_number'] },
  }
}

interface Row {
  id: number
  type: EventType
  part_number: string
  data: object
  at: Date
}

/** Compares what the subscriber received with the log in the database. */
async function compareWithLog(sql: Sql, watch: FeedWatch): Promise<string[]> {
  const log = await sql<Row[]>`select id, type, part_number, data, at from events order by id`
  const seen = watch.logged
  const said = ({ id, type, data }: { id?: string | undefined; type: string; data: string }) =>
    JSON.stringify([id?.split('-')[1], type, JSON.parse(data)])
  const truth = log.map(({ id, type, data, part_number, at }) =>
    said({ id: `x-${id}`, type, data: JSON.stringify({ ...data, part_number, at }) }),
  )
  const at = truth.findIndex((event, i) => seen[i] === undefined || event !== said(seen[i]))
  if (at < 0 && seen.length === truth.length) return []
  return [
    `the log has ${truth.length} events, the feed delivered ${seen.length}; ` +
      `the first other one: ${truth[at] ?? 'none'}`,
  ]
}

/** Sends one request several times, and checks each response, the pauses and the memory. */
async function tryAlone(
  port: number,
  request: Request,
  judge: Judge,
  vitals: Vitals,
  note: Note,
): Promise<Found> {
  const byStatus: Record<number, number> = {}
  const wrong = new Set<string>()
  const send = async () => {
    const connection = new Connection(port)
    try {
      const answer = await connection.ask(request)
      byStatus[answer.status] = (byStatus[answer.status] ?? 0) + 1
      await note(request, answer)
      for (const sentence of judge.judge(request, answer)) wrong.add(sentence)
    } catch (error) {
      wrong.add(String(error))
    } finally {
      connection.close()
    }
  }
  const each = { operation: `${request.method} ${request.target}`, seed: 0, request }
  const suspects = new Suspects(vitals, new Turnstile(), send)
  const pauseMs = await suspects.measurePause(each)
  if (pauseMs > 0) wrong.add(`the event loop stood still for ${pauseMs} ms`)
  const leak = await suspects.measureLeak(each)
  if (leak > LEAK_BYTES) wrong.add(`it leaves ${Math.round(leak / 1024)} KiB each time`)
  const findings = [...wrong].map((what) => ({
    operation: each.operation,
    what,
    seed: 0,
    shrinks: 0,
    counterexample: request,
  }))
  return { cases: 1, byOperation: {}, byStatus, findings, longestPauseMs: pauseMs, peakRss: suspects.peakRss }
}

type Note = (request: Request, answer: Answer) => Promise<void>

async function tryService(
  instance: Instance,
  sql: Sql,
  { cases, seed, only, request: alone, interrupted }: Options,
): Promise<Report> {
  const began = performance.now()
  if (!instance.process) throw new Error('the service is not running')
  const vitals = new Vitals(instance.process)
  const admin = await settle(sql, 'fuzz', 'admin')
  const site = new Site(instance.port, admin)
  const watch = await FeedWatch.open(instance.port, admin.credential)
  try {
    // A recorded request may be sent by any user of the largest run.
    const known = await inhabit(site, sql, alone ? MAX_CASES : cases)
    const operations = readDocument(await site.ask({ target: '/api/openapi.json' }))
    const judge = new Judge(operations)
    const note: Note = async (request, answer) => {
      site.acknowledged.note(request, answer)
      if (request.target === MODE && request.method === 'PUT' && answer.status === 200)
        await site.makeNormal()
    }
    const run = alone
      ? () => tryAlone(instance.port, alone, judge, vitals, note)
      : () =>
          search({
            port: instance.port,
            vitals,
            operations: only === undefined ? operations : operations.filter(({ id }) => id === only),
            known,
            judge,
            cases,
            seed,
            weights: WEIGHTS,
            isAlive: () => instance.isRunning && !interrupted.aborted,
            note,
          })
    const found = await run()
    const problems: string[] = []
    if (instance.isRunning) {
      await watch.settle((await site.stringsAt('/api/events?last=1', 'head'))[0] ?? '')
      problems.push(...(await watch.verdict(judge)), ...(await compareWithLog(sql, watch)))
      problems.push(...site.acknowledged.compare(watch.logged))
    } else problems.push(`the service ended:\n${instance.log}`)
    const complaints = instance.log.split('\n').filter((line) => /"level":(50|60)/.test(line))
    problems.push(...complaints.map((line) => `the service logged ${line.slice(0, 1000)}`))
    return {
      ...found,
      seed,
      seconds: (performance.now() - began) / 1000,
      acknowledged: site.acknowledged.count,
      events: watch.logged.length,
      feedBytes: watch.bytes,
      problems,
    }
  } finally {
    watch.close()
  }
}

/** Runs the fuzzer once. Starts everything that it needs and ends everything that it started. */
export async function runFuzz(options: Options): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-fuzz-'))
  const database = await startEmbedded(folder, () => undefined, { settings: { fsync: 'off' } })
  const sql = connect(database.url, 1)
  let instance: Instance | undefined
  try {
    const probe = new URL('probe.js', import.meta.url)
    probe.searchParams.set('pause', String(MAX_PAUSE_MS))
    const preloads = options.preload === undefined ? [] : [options.preload]
    const env = {
      DATABASE_URL: database.url,
      JWT_SECRET: database.jwtSecret,
      HEARTBEAT_MS: '1000',
      // Lets every sign-in come from another address, so that the limit per address does not refuse it.
      TRUST_PROXY: 'loopback',
      PUBLIC_URL: 'http://silo.example',
    }
    instance = await Instance.start('fuzz', env, probe.href, ...preloads)
    return await tryService(instance, sql, options)
  } finally {
    await instance?.end('SIGTERM')
    await sql.end({ timeout: 1 })
    await database.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
